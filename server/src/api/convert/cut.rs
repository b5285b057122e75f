//! Cutting Tasks to size: for the event that ends a stream, and for lists.
//!
//! Facts (evidence, findings, names) are kept before texts: a person can read the whole text with
//! ReadArtifact or GetTask, but can't see what is missing from a list of facts.

use backspace_sdk::v1;
use prost::Message as _;

use crate::task::event::{MAX_EVENT_TEXT_BYTES, floor_char_boundary};

/// Most bytes of an instruction inside an event.
const EVENT_INSTRUCTION_BYTES: usize = 8 * 1024;
/// Most bytes of a summary inside an event.
const EVENT_SUMMARY_BYTES: usize = 16 * 1024;
/// Least bytes of a patch worth sending.
const LEAST_PATCH_BYTES: usize = 1024;
/// Most bytes of an instruction in a list.
const LIST_INSTRUCTION_BYTES: usize = 1024;

/// Cuts instruction, summary and patches until the Task fits an event.
pub(crate) fn to_event_size(mut task: v1::Task) -> v1::Task {
    if let Some(spec) = &mut task.spec {
        shorten(&mut spec.instruction, EVENT_INSTRUCTION_BYTES);
    }
    if let Some(v1::task::Outcome::Result(result)) = &mut task.outcome {
        shorten(&mut result.summary, EVENT_SUMMARY_BYTES);
    }
    for index in 0..2 {
        let excess = task.encoded_len().saturating_sub(MAX_EVENT_TEXT_BYTES);
        let Some((patch, truncated)) = patches(&mut task).into_iter().nth(index) else {
            break;
        };
        if excess > 0 && !patch.is_empty() {
            let keep = patch.len().saturating_sub(excess);
            shorten(patch, if keep < LEAST_PATCH_BYTES { 0 } else { keep });
            *truncated = true;
        }
    }
    task
}

/// Cuts what the contract says may be cut in lists.
pub(crate) fn to_list_size(mut task: v1::Task) -> v1::Task {
    if let Some(spec) = &mut task.spec {
        shorten(&mut spec.instruction, LIST_INSTRUCTION_BYTES);
    }
    for (patch, truncated) in patches(&mut task) {
        *truncated |= !patch.is_empty();
        patch.clear();
    }
    task
}

/// The patches of a Task, with the flags that say whether each is cut.
fn patches(task: &mut v1::Task) -> Vec<(&mut String, &mut bool)> {
    let mut patches = Vec::new();
    if let Some(v1::task::Outcome::Result(result)) = &mut task.outcome {
        patches.push((&mut result.patch, &mut result.patch_truncated));
    }
    if let Some(work) = &mut task.preserved_work {
        patches.push((&mut work.patch, &mut work.patch_truncated));
    }
    patches
}

fn shorten(text: &mut String, most: usize) {
    text.truncate(floor_char_boundary(text, most));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: usize, patch: usize) -> v1::Task {
        v1::Task {
            spec: Some(v1::TaskSpec {
                instruction: "i".repeat(text),
                ..v1::TaskSpec::default()
            }),
            outcome: Some(v1::task::Outcome::Result(v1::TaskResult {
                summary: "s".repeat(text),
                patch: "é".repeat(patch / 2),
                ..v1::TaskResult::default()
            })),
            preserved_work: Some(v1::PreservedWork {
                patch: "p".repeat(patch),
                ..v1::PreservedWork::default()
            }),
            ..v1::Task::default()
        }
    }

    #[test]
    fn a_task_that_fits_is_sent_whole() {
        assert_eq!(to_event_size(task(100, 20_000)), task(100, 20_000));
    }

    #[test]
    fn a_large_task_is_cut_to_the_size_of_an_event_and_says_so() {
        for (text, patch) in [
            (32 * 1024, 64 * 1024),
            (0, 64 * 1024),
            (64 * 1024, 0),
            (32 * 1024, 30_000),
        ] {
            let cut = to_event_size(task(text, patch));
            assert!(
                cut.encoded_len() <= MAX_EVENT_TEXT_BYTES + 64,
                "{text} {patch}: {}",
                cut.encoded_len()
            );
            let Some(v1::task::Outcome::Result(result)) = &cut.outcome else {
                panic!("the outcome is kept");
            };
            let work = cut.preserved_work.as_ref().unwrap();
            for (left, truncated, whole) in [
                (&result.patch, result.patch_truncated, patch),
                (&work.patch, work.patch_truncated, patch),
            ] {
                assert_eq!(truncated, left.len() < whole, "{text} {patch}");
            }
        }
    }

    #[test]
    fn lists_carry_no_patches_and_short_instructions() {
        let cut = to_list_size(task(5000, 3000));
        assert_eq!(cut.spec.unwrap().instruction.len(), 1024);
        let work = cut.preserved_work.unwrap();
        assert_eq!((work.patch.as_str(), work.patch_truncated), ("", true));
        assert!(!to_list_size(task(5, 0)).preserved_work.unwrap().patch_truncated);
    }
}
