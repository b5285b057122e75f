//! `backspace-eval`: measures a model on small coding exercises, through the real service.
//!
//! Reads the arguments, runs the command, and turns what came of it into an exit code; nothing else. It is
//! a composition like the server's own: it names the `local` sandbox, in which results are judged.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod attempt;
mod command;
mod exercise;
mod judge;
mod own_server;
mod report;
mod repository;

use args::Cli;

/// What a script branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every exercise was solved; with `prove`, every check does what it should.
    Solved = 0,
    /// Wrong usage, a broken exercise, or another error.
    Other = 1,
    /// Some exercise was not solved.
    Unsolved = 2,
    /// Some exercise could not be measured: the model, the server or a sandbox failed.
    NotMeasured = 3,
    /// Nothing can be measured: the server did not start, or there is no sandbox on this machine.
    Unusable = 7,
    /// Left by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own code for wrong usage is 2, which here is an unsolved exercise.
            let exit = if error.use_stderr() { Exit::Other } else { Exit::Solved };
            let _ = error.print();
            return exit.into();
        }
    };
    // More than one provider may be in the dependency graph, and rustls does not choose between them.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    done = command::execute(cli) => done,
                    _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
                }
            })
        });
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("backspace-eval: {error:#}");
            error
                .downcast_ref::<Unusable>()
                .map_or(Exit::Other, |_| Exit::Unusable)
                .into()
        }
    }
}

/// Marks an error that leaves nothing to measure.
#[derive(Debug, thiserror::Error)]
#[error("nothing can be measured here")]
pub(crate) struct Unusable;
