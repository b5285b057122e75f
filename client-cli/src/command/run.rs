//! `backspace run`: starts a Task and shows it until it ends.

use backspace_sdk::v1;

use super::{closed, text_or_input, to_json};
use crate::args::{Globals, OutputForm, RepositoryArgument, RunArgs};
use crate::escape;
use crate::exit::Exit;
use crate::follow::{OnInterrupt, Showing, follow};
use crate::problem::Problem;
use crate::report::Detail;
use crate::screen::Screen;
use crate::session::{Kind, Need, Ownership, Session, kind};

pub(super) async fn run(globals: &Globals, arguments: &RunArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let folder = std::env::current_dir()
        .map_err(|error| Problem::new(Exit::Other, format!("the working folder cannot be read: {error}")))?;
    let (repository, issue) = arguments.target(&folder);
    let repository = RepositoryArgument::read(&repository, &folder)?;
    // Before anything is started or read: a person who typed the whole prompt should not lose it.
    if arguments.detach && kind(globals)? == Kind::Private {
        return Err(Problem::new(
            Exit::Other,
            "--detach needs a server that goes on when this command ends",
        )
        .detail("none is configured, and a private server stops with the command that started it")
        .next("leave --detach out; or start `backspace-server` and set BACKSPACE_SERVER=http://127.0.0.1:8000"));
    }
    let prompt = match (&arguments.prompt, &issue) {
        (Some(prompt), _) => text_or_input(prompt)?,
        (None, Some(number)) => format!("Resolve issue #{number}."),
        (None, None) => {
            let problem = Problem::new(Exit::Other, "it is not said what to do");
            return Err(problem.next("write it behind the repository, or name an issue: backspace run owner/name#12"));
        }
    };
    let spec = arguments.spec(&repository, issue, prompt)?;
    let root = match &repository {
        RepositoryArgument::Local(path) => Some(path.as_path()),
        RepositoryArgument::Address(_) => None,
    };
    let session = Session::open(globals, Need::Start(root)).await?;
    let done = if arguments.detach {
        detach(&session, spec, screen).await
    } else {
        let showing = Showing {
            detail: if arguments.verbose {
                Detail::Everything
            } else {
                Detail::Events
            },
            spec: Some(spec.clone()),
            on_interrupt: match session.ownership {
                Ownership::Ours => OnInterrupt::Cancel,
                Ownership::Shared | Ownership::OfAnotherCommand => OnInterrupt::Leave,
            },
            screen,
        };
        follow(&session, session.client.run_task(spec), showing).await
    };
    closed(session, done).await
}

async fn detach(session: &Session, spec: v1::TaskSpec, screen: &mut Screen) -> Result<Exit, Problem> {
    let task = session.client.create_task(spec).await?;
    match screen.form {
        OutputForm::Json => screen.json(&to_json(&task)?)?,
        OutputForm::Text => {
            let (name, command) = (escape::line(&task.name), &session.invocation);
            screen.line(&name)?;
            screen.remark(&format!(
                "  watch it:  {command} watch {name}\n  stop it:   {command} cancel {name}"
            ));
        }
    }
    Ok(Exit::Succeeded)
}
