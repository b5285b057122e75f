//! Follows a Task and keeps what it saw; tests wait for events, never for time.

use std::time::Duration;

use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::v1::{self, task::State};
use backspace_sdk::{Client, TaskRun};

/// How long anything may take before a test is given up; far more than it does.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A Task's stream and its durable events so far.
pub struct Follower {
    run: TaskRun,
    pub events: Vec<v1::TaskEvent>,
}

impl Follower {
    /// Starts a Task and follows it.
    pub fn run(client: &Client, spec: v1::TaskSpec) -> Self {
        Self::of(client.run_task(spec))
    }

    pub fn of(run: TaskRun) -> Self {
        Self {
            run,
            events: Vec::new(),
        }
    }

    /// Goes on with a Task at another server.
    pub fn go_on(self, client: &Client) -> Self {
        let (task, last) = (self.task(), self.events.last().map_or(0, |event| event.sequence));
        Self {
            run: client.watch(&task, last),
            events: self.events,
        }
    }

    pub fn task(&self) -> String {
        self.run.task().expect("the task has no name yet").to_owned()
    }

    async fn next(&mut self) -> Option<Payload> {
        let next = tokio::time::timeout(PATIENCE, self.run.next()).await;
        let next = next.unwrap_or_else(|_| panic!("no event came any more after {:#?}", visible(&self.events)));
        let event = next?.unwrap();
        if event.sequence > 0 {
            self.events.push(event.clone());
        }
        event.payload
    }

    /// Reads on until an event is as it should be.
    pub async fn until(&mut self, what: &str, mut is_it: impl FnMut(&Payload) -> bool) {
        while let Some(payload) = self.next().await {
            if is_it(&payload) {
                return;
            }
        }
        panic!("{what} did not come: {:#?}", visible(&self.events));
    }

    pub async fn until_state(&mut self, state: State) {
        let what = state.as_str_name();
        self.until(
            what,
            |payload| matches!(payload, Payload::StateChanged(changed) if changed.state() == state),
        )
        .await;
    }

    /// Reads on until a running command has printed a text.
    pub async fn until_output(&mut self, text: &str) {
        let mut printed = Vec::new();
        self.until(text, |payload| {
            if let Payload::ToolOutputDelta(delta) = payload
                && let Some(v1::tool_output_delta::Chunk::Stdout(data)) = &delta.chunk
            {
                printed.extend_from_slice(data);
            }
            String::from_utf8_lossy(&printed).contains(text)
        })
        .await;
    }

    /// Reads on until a call has ended.
    pub async fn until_call_ended(&mut self, call: &str) {
        self.until(
            call,
            |payload| matches!(payload, Payload::ToolCallFinished(ended) if ended.call_id == call),
        )
        .await;
    }

    /// Reads to the end and returns the Task as it ended.
    pub async fn end(&mut self) -> v1::Task {
        while self.next().await.is_some() {}
        let sequences: Vec<u64> = self.events.iter().map(|event| event.sequence).collect();
        let last = sequences.len() as u64;
        assert_eq!(sequences, (1..=last).collect::<Vec<_>>());
        match self.events.last().and_then(|event| event.payload.clone()) {
            Some(Payload::TaskFinished(v1::TaskFinished { task: Some(task) })) => task,
            last => panic!("the stream ended with {last:?}"),
        }
    }

    /// Reads to the end, which must be a success.
    pub async fn success(&mut self) -> v1::TaskResult {
        match self.end().await.outcome {
            Some(v1::task::Outcome::Result(result)) => result,
            other => panic!("{other:?} after {:#?}", visible(&self.events)),
        }
    }

    /// Reads to the end, which must be a failure.
    pub async fn failure(&mut self) -> (v1::Failure, v1::PreservedWork) {
        let task = self.end().await;
        match task.outcome {
            Some(v1::task::Outcome::Failure(failure)) => (failure, task.preserved_work.unwrap_or_default()),
            other => panic!("{other:?} after {:#?}", visible(&self.events)),
        }
    }

    pub fn visible(&self) -> Vec<String> {
        visible(&self.events)
    }

    pub fn count(&self, line: &str) -> usize {
        self.visible()
            .iter()
            .filter(|visible| visible.starts_with(line))
            .count()
    }
}

/// Returns a line for each event whose place in the log is determined: no progress, spend or checkpoints,
/// which are made beside the next request.
pub fn visible(events: &[v1::TaskEvent]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| event.payload.as_ref().and_then(line))
        .collect()
}

fn line(payload: &Payload) -> Option<String> {
    let side = |baseline: bool| if baseline { "base" } else { "change" };
    let enum_name = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_owned();
    Some(match payload {
        Payload::StateChanged(it) => format!("state {}", enum_name(it.state().as_str_name(), "STATE_")),
        Payload::AssistantMessage(it) => format!("says {}", it.text),
        Payload::ToolCallStarted(it) => format!("call {} {}", it.call_id, it.tool),
        Payload::ToolCallFinished(it) => {
            format!(
                "ended {} {}",
                it.call_id,
                enum_name(it.outcome().as_str_name(), "OUTCOME_")
            )
        }
        Payload::VerificationStarted(it) => format!("check {} `{}`", side(it.baseline), it.command),
        Payload::VerificationFinished(it) => {
            let verdict = enum_name(it.verdict().as_str_name(), "VERDICT_");
            format!("checked {} exit {} {verdict}", side(it.baseline), it.exit_code())
        }
        Payload::PullRequestOpened(it) => format!("pull request {}", it.pull_request.as_ref()?.number),
        Payload::PolicyDenied(it) => format!("denied {} {}", it.policy, it.subject),
        Payload::UserMessage(it) => format!("message {}", it.text),
        Payload::CancelRequested(it) => format!("cancel requested: {}", it.reason),
        Payload::RunResumed(it) => format!("resumed run {}", it.run),
        Payload::Warning(it) => format!("warning {}", it.message),
        Payload::RetryScheduled(it) => format!("retry {}", it.component),
        Payload::TaskFinished(it) => {
            format!("end {}", enum_name(it.task.as_ref()?.state().as_str_name(), "STATE_"))
        }
        _ => return None,
    })
}
