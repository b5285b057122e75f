//! Real turns against a real server: llama.cpp speaks all three protocols on 127.0.0.1.
//!
//! Run by `tests/parts/llamacpp.sh` alone, whose server's address is in `BACKSPACE_TEST_LLAMACPP`. The tests
//! are ignored elsewhere rather than passed: a test that did nothing must not look as if it had.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
}

use async_trait::async_trait;
use backspace_server::model::catalog::ResolvedModel;
use backspace_server::model::retry::{
    AnswerError, AnswerObserver, GoOn, RetryBudget, RetryPolicy, ScheduledRetry, answer_with_retry,
};
use backspace_server::model::transcript::Transcript;
use backspace_server::model::{
    Answer, Delta, Item, ModelError, ModelRequest, StopReason, TokenUsage, ToolCall, ToolSpec,
};
use tokio_util::sync::CancellationToken;

use support::asking::{PROTOCOLS, TOOLS, model, results, user};

/// Returns the model in this protocol.
fn llama(protocol: &str) -> ResolvedModel {
    let address = std::env::var("BACKSPACE_TEST_LLAMACPP")
        .expect("BACKSPACE_TEST_LLAMACPP is not set: run `sh tests/parts/llamacpp.sh`");
    let url = if protocol == "anthropic" {
        address
    } else {
        format!("{address}/v1")
    };
    // One slot serves all tests, and prompts are read before the headers come.
    model(protocol, &url, "clocks = { headers = 600, first_data = 600 }")
}

/// Sees what is shown, without what failed tries showed.
#[derive(Default)]
struct Shown(String);

#[async_trait]
impl AnswerObserver for Shown {
    fn delta(&mut self, delta: Delta) {
        if let Delta::Text(text) = delta {
            self.0.push_str(&text);
        }
    }

    async fn retry_scheduled(&mut self, _: ScheduledRetry) -> GoOn {
        self.0.clear();
        GoOn::Yes
    }
}

/// Asks as the server does, with retries: llama.cpp closes idle connections just when they are used again.
async fn ask(
    model: &ResolvedModel,
    tools: &[ToolSpec],
    transcript: &mut Transcript,
    max_output_tokens: u32,
) -> Result<(Answer, String), ModelError> {
    let request = ModelRequest {
        model: &model.model,
        system: "You are a helpful assistant.",
        tools,
        transcript,
        max_output_tokens: Some(max_output_tokens),
    };
    let (policy, budget, token) = (RetryPolicy::default(), RetryBudget::default(), CancellationToken::new());
    let mut shown = Shown::default();
    match answer_with_retry(&*model.provider, request, &policy, &budget, &token, &mut shown).await {
        Ok(answer) => Ok((answer, shown.0)),
        Err(AnswerError::Model { error, .. }) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
#[ignore = "needs the server of tests/parts/llamacpp.sh"]
async fn a_conversation_goes_on_and_its_prefix_is_served_from_the_cache() {
    for protocol in PROTOCOLS {
        let model = llama(protocol);
        let mut transcript = Transcript::new(vec![user("What is the capital of France? Answer in one sentence.")]);
        let (first, shown) = ask(&model, &[], &mut transcript, 48).await.unwrap();
        assert!(
            !first.text.is_empty() && first.usage.output > 0,
            "{protocol}: {first:?}"
        );
        assert_eq!(first.text, shown, "{protocol}");
        let first_prompt = first.usage.input_uncached + first.usage.cache_read;
        transcript.push(Item::Assistant(first));
        transcript.push(user("And of Italy?"));
        let (second, _) = ask(&model, &[], &mut transcript, 48).await.unwrap();
        let prompt = second.usage.input_uncached + second.usage.cache_read;
        assert!(prompt > first_prompt, "{protocol}: {second:?}");
        assert!(
            second.usage.cache_read >= first_prompt - 8,
            "{protocol}, first {first_prompt}: {second:?}"
        );
    }
}

/// A conversation in which the same tool was called so often that even a small model calls it again.
fn used_to_calling() -> Transcript {
    let mut items = Vec::new();
    for _ in 0..3 {
        let call = ToolCall {
            id: "0".into(),
            name: "bash".into(),
            arguments: r#"{"command":"ls"}"#.into(),
        };
        let answer = Answer {
            text: String::new(),
            tool_calls: vec![call],
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: "other/model".into(),
            raw: None,
        };
        let output = results(&answer, "README.md src");
        items.extend([user("List the files."), Item::Assistant(answer), output]);
    }
    items.push(user("List the files."));
    Transcript::new(items)
}

#[tokio::test]
#[ignore = "needs the server of tests/parts/llamacpp.sh"]
async fn a_tool_call_comes_whole_and_its_result_is_taken() {
    for protocol in PROTOCOLS {
        let model = llama(protocol);
        let mut transcript = used_to_calling();
        let (answer, _) = ask(&model, &TOOLS[..1], &mut transcript, 64).await.unwrap();
        assert_eq!(answer.stop, StopReason::ToolUse, "{protocol}: {answer:?}");
        let calls: Vec<(&str, serde_json::Value)> = answer
            .tool_calls
            .iter()
            .map(|call| (call.name.as_str(), serde_json::from_str(&call.arguments).unwrap()))
            .collect();
        assert_eq!(calls, [("bash", serde_json::json!({ "command": "ls" }))], "{protocol}");
        let output = results(&answer, "README.md src");
        transcript.push(Item::Assistant(answer));
        transcript.push(output);
        let (after, _) = ask(&model, &TOOLS[..1], &mut transcript, 8).await.unwrap();
        assert!(after.usage.output > 0, "{protocol}: {after:?}");
    }
}

#[tokio::test]
#[ignore = "needs the server of tests/parts/llamacpp.sh"]
async fn an_answer_that_is_cut_says_so_and_has_no_calls() {
    for protocol in PROTOCOLS {
        let model = llama(protocol);
        let (answer, _) = ask(&model, &TOOLS[..1], &mut used_to_calling(), 12).await.unwrap();
        assert_eq!(
            (answer.stop, answer.tool_calls.len()),
            (StopReason::MaxTokens, 0),
            "{protocol}: {answer:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the server of tests/parts/llamacpp.sh"]
async fn a_conversation_that_does_not_fit_is_told_as_such() {
    for protocol in PROTOCOLS {
        let model = llama(protocol);
        let mut transcript = Transcript::new(vec![user(&"many different words ".repeat(2000))]);
        let error = ask(&model, &[], &mut transcript, 8).await.unwrap_err();
        assert!(
            matches!(error, ModelError::ContextTooLong { .. }),
            "{protocol}: {error:?}"
        );
    }
}
