//! SIGKILL while acknowledged appends go on: each acknowledged one is there, and nothing has a gap.
//!
//! The child is this test binary, told by a variable to be one. It says what was acknowledged on its
//! standard output, after the acknowledgement, so the parent knows a part of it at most.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use backspace_server::jobs::Jobs;
use backspace_server::store::sqlite::SqliteStore;
use backspace_server::task::event::EventPayload;
use backspace_server::task::id::{Sequence, TaskId};
use tempfile::TempDir;

use crate::conformance::{Store, claim, events, submit, warning, whole_log};

const CHILD_FOLDER: &str = "BACKSPACE_TEST_STORE_CRASH_FOLDER";
const TASKS: usize = 4;
const KILLS: usize = 25;

type Acknowledged = BTreeMap<(TaskId, Sequence), String>;

#[test]
fn every_acknowledged_append_survives_sigkill() {
    let folder = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged = Acknowledged::new();
    let mut unacknowledged = 0;
    for round in 0..KILLS {
        // Different moments, from the first append on; the group commits differ with them.
        let before = acknowledged.len();
        run_child_until(folder.path(), 1 + (round * 37) % 60, &mut acknowledged);
        assert!(acknowledged.len() > before, "round {round} acknowledged nothing");
        unacknowledged = runtime.block_on(check(folder.path(), &acknowledged));
    }
    println!(
        "{KILLS} kills, {} acknowledged, {unacknowledged} more on disk",
        acknowledged.len()
    );
}

/// Starts a child, waits for so many acknowledgements, kills it, and takes note of all that it said.
fn run_child_until(folder: &Path, count: usize, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut seen) = (String::new(), 0);
    while output.read_line(&mut line).unwrap() > 0 {
        // A line that the kill has cut off says nothing.
        let text = line.strip_suffix('\n').and_then(|line| line.strip_prefix("ack "));
        if let Some((task, rest)) = text.and_then(|text| text.split_once(' ')) {
            let (sequence, message) = rest.split_once(' ').unwrap();
            let key = (task.parse().unwrap(), Sequence(sequence.parse().unwrap()));
            assert_eq!(
                acknowledged.insert(key, message.into()),
                None,
                "{key:?} was given out twice"
            );
            seen += 1;
            if seen == count {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    assert!(!child.wait().unwrap().success());
}

/// Checks the store against what was acknowledged; returns how many events nobody was told of.
async fn check(folder: &Path, acknowledged: &Acknowledged) -> usize {
    let store = Arc::new(SqliteStore::open(folder, Jobs::new()).unwrap());
    let port: Store = store.clone();
    let mut logs = BTreeMap::new();
    for ((task, sequence), message) in acknowledged {
        if !logs.contains_key(task) {
            let log = whole_log(&port, *task, 1000).await;
            let record = port.task(*task).await.unwrap().unwrap();
            assert_eq!(record.last_sequence, Sequence(log.len() as u64));
            logs.insert(*task, log);
        }
        let index = usize::try_from(sequence.0).unwrap() - 1;
        let event = logs[task]
            .get(index)
            .unwrap_or_else(|| panic!("{sequence} of {task} is lost"));
        assert_eq!(event.payload, warning(message));
    }
    store.close().await;
    let stored = logs
        .values()
        .flatten()
        .filter(|event| matches!(event.payload, EventPayload::Warning { .. }));
    stored.count() - acknowledged.len()
}

/// Not a test of its own: what the child of the test above does, until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let jobs = Jobs::new();
        let store: Store = Arc::new(SqliteStore::open(Path::new(&folder), jobs.clone()).unwrap());
        let load = store.load().await.unwrap();
        for time in load.queued..TASKS as u64 {
            submit(&store, "a", i64::try_from(time).unwrap()).await;
        }
        let mut appenders = Vec::new();
        for _ in 0..TASKS {
            // All leases of the killed process are void, or this would find none.
            let lease = claim(&store).await.unwrap().lease;
            let store = store.clone();
            appenders.push(jobs.spawn("appender", async move {
                for number in 0_u64.. {
                    let message = format!("epoch {} number {number}", lease.epoch.0);
                    let record = store.append(lease, events([warning(&message)])).await.unwrap();
                    let line = format!("ack {} {} {message}\n", lease.task, record.last_sequence);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            }));
        }
        for appender in appenders {
            appender.await.unwrap();
        }
    });
}
