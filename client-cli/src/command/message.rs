//! `backspace message`: a message into a Task, or on from one that has ended.

use backspace_sdk::v1;

use super::{closed, resolve, text_or_input, to_json, watch};
use crate::args::{Globals, MessageArgs, OutputForm};
use crate::escape;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::report::Detail;
use crate::screen::Screen;
use crate::session::{Need, Ownership, Session};

pub(super) async fn message(globals: &Globals, arguments: &MessageArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let text = arguments
        .text
        .as_deref()
        .map(text_or_input)
        .transpose()?
        .unwrap_or_default();
    let session = Session::open(globals, Need::Any).await?;
    let done = send(&session, arguments, text, screen).await;
    closed(session, done).await
}

async fn send(session: &Session, arguments: &MessageArgs, text: String, screen: &mut Screen) -> Result<Exit, Problem> {
    let name = resolve(session, &arguments.task.task).await?;
    let request = v1::SendMessageRequest {
        name: name.clone(),
        text,
        request_id: String::new(),
        include_review_comments: arguments.review_comments,
    };
    let task = session.client.send_message(request).await?;
    // On a private server of ours the Task goes on only as long as we stay.
    if arguments.follow || session.ownership == Ownership::Ours {
        return watch::show(session, &task.name, 0, Detail::Events, screen).await;
    }
    match screen.form {
        OutputForm::Json => screen.json(&to_json(&task)?)?,
        OutputForm::Text => {
            let (acting, command) = (escape::line(&task.name), &session.invocation);
            let what = if task.name == name {
                format!("{acting} reads the message before its next turn")
            } else {
                format!("{acting} goes on from {}", escape::line(&name))
            };
            screen.line(&format!("{what}\n  watch it:  {command} watch {acting}"))?;
        }
    }
    Ok(Exit::Succeeded)
}
