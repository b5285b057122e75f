//! What a hostile supervisor can make the server read: the payload of every frame that has one.
//!
//! A message that is read must survive being written and read again; the first byte is the frame's kind.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_supervisor::protocol::{ChangesReply, ExecDone, FatalError, FileOutcome, Hello, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    match *kind {
        kind::HELLO => same_again::<Hello>(payload),
        kind::EXEC_DONE => same_again::<ExecDone>(payload),
        kind::FILE_DONE => same_again::<FileOutcome>(payload),
        kind::CHANGES_DONE => same_again::<ChangesReply>(payload),
        kind::FATAL => same_again::<FatalError>(payload),
        _ => {}
    }
});

fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(payload: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(payload) {
        let bytes = serde_json::to_vec(&message).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&bytes).unwrap(), message);
    }
}
