//! What every model provider promises, whoever answers. An adapter adds one line to `ADAPTERS` and says in
//! `Stage::set` how it is made to act.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backspace_server::model::replay::{OnDivergence, Recorder, RecordingProvider, RecordingSink, ReplayProvider};
use backspace_server::model::scripted::Scripted;
use backspace_server::model::transcript::Transcript;
use backspace_server::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest, Retry, StopReason};
use backspace_server::secret::Redactor;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::asking::{TOOLS, model, results, user};
use crate::support::fake_model::{FakeModel, Reply};

/// Who is tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Adapter {
    Anthropic,
    Chat,
    Responses,
    Scripted,
    Replay,
}

pub(crate) const ADAPTERS: [Adapter; 5] = [
    Adapter::Anthropic,
    Adapter::Chat,
    Adapter::Responses,
    Adapter::Scripted,
    Adapter::Replay,
];

/// What a provider is made to do at a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(&'static str),
    /// Text, then calls of `bash` with these commands.
    Call(&'static str, Vec<&'static str>),
    /// A call that the output limit cut.
    CutCall,
    /// Ends before the protocol's own end.
    Truncate,
    Fail(Fault),
    /// Never ends.
    Hang,
}

/// How a provider fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Overloaded,
    RateLimited,
    Context,
    Spending,
    Authentication,
    Rejected,
}

/// A provider that acts as told.
pub(crate) struct Stage {
    pub(crate) provider: Arc<dyn ModelProvider>,
    pub(crate) model: String,
    server: Option<FakeModel>,
    _folder: Option<TempDir>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<u8>>);

impl RecordingSink for Lines {
    fn take(&self, line: Vec<u8>) {
        self.0.lock().unwrap().extend(line);
    }
}

impl Adapter {
    fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("anthropic"),
            Self::Chat => Some("chat"),
            Self::Responses => Some("responses"),
            Self::Scripted | Self::Replay => None,
        }
    }
}

impl Stage {
    pub(crate) async fn set(adapter: Adapter, acts: &[Act]) -> Self {
        if let Some(protocol) = adapter.protocol() {
            let server = FakeModel::with(acts.iter().enumerate().map(|(turn, act)| reply(protocol, turn, act))).await;
            let model = model(protocol, &server.url(), "");
            return Self {
                provider: model.provider,
                model: model.model,
                server: Some(server),
                _folder: None,
            };
        }
        let folder = tempfile::tempdir().unwrap();
        let turns: Vec<Value> = acts.iter().map(scripted).collect();
        let script = toml::to_string(&json!({ "turn": turns })).unwrap();
        std::fs::write(folder.path().join("m.toml"), script).unwrap();
        let scripted = Arc::new(Scripted::new(folder.path()));
        let provider: Arc<dyn ModelProvider> = match adapter {
            Adapter::Replay => Arc::new(recorded(scripted, acts.len()).await),
            _ => scripted,
        };
        Self {
            provider,
            model: "m".into(),
            server: None,
            _folder: Some(folder),
        }
    }

    pub(crate) async fn ask(&self, transcript: &mut Transcript) -> Result<(Answer, Vec<Delta>), ModelError> {
        let mut deltas = Vec::new();
        let request = ModelRequest {
            model: &self.model,
            system: "You are brief.",
            tools: &TOOLS,
            transcript,
            max_output_tokens: None,
        };
        let answer = self.provider.answer(request, &mut |delta| deltas.push(delta)).await?;
        Ok((answer, deltas))
    }

    /// Asks one question.
    pub(crate) async fn ask_once(&self) -> Result<(Answer, Vec<Delta>), ModelError> {
        self.ask(&mut Transcript::new(vec![user("hello")])).await
    }

    /// Asserts that no request broke a rule of the provider's.
    pub(crate) fn assert_kept_the_rules(&self) {
        let violations = self.server.as_ref().map(FakeModel::violations).unwrap_or_default();
        assert_eq!(violations, Vec::<String>::new());
    }

    /// Waits until a request is under way.
    async fn request_came(&self) {
        match &self.server {
            Some(server) => server.request_came().await,
            // A scripted model has begun as soon as it was polled.
            None => tokio::task::yield_now().await,
        }
    }
}

