//! The command `backspace`: runs coding tasks on a Backspace server and shows them.
//!
//! Reads the arguments, runs the command, and turns what came of it into an exit code; nothing else.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod command;
mod diff;
mod escape;
mod exit;
mod follow;
mod measure;
mod paint;
mod private;
mod problem;
mod report;
mod screen;
mod session;
mod settings;

use args::Cli;
use exit::Exit;
use problem::Problem;
use screen::Screen;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own code for wrong usage is 2, which here is a failed Task. Help and version are no errors.
            let exit = if error.use_stderr() {
                Exit::Other
            } else {
                Exit::Succeeded
            };
            let _ = error.print();
            return exit.into();
        }
    };
    // More than one provider may be in the dependency graph, and rustls does not choose between them.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut screen = Screen::new(&cli.globals);
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Exit::Other, format!("cannot start the runtime: {error}")))
        .and_then(|runtime| runtime.block_on(command::execute(cli, &mut screen)));
    match done {
        Ok(exit) => exit.into(),
        Err(problem) => {
            if !problem.is_silent() {
                let text = problem.render(screen.error_paint);
                screen.remark(&text);
            }
            problem.exit().into()
        }
    }
}
