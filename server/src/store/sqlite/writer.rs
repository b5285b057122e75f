//! The writer thread: takes what waits, runs it in one transaction, commits once, then answers.
//!
//! Each operation has a savepoint, so one that fails does not harm its neighbours. If the whole
//! transaction fails (a full disk), each operation is tried again alone: a small one may still fit
//! where its large neighbour did not. That is why an operation can be run twice and changes nothing
//! but the ledger. An own thread rather than a job: it must outlive every job that still writes.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::column::closed;
use super::ledger::Ledger;
use super::open::FolderLock;
use super::wakes::Wakes;
use crate::store::StoreError;

/// Most operations in one transaction.
const GROUP: usize = 64;
/// Operations that may wait. When it is full, callers wait for their turn to queue.
const QUEUE: usize = 256;

/// The way to the writer thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

enum Request {
    Write(Box<dyn Write>),
    /// Answered when the file is closed and the folder free.
    Close(oneshot::Sender<()>),
}

/// An operation whose type is known to its caller only.
trait Write: Send {
    /// Runs it and keeps the outcome.
    fn run(&mut self, ledger: &mut Ledger) -> Outcome;
    /// Forgets the outcome, before another try.
    fn reset(&mut self);
    /// Makes it fail, unless it has failed for a reason of its own.
    fn fail(&mut self, error: StoreError);
    /// Hands the outcome to the caller, if it still waits.
    fn answer(self: Box<Self>);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
}

struct Operation<F, T> {
    work: F,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Write for Operation<F, T>
where
    F: FnMut(&mut Ledger) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, ledger: &mut Ledger) -> Outcome {
        let result = (self.work)(ledger);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.outcome = Some(result);
        outcome
    }

    fn reset(&mut self) {
        self.outcome = None;
    }

    fn fail(&mut self, error: StoreError) {
        if !matches!(self.outcome, Some(Err(_))) {
            self.outcome = Some(Err(error));
        }
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller that has gone away does not want to know.
            let _ = self.caller.send(outcome);
        }
    }
}

impl Writer {
    /// Starts the thread. It keeps the folder locked until it ends.
    pub(super) fn start(
        connection: rusqlite::Connection,
        lock: FolderLock,
        wakes: Arc<Wakes>,
    ) -> std::io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            let closer = serve(Ledger::new(connection), requests, &wakes);
            drop(lock);
            if let Some(closer) = closer {
                let _ = closer.send(());
            }
        })?;
        Ok(Self { queue })
    }

    /// Runs an operation and returns when it is on disk, or failed and nothing of it is.
    ///
    /// Safe to drop at any await: the operation is then either never run or run whole.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Ledger) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let operation = Box::new(Operation {
            work,
            outcome: None,
            caller,
        });
        let sent = self.queue.send(Request::Write(operation)).await;
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Ends the thread after what waits already.
    pub(super) async fn close(&self) {
        let (closer, done) = oneshot::channel();
        if self.queue.send(Request::Close(closer)).await.is_ok() {
            let _ = done.await;
        }
    }
}

/// Runs until the store is closed or dropped; returns who asked for it.
fn serve(mut ledger: Ledger, mut requests: mpsc::Receiver<Request>, wakes: &Wakes) -> Option<oneshot::Sender<()>> {
    let mut group = Vec::with_capacity(GROUP);
    let mut closer = None;
    while closer.is_none() {
        let mut next = Some(requests.blocking_recv()?);
        while let Some(request) = next.take() {
            match request {
                Request::Write(write) => group.push(write),
                Request::Close(caller) => closer = Some(caller),
            }
            if group.len() < GROUP && closer.is_none() {
                next = requests.try_recv().ok();
            }
        }
        run_group(&mut ledger, &mut group, wakes);
        for write in group.drain(..) {
            write.answer();
        }
    }
    closer
}

/// Runs a group as one transaction or, if that fails, each of it alone.
fn run_group(ledger: &mut Ledger, group: &mut [Box<dyn Write>], wakes: &Wakes) {
    let Err(error) = commit_group(ledger, group, wakes) else {
        return;
    };
    if let [write] = group {
        write.fail(error);
        return;
    }
    tracing::warn!(%error, operations = group.len(), "a group of writes failed; each is tried alone");
    for write in group.iter_mut() {
        write.reset();
        if let Err(error) = commit_group(ledger, std::slice::from_mut(write), wakes) {
            write.fail(error);
        }
    }
}

fn commit_group(ledger: &mut Ledger, group: &mut [Box<dyn Write>], wakes: &Wakes) -> Result<(), StoreError> {
    let result = transact(ledger, group);
    if let Err(error) = result {
        if !ledger.connection().is_autocommit()
            && let Err(error) = execute(ledger, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction can't be rolled back");
        }
        ledger.undo_all();
        return Err(error);
    }
    for (task, change) in ledger.keep() {
        wakes.publish(task, change);
    }
    Ok(())
}

fn transact(ledger: &mut Ledger, group: &mut [Box<dyn Write>]) -> Result<(), StoreError> {
    execute(ledger, "BEGIN IMMEDIATE")?;
    for write in group {
        execute(ledger, "SAVEPOINT operation")?;
        let mark = ledger.mark();
        if write.run(ledger) == Outcome::Failed {
            if ledger.connection().is_autocommit() {
                // SQLite may do that by itself when the disk is full.
                return Err(StoreError::Unavailable {
                    source: "the transaction was rolled back as a whole".into(),
                });
            }
            execute(ledger, "ROLLBACK TO operation")?;
            ledger.undo(mark);
        }
        execute(ledger, "RELEASE operation")?;
    }
    execute(ledger, "COMMIT")
}

fn execute(ledger: &Ledger, statement: &str) -> Result<(), StoreError> {
    ledger.connection().prepare_cached(statement)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests;
