//! The model port: one suite, run for every provider.

#![cfg(test)]

#[path = "conformance/model.rs"]
mod conformance;
mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use backspace_server::model::transcript::Transcript;
use backspace_server::model::{Item, ModelError, Retry, StopReason};
use conformance::{
    ADAPTERS, Act, Adapter, Fault, Stage, assert_typed, caller_left, drop_under_way, shown, wants_calls,
};
use support::asking::{results, user};

#[tokio::test]
async fn an_answer_is_its_parts_joined_with_its_figures() {
    const TEXT: &str = "Grüße, \u{1f44b} 世界 \"quoted\" \\ and\nmore than sixteen characters.";
    for adapter in ADAPTERS {
        let stage = Stage::set(adapter, &[Act::Say(TEXT)]).await;
        let (answer, deltas) = stage.ask_once().await.unwrap();
        assert_eq!(
            (answer.text.as_str(), shown(&deltas).as_str()),
            (TEXT, TEXT),
            "{adapter:?}"
        );
        assert_eq!(
            (answer.stop, answer.tool_calls.len()),
            (StopReason::EndTurn, 0),
            "{adapter:?}"
        );
        assert!(
            answer.usage.input_uncached > 0 && answer.usage.output > 0,
            "{adapter:?}: {:?}",
            answer.usage
        );
        let (provider, model) = answer.model.split_once('/').unwrap();
        assert_eq!(model, stage.model, "{adapter:?}");
        assert!(!provider.is_empty(), "{adapter:?}");
        stage.assert_kept_the_rules();
    }
}

#[tokio::test]
async fn calls_come_whole_in_order_and_the_conversation_goes_on() {
    for adapter in ADAPTERS {
        let acts = [
            Act::Call("two things", vec!["ls", "echo \"ä\""]),
            Act::Call("", vec!["true"]),
            Act::Say("done"),
        ];
        let stage = Stage::set(adapter, &acts).await;
        let mut transcript = Transcript::new(vec![user("hello")]);
        let mut seen = Vec::new();
        for _ in 0..acts.len() {
            let (answer, deltas) = stage.ask(&mut transcript).await.unwrap();
            assert_eq!(shown(&deltas), answer.text, "{adapter:?}");
            assert_eq!(wants_calls(&answer), !answer.tool_calls.is_empty(), "{adapter:?}");
            let calls: Vec<(String, serde_json::Value)> = answer
                .tool_calls
                .iter()
                .map(|call| (call.name.clone(), serde_json::from_str(&call.arguments).unwrap()))
                .collect();
            let ids: std::collections::BTreeSet<&str> = answer.tool_calls.iter().map(|call| call.id.as_str()).collect();
            assert_eq!(ids.len(), calls.len(), "{adapter:?}: ids differ within an answer");
            assert!(!ids.contains(""), "{adapter:?}");
            seen.push((answer.text.clone(), calls));
            if !answer.tool_calls.is_empty() {
                let result = results(&answer, "ok");
                // As a later server finds it.
                let stored = serde_json::to_string(&Item::Assistant(answer)).unwrap();
                transcript.push(serde_json::from_str(&stored).unwrap());
                transcript.push(result);
            }
        }
        let bash = |command: &str| ("bash".to_owned(), serde_json::json!({ "command": command }));
        let right = vec![
            ("two things".to_owned(), vec![bash("ls"), bash("echo \"ä\"")]),
            (String::new(), vec![bash("true")]),
            ("done".to_owned(), vec![]),
        ];
        assert_eq!(seen, right, "{adapter:?}");
        stage.assert_kept_the_rules();
    }
}

#[tokio::test]
async fn no_call_of_a_cut_answer_can_run() {
    for adapter in ADAPTERS {
        let stage = Stage::set(adapter, &[Act::CutCall]).await;
        let (answer, _) = stage.ask_once().await.unwrap();
        assert_eq!(
            (answer.stop, answer.tool_calls),
            (StopReason::MaxTokens, vec![]),
            "{adapter:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_its_protocols_end_is_an_error_that_may_pass() {
    // A replay goes past tries that failed; that is in its own tests.
    for adapter in ADAPTERS.into_iter().filter(|adapter| *adapter != Adapter::Replay) {
        let stage = Stage::set(adapter, &[Act::Truncate]).await;
        let error = stage.ask_once().await.unwrap_err();
        assert!(matches!(error, ModelError::Truncated), "{adapter:?}: {error:?}");
        assert_eq!(error.retry(), Retry::After(None), "{adapter:?}");
    }
}

#[tokio::test]
async fn failures_are_typed() {
    let passing = [
        Fault::Overloaded,
        Fault::RateLimited,
        Fault::Spending,
        Fault::Authentication,
        Fault::Rejected,
    ];
    for adapter in ADAPTERS {
        for fault in passing
            .into_iter()
            .filter(|_| adapter != Adapter::Replay)
            .chain([Fault::Context])
        {
            let stage = Stage::set(adapter, &[Act::Fail(fault)]).await;
            let error = stage.ask_once().await.unwrap_err();
            assert_typed(adapter, fault, &error);
        }
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_and_the_next_is_answered() {
    // A replay never waits, so that there is nothing to drop.
    for adapter in ADAPTERS.into_iter().filter(|adapter| *adapter != Adapter::Replay) {
        let hanging = Stage::set(adapter, &[Act::Hang, Act::Say("next")]).await;
        drop_under_way(adapter, &hanging).await;
        caller_left(adapter, &hanging).await;
        if adapter != Adapter::Scripted {
            assert_eq!(hanging.ask_once().await.unwrap().0.text, "next", "{adapter:?}");
        }
    }
}
