//! The feed: replay from the store, then live, as one cursor.

use crate::task::event::{Event, LivePayload};
use crate::task::id::Timestamp;

/// One thing that a watcher sees.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedItem {
    /// A stored event.
    Durable(Event),
    /// Something shown while it happens; never before the stored events that precede it.
    Live {
        /// When it happened.
        time: Timestamp,
        /// What.
        payload: LivePayload,
    },
}
