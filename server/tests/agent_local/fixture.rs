//! A real sandbox, a journal in memory, and a model that makes the calls it is told to.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backspace_server::agent::{Agent, AgentConfig, AgentEnd, AgentParts, Journal, JournalError, Record, prompt};
use backspace_server::jobs::Jobs;
use backspace_server::model::catalog::ResolvedModel;
use backspace_server::model::retry::{RetryBudget, RetryPolicy};
use backspace_server::model::transcript::Transcript;
use backspace_server::model::{
    Answer, Delta, Item, ModelError, ModelProvider, ModelRequest, StopReason, TokenUsage, ToolCall,
};
use backspace_server::sandbox::local::{LocalConfig, LocalProvider, find_supervisor};
use backspace_server::sandbox::{Sandbox, SandboxProvider as _, SandboxSpec, Spill};
use backspace_server::secret::Redactor;
use backspace_server::task::budget::{AgentBudget, Limits, Usage};
use backspace_server::task::event::{EventPayload, LivePayload};
use backspace_server::task::id::{ArtifactId, CallId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The calls of each turn, and what was seen of their results.
pub(crate) struct Script {
    turns: Vec<Vec<(String, String)>>,
    requests: Mutex<Vec<Vec<Item>>>,
}

impl Script {
    pub(crate) fn new(turns: Vec<Vec<(&str, &str)>>) -> Arc<Self> {
        let own = |calls: Vec<(&str, &str)>| calls.iter().map(|&(tool, text)| (tool.into(), text.into())).collect();
        Arc::new(Self {
            turns: turns.into_iter().map(own).collect(),
            requests: Mutex::default(),
        })
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Returns the results that request number `index` ended with.
    pub(crate) fn results_seen(&self, index: usize) -> Vec<String> {
        match self.requests.lock().unwrap()[index].last() {
            Some(Item::ToolResults { results }) => results.iter().map(|result| result.content.clone()).collect(),
            other => panic!("no results but {other:?}"),
        }
    }
}

#[async_trait]
impl ModelProvider for Script {
    fn name(&self) -> &str {
        "script"
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        _on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let mut requests = self.requests.lock().unwrap();
        let calls = &self.turns[requests.len()];
        requests.push(request.transcript.items().to_vec());
        let call = |(index, (name, arguments)): (usize, &(String, String))| ToolCall {
            id: format!("call_{index}"),
            name: name.clone(),
            arguments: arguments.clone(),
        };
        Ok(Answer {
            text: String::new(),
            tool_calls: calls.iter().enumerate().map(call).collect(),
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: "script/m".into(),
            raw: None,
        })
    }
}

#[derive(Default)]
pub(crate) struct MemoryJournal(Mutex<Vec<Record>>);

impl MemoryJournal {
    pub(crate) fn has_started(&self, id: &str) -> bool {
        let records = self.0.lock().unwrap();
        let mut events = records.iter().flat_map(|record| &record.events);
        events.any(|event| matches!(event, EventPayload::ToolCallStarted { call_id, .. } if call_id.as_str() == id))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn record(&self, record: Record) -> Result<(), JournalError> {
        self.0.lock().unwrap().push(record);
        Ok(())
    }

    fn live(&self, _payload: LivePayload) {}

    async fn messages(&self) -> Result<Vec<String>, JournalError> {
        Ok(Vec::new())
    }

    async fn keep_output(&self, call: &CallId, _spill: &Spill) -> Result<ArtifactId, JournalError> {
        Ok(ArtifactId::new(call.as_str()))
    }

    async fn keep_text(&self, call: &CallId, _text: &str) -> Result<ArtifactId, JournalError> {
        Ok(ArtifactId::new(call.as_str()))
    }
}

pub(crate) struct Fixture {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) journal: MemoryJournal,
    _state: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let state = TempDir::new().unwrap();
        // Cargo builds no binary of another package for a test.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--package", "sandbox-supervisor"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        let supervisor = find_supervisor(&std::env::current_exe().unwrap()).expect("the supervisor beside the test");
        let provider = LocalProvider::new(LocalConfig::new(state.path(), supervisor), Jobs::new()).unwrap();
        let spec = SandboxSpec::of_no_task(Duration::from_secs(120));
        Self {
            sandbox: provider.create(spec).await.unwrap(),
            journal: MemoryJournal::default(),
            _state: state,
        }
    }

    pub(crate) async fn run(&self, script: &Arc<Script>, cancel: &CancellationToken) -> AgentEnd {
        let model = ResolvedModel {
            provider: script.clone(),
            model: "m".into(),
            name: "script/m".into(),
            window_tokens: 1_000_000,
            price: None,
            applies_patch: false,
        };
        let parts = AgentParts {
            config: AgentConfig::default(),
            model,
            fallbacks: Vec::new(),
            retry_policy: RetryPolicy::default(),
            retry_budget: RetryBudget::default(),
            sandbox: self.sandbox.clone(),
            system: prompt::system().into(),
            transcript: Transcript::new(vec![Item::User { text: "do it".into() }]),
            budget: AgentBudget::new(Limits::default(), Duration::ZERO),
            usage: Usage::default(),
            elapsed: Duration::ZERO,
            redactor: Arc::new(Redactor::default()),
            turn: 1,
        };
        Agent::new(parts).run(&self.journal, cancel).await
    }
}
