//! Showing a run until its Task ends: events to the screen, Ctrl-C to where it belongs, and the exit
//! code of the end.
//!
//! A lost connection is the SDK's to mend; here it is only told. Ctrl-C means two things on purpose: a
//! Task on a server of its own goes on without us, one on our private server would stop in any case, so
//! `run` cancels it, which keeps its work.

use std::pin::Pin;
use std::sync::mpsc;
use std::time::Duration;

use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::{Client, TaskRun, json, v1};
use tokio::time::{Instant, MissedTickBehavior};

use crate::args::OutputForm;
use crate::escape;
use crate::exit::Exit;
use crate::measure;
use crate::paint::{Look, Output};
use crate::problem::Problem;
use crate::report::{Detail, Report, Style};
use crate::screen::Screen;
use crate::session::{Ownership, Session};

const REDRAW: Duration = Duration::from_millis(250);
const CANCEL_REASON: &str = "Ctrl-C in the command that ran it";

/// What Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Leaves; the Task goes on.
    Leave,
    /// Cancels the Task, and stays until it has stopped.
    Cancel,
}

/// How a run is shown.
pub(crate) struct Showing<'a> {
    /// Where to.
    pub(crate) screen: &'a mut Screen,
    /// How much.
    pub(crate) detail: Detail,
    /// What the Task was asked, if it is known: shown above all.
    pub(crate) spec: Option<v1::TaskSpec>,
    /// What Ctrl-C does.
    pub(crate) on_interrupt: OnInterrupt,
}

struct Follower<'a> {
    showing: Showing<'a>,
    report: Report,
    client: Client,
    ownership: Ownership,
    invocation: String,
    named: bool,
    interrupts: u32,
    exit: Exit,
}

/// Shows a run until the Task ends or the person leaves.
pub(crate) async fn follow(session: &Session, run: TaskRun, showing: Showing<'_>) -> Result<Exit, Problem> {
    let style = Style {
        paint: showing.screen.paint,
        bar: showing.screen.bar,
        detail: showing.detail,
        invocation: session.invocation.clone(),
    };
    let follower = Follower {
        report: Report::new(style),
        showing,
        client: session.client.clone(),
        ownership: session.ownership,
        invocation: session.invocation.clone(),
        named: false,
        interrupts: 0,
        exit: Exit::Other,
    };
    follower.run(run).await
}

impl Follower<'_> {
    async fn run(mut self, run: TaskRun) -> Result<Exit, Problem> {
        // Unbounded, but it holds one short line per lost connection, and is emptied on each turn.
        let (losses, lost) = mpsc::channel::<String>();
        let mut run = run.on_interruption(move |interruption| {
            let text = escape::line(&interruption.error.to_string());
            let _ = losses.send(format!(
                "{text}; connecting again in {}",
                measure::span(interruption.delay)
            ));
        });
        let start = Instant::now();
        let mut clock = tokio::time::interval(REDRAW);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt: Pin<Box<_>> = Box::pin(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupt => {
                    interrupt = Box::pin(tokio::signal::ctrl_c());
                    if let Some(exit) = self.interrupted(&run).await? {
                        return Ok(exit);
                    }
                }
                event = run.next() => match event {
                    Some(event) => self.event(&run, &event?)?,
                    None => break,
                },
                _ = clock.tick() => {}
            }
            for loss in lost.try_iter() {
                let notice = self.report.notice(&loss);
                self.showing.screen.remark(&notice);
            }
            self.draw(start.elapsed());
        }
        self.showing.screen.clear_status();
        Ok(self.exit)
    }

    fn draw(&mut self, elapsed: Duration) {
        if self.showing.screen.bar == Output::Terminal && self.named {
            let columns = self.showing.screen.columns();
            let status = self.report.status(elapsed, columns);
            self.showing.screen.status(&status);
        }
    }

    fn event(&mut self, run: &TaskRun, event: &v1::TaskEvent) -> Result<(), Problem> {
        if !self.named {
            self.name(run.task().unwrap_or_default())?;
        }
        match self.showing.screen.form {
            OutputForm::Text => {
                let lines = self.report.event(event);
                self.showing.screen.lines(&lines)?;
            }
            OutputForm::Json => {
                let value = json::to_json(event).map_err(|error| Problem::new(Exit::Other, error.to_string()))?;
                self.showing.screen.json(&value)?;
            }
        }
        if let Some(Payload::TaskFinished(finished)) = &event.payload {
            self.exit = finished.task.as_ref().map_or(Exit::Other, Exit::of_task);
        }
        Ok(())
    }

    fn name(&mut self, task: &str) -> Result<(), Problem> {
        self.named = true;
        match (self.showing.screen.form, &self.showing.spec) {
            (OutputForm::Json, _) => self.showing.screen.json(&serde_json::json!({ "task": task })),
            (OutputForm::Text, Some(spec)) => {
                let lines = self.report.header(task, spec);
                self.showing.screen.lines(&lines)
            }
            (OutputForm::Text, None) => Ok(()),
        }
    }

    /// Returns the exit code if the person leaves.
    async fn interrupted(&mut self, run: &TaskRun) -> Result<Option<Exit>, Problem> {
        self.interrupts += 1;
        let Some(task) = run.task().map(str::to_owned) else {
            self.showing
                .screen
                .remark("left before the server had accepted the task; look with `backspace list`");
            return Ok(Some(Exit::Interrupted));
        };
        match self.showing.on_interrupt {
            OnInterrupt::Cancel if self.interrupts == 1 => {
                self.showing
                    .screen
                    .remark("cancelling the task; its work is kept. Press Ctrl-C again to leave at once");
                self.client.cancel_task(&task, CANCEL_REASON).await?;
                Ok(None)
            }
            OnInterrupt::Cancel | OnInterrupt::Leave => {
                let lines = self.parting(&escape::line(&task), run.last_sequence());
                for line in lines {
                    self.showing.screen.remark(&line);
                }
                Ok(Some(Exit::Interrupted))
            }
        }
    }

    fn parting(&self, task: &str, sequence: u64) -> Vec<String> {
        let paint = self.showing.screen.error_paint;
        let command = &self.invocation;
        let head = match self.ownership {
            Ownership::Ours => format!("{task} stops here with the private server, and goes on with the next command"),
            Ownership::Shared | Ownership::OfAnotherCommand => format!("left; {task} goes on without you"),
        };
        vec![
            paint.text(Look::Yellow, &head),
            format!("  watch it:  {command} watch {task} --after {sequence}"),
            format!("  stop it:   {command} cancel {task}"),
        ]
    }
}
