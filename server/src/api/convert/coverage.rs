//! Proves by reflection that a full domain value leaves no field of the contract unset: a field that a
//! conversion forgets fails here, whichever message it is in.

use std::collections::BTreeSet;
use std::time::Duration;

use backspace_sdk::v1;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};

use crate::api::convert::{event, server_info, task};
use crate::orchestrator::{SandboxBackendInfo, ServerInfo};
use crate::task::budget::{Limits, Usage};
use crate::task::event::*;
use crate::task::failure::{Failure, Reason};
use crate::task::host::rules::HostRules;
use crate::task::id::{ArtifactId, CallId, ObjectId, PrincipalId, Sequence, TaskId, Timestamp};
use crate::task::record::{Base, TaskRecord};
use crate::task::result::*;
use crate::task::spec::{SpecPolicy, TaskSpec, TaskSpecDraft};
use crate::task::state::State;

fn object() -> ObjectId {
    "ab".repeat(20).parse().unwrap()
}

fn pull_request() -> PullRequest {
    PullRequest {
        url: "https://github.com/octo/hello/pull/1".into(),
        number: 1,
        head_branch: "fix".into(),
        base_branch: "main".into(),
        head_commit: object(),
        head_repository: Some("me/hello".into()),
        draft: true,
    }
}

fn evidence() -> Evidence {
    Evidence {
        command: "make test".into(),
        exit_code: Some(0),
        duration: Duration::from_millis(1500),
        tree: object(),
        baseline: true,
        timed_out: true,
        verdict: Verdict::FailedOnBaseToo,
    }
}

fn text() -> CutText {
    CutText {
        text: "text".into(),
        truncated: true,
        artifact: Some(ArtifactId::new("call_1.output")),
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 1,
        cached_input_tokens: 2,
        output_tokens: 3,
        turns: 4,
        cost_micro_usd: Some(0),
        cache_write_tokens: 5,
        reasoning_tokens: 6,
    }
}

fn record(ending: Ending) -> TaskRecord {
    let mut draft = TaskSpecDraft {
        instruction: "Fix it".into(),
        repository_url: "https://github.com/octo/hello".into(),
        revision: crate::task::spec::RevisionDraft::Branch("main".into()),
        model: "scripted/demo".into(),
        head_branch: "fix".into(),
        labels: vec!["l".into()],
        reviewers: vec!["r".into()],
        assignees: vec!["a".into()],
        verification_commands: vec!["make test".into()],
        issue: "1".into(),
        fallback_models: vec!["scripted/demo".into()],
        ..TaskSpecDraft::default()
    };
    draft.limits.max_cost_micro_usd = Some(1);
    draft.environment.image = Some("debian".into());
    draft.environment.allowed_hosts = vec!["h".into()];
    draft.environment.setup_commands = vec!["make".into()];
    if matches!(ending, Ending::Failed(_)) {
        draft.revision = crate::task::spec::RevisionDraft::Commit(object().to_string());
    }
    let policy = SpecPolicy {
        models: vec!["scripted/demo".into()],
        hosts: HostRules::parse(&["h"]).unwrap(),
        ..SpecPolicy::default()
    };
    let spec = TaskSpec::parse(draft, &policy).unwrap();
    let (id, now) = (TaskId::random(), Timestamp(1_700_000_000_000_001));
    let mut record = TaskRecord::accepted(
        id,
        PrincipalId::new("p"),
        "Ann".into(),
        spec,
        Some(TaskId::random()),
        now,
    );
    record.state = ending.state();
    record.ending = Some(ending);
    record.usage = usage();
    record.start_time = Some(now);
    record.end_time = Some(now);
    record.last_sequence = Sequence(9);
    record.cancel_requested = true;
    record.preserved_work = Some(PreservedWork {
        branch: Some("kept".into()),
        pull_request: Some(pull_request()),
        patch: "diff".into(),
        patch_truncated: true,
    });
    record.findings = vec![Finding {
        kind: FindingKind::Secret,
        path: "a".into(),
        message: "m".into(),
    }];
    record.progress.base = Some(Base {
        commit: object(),
        tree: object(),
        branch: "main".into(),
    });
    record
}

fn payloads() -> Vec<EventPayload> {
    let call_id = CallId::new("call_1");
    vec![
        EventPayload::StateChanged { state: State::Queued },
        EventPayload::AssistantMessage {
            turn: 1,
            text: text(),
            model: "m".into(),
        },
        EventPayload::ToolCallStarted {
            turn: 1,
            call_id: call_id.clone(),
            tool: "bash".into(),
            arguments_json: text(),
        },
        EventPayload::ToolCallFinished {
            call_id: call_id.clone(),
            outcome: ToolOutcome::Interrupted,
            exit_code: Some(0),
            output: text(),
            duration: Duration::ZERO,
            tool: "bash".into(),
            command: "ls".into(),
        },
        EventPayload::RetryScheduled {
            component: "model".into(),
            attempt: 1,
            delay: Duration::from_secs(1),
            message: "m".into(),
        },
        EventPayload::UsageUpdated { usage: usage() },
        EventPayload::TaskFinished {
            ending: Ending::Cancelled,
            preserved_work: None,
            findings: vec![],
        },
        EventPayload::Progress {
            percent: 1,
            step: "s".into(),
        },
        EventPayload::PlanUpdated {
            steps: vec![PlanStep {
                title: "t".into(),
                state: PlanStepState::Done,
            }],
        },
        EventPayload::FilesChanged {
            files: vec![FileChange {
                status: FileStatus::Renamed,
                path: "b".into(),
                old_path: Some("a".into()),
                binary: true,
                added: 1,
                removed: 1,
            }],
            diff: text(),
        },
        EventPayload::CheckpointSaved { commit: object() },
        EventPayload::VerificationStarted {
            call_id: call_id.clone(),
            command: "c".into(),
            baseline: true,
        },
        EventPayload::VerificationFinished {
            call_id,
            evidence: evidence(),
            output: text(),
            round: 1,
        },
        EventPayload::PullRequestOpened {
            pull_request: pull_request(),
        },
        EventPayload::ContextCompacted {
            tokens_before: 2,
            tokens_after: 1,
        },
        EventPayload::Warning { message: "w".into() },
        EventPayload::CancelRequested {
            requester: "r".into(),
            reason: "why".into(),
        },
        EventPayload::PolicyDenied {
            policy: "egress".into(),
            subject: "h".into(),
            message: "m".into(),
        },
        EventPayload::UserMessage { text: "hi".into() },
        EventPayload::RunResumed {
            cause: "restart".into(),
            run: 2,
        },
    ]
}

