//! `backspace replay`: runs a Task again with the answers that its model gave, and says where it first
//! goes another way.
//!
//! It is a new Task from the same commit whose model is the recording, so tools and checks run for real
//! and no provider is asked. It publishes nothing, whatever the first one did.

use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::{REPLAY_DIVERGES, v1};

use super::{closed, resolve};
use crate::args::{Globals, OutputForm, ReplayArgs};
use crate::escape;
use crate::exit::Exit;
use crate::follow::{OnInterrupt, Showing, follow};
use crate::paint::Look;
use crate::problem::Problem;
use crate::report::Detail;
use crate::screen::Screen;
use crate::session::{Need, Ownership, Session};

pub(super) async fn replay(globals: &Globals, arguments: &ReplayArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Start(None)).await?;
    let done = run_again(&session, arguments, screen).await;
    closed(session, done).await
}

async fn run_again(session: &Session, arguments: &ReplayArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let name = resolve(session, &arguments.task.task).await?;
    let recorded = session.client.get_task(&name).await?;
    let spec = replay_spec(&name, recorded);
    let task = session.client.create_task(spec.clone()).await?;
    let showing = Showing {
        detail: if arguments.verbose {
            Detail::Everything
        } else {
            Detail::Events
        },
        spec: Some(spec),
        on_interrupt: match session.ownership {
            Ownership::Ours => OnInterrupt::Cancel,
            Ownership::Shared | Ownership::OfAnotherCommand => OnInterrupt::Leave,
        },
        screen: &mut *screen,
    };
    let exit = follow(session, session.client.watch(&task.name, 0), showing).await?;
    if exit == Exit::Interrupted {
        return Ok(exit);
    }
    let divergence = divergence(session, &task.name).await?;
    if screen.form == OutputForm::Text {
        let (paint, name) = (screen.paint, escape::line(&name));
        match &divergence {
            Some(message) => screen.line(&paint.text(Look::Yellow, &escape::line(message)))?,
            None if exit == Exit::Succeeded => {
                screen.line(&paint.text(Look::Green, &format!("{name} was replayed as recorded")))?
            }
            None => {}
        }
    }
    // A Task that ended badly says more than that it diverged on the way.
    Ok(match (exit, divergence) {
        (Exit::Succeeded, Some(_)) => Exit::Other,
        _ => exit,
    })
}

/// Asks for the same work from the same commit, answered by the recording.
fn replay_spec(name: &str, recorded: v1::Task) -> v1::TaskSpec {
    let mut spec = recorded.spec.unwrap_or_default();
    let id = name.strip_prefix("tasks/").unwrap_or(name);
    spec.model = format!("replay/{id}");
    spec.fallback_models.clear();
    spec.publication = Some(v1::Publication {
        mode: v1::publication::Mode::PatchOnly.into(),
        ..Default::default()
    });
    if let Some(repository) = &mut spec.repository
        && !recorded.base_commit.is_empty()
    {
        repository.revision = Some(v1::repository::Revision::Commit(recorded.base_commit));
    }
    spec
}

/// Returns what a Task's log says of the first divergence.
async fn divergence(session: &Session, name: &str) -> Result<Option<String>, Problem> {
    let mut run = session.client.watch(name, 0).durable_only();
    while let Some(event) = run.next().await {
        if let Some(Payload::Warning(warning)) = event?.payload
            && warning.message.starts_with(REPLAY_DIVERGES)
        {
            return Ok(Some(warning.message));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_starts_from_the_same_commit_and_publishes_nothing() {
        let recorded = v1::Task {
            spec: Some(v1::TaskSpec {
                instruction: "fix it".into(),
                model: "anthropic/m".into(),
                fallback_models: vec!["openai/m".into()],
                repository: Some(v1::Repository {
                    url: "/r".into(),
                    revision: Some(v1::repository::Revision::Branch("main".into())),
                }),
                publication: Some(v1::Publication {
                    labels: vec!["bot".into()],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            base_commit: "ab12".into(),
            ..Default::default()
        };
        let expected = v1::TaskSpec {
            instruction: "fix it".into(),
            model: "replay/7f".into(),
            repository: Some(v1::Repository {
                url: "/r".into(),
                revision: Some(v1::repository::Revision::Commit("ab12".into())),
            }),
            publication: Some(v1::Publication {
                mode: v1::publication::Mode::PatchOnly.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(replay_spec("tasks/7f", recorded), expected);
    }
}
