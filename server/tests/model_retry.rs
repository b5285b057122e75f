//! Retries against a provider that fails in every way that passes.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use std::collections::BTreeSet;

use async_trait::async_trait;
use backspace_server::model::retry::{
    AnswerObserver, GoOn, RetryBudget, RetryPolicy, ScheduledRetry, answer_with_retry,
};
use backspace_server::model::transcript::Transcript;
use backspace_server::model::{Delta, ModelRequest};
use support::asking::{PROTOCOLS, TOOLS, model, user};
use support::fake_model::{FakeModel, Reply};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Heard {
    text: String,
    retries: Vec<ScheduledRetry>,
}

#[async_trait]
impl AnswerObserver for Heard {
    fn delta(&mut self, delta: Delta) {
        if let Delta::Text(text) = delta {
            self.text.push_str(&text);
        }
    }

    async fn retry_scheduled(&mut self, retry: ScheduledRetry) -> GoOn {
        self.text.clear();
        self.retries.push(retry);
        GoOn::Yes
    }
}

#[tokio::test]
async fn retries_send_the_same_bytes_until_an_answer_is_whole() {
    for protocol in PROTOCOLS {
        let whole = Reply::hello(protocol).bytes();
        let server = FakeModel::with([
            Reply::json(503, ""),
            Reply::json(429, "{}").header("retry-after-ms", "1"),
            Reply::stream(&whole[..whole.len() / 2]),
            Reply::hello(protocol).cut_after(whole.len() - 10),
            Reply::hello(protocol),
        ])
        .await;
        let model = model(protocol, &server.url(), "");
        let policy = RetryPolicy {
            base_delay_ms: 1,
            ..RetryPolicy::default()
        };
        let mut heard = Heard::default();
        let request = ModelRequest {
            model: &model.model,
            system: "s",
            tools: &TOOLS,
            transcript: &mut Transcript::new(vec![user("hello")]),
            max_output_tokens: None,
        };
        let token = CancellationToken::new();
        let budget = RetryBudget::default();
        let answer = answer_with_retry(&*model.provider, request, &policy, &budget, &token, &mut heard).await;
        let answer = answer.unwrap();
        // The cut tears off the last chunk's end; where the answer was whole before, it counts.
        let tries = server.requests().len();
        assert_eq!(
            (answer.text.as_str(), heard.text.as_str()),
            ("hello", "hello"),
            "{protocol}"
        );
        assert_eq!(heard.retries.len() + 1, tries, "{protocol}");
        assert!(tries >= 4, "{protocol}: {tries}");
        let bodies: BTreeSet<String> = server.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies.len(), 1, "{protocol}");
    }
}
