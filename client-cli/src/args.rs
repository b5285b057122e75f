//! What can be typed: the commands, their arguments, and the words of `--help`.
//!
//! Reading only; what the words mean is decided by the commands. The variables of each argument are
//! named here, so that `--help` tells them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::EXIT_CODES;
use crate::paint::ColourChoice;

mod issue;
mod run;

pub(crate) use run::{RepositoryArgument, RunArgs};

const AFTER_HELP: &str = "\
Without --server, BACKSPACE_SERVER and a configured default, a private server is started for the call; \
its data is in $XDG_DATA_HOME/backspace (~/.local/share/backspace), its log in server.log there.

Ctrl-C in `run` and `watch`: on a server, leaves; the task goes on, and how to watch or cancel it is \
shown. With a private server, `run` cancels the task, and `watch` pauses it until the next command. \
A second Ctrl-C leaves at once.";

/// Runs coding tasks on a Backspace server: one sentence in, one pull request out.
#[derive(Debug, Parser)]
#[command(name = "backspace", version, max_term_width = 110)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{AFTER_HELP}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct Globals {
    /// Address of the server (https://host:port, or host:port), its name in the configuration file, or
    /// `private` for a private one.
    #[arg(long, short = 's', global = true, env = "BACKSPACE_SERVER", value_name = "ADDRESS")]
    pub(crate) server: Option<String>,
    /// Bearer token. Others on this machine can see it among the arguments: use BACKSPACE_TOKEN or a file.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// File with the bearer token, readable by you alone; BACKSPACE_TOKEN_FILE names one too.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with certificates to trust beside the system's.
    #[arg(long, global = true, env = "BACKSPACE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Allow http:// to another machine. Token and code can be read on the way.
    #[arg(long, global = true)]
    pub(crate) allow_plaintext: bool,
    /// Configuration file, instead of $XDG_CONFIG_HOME/backspace/config.toml.
    #[arg(long, global = true, env = "BACKSPACE_CLI_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// `text` for people, `json` for scripts: one JSON object a line.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: OutputForm,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColourChoice,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people.
    #[default]
    Text,
    /// For scripts: canonical protobuf JSON, one object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a task on a repository and show it until it ends.
    Run(Box<RunArgs>),
    /// Show a task's events from the beginning, then as they happen.
    Watch(WatchArgs),
    /// Show a task as it stands.
    Get(TaskArgs),
    /// List tasks, newest first.
    List(ListArgs),
    /// Ask a task to stop. What it has done is kept as a patch.
    Cancel(CancelArgs),
    /// Send a message into a running task, or go on from one that has ended.
    Message(MessageArgs),
    /// Show a task's whole change as a unified diff; `| git apply` applies it.
    Diff(DiffArgs),
    /// Show a task's log, or another of its artifacts.
    Logs(LogsArgs),
    /// Run a task again with the answers its model gave then, and say where it first goes another way.
    Replay(ReplayArgs),
    /// Check the connection and say what the server can do.
    Doctor,
    /// Delete a task that has ended, with its events and artifacts.
    Delete(DeleteArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(ManArgs),
}

/// Names a Task.
#[derive(Clone, Debug, Args)]
pub(crate) struct TaskArgs {
    /// The task: its name or id as `list` shows it, or `latest`.
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Begin after this event.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub(crate) after: u64,
    /// Show the output of commands too.
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks in this state; may be repeated.
    #[arg(long, value_enum, value_name = "STATE")]
    pub(crate) state: Vec<StateArg>,
    /// Show at most this many.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Show all.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// A state to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    Queued,
    Preparing,
    Running,
    Verifying,
    Publishing,
    Succeeded,
    Failed,
    Cancelled,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Why; kept in the task's log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Wait until the task has stopped.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Arguments of `message`.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// The message; `-` reads it from standard input.
    #[arg(required_unless_present = "review_comments")]
    pub(crate) text: Option<String>,
    /// Add the unresolved review comments of the task's pull request.
    #[arg(long, visible_alias = "review")]
    pub(crate) review_comments: bool,
    /// Show the task that acts on the message until it ends.
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Show how much changed in which file instead.
    #[arg(long)]
    pub(crate) stat: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Which artifact: `log`, `exchanges` (the model's requests and answers), or one that an event names.
    #[arg(long, value_name = "NAME", default_value = "log", conflicts_with = "follow")]
    pub(crate) artifact: String,
    /// Show the events with all output instead, and go on as they happen.
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Show the output of commands too.
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder to write the pages to.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn globals_are_taken_before_and_after_the_command() {
        for line in [
            "backspace -s h:1 -o json list",
            "backspace list --server h:1 --output json",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(
                (cli.globals.server.as_deref(), cli.globals.output),
                (Some("h:1"), OutputForm::Json),
                "{line}"
            );
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "backspace",
            "backspace run",
            "backspace fly",
            "backspace get",
            "backspace message t",
            "backspace list -n 0",
            "backspace list --state asleep",
            "backspace --token a --token-file b list",
            "backspace run . x --limit-duration soon",
            "backspace run . x --base a --base-commit b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("backspace message t --review-comments").is_ok());
    }

    #[test]
    fn help_tells_exit_codes_and_what_ctrl_c_does() {
        let help = Cli::command().render_long_help().to_string();
        for text in [
            "Exit codes:",
            "130",
            "Ctrl-C",
            "private server",
            "NO_COLOR",
            "BACKSPACE_SERVER",
        ] {
            assert!(help.contains(text), "{text} is missing in:\n{help}");
        }
    }
}