fn live_payloads() -> Vec<LivePayload> {
    let output = |stream| LivePayload::ToolOutputDelta {
        call_id: CallId::new("call_1"),
        stream,
        data: "x".into(),
        offset: 1,
    };
    vec![
        LivePayload::AssistantDelta {
            turn: 1,
            text: "t".into(),
            offset: 1,
            attempt: 1,
        },
        output(OutputStream::Stdout),
        output(OutputStream::Stderr),
    ]
}

fn events() -> Vec<v1::TaskEvent> {
    let finished = record(Ending::Failed(Failure::passing(Reason::LimitReached, "m")));
    let durable = payloads().into_iter().map(|payload| {
        let event = Event {
            sequence: Sequence(1),
            time: Timestamp(1),
            payload,
        };
        event::durable(finished.id, event, Some(&finished))
    });
    let live = live_payloads()
        .into_iter()
        .map(|payload| event::live(Timestamp(1), payload));
    durable.chain(live).collect()
}

fn succeeded() -> v1::Task {
    task::task(&record(Ending::Succeeded(TaskResult {
        kind: ResultKind::PullRequest,
        evidence: vec![evidence()],
        summary: "s".into(),
        pull_request: Some(pull_request()),
        branch: Some("fix".into()),
        patch: "diff".into(),
        patch_truncated: true,
    })))
}

fn info() -> v1::GetServerInfoResponse {
    let list = || vec!["x".to_owned()];
    server_info::server_info(ServerInfo {
        version: "1".into(),
        models: list(),
        default_model: Some("m".into()),
        sandbox_backends: vec![SandboxBackendInfo {
            name: "local".into(),
            active: true,
            enforced: list(),
            not_enforced: list(),
        }],
        forges: list(),
        degraded: list(),
        max_limits: Limits {
            max_cost_micro_usd: Some(1),
            ..Limits::default()
        },
    })
}

fn fields_of(descriptor: &MessageDescriptor, names: &mut BTreeSet<String>) {
    for field in descriptor.fields() {
        if names.insert(field.full_name().to_owned())
            && let Some(message) = field.kind().as_message()
            && message.full_name().starts_with("backspace.")
        {
            fields_of(message, names);
        }
    }
}

fn set_fields(message: &DynamicMessage, names: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        names.insert(field.full_name().to_owned());
        let values = match value {
            Value::List(values) => values.iter().collect(),
            single => vec![single],
        };
        for inner in values.into_iter().filter_map(Value::as_message) {
            if inner.descriptor().full_name().starts_with("backspace.") {
                set_fields(inner, names);
            }
        }
    }
}

#[test]
fn a_full_domain_value_sets_every_field_of_the_contract() {
    let pool = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET).unwrap();
    let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
    let mut samples: Vec<(&str, Vec<u8>)> = vec![
        ("Task", succeeded().encode_to_vec()),
        ("GetServerInfoResponse", info().encode_to_vec()),
    ];
    samples.extend(events().iter().map(|event| ("TaskEvent", event.encode_to_vec())));
    for (name, bytes) in samples {
        let descriptor = pool.get_message_by_name(&format!("backspace.v1.{name}")).unwrap();
        fields_of(&descriptor, &mut expected);
        set_fields(&DynamicMessage::decode(descriptor, &*bytes).unwrap(), &mut found);
    }
    let forgotten: Vec<_> = expected.difference(&found).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn every_event_of_the_contract_is_made_by_exactly_one_domain_event() {
    let pool = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name("backspace.v1.TaskEvent").unwrap();
    let kinds = descriptor.oneofs().next().unwrap().fields().count();
    let mut made: Vec<_> = events()
        .iter()
        .map(|event| std::mem::discriminant(event.payload.as_ref().unwrap()))
        .collect();
    // Output of the two streams is one kind of event.
    made.dedup();
    assert_eq!(made.len(), kinds);
    assert_eq!(made.iter().collect::<std::collections::HashSet<_>>().len(), kinds);
}

#[test]
fn artifacts_are_named_so_that_they_can_be_read() {
    let events = events();
    let Some(v1::task_event::Payload::AssistantMessage(message)) = events
        .iter()
        .filter_map(|event| event.payload.clone())
        .find(|payload| matches!(payload, v1::task_event::Payload::AssistantMessage(_)))
    else {
        panic!("there is one");
    };
    let (_, artifact) = crate::api::convert::name::parse_artifact("name", &message.artifact).unwrap();
    assert_eq!(artifact.as_str(), "call_1.output");
    assert!(message.text_truncated);
}
