//! Damage to the files: a power cut at any byte of the write-ahead log, pages lost, a file cut short.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backspace_server::jobs::Jobs;
use backspace_server::store::sqlite::{OpenError, SqliteStore};
use backspace_server::store::{StoreError, TaskStore as _};
use backspace_server::task::event::Event;
use backspace_server::task::id::{Sequence, TaskId};
use tempfile::TempDir;

use crate::conformance::{Store, claimed, events, warning, whole_log};
use crate::sqlite_in_folder;

const DATABASE: &str = "backspace.sqlite";
const LOG: &str = "backspace.sqlite-wal";
const APPENDS: usize = 25;

/// Opens a store that consists of these two files.
fn open(database: &[u8], log: &[u8]) -> (TempDir, Result<SqliteStore, OpenError>) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(DATABASE), database).unwrap();
    if !log.is_empty() {
        fs::write(folder.path().join(LOG), log).unwrap();
    }
    let store = SqliteStore::open(folder.path(), Jobs::new());
    (folder, store)
}

async fn stored(database: &[u8], log: &[u8], task: TaskId) -> Vec<Event> {
    let (_folder, store) = open(database, log);
    let store = Arc::new(store.unwrap());
    let port: Store = store.clone();
    let events = whole_log(&port, task, 1000).await;
    let record = port.task(task).await.unwrap().unwrap();
    assert_eq!(record.last_sequence, Sequence(events.len() as u64));
    store.close().await;
    events
}

#[tokio::test]
async fn a_power_cut_at_any_byte_of_the_log_loses_nothing_acknowledged() {
    let (folder, store) = sqlite_in_folder();
    let port: Store = store.clone();
    let lease = claimed(&port).await;
    let size = |name: &str| usize::try_from(fs::metadata(folder.path().join(name)).unwrap().len()).unwrap();
    // What was synced when the n-th append was acknowledged is the log up to here.
    let mut synced = vec![size(LOG)];
    for number in 0..APPENDS {
        // Some need more than one page.
        let text = format!("{number} ").repeat(1 + number * 97);
        port.append(lease, events([warning(text)])).await.unwrap();
        synced.push(size(LOG));
    }
    let database = fs::read(folder.path().join(DATABASE)).unwrap();
    let log = fs::read(folder.path().join(LOG)).unwrap();
    let whole = whole_log(&port, lease.task, 1000).await;
    assert_eq!(stored(&database, &log, lease.task).await, whole);

    for (acknowledged, bounds) in synced.windows(2).enumerate() {
        let [from, to] = [bounds[0], bounds[1]];
        assert!(from < to, "append {acknowledged} wrote nothing");
        for cut in [from, from + 1, from + (to - from) / 2, to - 1] {
            let expected = &whole[..acknowledged + 1];
            assert_eq!(stored(&database, &log[..cut], lease.task).await, expected, "{cut}");
            // The disk may have kept the length of what was not synced, with anything in it.
            let mut garbled = log[..cut].to_vec();
            garbled.resize(to, 0xa5);
            assert_eq!(stored(&database, &garbled, lease.task).await, expected, "{cut} garbled");
        }
    }
}

/// A closed store with some hundred events, as one file.
async fn closed_store() -> (Vec<u8>, TaskId, Vec<Event>) {
    let (folder, store) = sqlite_in_folder();
    let port: Store = store.clone();
    let lease = claimed(&port).await;
    for number in 0..30 {
        let texts = (0..10).map(|index| warning(format!("{number}/{index} ").repeat(1 + number * index)));
        port.append(lease, events(texts)).await.unwrap();
    }
    let whole = whole_log(&port, lease.task, 1000).await;
    store.close().await;
    assert!(!folder.path().join(LOG).exists(), "closing leaves one file");
    (fs::read(folder.path().join(DATABASE)).unwrap(), lease.task, whole)
}

fn is_damaged(folder: &Path, result: &Result<SqliteStore, OpenError>) -> bool {
    match result {
        Ok(_) => false,
        Err(error @ OpenError::Damaged { .. }) => {
            let message = error.to_string();
            assert!(message.contains(&folder.display().to_string()), "{message}");
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_lost_page_stops_the_start_or_shows_when_it_is_read() {
    let (database, task, whole) = closed_store().await;
    assert_eq!(stored(&database, &[], task).await, whole);
    let page = usize::from(u16::from_be_bytes([database[16], database[17]]));
    let pages = database.len() / page;
    assert!(pages > 30, "{pages}");
    let mut stopped = 0;
    for lost in 0..pages {
        let mut damaged = database.clone();
        damaged[lost * page..(lost + 1) * page].fill(0);
        let (folder, result) = open(&damaged, &[]);
        if is_damaged(folder.path(), &result) {
            stopped += 1;
            continue;
        }
        // The page had no structure to check. It must not pass as a log with other events.
        let store = result.unwrap();
        let mut read = Vec::new();
        loop {
            match store.events(task, Sequence(read.len() as u64), 1000).await {
                Ok(page) if page.events.is_empty() => break,
                Ok(page) => read.extend(page.events),
                Err(StoreError::Internal { .. }) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(whole.starts_with(&read), "page {lost}");
    }
    println!("{stopped} of {pages} lost pages stopped the start");
    assert!(stopped * 2 > pages, "{stopped} of {pages}");
}

#[tokio::test]
async fn a_file_cut_short_stops_the_start() {
    let (database, ..) = closed_store().await;
    for kept in [100, 4096, database.len() / 2, database.len() - 4096] {
        let (folder, result) = open(&database[..kept], &[]);
        assert!(is_damaged(folder.path(), &result), "{kept}");
    }
}
