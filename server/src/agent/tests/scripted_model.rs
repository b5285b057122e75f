//! A model that follows a script and checks every request against the rules that providers have in common.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::model::catalog::ResolvedModel;
use crate::model::pricing::Price;
use crate::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest, StopReason, TokenUsage, ToolCall};

/// One move of the scripted model.
pub(super) enum Move {
    Say(Answer),
    Fail(ModelError),
    Hang,
}

pub(super) struct ScriptedModel {
    name: &'static str,
    moves: Mutex<VecDeque<Move>>,
    /// The items of each request, serialized.
    pub(super) requests: Mutex<Vec<Vec<String>>>,
    /// The names of the tools of each request.
    pub(super) tools: Mutex<Vec<Vec<&'static str>>>,
}

impl ScriptedModel {
    pub(super) fn new(name: &'static str, moves: Vec<Move>) -> Arc<Self> {
        Arc::new(Self {
            name,
            moves: Mutex::new(moves.into()),
            requests: Mutex::default(),
            tools: Mutex::default(),
        })
    }

    pub(super) fn requests(&self) -> Vec<Vec<String>> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn model(self: &Arc<Self>) -> ResolvedModel {
        ResolvedModel {
            provider: self.clone(),
            model: "m".into(),
            name: format!("{}/m", self.name),
            window_tokens: 100_000,
            price: Some(Price {
                input_uncached: 1_000_000,
                ..Price::default()
            }),
            applies_patch: false,
        }
    }
}

/// The rules of every provider: a user begins, each call has its result right behind, in order, nothing is empty,
/// and the model never has the last word, but for a pause.
fn assert_well_formed(items: &[Item]) {
    assert!(
        matches!(items.first(), Some(Item::User { .. })),
        "the first item is not a user's"
    );
    for (index, item) in items.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &items[index]);
        match item {
            Item::User { text } => assert!(!text.trim().is_empty(), "an empty user item"),
            Item::Assistant(answer) => {
                assert!(
                    !answer.text.is_empty() || !answer.tool_calls.is_empty(),
                    "an empty answer was sent back"
                );
                let next = items.get(index + 1);
                match next {
                    None => assert_eq!(answer.stop, StopReason::Pause, "the model had the last word"),
                    Some(Item::ToolResults { .. }) => {}
                    Some(_) => assert!(answer.tool_calls.is_empty(), "calls without results"),
                }
            }
            Item::ToolResults { results } => {
                let Some(Item::Assistant(answer)) = before else {
                    panic!("results without calls")
                };
                let calls: Vec<&str> = answer.tool_calls.iter().map(|call| call.id.as_str()).collect();
                let given: Vec<&str> = results.iter().map(|result| result.call_id.as_str()).collect();
                assert_eq!(calls, given, "each call has its result");
            }
        }
    }
}

#[async_trait]
impl ModelProvider for ScriptedModel {
    fn name(&self) -> &str {
        self.name
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let items = request.transcript.items();
        assert_well_formed(items);
        let serialized = items.iter().map(|item| serde_json::to_string(item).unwrap()).collect();
        self.requests.lock().unwrap().push(serialized);
        let tools = request.tools.iter().map(|tool| tool.name).collect();
        self.tools.lock().unwrap().push(tools);
        let next = self
            .moves
            .lock()
            .unwrap()
            .pop_front()
            .expect("the script has a move for each request");
        match next {
            Move::Fail(error) => Err(error),
            Move::Hang => std::future::pending().await,
            Move::Say(answer) => {
                for part in answer.text.as_bytes().chunks(3) {
                    on_delta(Delta::Text(String::from_utf8_lossy(part).into_owned()));
                }
                Ok(answer)
            }
        }
    }
}

/// An answer with text and calls of `(name, arguments)`; provider ids repeat in each answer, as at some servers.
pub(super) fn answer(text: &str, calls: &[(&str, &str)]) -> Answer {
    let call = |(index, (name, arguments)): (usize, &(&str, &str))| ToolCall {
        id: format!("call_{index}"),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
    };
    Answer {
        text: text.into(),
        tool_calls: calls.iter().enumerate().map(call).collect(),
        stop: if calls.is_empty() {
            StopReason::EndTurn
        } else {
            StopReason::ToolUse
        },
        usage: TokenUsage {
            input_uncached: 10,
            output: 5,
            ..TokenUsage::default()
        },
        model: "test/m".into(),
        raw: None,
    }
}

pub(super) fn say(text: &str) -> Move {
    Move::Say(answer(text, &[]))
}

pub(super) fn call(calls: &[(&str, &str)]) -> Move {
    Move::Say(answer("", calls))
}

pub(super) fn finish() -> Move {
    call(&[("finish", r#"{"summary": "done"}"#)])
}
