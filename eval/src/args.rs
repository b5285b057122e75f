//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures a model on small coding exercises, through the real service.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run exercises with a model and report what was solved.
    Run(RunArgs),
    /// Prove the hidden checks: red where a change is needed and nothing was done, green where none is needed.
    Prove(ProveArgs),
    /// List the exercises.
    List(Choice),
}

/// Which exercises.
#[derive(Clone, Debug, Args)]
pub(crate) struct Choice {
    /// Folder of the exercises.
    #[arg(long, value_name = "FOLDER", default_value = "eval/exercises")]
    pub(crate) exercises: PathBuf,
    /// Only exercises whose name or language contains this; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Vec<String>,
}

/// Where the binaries are and where things are kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Folder of backspace-server and backspace-supervisor; default this program's own.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) binaries: Option<PathBuf>,
    /// Keep repositories, the server's data and its log in this new or empty folder; default a temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) work: Option<PathBuf>,
    /// Folder that checks may read as $BUILD_CACHE; `go-build` in it saves each from building Go's library anew.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) build_cache: Option<PathBuf>,
    /// Exercises at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The model, as provider/model or provider. `scripted` plays each exercise's own solution, and
    /// `scripted/NAME` the answer of that name where an exercise has one.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// TOML file of further providers, windows and prices, for the server that is started.
    #[arg(long, value_name = "FILE")]
    pub(crate) models_file: Option<PathBuf>,
    /// Use this server instead of starting one. It must be on this machine and allow --work/repositories by path.
    #[arg(long, value_name = "ADDRESS", requires = "work")]
    pub(crate) server: Option<String>,
    /// File with the token for --server.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) token_file: Option<PathBuf>,
    /// How often each exercise is run.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) attempts: u32,
    /// Most model turns of one exercise.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_turns: u32,
    /// Most money for one exercise, in US dollars; the server's own limit when left out.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost_usd: Option<f64>,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// The model of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelChoice {
    /// A model of the server's.
    Named(String),
    /// The answer of this name that an exercise brings.
    Scripted(String),
}

impl ModelChoice {
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once('/') {
            None if text == "scripted" => Self::Scripted("solution".into()),
            Some(("scripted", answer)) => Self::Scripted(answer.into()),
            _ => Self::Named(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_the_servers_or_an_answer_of_the_exercises() {
        let scripted = |name: &str| ModelChoice::Scripted(name.into());
        assert_eq!(ModelChoice::parse("scripted"), scripted("solution"));
        assert_eq!(ModelChoice::parse("scripted/cheat"), scripted("cheat"));
        for named in ["anthropic", "openrouter/scripted/x", "scripted-ly"] {
            assert_eq!(ModelChoice::parse(named), ModelChoice::Named(named.into()));
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
