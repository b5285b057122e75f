//! What a repository states in `.backspace.toml`, applied to a run: hosts, limits, time limits, image.
//!
//! It only ever narrows. What a caller states for the Task wins; what the file asks for beyond what the server
//! allows is left out and said in an event, because the file is the same for servers that differ.

use std::time::Duration;

use crate::orchestrator::Parts;
use crate::orchestrator::analyse::settings::RepositorySettings;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::Workbench;
use crate::store::visit_events;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::host::rules::HostRules;
use crate::task::id::Sequence;

/// The backend whose sandboxes are made of no image.
const WITHOUT_IMAGES: &str = "local";

/// Takes limits and hosts over, and says what has no effect.
pub(super) async fn apply(parts: &Parts, log: &RunLog, bench: &mut Workbench) -> Result<(), Halt> {
    let spec = log.record().spec;
    let settings = &bench.analysis.settings;
    bench.limits = settings.limits.narrow(spec.limits);
    let hosts = hosts(
        &parts.policy.hosts,
        &spec.environment.allowed_hosts,
        &settings.sandbox.network_hosts,
    )?;
    let image = spec.environment.image.as_ref().or(settings.sandbox.image.as_ref());
    let image = image.and_then(|image| image_warning(parts.sandboxes.name(), image));
    for message in hosts.warning.into_iter().chain(image) {
        warn_once(parts, log, message).await?;
    }
    bench.hosts = hosts.allowed;
    Ok(())
}

/// Tells whether sandboxes of this server are made of images.
pub(super) fn has_images(parts: &Parts) -> bool {
    parts.sandboxes.name() != WITHOUT_IMAGES
}

/// Returns how long one set-up command may take.
pub(super) fn setup_timeout(parts: &Parts, settings: &RepositorySettings) -> Duration {
    let longest = parts.config.verification_timeout;
    settings.setup.list.timeout.unwrap_or(longest).min(longest)
}

/// Returns what set-up commands may reach: what all may, unless the file states hosts for them.
pub(super) async fn setup_hosts(parts: &Parts, log: &RunLog, settings: &RepositorySettings) -> Result<HostRules, Halt> {
    let file = setup_hosts_of_file(settings);
    let hosts = hosts(&parts.policy.hosts, &log.record().spec.environment.allowed_hosts, file)?;
    if let Some(message) = hosts.warning {
        warn_once(parts, log, message).await?;
    }
    Ok(hosts.allowed)
}

fn setup_hosts_of_file(settings: &RepositorySettings) -> &[String] {
    let own = settings.setup.network_hosts.as_ref();
    own.unwrap_or(&settings.sandbox.network_hosts)
}

/// Returns how long one verification command may take: as the file says, within the server's longest.
pub(super) fn verification_timeout(parts: &Parts, bench: &Workbench) -> Duration {
    let stated = bench.analysis.settings.verify.timeout;
    stated
        .unwrap_or(parts.config.command_timeout)
        .min(parts.config.verification_timeout)
}

struct Hosts {
    allowed: HostRules,
    warning: Option<String>,
}

/// Decides what may be reached: what the request states, else what the file states, within the server's.
fn hosts(server: &HostRules, request: &[String], file: &[String]) -> Result<Hosts, Failure> {
    let asked = if request.is_empty() { file } else { request };
    // Both were checked before; the grammar may have become narrower since a Task was accepted.
    let asked = HostRules::parse(asked).map_err(|faults| {
        let faults: Vec<_> = faults.into_iter().map(|(_, fault)| fault.to_string()).collect();
        Failure::lasting(Reason::SetupFailed, format!("allowed hosts: {}", faults.join("; ")))
    })?;
    let (allowed, outside) = server.divide(asked);
    let warning = (!outside.is_empty()).then(|| {
        format!(
            "{outside} can't be reached: it was asked for, and is not allowed by this server, which allows {server}"
        )
    });
    Ok(Hosts { allowed, warning })
}

fn image_warning(backend: &str, image: &str) -> Option<String> {
    (backend == WITHOUT_IMAGES).then(|| {
        format!("the image {image} has no effect: sandboxes of this server are {backend} and have the tools of its own machine")
    })
}

/// Writes a warning unless an earlier run of the Task has written it.
pub(super) async fn warn_once(parts: &Parts, log: &RunLog, message: String) -> Result<(), Halt> {
    let mut is_known = false;
    visit_events(parts.store.as_ref(), log.task(), Sequence::ZERO, |event| {
        is_known |= matches!(&event.payload, EventPayload::Warning { message: told } if *told == message);
    })
    .await?;
    if is_known {
        return Ok(());
    }
    Ok(log.events(vec![EventPayload::Warning { message }]).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(server: &[&str], request: &[&str], file: &[&str]) -> (String, Option<String>) {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let server = HostRules::parse(server).unwrap();
        let hosts = hosts(&server, &texts(request), &texts(file)).unwrap();
        (hosts.allowed.to_string(), hosts.warning)
    }

    #[test]
    fn the_request_wins_over_the_file_and_the_server_over_both() {
        assert_eq!(decided(&["*"], &[], &["a.org"]), ("a.org".into(), None));
        assert_eq!(decided(&["*"], &["b.org"], &["a.org"]), ("b.org".into(), None));
        assert_eq!(decided(&["*"], &["none"], &["a.org"]), ("no host".into(), None));
        let warning = "c.org can't be reached: it was asked for, and is not allowed by this server, which allows a.org";
        assert_eq!(
            decided(&["a.org"], &[], &["a.org", "c.org"]),
            ("a.org".into(), Some(warning.into()))
        );
        assert_eq!(decided(&[], &[], &[]), ("no host".into(), None));
    }

    #[test]
    fn set_up_commands_reach_the_hosts_stated_for_them_or_those_of_all() {
        let of = |text: &str| {
            let settings = RepositorySettings::parse(text).unwrap();
            setup_hosts_of_file(&settings).to_vec()
        };
        let all = "[sandbox]\nnetwork_hosts = [\"a.org\"]\n";
        assert_eq!(of(all), ["a.org"]);
        assert_eq!(of(&format!("{all}[setup]\nnetwork_hosts = [\"@npm\"]")), ["@npm"]);
        assert_eq!(of(&format!("{all}[setup]\nnetwork_hosts = []")), Vec::<String>::new());
        assert_eq!(decided(&["*"], &["b.org"], &["@npm"]).0, "b.org");
    }

    #[test]
    fn an_image_has_no_effect_where_there_are_none() {
        assert!(
            image_warning("local", "debian:12")
                .unwrap()
                .contains("debian:12 has no effect")
        );
        assert_eq!(image_warning("docker", "debian:12"), None);
    }
}
