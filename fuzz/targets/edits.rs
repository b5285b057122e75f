//! An edit as a model asks for it: one place is replaced and nothing else, or the answer says what is there.
//!
//! The first two bytes say where the file, the old and the new text end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_supervisor::protocol::{self, FileError};

#[path = "../../sandbox-supervisor/src/supervisor/edit.rs"]
mod edit;

fuzz_target!(|input: &[u8]| {
    let [first, second, rest @ ..] = input else {
        return;
    };
    let (file, rest) = rest.split_at(rest.len() * usize::from(*first) / 256);
    let (old, new) = rest.split_at(rest.len() * usize::from(*second) / 256);
    let [file, old, new] = [file, old, new].map(String::from_utf8_lossy);
    match edit::replace("f", &file, &old, &new) {
        Ok((text, line)) => {
            let at = file.find(&*old).expect("what is replaced is there");
            assert_eq!(text, [&file[..at], &new, &file[at + old.len()..]].concat());
            assert_eq!(line, file[..at].matches('\n').count() as u64 + 1);
        }
        Err(protocol::FileError::ManyMatches { lines, .. }) => {
            assert!(lines.len() > 1 && lines.is_sorted());
            assert!(file.matches(&*old).count() > 1);
        }
        Err(FileError::NoMatch { hint, .. }) => {
            assert!(!hint.is_empty());
            assert!(old.is_empty() || !file.contains(&*old));
        }
        Err(other) => panic!("{other:?}"),
    }
});
