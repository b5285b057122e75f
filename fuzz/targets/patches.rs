//! What a model writes as a patch, and what the file then is: a change or a fault that says something.
//!
//! The first byte says where the patch ends and the file begins.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The modules as they are: all of the server would have to be built for them otherwise.
#[path = "../../server/src/task"]
#[allow(dead_code, unreachable_pub)]
mod task {
    pub(crate) mod text_cut;
}

#[path = "../../server/src/agent"]
#[allow(dead_code, unreachable_pub)]
mod agent {
    pub(crate) mod tool {
        mod hunk;
        mod v4a;

        use v4a::{Change, Line};

        pub(crate) fn try_patch(patch: &str, file: &str) {
            let changes = match v4a::parse(patch) {
                Err(fault) => return assert!(!fault.is_empty()),
                Ok(changes) => changes,
            };
            assert!(!changes.is_empty());
            for change in &changes {
                assert!(change.paths().all(|path| !path.is_empty()), "{change:?}");
                let Change::Update { hunks, .. } = change else {
                    continue;
                };
                let keeps = |line: &Line| matches!(line, Line::Keep(_));
                match hunk::apply(file, hunks) {
                    Err(fault) => assert!(!fault.is_empty()),
                    // What is only found leaves the file as it was.
                    Ok(text) if hunks.iter().all(|hunk| hunk.lines.iter().all(keeps)) => assert_eq!(text, file),
                    Ok(_) => {}
                }
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((place, rest)) = input.split_first() else {
        return;
    };
    let (patch, file) = rest.split_at(rest.len() * usize::from(*place) / 256);
    agent::tool::try_patch(&String::from_utf8_lossy(patch), &String::from_utf8_lossy(file));
});
