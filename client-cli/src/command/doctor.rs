//! `backspace doctor`: is there a server, does it answer, and can a Task run there.
//!
//! It says what the server says of itself, and what to do about what is missing. It fails only for what
//! keeps every Task from running: a server without a forge credential still makes patches.

use backspace_sdk::v1;

use super::{closed, to_json};
use crate::args::{Globals, OutputForm};
use crate::escape;
use crate::exit::Exit;
use crate::measure;
use crate::paint::{Look, Paint};
use crate::problem::Problem;
use crate::report::span_of;
use crate::screen::Screen;
use crate::session::{Need, Ownership, Session};

pub(super) async fn doctor(globals: &Globals, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = async {
        let info = session.client.server_info().await?;
        let faults = faults(&info, session.ownership);
        if screen.form == OutputForm::Json {
            screen.json(&to_json(&info)?)?;
        } else {
            let lines = report(&session_words(&session), &info, &faults, screen.paint);
            screen.lines(&lines)?;
        }
        Ok(if faults.is_empty() {
            Exit::Succeeded
        } else {
            Exit::Unusable
        })
    };
    let done = done.await;
    closed(session, done).await
}

fn session_words(session: &Session) -> String {
    let address = escape::line(session.client.address());
    match session.ownership {
        Ownership::Shared => address,
        Ownership::Ours => format!("a private one, started for this call ({address})"),
        Ownership::OfAnotherCommand => format!("the private one of another command that runs now ({address})"),
    }
}

/// What keeps every Task from running, and what to do about it.
fn faults(info: &v1::GetServerInfoResponse, ownership: Ownership) -> Vec<(&'static str, &'static str)> {
    let mut faults = Vec::new();
    if info.models.is_empty() && info.default_model.is_empty() {
        faults.push((
            "no model can be used",
            "set ANTHROPIC_API_KEY or OPENAI_API_KEY for the server, and start it again",
        ));
    }
    if !info.sandbox_backends.iter().any(|backend| backend.active) {
        faults.push((
            "no sandbox can be made",
            "run `backspace-server doctor` on the server's machine: it names the missing layer",
        ));
    }
    // A private server is given the local repository it is to work on with each run.
    if info.forges.is_empty() && ownership == Ownership::Shared {
        faults.push((
            "no forge is configured",
            "set GITHUB_TOKEN for the server, or start it with --allow-local FOLDER",
        ));
    }
    faults
}

