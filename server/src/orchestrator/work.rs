//! RUNNING and VERIFYING: the agent at work, checkpoints beside it, and what the checks say of the result.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentConfig, AgentEnd, AgentParts, Journal as _, JournalError, prompt};
use crate::model::transcript::Transcript;
use crate::model::{Item, ModelError};
use crate::orchestrator::Parts;
use crate::orchestrator::baseline::verify_halt;
use crate::orchestrator::publish::Change;
use crate::orchestrator::recording;
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::stated;
use crate::orchestrator::verify::{Checked, Side, Verification};
use crate::orchestrator::workbench::Workbench;
use crate::store::StoreError;
use crate::task::budget::{AgentBudget, Exhausted};
use crate::task::failure::{Failure, Reason};
use crate::task::record::TaskRecord;
use crate::task::result::{Evidence, Verdict};
use crate::task::state::State;

/// The final verification gets at least this long, whatever was used before.
const LEAST_VERIFICATION: Duration = Duration::from_secs(30);

/// What follows a verification.
pub(super) enum Next {
    /// Red checks or a message: the agent goes on.
    BackToWork,
    /// The change is finished, or as far as it got.
    Publish(Change),
    /// The tree is the base's.
    NothingChanged,
}

/// Lets the agent work until it is done, or is stopped by a limit; what stopped it is recorded.
pub(super) async fn run_agent(
    parts: &Arc<Parts>,
    log: &RunLog,
    signals: &StopSignals,
    bench: &Workbench,
) -> Result<(), Halt> {
    log.enter(State::Running, 20, "Working").await?;
    let progress = log.record().progress;
    if progress.summary.is_some() || progress.stopped.is_some() {
        return Ok(());
    }
    let mut agent = signals.interrupt(make_agent(parts, log, bench)).await?;
    let stop = CancellationToken::new();
    let time_left = agent_budget(&log.record(), bench)
        .time()
        .saturating_sub(log.elapsed().await);
    let end = {
        let work = agent.run(log, &stop);
        let checkpoints = keep_checkpoints(parts, log, bench);
        tokio::pin!(work, checkpoints);
        let mut stopped = None;
        loop {
            tokio::select! {
                biased;
                end = &mut work => break stopped.map_or(end, |stop| if matches!(stop, Stop::Time) { AgentEnd::Exhausted(Exhausted::Time) } else { AgentEnd::Cancelled }),
                halt = &mut checkpoints => return Err(halt),
                () = signals.cancel.cancelled(), if stopped.is_none() => { stopped = Some(Stop::Asked); stop.cancel(); }
                () = signals.drain.cancelled(), if stopped.is_none() => { stopped = Some(Stop::Asked); stop.cancel(); }
                () = tokio::time::sleep(time_left), if stopped.is_none() => { stopped = Some(Stop::Time); stop.cancel(); }
            }
        }
    };
    take_end(log, signals, end).await
}

/// Why the agent was told to stop.
#[derive(Clone, Copy)]
enum Stop {
    Asked,
    Time,
}

/// Saves the work tree after each turn, beside the next model request; turns that end meanwhile share one save.
async fn keep_checkpoints(parts: &Parts, log: &RunLog, bench: &Workbench) -> Halt {
    loop {
        log.turn_finished.notified().await;
        match bench.save(parts, log).await {
            Ok(_) => {}
            Err(halt @ (Halt::Store(_) | Halt::SandboxLost(_))) => return halt,
            Err(halt) => tracing::warn!(?halt, "a checkpoint could not be saved"),
        }
    }
}

async fn take_end(log: &RunLog, signals: &StopSignals, end: AgentEnd) -> Result<(), Halt> {
    let failure = match end {
        AgentEnd::Finished { summary } => {
            log.write(Vec::new(), |progress| progress.summary = Some(summary))
                .await?;
            return Ok(());
        }
        AgentEnd::Cancelled => {
            signals.check()?;
            Failure::lasting(Reason::Internal, "the agent stopped without being asked")
        }
        AgentEnd::Exhausted(limit) => Failure::lasting(
            Reason::LimitReached,
            format!("the limit {} was reached before the work was done", limit.limit_name()),
        ),
        AgentEnd::NoProgress { message } => Failure::lasting(Reason::AgentGaveUp, message),
        AgentEnd::Model(error) => model_failure(&error),
        AgentEnd::Sandbox(error) => return Err(error.into()),
        AgentEnd::Journal(error) => return Err(journal_halt(error)),
    };
    tracing::warn!(
        reason = failure.reason.as_str(),
        message = failure.message,
        "the agent was stopped; its work is kept"
    );
    log.write(Vec::new(), |progress| progress.stopped = Some(failure))
        .await?;
    Ok(())
}

