//! What a caller asks for.

use backspace_sdk::v1;

use crate::api::convert::{Violations, moment};
use crate::task::budget::Limits;
use crate::task::spec::{
    Environment, LimitsDraft, Publication, PublicationMode, Revision, RevisionDraft, SpecPolicy, TaskSpec,
    TaskSpecDraft, Violation,
};

const MAX_IMAGE_BYTES: usize = 512;

/// Reads a request's spec and checks it against what the server accepts, all at once.
pub(crate) fn parse(spec: Option<v1::TaskSpec>, policy: &SpecPolicy) -> Result<TaskSpec, Vec<Violation>> {
    let Some(spec) = spec else {
        return Err(vec![Violation::new("spec", "is required")]);
    };
    let mut violations = Violations::default();
    let draft = draft(spec, &mut violations);
    let parsed = violations.take_all(TaskSpec::parse(draft, policy));
    match parsed {
        Some(spec) if violations.is_empty() => Ok(spec),
        _ => Err(violations.0),
    }
}

fn draft(spec: v1::TaskSpec, violations: &mut Violations) -> TaskSpecDraft {
    let v1::TaskSpec {
        instruction,
        repository,
        model,
        limits,
        publication,
        environment,
        verification_commands,
        issue,
        fallback_models,
    } = spec;
    let v1::Repository { url, revision } = repository.unwrap_or_default();
    let v1::Publication {
        mode,
        head_branch,
        labels,
        reviewers,
        assignees,
    } = publication.unwrap_or_default();
    let v1::Environment {
        image,
        allowed_hosts,
        setup_commands,
    } = environment.unwrap_or_default();
    if image.len() > MAX_IMAGE_BYTES || !image.bytes().all(|byte| byte.is_ascii_graphic()) {
        violations.add(
            "spec.environment.image",
            "must be an image's name, at most 512 bytes without spaces",
        );
    }
    TaskSpecDraft {
        instruction,
        repository_url: url,
        revision: match revision {
            None => RevisionDraft::Default,
            Some(v1::repository::Revision::Branch(name)) => RevisionDraft::Branch(name),
            Some(v1::repository::Revision::Commit(id)) => RevisionDraft::Commit(id),
        },
        model,
        limits: limits_draft(limits.unwrap_or_default(), violations),
        mode: violations.take(parse_mode(mode)).flatten(),
        head_branch,
        labels,
        reviewers,
        assignees,
        environment: Environment {
            image: Some(image).filter(|image| !image.is_empty()),
            allowed_hosts,
            setup_commands,
        },
        verification_commands,
        issue,
        fallback_models,
    }
}

fn limits_draft(limits: v1::Limits, violations: &mut Violations) -> LimitsDraft {
    let v1::Limits {
        max_turns,
        max_tokens,
        max_duration,
        max_cost_micro_usd,
    } = limits;
    let duration = max_duration.map(|message| moment::parse_duration("spec.limits.max_duration", message));
    LimitsDraft {
        max_turns: Some(max_turns).filter(|turns| *turns > 0),
        max_tokens: Some(max_tokens).filter(|tokens| *tokens > 0),
        max_duration: duration.and_then(|duration| violations.take(duration)),
        max_cost_micro_usd: Some(max_cost_micro_usd).filter(|money| *money > 0),
    }
}

fn parse_mode(mode: i32) -> Result<Option<PublicationMode>, Violation> {
    use v1::publication::Mode;
    match Mode::try_from(mode) {
        Ok(Mode::Unspecified) => Ok(None),
        Ok(Mode::PullRequest) => Ok(Some(PublicationMode::PullRequest)),
        Ok(Mode::DraftPullRequest) => Ok(Some(PublicationMode::DraftPullRequest)),
        Ok(Mode::PatchOnly) => Ok(Some(PublicationMode::PatchOnly)),
        Ok(Mode::BranchOnly) => Ok(Some(PublicationMode::BranchOnly)),
        Err(_) => Err(Violation::new("spec.publication.mode", format!("has no value {mode}"))),
    }
}

/// Converts a spec as accepted: addresses canonical, limits and mode resolved.
pub(crate) fn to_proto(spec: &TaskSpec) -> v1::TaskSpec {
    let TaskSpec {
        instruction,
        repository,
        revision,
        model,
        limits,
        publication,
        environment,
        verification_commands,
        issue,
        fallback_models,
    } = spec;
    let Publication {
        mode,
        head_branch,
        labels,
        reviewers,
        assignees,
    } = publication;
    let Environment {
        image,
        allowed_hosts,
        setup_commands,
    } = environment;
    v1::TaskSpec {
        instruction: instruction.clone(),
        repository: Some(v1::Repository {
            url: repository.to_string(),
            revision: match revision {
                Revision::DefaultBranch => None,
                Revision::Branch(name) => Some(v1::repository::Revision::Branch(name.to_string())),
                Revision::Commit(id) => Some(v1::repository::Revision::Commit(id.to_string())),
            },
        }),
        model: model.clone().unwrap_or_default(),
        limits: Some(limits_to_proto(limits)),
        publication: Some(v1::Publication {
            mode: mode_to_proto(*mode).into(),
            head_branch: head_branch.as_ref().map(ToString::to_string).unwrap_or_default(),
            labels: labels.clone(),
            reviewers: reviewers.clone(),
            assignees: assignees.clone(),
        }),
        environment: Some(v1::Environment {
            image: image.clone().unwrap_or_default(),
            allowed_hosts: allowed_hosts.clone(),
            setup_commands: setup_commands.clone(),
        }),
        verification_commands: verification_commands.clone(),
        issue: issue.clone().unwrap_or_default(),
        fallback_models: fallback_models.clone(),
    }
}

