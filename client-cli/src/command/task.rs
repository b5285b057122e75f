//! `backspace get`, `cancel` and `delete`: one Task, one answer.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use backspace_sdk::v1;
use backspace_sdk::v1::task_event::Payload;

use super::{closed, resolve, to_json};
use crate::args::{CancelArgs, DeleteArgs, Globals, OutputForm, TaskArgs};
use crate::escape;
use crate::exit::Exit;
use crate::paint::Output;
use crate::problem::Problem;
use crate::report::{Detail, Report, Style};
use crate::screen::Screen;
use crate::session::{Need, Ownership, Session};

pub(super) async fn get(globals: &Globals, arguments: &TaskArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = async {
        let name = resolve(&session, &arguments.task).await?;
        let task = session.client.get_task(&name).await?;
        show(&session, &task, screen)?;
        Ok(Exit::Succeeded)
    };
    let done = done.await;
    closed(session, done).await
}

fn show(session: &Session, task: &v1::Task, screen: &mut Screen) -> Result<(), Problem> {
    if screen.form == OutputForm::Json {
        return screen.json(&to_json(task)?);
    }
    let style = Style {
        paint: screen.paint,
        bar: Output::Other,
        detail: Detail::Events,
        invocation: session.invocation.clone(),
    };
    let report = Report::new(style);
    let mut lines = report.header(&task.name, &task.spec.clone().unwrap_or_default());
    lines.pop();
    lines.extend(report.ending(task));
    screen.lines(&lines)
}

pub(super) async fn cancel(globals: &Globals, arguments: &CancelArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = async {
        let name = resolve(&session, &arguments.task.task).await?;
        let mut task = session.client.cancel_task(&name, &arguments.reason).await?;
        // A private server of ours stops with us, and a Task stops only while its server runs.
        let wait = arguments.wait || session.ownership == Ownership::Ours;
        if wait && Exit::of_task(&task) == Exit::Other {
            task = until_ended(&session, &name, task.last_sequence).await?.unwrap_or(task);
        }
        if screen.form == OutputForm::Json {
            screen.json(&to_json(&task)?)?;
            return Ok(Exit::Succeeded);
        }
        let (name, command) = (escape::line(&name), &session.invocation);
        match Exit::of_task(&task) {
            Exit::Other => screen.line(&format!(
                "{name} is asked to stop; its work is kept as a patch\n  see it stop:  {command} watch {name}"
            ))?,
            Exit::TaskCancelled => screen.line(&format!("{name} is cancelled"))?,
            Exit::Succeeded
            | Exit::TaskFailed
            | Exit::Limit
            | Exit::Unreachable
            | Exit::Refused
            | Exit::Unusable
            | Exit::Interrupted => {
                screen.line(&format!("{name} had ended already\n  see how:  {command} get {name}"))?
            }
        }
        Ok(Exit::Succeeded)
    };
    let done = done.await;
    closed(session, done).await
}

async fn until_ended(session: &Session, name: &str, after_sequence: u64) -> Result<Option<v1::Task>, Problem> {
    let mut run = session.client.watch(name, after_sequence).durable_only();
    while let Some(event) = run.next().await {
        if let Some(Payload::TaskFinished(finished)) = event?.payload {
            return Ok(finished.task);
        }
    }
    Ok(None)
}

pub(super) async fn delete(globals: &Globals, arguments: &DeleteArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = async {
        let name = resolve(&session, &arguments.task.task).await?;
        if !arguments.yes && !confirmed(&name)? {
            screen.remark("nothing was deleted");
            return Ok(Exit::Other);
        }
        session.client.delete_task(&name).await?;
        match screen.form {
            OutputForm::Json => screen.json(&serde_json::json!({ "task": name }))?,
            OutputForm::Text => screen.line(&format!("{} is deleted", escape::line(&name)))?,
        }
        Ok(Exit::Succeeded)
    };
    let done = done.await;
    closed(session, done).await
}

fn confirmed(name: &str) -> Result<bool, Problem> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            Exit::Other,
            format!("{} is not deleted without being asked", escape::line(name)),
        )
        .next("add --yes"));
    }
    let mut answer = String::new();
    let _ = write!(
        std::io::stderr(),
        "delete {} with its events, patch and log? [y/N] ",
        escape::line(name)
    );
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Problem::new(Exit::Other, format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