fn report(
    server: &str,
    info: &v1::GetServerInfoResponse,
    faults: &[(&'static str, &'static str)],
    paint: Paint,
) -> Vec<String> {
    let own = env!("CARGO_PKG_VERSION");
    let list = |items: &[String]| match items {
        [] => "none".to_owned(),
        items => items
            .iter()
            .map(|item| escape::line(item))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut lines = vec![
        fact(paint, "server", server),
        fact(
            paint,
            "version",
            &format!("server {}, command {own}", escape::line(&info.version)),
        ),
        fact(paint, "models", &list(&info.models)),
    ];
    match info.default_model.as_str() {
        "" => lines.push(fact(paint, "", "no default: each task has to name one with --model")),
        model => lines.push(fact(paint, "", &format!("default {}", escape::line(model)))),
    }
    for backend in &info.sandbox_backends {
        let state = if backend.active { "in use" } else { "not in use" };
        lines.push(fact(
            paint,
            "sandbox",
            &format!("{}, {state}", escape::line(&backend.name)),
        ));
        lines.push(fact(paint, "", &format!("enforces {}", list(&backend.enforced))));
        for missing in &backend.not_enforced {
            lines.push(fact(
                paint,
                "",
                &paint.text(Look::Yellow, &format!("not enforced: {}", escape::line(missing))),
            ));
        }
    }
    lines.push(fact(paint, "forges", &list(&info.forges)));
    if let Some(limits) = &info.max_limits {
        lines.push(fact(paint, "limits", &limits_words(limits)));
    }
    lines.extend(
        info.degraded
            .iter()
            .map(|text| paint.text(Look::Yellow, &format!("⚠ {}", escape::line(text)))),
    );
    if series(own) != series(&info.version) {
        let text = "⚠ server and command are of different series; bring the older one up to date";
        lines.push(paint.text(Look::Yellow, text));
    }
    for (what, next) in faults {
        lines.push(paint.text(Look::Red, &format!("✗ {what}")));
        lines.push(format!("  next: {next}"));
    }
    if faults.is_empty() {
        lines.push(paint.text(Look::Green, "✓ tasks can run"));
    }
    lines
}

fn fact(paint: Paint, name: &str, text: &str) -> String {
    format!("{}{text}", paint.text(Look::Bold, &format!("{name:<10}")))
}

fn limits_words(limits: &v1::Limits) -> String {
    let mut parts = Vec::new();
    if limits.max_turns > 0 {
        parts.push(measure::plural(limits.max_turns.into(), "turn"));
    }
    if limits.max_tokens > 0 {
        parts.push(measure::plural(limits.max_tokens, "token"));
    }
    if limits.max_duration.is_some() {
        parts.push(measure::span(span_of(limits.max_duration.as_ref())));
    }
    if limits.max_cost_micro_usd > 0 {
        parts.push(measure::money(limits.max_cost_micro_usd));
    }
    if parts.is_empty() {
        "none".to_owned()
    } else {
        format!("at most {} a task", parts.join(", "))
    }
}

/// The part of a version that must agree: `0.1` of `0.1.5`, `2` of `2.3.4`.
fn series(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (major, _) => major.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> v1::GetServerInfoResponse {
        v1::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            models: vec!["anthropic/a".to_owned()],
            default_model: "anthropic/a".to_owned(),
            sandbox_backends: vec![v1::get_server_info_response::SandboxBackend {
                name: "local".to_owned(),
                active: true,
                enforced: vec!["pids".to_owned(), "network".to_owned()],
                not_enforced: vec!["memory, no delegated cgroup".to_owned()],
            }],
            forges: vec!["local".to_owned()],
            degraded: vec!["no GITHUB_TOKEN, so changes are kept as patches".to_owned()],
            max_limits: Some(v1::Limits {
                max_turns: 200,
                max_tokens: 2_000_000,
                ..Default::default()
            }),
        }
    }

    #[test]
    fn a_server_that_is_well_is_told_in_words() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            report(
                "127.0.0.1:8000",
                &well(),
                &faults(&well(), Ownership::Shared),
                Paint::PLAIN
            ),
            [
                "server    127.0.0.1:8000",
                &format!("version   server {version}, command {version}"),
                "models    anthropic/a",
                "          default anthropic/a",
                "sandbox   local, in use",
                "          enforces pids, network",
                "          not enforced: memory, no delegated cgroup",
                "forges    local",
                "limits    at most 200 turns, 2,000,000 tokens a task",
                "⚠ no GITHUB_TOKEN, so changes are kept as patches",
                "✓ tasks can run",
            ]
        );
    }

    #[test]
    fn what_keeps_every_task_from_running_is_a_fault() {
        let mut info = well();
        info.sandbox_backends.clear();
        assert_eq!(faults(&info, Ownership::Shared).len(), 1);
        let nothing = v1::GetServerInfoResponse::default();
        assert_eq!(faults(&nothing, Ownership::Shared).len(), 3);
        assert_eq!(faults(&nothing, Ownership::Ours).len(), 2);
    }

    #[test]
    fn another_series_is_told() {
        assert_eq!(
            [series("0.1.5"), series("v0.2.0"), series("2.3.4"), series("")],
            ["0.1", "0.2", "2", ""]
        );
        let mut info = well();
        info.version = "9.0.0".to_owned();
        let told = report("x", &info, &[], Paint::PLAIN);
        assert!(told.iter().any(|line| line.contains("different series")), "{told:?}");
    }
}
