//! What runs write: claims, leases and appends.
//!
//! Who is next is decided over all Tasks that are not over, in memory: the queue's bounds keep them
//! few, and fairness needs the leases, which are not on disk.

use std::time::{Duration, Instant};

use rusqlite::params;

use super::accept::{mark_read, waits_after};
use super::artifacts;
use super::column::{LIVE, id_bytes, internal, state, task_id};
use super::ledger::{Entry, Ledger};
use crate::store::{Append, Claim, ConversationEntry, Lease, StoreError};
use crate::task::id::{Epoch, PrincipalId, ServerId, TaskId, Timestamp};
use crate::task::record::{IllegalEvent, TaskRecord};
use crate::task::state::State;

/// A Task that a run could take.
struct Candidate {
    task: TaskId,
    principal: PrincipalId,
    state: State,
    create_time: i64,
}

/// Claims the next Task, if any waits.
pub(super) fn claim(ledger: &mut Ledger, server: ServerId, lease_time: Duration) -> Result<Option<Claim>, StoreError> {
    let now = Instant::now();
    let mut candidates = candidates(ledger)?;
    candidates.retain(|candidate| !ledger.leases.is_live(candidate.task, now));
    let busy = ledger.leases.live_by_principal(now);
    candidates.sort_by_cached_key(|candidate| {
        (
            candidate.state == State::Queued,
            busy.get(&candidate.principal).copied().unwrap_or(0),
            candidate.create_time,
            candidate.task,
        )
    });
    for candidate in candidates {
        let mut entry = match ledger.take(candidate.task) {
            Ok(entry) => entry,
            Err(error @ StoreError::Internal { .. }) => {
                // One Task that can't be read must not keep the others waiting.
                tracing::error!(task.id = %candidate.task, %error, "a waiting task can't be read and is passed over");
                continue;
            }
            Err(error) => return Err(error),
        };
        entry.epoch = Epoch(entry.epoch.0 + 1);
        ledger.save(&entry)?;
        let lease = Lease {
            task: candidate.task,
            epoch: entry.epoch,
        };
        ledger.leases.grant(lease, candidate.principal, server, lease_time);
        let task = entry.record.clone();
        ledger.put(entry);
        return Ok(Some(Claim { lease, task }));
    }
    Ok(None)
}

/// Prolongs a lease.
pub(super) fn renew(ledger: &mut Ledger, lease: Lease, lease_time: Duration) -> Result<(), StoreError> {
    if !ledger.leases.is_valid(lease) {
        return Err(StoreError::LeaseLost);
    }
    ledger.leases.renew(lease.task, lease_time);
    Ok(())
}

/// Gives a lease back.
pub(super) fn release(ledger: &mut Ledger, lease: Lease) -> Result<(), StoreError> {
    if ledger.leases.is_valid(lease) {
        ledger.leases.end(lease.task);
        ledger.evict(lease.task);
        return Ok(());
    }
    let entry = ledger.take(lease.task)?;
    let ended_by_it = entry.epoch == lease.epoch && entry.record.state.is_terminal();
    ledger.put(entry);
    if ended_by_it {
        Ok(())
    } else {
        Err(StoreError::LeaseLost)
    }
}

/// Writes what a run did.
pub(super) fn append(ledger: &mut Ledger, lease: Lease, append: &Append) -> Result<TaskRecord, StoreError> {
    let may_write = ledger.leases.is_valid(lease);
    let mut entry = ledger.take(lease.task)?;
    if !may_write {
        let ended_by_it = entry.epoch == lease.epoch && entry.record.state.is_terminal();
        ledger.put(entry);
        return Err(if ended_by_it {
            IllegalEvent::Finished.into()
        } else {
            StoreError::LeaseLost
        });
    }
    if let Some(number) = append.last_message
        && waits_after(ledger.connection(), lease.task, number)?
    {
        ledger.put(entry);
        return Err(StoreError::MessageWaiting);
    }
    let now = Timestamp::now();
    for payload in &append.events {
        ledger.record(&mut entry, payload.clone(), now)?;
    }
    if let Some(progress) = &append.progress {
        entry.record.progress = progress.clone();
    }
    for piece in &append.conversation {
        converse(ledger, &mut entry, piece)?;
    }
    if let Some(number) = append.messages_read {
        mark_read(ledger.connection(), lease.task, number)?;
    }
    for piece in &append.artifacts {
        artifacts::append(ledger.connection(), lease.task, &piece.artifact, &piece.data)?;
    }
    ledger.save(&entry)?;
    if entry.record.state.is_terminal() {
        ledger.leases.end(lease.task);
    }
    let record = entry.record.clone();
    ledger.put(entry);
    Ok(record)
}

/// Adds an entry to the conversation; a new generation replaces the ones before.
fn converse(ledger: &Ledger, entry: &mut Entry, piece: &ConversationEntry) -> Result<(), StoreError> {
    let task = entry.record.id;
    if piece.generation < entry.generation {
        return Err(internal("an entry of a conversation generation that was replaced"));
    }
    if piece.generation > entry.generation {
        ledger
            .connection()
            .prepare_cached("DELETE FROM conversation WHERE task = ?1 AND generation < ?2")?
            .execute(params![id_bytes(&task), piece.generation])?;
        entry.generation = piece.generation;
        entry.next_position = 0;
    }
    ledger
        .connection()
        .prepare_cached("INSERT INTO conversation (task, generation, position, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            id_bytes(&task),
            piece.generation,
            entry.next_position,
            piece.body.as_ref()
        ])?;
    entry.next_position += 1;
    Ok(())
}

fn candidates(ledger: &Ledger) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = ledger.connection().prepare_cached(&format!(
        "SELECT id, principal, state, create_time FROM tasks WHERE {LIVE}"
    ))?;
    let rows = statement.query_map([], |row| {
        Ok(Candidate {
            task: task_id(row, 0)?,
            principal: PrincipalId::new(row.get::<_, String>(1)?),
            state: state(row, 2)?,
            create_time: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
