//! Opening: one server a folder, reopening, schemas of other releases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use backspace_server::jobs::Jobs;
use backspace_server::store::StoreError;
use backspace_server::store::sqlite::{OpenError, SqliteStore};
use backspace_server::task::id::{Epoch, Sequence};
use tempfile::TempDir;

use crate::conformance::{Store, claim, claimed, events, messages, warning, whole_log};
use crate::sqlite_in_folder;

const DATABASE: &str = "backspace.sqlite";

fn open(folder: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(folder, Jobs::new())
}

#[tokio::test]
async fn a_second_server_is_refused_with_the_folder_and_the_process() {
    let (folder, store) = sqlite_in_folder();
    let refused = open(folder.path()).err().unwrap().to_string();
    let expected = format!(
        "the data folder {} is in use by another server (process {}); stop that one or choose another folder",
        folder.path().display(),
        std::process::id()
    );
    assert_eq!(refused, expected);
    store.close().await;
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_reopened_store_has_everything_and_no_lease() {
    let (folder, store) = sqlite_in_folder();
    let port: Store = store.clone();
    let lease = claimed(&port).await;
    let record = port.append(lease, events([warning("a"), warning("b")])).await.unwrap();
    store.close().await;

    let port: Store = std::sync::Arc::new(open(folder.path()).unwrap());
    assert_eq!(port.task(lease.task).await.unwrap(), Some(record.clone()));
    assert_eq!(messages(&whole_log(&port, lease.task, 10).await), ["a", "b"]);
    let void = port.append(lease, events([warning("zombie")])).await;
    assert!(matches!(void, Err(StoreError::LeaseLost)), "{void:?}");
    let again = claim(&port).await.unwrap();
    assert_eq!((again.lease.task, again.lease.epoch), (lease.task, Epoch(2)));
    let next = port.append(again.lease, events([warning("c")])).await.unwrap();
    assert_eq!(next.last_sequence, Sequence(4));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_was() {
    let (folder, store) = sqlite_in_folder();
    store.close().await;
    let path = folder.path().join(DATABASE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let refused = open(folder.path()).err().unwrap();
    assert!(
        matches!(
            refused,
            OpenError::Newer {
                found: 99,
                known: 1,
                ..
            }
        ),
        "{refused:?}"
    );
    let expected = format!(
        "the store in {} has schema 99 and this release knows 1; start the release that wrote it, or a newer one",
        folder.path().display()
    );
    assert_eq!(refused.to_string(), expected);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(DATABASE);
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE a (x)")
        .unwrap();
    assert!(matches!(open(folder.path()), Err(OpenError::Foreign { .. })));
    std::fs::write(&path, "not a database, but long enough to have a header ".repeat(100)).unwrap();
    assert!(matches!(open(folder.path()), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "").unwrap();
    let refused = open(&path.join("data")).err().unwrap();
    assert!(matches!(&refused, OpenError::Folder { .. }), "{refused:?}");
    let expected = format!("the data folder {} can't be used", path.join("data").display());
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn nobody_else_can_read_what_is_stored() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("data");
    let store: Store = std::sync::Arc::new(open(&folder).unwrap());
    claimed(&store).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "backspace.lock",
            "backspace.sqlite",
            "backspace.sqlite-shm",
            "backspace.sqlite-wal"
        ]
    );
}
