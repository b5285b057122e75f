use std::collections::VecDeque;

use super::*;
use crate::model::transcript::Transcript;
use crate::model::{StopReason, TokenUsage};

/// Fails as told, then answers.
struct Failing {
    errors: Mutex<VecDeque<ModelError>>,
    starts: Mutex<Vec<Instant>>,
    hangs: bool,
}

impl Failing {
    fn new(errors: impl IntoIterator<Item = ModelError>) -> Self {
        Self {
            errors: Mutex::new(errors.into_iter().collect()),
            starts: Mutex::default(),
            hangs: false,
        }
    }

    fn tries(&self) -> usize {
        self.starts.lock().unwrap().len()
    }
}

#[async_trait]
impl ModelProvider for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    async fn answer(
        &self,
        _: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        self.starts.lock().unwrap().push(Instant::now());
        on_delta(Delta::Text("part".into()));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        match self.errors.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(Answer {
                text: "done".into(),
                tool_calls: vec![],
                stop: StopReason::EndTurn,
                usage: TokenUsage::default(),
                model: "failing/m".into(),
                raw: None,
            }),
        }
    }
}

#[derive(Default)]
struct Heard {
    deltas: usize,
    retries: Vec<ScheduledRetry>,
    cancel: Option<CancellationToken>,
    give_up: bool,
}

#[async_trait]
impl AnswerObserver for Heard {
    fn delta(&mut self, _: Delta) {
        self.deltas += 1;
    }

    async fn retry_scheduled(&mut self, retry: ScheduledRetry) -> GoOn {
        self.retries.push(retry);
        if let Some(token) = &self.cancel {
            token.cancel();
        }
        if self.give_up { GoOn::No } else { GoOn::Yes }
    }
}

async fn ask(provider: &Failing, budget: &RetryBudget, heard: &mut Heard) -> Result<Answer, AnswerError> {
    let request = ModelRequest {
        model: "m",
        system: "",
        tools: &[],
        transcript: &mut Transcript::default(),
        max_output_tokens: None,
    };
    let token = heard.cancel.clone().unwrap_or_default();
    answer_with_retry(provider, request, &RetryPolicy::default(), budget, &token, heard).await
}

fn overloaded() -> ModelError {
    ModelError::Overloaded {
        message: "busy".into(),
        retry_after: None,
    }
}

fn rate_limited(seconds: u64) -> ModelError {
    ModelError::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_tried_again_and_told() {
    let provider = Failing::new([overloaded(), ModelError::Truncated, rate_limited(40)]);
    let mut heard = Heard::default();
    let answer = ask(&provider, &RetryBudget::default(), &mut heard).await.unwrap();
    assert_eq!((answer.text.as_str(), provider.tries(), heard.deltas), ("done", 4, 4));
    let attempts: Vec<u32> = heard.retries.iter().map(|retry| retry.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(heard.retries[0].message, "the provider is overloaded or failing: busy");
    let starts = provider.starts.lock().unwrap();
    for (retry, pair) in heard.retries.iter().zip(starts.windows(2)) {
        let waited = pair[1] - pair[0];
        assert!(
            waited >= retry.delay && waited < retry.delay + Duration::from_millis(5),
            "{waited:?}"
        );
    }
    assert!(
        heard.retries[2].delay >= Duration::from_secs(40),
        "never earlier than asked"
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_six_tries_or_when_the_wish_is_too_long() {
    let provider = Failing::new(std::iter::repeat_with(overloaded).take(10));
    let result = ask(&provider, &RetryBudget::default(), &mut Heard::default()).await;
    assert!(
        matches!(result, Err(AnswerError::Model { attempts: 6, .. })),
        "{result:?}"
    );
    assert_eq!(provider.tries(), 6);

    let provider = Failing::new([rate_limited(301)]);
    let mut heard = Heard::default();
    let result = ask(&provider, &RetryBudget::default(), &mut heard).await;
    assert!(
        matches!(result, Err(AnswerError::Model { attempts: 1, .. })),
        "{result:?}"
    );
    assert_eq!(heard.retries, []);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_pass_is_not_tried_again() {
    let message = String::new;
    for error in [
        ModelError::ContextTooLong { message: message() },
        ModelError::Refused { message: message() },
        ModelError::SpendingCap { message: message() },
        ModelError::Authentication { message: message() },
        ModelError::Rejected { message: message() },
    ] {
        let provider = Failing::new([error]);
        let result = ask(&provider, &RetryBudget::default(), &mut Heard::default()).await;
        assert!(
            matches!(result, Err(AnswerError::Model { attempts: 1, .. })),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_token_ends_a_request_and_a_wait() {
    let mut provider = Failing::new([overloaded()]);
    let mut heard = Heard {
        cancel: Some(CancellationToken::new()),
        ..Heard::default()
    };
    let result = ask(&provider, &RetryBudget::default(), &mut heard).await;
    assert!(matches!(result, Err(AnswerError::Cancelled)), "{result:?}");
    assert_eq!(provider.tries(), 1);

    provider.hangs = true;
    let token = CancellationToken::new();
    let mut hanging = Heard {
        cancel: Some(token.clone()),
        ..Heard::default()
    };
    let budget = RetryBudget::default();
    let (result, ()) = tokio::join!(ask(&provider, &budget, &mut hanging), async { token.cancel() });
    assert!(matches!(result, Err(AnswerError::Cancelled)), "{result:?}");
    assert_eq!(provider.tries(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_observer_can_stop_the_retries() {
    let provider = Failing::new([overloaded()]);
    let mut heard = Heard {
        give_up: true,
        ..Heard::default()
    };
    let result = ask(&provider, &RetryBudget::default(), &mut heard).await;
    assert!(matches!(result, Err(AnswerError::GivenUp)), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn clones_of_the_budget_share_a_tenth_of_all_requests() {
    let budget = RetryBudget::default();
    let other = budget.clone();
    let taken = std::iter::repeat_with(|| other.withdraw())
        .take_while(|had| *had)
        .count();
    assert_eq!(taken, BUDGET_CAPACITY as usize);
    let provider = Failing::new([overloaded()]);
    let result = ask(&provider, &budget, &mut Heard::default()).await;
    assert!(
        matches!(result, Err(AnswerError::Model { attempts: 1, .. })),
        "{result:?}"
    );

    for _ in 0..10 {
        budget.deposit();
    }
    assert!(other.withdraw(), "eleven requests allow one retry");
    assert!(!other.withdraw());
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(budget.withdraw(), "time allows one more");
    assert!(!budget.withdraw());
}

#[test]
fn delays_double_with_jitter_up_to_the_longest() {
    let policy = RetryPolicy::default();
    let delays = |jitter| -> Vec<u128> { (1..=8).map(|n| policy.delay(n, None, jitter).as_millis()).collect() };
    assert_eq!(delays(1.0), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert_eq!(delays(0.0), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    assert_eq!(
        policy.delay(1, Some(Duration::from_secs(7)), 0.0),
        Duration::from_secs(7)
    );
}