/// Records what the scripted model does, and returns what replays it.
async fn recorded(scripted: Arc<Scripted>, acts: usize) -> ReplayProvider {
    let lines = Arc::new(Lines::default());
    let recorder = Recorder::new(lines.clone(), Arc::new(Redactor::default()));
    let stage = Stage {
        provider: Arc::new(RecordingProvider::new(scripted, recorder)),
        model: "m".into(),
        server: None,
        _folder: None,
    };
    let mut transcript = Transcript::new(vec![user("hello")]);
    for _ in 0..acts {
        if let Ok((answer, _)) = stage.ask(&mut transcript).await {
            let result = results(&answer, "ok");
            transcript.push(Item::Assistant(answer));
            transcript.push(result);
        }
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    ReplayProvider::parse(&text, OnDivergence::Report).unwrap()
}

fn scripted(act: &Act) -> Value {
    let bash = |command: &&str| json!({ "tool": "bash", "arguments": { "command": command } });
    match act {
        Act::Say(text) => json!({ "say": text }),
        Act::Call(text, commands) => json!({ "say": text, "call": commands.iter().map(bash).collect::<Vec<_>>() }),
        Act::CutCall => json!({ "say": "so", "call": [bash(&"rm")], "stop": "max_tokens" }),
        Act::Truncate => json!({ "say": "half of it", "fail": "truncated", "fail_times": 1000 }),
        Act::Hang => json!({ "say": "late", "delay_ms": 600_000 }),
        Act::Fail(fault) => {
            let name = match fault {
                Fault::Overloaded => "overloaded",
                Fault::RateLimited => return json!({ "fail": "rate_limited", "retry_after_ms": 7000 }),
                Fault::Context => "context",
                Fault::Spending => "spending",
                Fault::Authentication => "auth",
                Fault::Rejected => "rejected",
            };
            json!({ "fail": name })
        }
    }
}

fn reply(protocol: &str, turn: usize, act: &Act) -> Reply {
    match act {
        Act::Say(text) => said(protocol, text, &[], turn),
        Act::Call(text, commands) => said(protocol, text, commands, turn),
        Act::CutCall => cut(protocol),
        Act::Truncate => {
            let whole = said(protocol, "half of it", &[], turn).bytes();
            Reply::stream(&whole[..whole.len() * 2 / 3])
        }
        Act::Hang => said(protocol, "late", &[], turn).hanging_after(60),
        Act::Fail(fault) => failed(*fault),
    }
}

fn said(protocol: &str, text: &str, commands: &[&str], turn: usize) -> Reply {
    let ids: Vec<String> = (0..commands.len()).map(|index| format!("id_{turn}_{index}")).collect();
    let calls: Vec<_> = ids
        .iter()
        .zip(commands)
        .map(|(id, command)| (id.as_str(), "bash", json!({ "command": command })))
        .collect();
    match protocol {
        "anthropic" if calls.is_empty() => Reply::anthropic_text(text),
        "anthropic" => Reply::anthropic_calls(text, &calls),
        "chat" => Reply::chat(text, &calls),
        _ => Reply::responses_calls(text, &calls),
    }
}

/// A call in whose middle the output limit was reached.
fn cut(protocol: &str) -> Reply {
    let whole = said(protocol, "so", &["rm"], 0).bytes();
    let whole = String::from_utf8(whole).unwrap();
    let cut = match protocol {
        "anthropic" => whole.replace("\"stop_reason\":\"tool_use\"", "\"stop_reason\":\"max_tokens\""),
        "chat" => whole.replace("\"finish_reason\":\"tool_calls\"", "\"finish_reason\":\"length\""),
        _ => whole
            .replace("event: response.completed", "event: response.incomplete")
            .replace(
                "\"status\":\"completed\",\"usage\"",
                "\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"usage\"",
            )
            .replace("\"type\":\"response.completed\"", "\"type\":\"response.incomplete\""),
    };
    assert_ne!(cut, whole, "{protocol}: nothing was cut in {whole}");
    Reply::stream(cut)
}

/// The usual error bodies; each protocol gets those of the others too from some gateway.
fn failed(fault: Fault) -> Reply {
    let error = |status, kind: &str, message: &str| {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
        Reply::json(status, body.to_string())
    };
    match fault {
        Fault::Overloaded => error(529, "overloaded_error", "busy"),
        Fault::RateLimited => error(429, "rate_limit_error", "slow down").header("retry-after", "7"),
        Fault::Context => error(
            400,
            "invalid_request_error",
            "prompt is too long: 200001 tokens > 200000 maximum",
        ),
        Fault::Spending => error(429, "insufficient_quota", "no money"),
        Fault::Authentication => error(401, "authentication_error", "who are you"),
        Fault::Rejected => error(404, "not_found_error", "no such model"),
    }
}

/// Asserts that a failure is of its type, and what is to be done about it.
pub(crate) fn assert_typed(adapter: Adapter, fault: Fault, error: &ModelError) {
    let (fits, retry) = match fault {
        Fault::Overloaded => (matches!(error, ModelError::Overloaded { .. }), Retry::After(None)),
        Fault::RateLimited => (
            matches!(error, ModelError::RateLimited { .. }),
            Retry::After(Some(Duration::from_secs(7))),
        ),
        Fault::Context => (matches!(error, ModelError::ContextTooLong { .. }), Retry::Never),
        Fault::Spending => (matches!(error, ModelError::SpendingCap { .. }), Retry::Never),
        Fault::Authentication => (matches!(error, ModelError::Authentication { .. }), Retry::Never),
        Fault::Rejected => (matches!(error, ModelError::Rejected { .. }), Retry::Never),
    };
    assert!(fits, "{adapter:?}: {fault:?} is told as {error:?}");
    assert_eq!(error.retry(), retry, "{adapter:?}: {error:?}");
}

/// Drops a request that is under way.
pub(crate) async fn drop_under_way(adapter: Adapter, stage: &Stage) {
    let mut transcript = Transcript::new(vec![user("hello")]);
    let asking = stage.ask(&mut transcript);
    tokio::pin!(asking);
    tokio::select! {
        biased;
        result = &mut asking => panic!("{adapter:?}: {result:?}"),
        () = stage.request_came() => {}
    }
}

/// Waits until the provider has seen that its caller left, where that can be seen.
pub(crate) async fn caller_left(adapter: Adapter, stage: &Stage) {
    if let Some(server) = &stage.server {
        let left = tokio::time::timeout(Duration::from_secs(5), server.client_left()).await;
        assert!(left.is_ok(), "{adapter:?}: the connection stays open");
    }
}

/// Returns the text that was shown.
pub(crate) fn shown(deltas: &[Delta]) -> String {
    let text = |delta: &Delta| match delta {
        Delta::Text(text) => Some(text.clone()),
        Delta::Reasoning(_) => None,
    };
    deltas.iter().filter_map(text).collect()
}

/// Returns whether an answer ends with its calls.
pub(crate) fn wants_calls(answer: &Answer) -> bool {
    answer.stop == StopReason::ToolUse
}
