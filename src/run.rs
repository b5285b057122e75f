//! A Task's events as one stream that outlives connections.
//!
//! The connection may break at any byte. A run that has no name yet sends RunTask again under the same
//! request id, which joins the Task if the first call made one; a run with a name goes on with WatchTask
//! after the last durable event. Every durable event is checked against the one before: a repeat is
//! dropped, a hole is never passed on. Live-only events pass through as they come and may be lost.
//!
//! It is a hand-written `poll_next` rather than an async function because it must be safe to drop at any
//! await: a caller that also waits for a key or a clock drops `next()` many times a second, and a
//! connection attempt or a pause that started anew each time would never end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::backoff::Random;
use crate::client::Client;
use crate::error::{CallError, Error, Origin};
use crate::v1;
use crate::v1::task::State;
use crate::v1::task_event::Payload;

/// Tries at the same place before a hole in the sequence is taken for the server's fault.
const MAX_HOLES: u32 = 3;

/// A Task being followed. Iterate with [`TaskRun::next`] or as a `Stream`.
pub struct TaskRun {
    client: Client,
    opening: Option<v1::RunTaskRequest>,
    task: Option<String>,
    last_sequence: u64,
    durable_only: bool,
    stage: Stage,
    failures: u32,
    holes: u32,
    lost_since: Option<Instant>,
    observer: Option<Observer>,
}

/// The connection was lost and will be made again.
#[derive(Debug)]
pub struct Interruption<'a> {
    /// What happened.
    pub error: &'a CallError,
    /// How many tries failed since the last event.
    pub failures: u32,
    /// How long until the next try.
    pub delay: Duration,
}

type Observer = Box<dyn FnMut(&Interruption<'_>) + Send>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Stage {
    Closed,
    Pausing(Pin<Box<Sleep>>),
    Opening(BoxFuture<Result<Source, Status>>),
    Open {
        source: Source,
        silent: bool,
    },
    /// The server closed a stream on which nothing came: perhaps there is nothing more to come.
    Asking(BoxFuture<Result<v1::Task, Error>>),
    Ended,
}

enum Source {
    Run(Box<Streaming<v1::RunTaskResponse>>),
    Watch(Box<Streaming<v1::WatchTaskResponse>>),
}

/// One response of either stream.
struct Item {
    task: String,
    event: Option<v1::TaskEvent>,
}

impl Source {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, Status>>> {
        Poll::Ready(match self {
            Self::Run(stream) => ready!(Pin::new(stream).poll_next(context)).map(|response| {
                response.map(|response| Item {
                    task: response.task,
                    event: response.event,
                })
            }),
            Self::Watch(stream) => ready!(Pin::new(stream).poll_next(context)).map(|response| {
                response.map(|response| Item {
                    task: String::new(),
                    event: response.event,
                })
            }),
        })
    }
}

impl TaskRun {
    pub(crate) fn start(client: Client, request: v1::RunTaskRequest) -> Self {
        Self::new(client, Some(request), None, 0)
    }

    pub(crate) fn resume(client: Client, task: String, after_sequence: u64) -> Self {
        Self::new(client, None, Some(task), after_sequence)
    }

    fn new(client: Client, opening: Option<v1::RunTaskRequest>, task: Option<String>, last_sequence: u64) -> Self {
        Self {
            client,
            opening,
            task,
            last_sequence,
            durable_only: false,
            stage: Stage::Closed,
            failures: 0,
            holes: 0,
            lost_since: None,
            observer: None,
        }
    }

    /// Leaves out live-only events where the server can: in watching, not on a fresh RunTask.
    #[must_use]
    pub fn durable_only(mut self) -> Self {
        self.durable_only = true;
        self
    }

