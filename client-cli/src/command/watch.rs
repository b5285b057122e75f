//! `backspace watch`: shows a Task that is there already.

use super::{closed, resolve};
use crate::args::{Globals, OutputForm, WatchArgs};
use crate::exit::Exit;
use crate::follow::{OnInterrupt, Showing, follow};
use crate::problem::Problem;
use crate::report::Detail;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(super) async fn watch(globals: &Globals, arguments: &WatchArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let detail = if arguments.verbose {
        Detail::Everything
    } else {
        Detail::Events
    };
    let done = show(&session, &arguments.task.task, arguments.after, detail, screen).await;
    closed(session, done).await
}

/// Shows a Task from after a sequence until it ends.
pub(super) async fn show(
    session: &Session,
    word: &str,
    after_sequence: u64,
    detail: Detail,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let name = resolve(session, word).await?;
    // Asked first also for the sake of a Task with no more events: its end is then known all the same.
    let task = session.client.get_task(&name).await?;
    let exit = Exit::of_task(&task);
    if exit != Exit::Other && task.last_sequence <= after_sequence {
        if screen.form == OutputForm::Json {
            screen.json(&serde_json::json!({ "task": name }))?;
        }
        return Ok(exit);
    }
    let showing = Showing {
        screen,
        detail,
        spec: task.spec,
        on_interrupt: OnInterrupt::Leave,
    };
    follow(session, session.client.watch(&name, after_sequence), showing).await
}
