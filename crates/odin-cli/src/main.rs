//! The `odin` command: arguments in, calls out.

mod args;
mod command;
mod output;
mod resolve;

use args::Args;
use clap::Parser;
use command::{
    calibrate, compile, demo, drift, eval, explain, fetch, inspect, list, score, tune, verify,
};
use std::process::ExitCode;

/// 0 success, 1 failure, 2 usage (the last by clap, which also prints help).
fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return wrong_usage(&error),
    };
    let result = match args.command {
        Some(args::Command::Eval(eval)) => eval::run(&eval),
        Some(args::Command::Tune(tune)) => tune::run(&tune),
        Some(args::Command::Calibrate(calibrate)) => calibrate::run(&calibrate),
        Some(args::Command::Score(score)) => score::run(&score),
        Some(args::Command::Drift(drift)) => match drift::run(&drift) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(args::Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(args::Command::Explain(explain)) => explain::run(&explain),
        Some(args::Command::Compile(compile)) => compile::run(&compile),
        Some(args::Command::Verify(verify)) => verify::run(&verify),
        Some(args::Command::Fetch(fetch)) => fetch::run(&fetch),
        Some(args::Command::List(list)) => list::run(&list),
        None => demo::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::progress::say(&format!("error: {}", output::advice::told(&error)));
            if let Some(advice) = output::advice::of(&error) {
                output::progress::say(advice);
            }
            match error.is::<args::UsageError>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// What clap has to say, or its help. It quotes arguments, which may be names of files, as they are.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    let acts = |arg: std::ffi::OsString| {
        let arg = arg.to_string_lossy().into_owned();
        odin_error::printable(&arg) != arg
    };
    match error.use_stderr() && std::env::args_os().any(acts) {
        true => {
            output::progress::say(error.to_string().trim_end());
            ExitCode::from(2)
        }
        false => error.exit(),
    }
}