fn journal_halt(error: JournalError) -> Halt {
    let source = error.source.downcast::<StoreError>();
    source
        .map_or_else(|source| StoreError::Internal { source }, |error| *error)
        .into()
}

fn model_failure(error: &ModelError) -> Failure {
    let message = error.to_string();
    match error {
        ModelError::RateLimited { .. }
        | ModelError::Overloaded { .. }
        | ModelError::Transport { .. }
        | ModelError::Truncated => Failure::passing(Reason::ModelUnavailable, message),
        ModelError::Refused { .. }
        | ModelError::SpendingCap { .. }
        | ModelError::Authentication { .. }
        | ModelError::Rejected { .. }
        | ModelError::ContextTooLong { .. } => Failure::lasting(Reason::ModelRefused, message),
        ModelError::Protocol { .. } => Failure::passing(Reason::ModelProtocolError, message),
    }
}

fn agent_budget(record: &TaskRecord, bench: &Workbench) -> AgentBudget {
    AgentBudget::new(bench.limits, record.progress.baseline_duration)
}

async fn make_agent(parts: &Parts, log: &RunLog, bench: &Workbench) -> Result<Agent, Halt> {
    let mut items = log.conversation().await?;
    if items.is_empty() {
        let item = Item::User {
            text: first_message(parts, log, bench).await?,
        };
        log.tell_model(item.clone(), |_| {}).await?;
        items.push(item);
    }
    let record = log.record();
    recording::open(parts, log).await?;
    let model = recording::model(parts, log, record.spec.model.as_deref()).await?;
    let mut fallbacks = Vec::new();
    for name in &record.spec.fallback_models {
        fallbacks.push(recording::model(parts, log, Some(name)).await?);
    }
    let mut agent = Agent::new(AgentParts {
        config: AgentConfig {
            command_timeout_seconds: parts.config.command_timeout.as_secs().min(600),
            ..AgentConfig::default()
        },
        model,
        fallbacks,
        retry_policy: *parts.models.retry_policy(),
        retry_budget: parts.models.retry_budget().clone(),
        sandbox: Arc::clone(&bench.sandbox),
        system: prompt::system().to_owned(),
        transcript: Transcript::new(items),
        budget: agent_budget(&record, bench),
        usage: record.usage,
        elapsed: log.elapsed().await,
        redactor: Arc::clone(&parts.redactor),
        turn: record.progress.turn + 1,
    });
    if let Some(turn) = record.progress.restored_turn {
        agent.tell(prompt::restored(turn), log).await.map_err(journal_halt)?;
        log.write(Vec::new(), |progress| progress.restored_turn = None).await?;
    }
    Ok(agent)
}

/// Writes the first message of the conversation; texts of the forge are untrusted material in it.
async fn first_message(parts: &Parts, log: &RunLog, bench: &Workbench) -> Result<String, Halt> {
    let record = log.record();
    let mut material = Vec::new();
    if let Some(issue) = &record.spec.issue {
        let text = crate::orchestrator::fetch::retry_forge(log, || bench.forge.issue(&bench.repository, issue)).await?;
        material.push(prompt::SourcedText {
            origin: text.origin,
            text: text.text,
        });
    }
    if let Some(template) = &bench.analysis.pull_request_template {
        material.push(prompt::SourcedText {
            origin: format!("{}, which your summary at the end should answer", template.origin),
            text: template.text.clone(),
        });
    }
    let continues = match record.continues {
        Some(before) => parts.store.task(before).await?.and_then(|task| task.progress.summary),
        None => None,
    };
    Ok(prompt::task(&prompt::TaskFacts {
        instruction: record.spec.instruction,
        repository: format!("{} at {}", bench.repository.address, bench.base.commit),
        layout: bench.analysis.summary.clone(),
        code_map: bench.analysis.code_map.clone(),
        verification_commands: bench.commands.clone(),
        allowed_hosts: bench.hosts.to_texts(),
        instruction_files: bench.analysis.instruction_files.clone(),
        material,
        continues,
    }))
}

