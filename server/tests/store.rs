//! The store: the suite of the port for SQLite, then what only an embedded store can get wrong.

#![expect(unreachable_pub, reason = "the suite is written as if it were a crate of its own")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests, not only what carries the attribute"
)]

#[path = "conformance/store.rs"]
mod conformance;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/feed.rs"]
mod feed;
#[path = "store/open.rs"]
mod open;

use std::sync::Arc;

use backspace_server::jobs::Jobs;
use backspace_server::store::sqlite::SqliteStore;
use tempfile::TempDir;

use conformance::Fixture;

/// A store in a folder of its own, which goes with the guard.
fn sqlite() -> Fixture {
    let (folder, store) = sqlite_in_folder();
    Fixture {
        store,
        _guard: Box::new(folder),
    }
}

fn sqlite_in_folder() -> (TempDir, Arc<SqliteStore>) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path(), Jobs::new()).unwrap();
    (folder, Arc::new(store))
}

store_conformance!(sqlite);
