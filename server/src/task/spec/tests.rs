//! What a spec accepts, and that every fault is found at once.

use super::*;

fn draft() -> TaskSpecDraft {
    TaskSpecDraft {
        instruction: "Add tests".into(),
        repository_url: "https://github.com/octo/hello".into(),
        ..TaskSpecDraft::default()
    }
}

#[test]
fn every_violation_is_reported_at_once() {
    let bad = TaskSpecDraft {
        instruction: " ".into(),
        repository_url: "https://evil.test/a/b".into(),
        revision: RevisionDraft::Commit("abc".into()),
        model: "nope/x".into(),
        limits: LimitsDraft {
            max_duration: Some(Duration::from_secs(5)),
            ..LimitsDraft::default()
        },
        head_branch: "a..b".into(),
        issue: "#1".into(),
        verification_commands: vec![String::new()],
        ..draft()
    };
    let fields: Vec<_> = TaskSpec::parse(bad, &SpecPolicy::default())
        .unwrap_err()
        .into_iter()
        .map(|fault| fault.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.instruction",
            "spec.repository.url",
            "spec.repository.commit",
            "spec.publication.head_branch",
            "spec.model",
            "spec.limits.max_duration",
            "spec.verification_commands[0]",
            "spec.issue",
        ]
    );
}

#[test]
fn limits_take_defaults_and_are_lowered_to_the_maximum() {
    let policy = SpecPolicy {
        max_limits: Limits {
            max_turns: 10,
            max_cost_micro_usd: Some(5),
            ..Limits::default()
        },
        models: vec!["scripted/demo".into()],
        open_providers: vec!["openai".into()],
        ..SpecPolicy::default()
    };
    let asked = LimitsDraft {
        max_turns: Some(99),
        max_tokens: Some(7),
        ..LimitsDraft::default()
    };
    for model in ["", "scripted/demo", "openai", "openai/gpt-9"] {
        let spec = TaskSpec::parse(
            TaskSpecDraft {
                limits: asked,
                model: model.into(),
                ..draft()
            },
            &policy,
        )
        .unwrap();
        assert_eq!(spec.limits.max_turns, 10);
        assert_eq!(spec.limits.max_tokens, 7);
        assert_eq!(spec.limits.max_cost_micro_usd, Some(5));
    }
}