/// Runs the checks on the finished tree and decides what follows.
pub(super) async fn verify(
    parts: &Arc<Parts>,
    log: &RunLog,
    signals: &StopSignals,
    bench: &Workbench,
) -> Result<Next, Halt> {
    if log.record().progress.checking {
        // A run that was cut off here left what its checks wrote, or a rebase half done.
        signals.interrupt(bench.return_to_checkpoint(log)).await?;
        log.write(Vec::new(), |progress| progress.checking = false).await?;
    }
    let tree = signals.interrupt(bench.save(parts, log)).await?;
    if tree == bench.base.tree {
        if has_messages(parts, log).await? {
            return go_on(log, bench, None).await;
        }
        return Ok(Next::NothingChanged);
    }
    let round = log.record().progress.verification_rounds + 1;
    log.enter(State::Verifying, 75, "Running the checks on the change")
        .await?;
    log.write(Vec::new(), |progress| {
        progress.verification_rounds = round;
        progress.checking = true;
    })
    .await?;
    let record = log.record();
    let baseline: Vec<Evidence> = record
        .progress
        .evidence
        .iter()
        .filter(|fact| fact.baseline)
        .cloned()
        .collect();
    let time_left = bench
        .limits
        .max_duration
        .saturating_sub(log.elapsed().await)
        .max(LEAST_VERIFICATION);
    let verification = Verification {
        commands: &bench.commands,
        side: Side::Change,
        tree: &tree,
        round,
        baseline: &baseline,
        command_timeout: stated::verification_timeout(parts, bench),
        time_left,
    };
    let checks = async {
        verification
            .run(parts, bench.sandbox.as_ref(), log)
            .await
            .map_err(verify_halt)
    };
    let checked = signals.interrupt(checks).await?;
    bench.record_denials(log).await?;
    let facts = baseline
        .into_iter()
        .chain(checked.iter().map(|checked| checked.evidence.clone()))
        .collect();
    log.write(Vec::new(), |progress| progress.evidence = facts).await?;
    let red: Vec<&Checked> = checked
        .iter()
        .filter(|checked| checked.evidence.verdict == Verdict::NewlyRed)
        .collect();
    decide(parts, log, bench, round, &red, Change { tree }).await
}

async fn decide(
    parts: &Parts,
    log: &RunLog,
    bench: &Workbench,
    round: u32,
    red: &[&Checked],
    change: Change,
) -> Result<Next, Halt> {
    let record = log.record();
    if record.progress.stopped.is_some() {
        return Ok(Next::Publish(change));
    }
    if !red.is_empty() {
        if round <= parts.config.verification_rounds {
            return go_on(log, bench, Some(red)).await;
        }
        let names: Vec<_> = red
            .iter()
            .map(|checked| format!("`{}`", checked.evidence.command))
            .collect();
        let message = format!(
            "{} still fail(s) because of the change after {round} rounds",
            names.join(", ")
        );
        let failure = Failure::lasting(Reason::AgentGaveUp, message);
        log.write(Vec::new(), |progress| progress.stopped = Some(failure))
            .await?;
        return Ok(Next::Publish(change));
    }
    if has_messages(parts, log).await? {
        return go_on(log, bench, None).await;
    }
    Ok(Next::Publish(change))
}

/// Sends the Task back to the agent, which has a message to read.
pub(super) async fn read_messages(log: &RunLog, bench: &Workbench) -> Result<(), Halt> {
    go_on(log, bench, None).await.map(|_| ())
}

/// Sends the Task back to the agent; a message of a person is read by its next turn.
async fn go_on(log: &RunLog, bench: &Workbench, red: Option<&[&Checked]>) -> Result<Next, Halt> {
    if log.record().progress.checking {
        bench.forget_checks().await?;
    }
    let clear = |progress: &mut crate::task::record::RunProgress| {
        progress.summary = None;
        progress.checking = false;
    };
    match red {
        None => {
            // The conversation ended with the model's own end: the messages are what begins it again.
            let texts = log.messages().await.map_err(journal_halt)?;
            let text = texts
                .iter()
                .map(|text| prompt::message(text))
                .collect::<Vec<_>>()
                .join("\n");
            log.tell_model(Item::User { text }, clear).await?;
        }
        Some(red) => {
            let check = |checked: &&Checked| prompt::RedCheck {
                command: checked.evidence.command.clone(),
                exit_code: checked.evidence.exit_code,
                output: checked.output.clone(),
            };
            let text = prompt::red(&red.iter().map(check).collect::<Vec<_>>());
            log.tell_model(Item::User { text }, clear).await?;
        }
    }
    Ok(Next::BackToWork)
}

async fn has_messages(parts: &Parts, log: &RunLog) -> Result<bool, Halt> {
    let given = log.messages_given();
    Ok(parts
        .store
        .inbox(log.task())
        .await?
        .iter()
        .any(|message| message.number > given))
}
