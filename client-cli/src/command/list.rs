//! `backspace list`: Tasks, newest first.

use std::time::{Duration, SystemTime};

use backspace_sdk::v1;
use backspace_sdk::v1::task::{Outcome, State};

use super::{closed, to_json};
use crate::args::{Globals, ListArgs, OutputForm, StateArg};
use crate::escape;
use crate::exit::Exit;
use crate::measure;
use crate::paint::{Look, Paint};
use crate::problem::Problem;
use crate::screen::Screen;
use crate::session::{Need, Session};

const MAX_PAGE: u32 = 200;
const MAX_INSTRUCTION_CHARS: usize = 60;

pub(super) async fn list(globals: &Globals, arguments: &ListArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = async {
        let wanted = if arguments.all {
            usize::MAX
        } else {
            usize::try_from(arguments.limit).unwrap_or(usize::MAX)
        };
        let found = collect(&session, arguments, wanted).await?;
        match screen.form {
            OutputForm::Json => screen.json(&to_json(&found)?)?,
            OutputForm::Text if found.tasks.is_empty() => {
                screen.remark("no tasks; start one with `backspace run REPO PROMPT`");
            }
            OutputForm::Text => {
                let lines = table(&found.tasks, SystemTime::now(), screen.paint);
                screen.lines(&lines)?;
                if !found.next_page_token.is_empty() {
                    screen.remark("there are more: --all, or --limit NUMBER");
                }
            }
        }
        Ok(Exit::Succeeded)
    };
    let done = done.await;
    closed(session, done).await
}

/// Reads pages until enough are there. The token of the answer is that of the last page read.
async fn collect(session: &Session, arguments: &ListArgs, wanted: usize) -> Result<v1::ListTasksResponse, Problem> {
    let states: Vec<i32> = arguments.state.iter().map(|state| wire_state(*state).into()).collect();
    let mut found = v1::ListTasksResponse::default();
    loop {
        let left = u32::try_from(wanted - found.tasks.len())
            .unwrap_or(MAX_PAGE)
            .min(MAX_PAGE);
        let request = v1::ListTasksRequest {
            page_size: i32::try_from(left).unwrap_or(i32::MAX),
            page_token: std::mem::take(&mut found.next_page_token),
            states: states.clone(),
        };
        let page = session.client.list_tasks(request).await?;
        found.tasks.extend(page.tasks);
        found.next_page_token = page.next_page_token;
        if found.next_page_token.is_empty() || found.tasks.len() >= wanted {
            return Ok(found);
        }
    }
}

fn wire_state(state: StateArg) -> State {
    match state {
        StateArg::Queued => State::Queued,
        StateArg::Preparing => State::Preparing,
        StateArg::Running => State::Running,
        StateArg::Verifying => State::Verifying,
        StateArg::Publishing => State::Publishing,
        StateArg::Succeeded => State::Succeeded,
        StateArg::Failed => State::Failed,
        StateArg::Cancelled => State::Cancelled,
    }
}

fn table(tasks: &[v1::Task], now: SystemTime, paint: Paint) -> Vec<String> {
    tasks.iter().flat_map(|task| rows(task, now, paint)).collect()
}

/// Two lines a Task: who and where it stands, then what it is about.
fn rows(task: &v1::Task, now: SystemTime, paint: Paint) -> [String; 2] {
    let (look, state) = match task.state() {
        State::Succeeded => (Look::Green, "succeeded"),
        State::Failed => (Look::Red, "failed"),
        State::Cancelled => (Look::Yellow, "cancelled"),
        State::Queued => (Look::Dim, "queued"),
        State::Preparing => (Look::Cyan, "preparing"),
        State::Running => (Look::Cyan, "running"),
        State::Verifying => (Look::Cyan, "verifying"),
        State::Publishing => (Look::Cyan, "publishing"),
        State::Unspecified => (Look::Dim, "unknown"),
    };
    let spec = task.spec.clone().unwrap_or_default();
    let url = spec
        .repository
        .map(|repository| escape::line(&repository.url))
        .unwrap_or_default();
    let first = format!(
        "{}  {}  {:<9}  {url}",
        paint.text(Look::Bold, &escape::line(&task.name)),
        paint.text(look, &format!("{state:<10}")),
        age(task.create_time.as_ref(), now),
    );
    let mut about: String = escape::line(spec.instruction.trim().lines().next().unwrap_or_default())
        .chars()
        .take(MAX_INSTRUCTION_CHARS)
        .collect();
    let outcome = match &task.outcome {
        Some(Outcome::Result(result)) => match &result.pull_request {
            Some(request) => escape::line(&request.url),
            None => escape::line(&result.branch),
        },
        Some(Outcome::Failure(failure)) => escape::line(&failure.message),
        None => String::new(),
    };
    if !outcome.is_empty() {
        about.push_str("  → ");
        about.push_str(&outcome);
    }
    [
        first.trim_end().to_owned(),
        paint.text(Look::Dim, &format!("  {about}")),
    ]
}

fn age(time: Option<&prost_types::Timestamp>, now: SystemTime) -> String {
    let then = time.and_then(|time| SystemTime::try_from(*time).ok());
    let age = then.and_then(|then| now.duration_since(then).ok());
    match age {
        Some(age) if age < Duration::from_secs(60) => "just now".to_owned(),
        Some(age) if age < Duration::from_secs(3_600) => format!("{} min ago", age.as_secs() / 60),
        Some(age) if age < Duration::from_secs(172_800) => format!("{} h ago", age.as_secs() / 3_600),
        Some(age) => format!("{} ago", measure::span(age)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_two_lines_and_harmless() {
        let task = v1::Task {
            name: "tasks/t1".to_owned(),
            state: State::Failed.into(),
            spec: Some(v1::TaskSpec {
                instruction: "Fix \x1b[2J it\nand more".to_owned(),
                repository: Some(v1::Repository {
                    url: "https://github.com/o/r".to_owned(),
                    revision: None,
                }),
                ..Default::default()
            }),
            outcome: Some(Outcome::Failure(v1::Failure {
                message: "no luck".to_owned(),
                ..Default::default()
            })),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_000,
                nanos: 0,
            }),
            ..Default::default()
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + 7_300);
        assert_eq!(
            table(&[task], now, Paint::PLAIN),
            [
                "tasks/t1  failed      2 h ago    https://github.com/o/r",
                "  Fix \\x1b[2J it  → no luck"
            ]
        );
    }
}
