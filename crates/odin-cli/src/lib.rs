//! The `odin` command: arguments in, calls out.
//!
//! [`run`] is all of it, so that other programs can offer the same command line.

mod args;
mod command;
mod output;
mod resolve;

use args::Args;
use clap::Parser;
use command::{
    calibrate, compile, demo, drift, eval, explain, fetch, inspect, list, metrics, score, tune,
    verify,
};
use std::ffi::OsString;
use std::io::Write;

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Runs the command with these arguments, the first of which is the name of the program, and gives
/// its exit code: 0 success, 1 failure, 2 wrong usage, 3 drift that `odin drift` was told to fail
/// on. It reads and writes the standard streams of the process, and calls itself `odin` whatever
/// the program is called.
///
/// ```
/// let odin = |arguments: &[&str]| odin_cli::run(arguments.iter().map(Into::into));
/// assert_eq!(odin(&["python", "--version"]), 0);
/// assert_eq!(odin(&["python", "inspect", "there-is-no.onnx"]), 1);
/// assert_eq!(odin(&["python", "inspect", "--wrong"]), 2);
/// ```
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    run_with(&arguments.into_iter().collect::<Vec<_>>())
}

fn run_with(arguments: &[OsString]) -> u8 {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return not_parsed(&error, arguments),
    };
    let again = output::command_line::command_line(arguments);
    let result = match args.command {
        Some(args::Command::Eval(eval)) => eval::run(&eval, &again),
        Some(args::Command::Tune(tune)) => tune::run(&tune, &again),
        Some(args::Command::Calibrate(calibrate)) => calibrate::run(&calibrate, &again),
        Some(args::Command::Score(score)) => score::run(&score),
        #[cfg(feature = "serve")]
        Some(args::Command::Serve(serve)) => command::serve::run(&serve),
        #[cfg(not(feature = "serve"))]
        Some(args::Command::Serve(_)) => Err(args::UsageError(
            "`odin serve` is not in this build; rebuild with `--features serve`.".to_string(),
        )
        .into()),
        Some(args::Command::Drift(drift)) => match drift::run(&drift, &again) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(args::Command::Metrics(metrics)) => metrics::run(&metrics),
        Some(args::Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(args::Command::Explain(explain)) => explain::run(&explain),
        Some(args::Command::Compile(compile)) => compile::run(&compile),
        Some(args::Command::Verify(verify)) => verify::run(&verify),
        Some(args::Command::Fetch(fetch)) => fetch::run(&fetch),
        Some(args::Command::List(list)) => list::run(&list),
        None => demo::run(),
    };
    match result {
        Ok(()) => SUCCESS,
        Err(error) => {
            output::progress::say(&format!("error: {}", output::advice::told(&error)));
            if let Some(advice) = output::advice::of(&error) {
                output::progress::say(advice);
            }
            match error.is::<args::UsageError>() {
                true => WRONG_USAGE,
                false => FAILURE,
            }
        }
    }
}

/// Prints what clap has to say, wrong usage or help. It quotes arguments, which may be names of
/// files, as they are.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let acts = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        odin_error::printable(&argument) != argument
    };
    match error.use_stderr() && arguments.iter().any(acts) {
        true => output::progress::say(error.to_string().trim_end()),
        // Nobody may read it, which is no error.
        false => {
            let _ = error.print().and_then(|()| std::io::stdout().flush());
        }
    }
    match error.use_stderr() {
        true => WRONG_USAGE,
        false => SUCCESS,
    }
}