/// Converts limits; no limit on money is 0, which the contract reads as "not set".
pub(crate) fn limits_to_proto(limits: &Limits) -> v1::Limits {
    let Limits {
        max_turns,
        max_tokens,
        max_duration,
        max_cost_micro_usd,
    } = *limits;
    v1::Limits {
        max_turns,
        max_tokens,
        max_duration: Some(moment::duration(max_duration)),
        max_cost_micro_usd: max_cost_micro_usd.unwrap_or(0),
    }
}

fn mode_to_proto(mode: PublicationMode) -> v1::publication::Mode {
    use v1::publication::Mode;
    match mode {
        PublicationMode::PullRequest => Mode::PullRequest,
        PublicationMode::DraftPullRequest => Mode::DraftPullRequest,
        PublicationMode::PatchOnly => Mode::PatchOnly,
        PublicationMode::BranchOnly => Mode::BranchOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::host::rules::HostRules;

    fn full() -> v1::TaskSpec {
        v1::TaskSpec {
            instruction: "Fix it".into(),
            repository: Some(v1::Repository {
                url: "https://github.com/octo/hello".into(),
                revision: Some(v1::repository::Revision::Commit("ab".repeat(20))),
            }),
            model: "scripted/demo".into(),
            limits: Some(v1::Limits {
                max_turns: 5,
                max_tokens: 1000,
                max_duration: Some(prost_types::Duration { seconds: 300, nanos: 5 }),
                max_cost_micro_usd: 7,
            }),
            publication: Some(v1::Publication {
                mode: v1::publication::Mode::BranchOnly.into(),
                head_branch: "fix/it".into(),
                labels: vec!["bug".into()],
                reviewers: vec!["ann".into()],
                assignees: vec!["bob".into()],
            }),
            environment: Some(v1::Environment {
                image: "debian:12".into(),
                allowed_hosts: vec!["crates.io".into()],
                setup_commands: vec!["make deps".into()],
            }),
            verification_commands: vec!["make test".into()],
            issue: "12".into(),
            fallback_models: vec!["scripted/other".into()],
        }
    }

    fn policy() -> SpecPolicy {
        SpecPolicy {
            models: vec!["scripted/demo".into(), "scripted/other".into()],
            hosts: HostRules::parse(&["@cargo"]).unwrap(),
            ..SpecPolicy::default()
        }
    }

    #[test]
    fn a_full_spec_survives_the_round_trip() {
        assert_eq!(to_proto(&parse(Some(full()), &policy()).unwrap()), full());
        for mode in [1, 2, 3, 4] {
            let mut spec = full();
            spec.publication.as_mut().unwrap().mode = mode;
            spec.repository.as_mut().unwrap().revision = Some(v1::repository::Revision::Branch("main".into()));
            assert_eq!(to_proto(&parse(Some(spec.clone()), &policy()).unwrap()), spec);
        }
    }

    #[test]
    fn what_is_not_given_is_resolved() {
        let spec = v1::TaskSpec {
            instruction: "Fix it".into(),
            repository: full().repository.map(|repository| v1::Repository {
                revision: None,
                ..repository
            }),
            ..v1::TaskSpec::default()
        };
        let resolved = v1::TaskSpec {
            limits: Some(limits_to_proto(&Limits::default())),
            publication: Some(v1::Publication {
                mode: v1::publication::Mode::DraftPullRequest.into(),
                ..v1::Publication::default()
            }),
            environment: Some(v1::Environment::default()),
            ..spec.clone()
        };
        assert_eq!(to_proto(&parse(Some(spec), &policy()).unwrap()), resolved);
    }

    #[test]
    fn faults_of_the_wire_and_of_the_domain_are_reported_together() {
        let mut spec = full();
        spec.instruction.clear();
        spec.publication.as_mut().unwrap().mode = 99;
        spec.environment.as_mut().unwrap().image = "a b".into();
        spec.limits.as_mut().unwrap().max_duration = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        let mut fields: Vec<_> = parse(Some(spec), &policy())
            .unwrap_err()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "spec.environment.image",
                "spec.instruction",
                "spec.limits.max_duration",
                "spec.publication.mode"
            ]
        );
        assert_eq!(
            parse(None, &policy()).unwrap_err(),
            [Violation::new("spec", "is required")]
        );
        let fields: Vec<_> = parse(Some(v1::TaskSpec::default()), &policy()).unwrap_err();
        assert_eq!(
            fields,
            [
                Violation::new("spec.instruction", "is required"),
                Violation::new("spec.repository.url", "is required")
            ]
        );
    }
}
