//! The `odin` command: [`odin_cli::run`] with the arguments of this process.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(odin_cli::run(std::env::args_os()))
}