    /// Calls `observer` each time the connection is lost and will be made again.
    #[must_use]
    pub fn on_interruption(mut self, observer: impl FnMut(&Interruption<'_>) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// The Task's name, `tasks/{id}`; known from the first event on.
    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// The last durable event that was delivered: where another watcher could go on.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Returns the next event; `None` after TaskFinished and after an error. Safe to drop at any await.
    pub async fn next(&mut self) -> Option<Result<v1::TaskEvent, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn open(&self) -> BoxFuture<Result<Source, Status>> {
        let mut client = self.client.raw();
        if let Some(task) = &self.task {
            let request = v1::WatchTaskRequest {
                name: task.clone(),
                after_sequence: self.last_sequence,
                durable_only: self.durable_only,
            };
            return Box::pin(async move {
                client
                    .watch_task(request)
                    .await
                    .map(|response| Source::Watch(Box::new(response.into_inner())))
            });
        }
        let request = self.opening.clone().unwrap_or_default();
        Box::pin(async move {
            client
                .run_task(request)
                .await
                .map(|response| Source::Run(Box::new(response.into_inner())))
        })
    }

    /// Decides what a failure means: a pause, or the end with an error.
    fn fail(&mut self, error: CallError) -> Result<(), Error> {
        // A refused RunTask is the caller's to see at once, also when it may be repeated later: a rate
        // limit is an answer. An unavailable server is not.
        let refused =
            self.task.is_none() && error.code == tonic::Code::ResourceExhausted && error.origin == Origin::Server;
        if refused || !error.is_retryable() {
            self.stage = Stage::Ended;
            return Err(Error::Call(Box::new(error)));
        }
        self.failures = self.failures.saturating_add(1);
        let reconnect = self.client.reconnect();
        let lost_for = self.lost_since.get_or_insert_with(Instant::now).elapsed();
        let delay = reconnect.delay(self.failures, error.retry_after, Random::draw());
        if lost_for.saturating_add(delay) > reconnect.give_up_after {
            self.stage = Stage::Ended;
            let (task, last_sequence) = (self.task.clone(), self.last_sequence);
            return Err(Error::Lost {
                task,
                last_sequence,
                lost_for,
                source: Box::new(error),
            });
        }
        if let Some(observer) = &mut self.observer {
            observer(&Interruption {
                error: &error,
                failures: self.failures,
                delay,
            });
        }
        self.stage = Stage::Pausing(Box::pin(tokio::time::sleep(delay)));
        Ok(())
    }

    /// Takes a response in; returns the event to deliver, if it is one.
    fn accept(&mut self, item: Item) -> Result<Option<v1::TaskEvent>, Error> {
        if self.task.is_none() {
            if item.task.is_empty() {
                self.stage = Stage::Ended;
                return Err(Error::Contract {
                    reason: "the first response of RunTask names no task".to_owned(),
                });
            }
            self.task = Some(item.task);
        }
        let Some(event) = item.event else { return Ok(None) };
        if event.sequence == 0 {
            self.heard();
            return Ok(Some(event));
        }
        let expected = self.last_sequence.saturating_add(1);
        if event.sequence < expected {
            return Ok(None);
        }
        if event.sequence > expected {
            return self.hole(expected, event.sequence).map(|()| None);
        }
        self.heard();
        self.holes = 0;
        self.last_sequence = event.sequence;
        if matches!(event.payload, Some(Payload::TaskFinished(_))) {
            self.stage = Stage::Ended;
        }
        Ok(Some(event))
    }

    fn heard(&mut self) {
        self.failures = 0;
        self.lost_since = None;
        if let Stage::Open { silent, .. } = &mut self.stage {
            *silent = false;
        }
    }

    /// An event is missing: ask again for what comes after the last one, a few times.
    fn hole(&mut self, expected: u64, found: u64) -> Result<(), Error> {
        self.holes += 1;
        if self.holes > MAX_HOLES {
            self.stage = Stage::Ended;
            let reason = format!("event {found} came where event {expected} should, {MAX_HOLES} times");
            return Err(Error::Contract { reason });
        }
        self.fail(CallError::from(Status::unavailable(format!(
            "event {expected} was left out of the stream"
        ))))
    }

    fn closed_by_server(&mut self, silent: bool) -> Result<(), Error> {
        match (&self.task, silent) {
            (Some(task), true) => {
                let (client, task) = (self.client.clone(), task.clone());
                self.stage = Stage::Asking(Box::pin(async move { client.get_task(&task).await }));
                Ok(())
            }
            _ => self.fail(CallError::from(Status::unavailable(
                "the stream ended before the task did",
            ))),
        }
    }

    fn answered(&mut self, answer: Result<v1::Task, Error>) -> Result<(), Error> {
        match answer {
            Ok(task) if is_terminal(task.state()) && task.last_sequence <= self.last_sequence => {
                self.stage = Stage::Ended;
                Ok(())
            }
            Ok(_) => self.fail(CallError::from(Status::unavailable(
                "the stream ended before the task did",
            ))),
            Err(Error::Call(call)) => self.fail(*call),
            Err(other) => {
                self.stage = Stage::Ended;
                Err(other)
            }
        }
    }
}

impl Stream for TaskRun {
    type Item = Result<v1::TaskEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let run = &mut *self;
        loop {
            let moved = match &mut run.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Closed => {
                    run.stage = Stage::Opening(run.open());
                    Ok(())
                }
                Stage::Pausing(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    run.stage = Stage::Closed;
                    Ok(())
                }
                Stage::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(source) => {
                        run.stage = Stage::Open { source, silent: true };
                        Ok(())
                    }
                    Err(status) => run.fail(CallError::from(status)),
                },
                Stage::Asking(asking) => {
                    let answer = ready!(asking.as_mut().poll(context));
                    run.answered(answer)
                }
                Stage::Open { source, silent } => {
                    let silent = *silent;
                    match ready!(source.poll(context)) {
                        Some(Ok(item)) => match run.accept(item) {
                            Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                            Ok(None) => Ok(()),
                            Err(error) => Err(error),
                        },
                        Some(Err(status)) => run.fail(CallError::from(status)),
                        None => run.closed_by_server(silent),
                    }
                }
            };
            if let Err(error) = moved {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

fn is_terminal(state: State) -> bool {
    match state {
        State::Succeeded | State::Failed | State::Cancelled => true,
        State::Unspecified
        | State::Queued
        | State::Preparing
        | State::Running
        | State::Verifying
        | State::Publishing => false,
    }
}
