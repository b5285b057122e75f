//! The commands, one file each, and what they share: finding the Task a word names.
//!
//! Each opens its session, does its work, and closes the session on every path: a private server must be
//! stopped in order also when the work failed.

use backspace_sdk::v1;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::private::Patience;
use crate::problem::Problem;
use crate::screen::Screen;
use crate::session::Session;

mod artifact;
mod doctor;
mod list;
mod message;
mod replay;
mod run;
mod shell;
mod task;
mod watch;

/// Does what was typed.
pub(crate) async fn execute(cli: Cli, screen: &mut Screen) -> Result<Exit, Problem> {
    let globals = &cli.globals;
    match cli.command {
        Command::Run(arguments) => run::run(globals, &arguments, screen).await,
        Command::Watch(arguments) => watch::watch(globals, &arguments, screen).await,
        Command::Get(arguments) => task::get(globals, &arguments, screen).await,
        Command::List(arguments) => list::list(globals, &arguments, screen).await,
        Command::Cancel(arguments) => task::cancel(globals, &arguments, screen).await,
        Command::Message(arguments) => message::message(globals, &arguments, screen).await,
        Command::Diff(arguments) => artifact::diff(globals, &arguments, screen).await,
        Command::Logs(arguments) => artifact::logs(globals, &arguments, screen).await,
        Command::Replay(arguments) => replay::replay(globals, &arguments, screen).await,
        Command::Doctor => doctor::doctor(globals, screen).await,
        Command::Delete(arguments) => task::delete(globals, &arguments, screen).await,
        Command::Completions(arguments) => shell::completions(&arguments, screen),
        Command::Man(arguments) => shell::man(&arguments, screen),
    }
}

/// Closes a session after its work; the work's own problem goes before one of closing.
async fn closed(session: Session, done: Result<Exit, Problem>) -> Result<Exit, Problem> {
    let patience = match &done {
        Ok(Exit::Interrupted) => Patience::Hasty,
        Ok(_) | Err(_) => Patience::Orderly,
    };
    let closing = session.close(patience).await;
    let exit = done?;
    closing.map(|()| exit)
}

/// Returns the resource name that a word means: a name, an id, or `latest`.
async fn resolve(session: &Session, word: &str) -> Result<String, Problem> {
    if word == "latest" {
        let request = v1::ListTasksRequest {
            page_size: 1,
            ..Default::default()
        };
        let page = session.client.list_tasks(request).await?;
        return page.tasks.into_iter().next().map(|task| task.name).ok_or_else(|| {
            Problem::new(Exit::Refused, "there is no task yet").next("start one with `backspace run REPO PROMPT`")
        });
    }
    task_name(word)
}

fn task_name(word: &str) -> Result<String, Problem> {
    let id = word.strip_prefix("tasks/").unwrap_or(word);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || !id.bytes().all(plain) {
        let what = format!("{word:?} is no name of a task");
        return Err(Problem::new(Exit::Other, what).next("write it as `backspace list` shows it, or write latest"));
    }
    Ok(format!("tasks/{id}"))
}

/// Turns a message into JSON for the screen.
fn to_json<M: prost::Message + prost::Name>(message: &M) -> Result<serde_json::Value, Problem> {
    backspace_sdk::json::to_json(message).map_err(|error| Problem::new(Exit::Other, error.to_string()))
}

/// Reads a text that was given, or standard input for `-`.
fn text_or_input(text: &str) -> Result<String, Problem> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let input = std::io::read_to_string(std::io::stdin())
        .map_err(|error| Problem::new(Exit::Other, format!("cannot read standard input: {error}")))?;
    if input.trim().is_empty() {
        return Err(Problem::new(Exit::Other, "standard input is empty").next("write the text after -, or pipe it in"));
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_name_or_id() {
        assert_eq!(task_name("tasks/0193-ab").unwrap(), "tasks/0193-ab");
        assert_eq!(task_name("0193-ab").unwrap(), "tasks/0193-ab");
        for bad in ["", "tasks/", "a/b", "a b", "../x", "ü", "a\x1b"] {
            assert!(task_name(bad).is_err(), "{bad:?}");
        }
    }
}
