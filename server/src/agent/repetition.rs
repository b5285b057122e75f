//! Finds an agent that goes in circles.
//!
//! Numbers in a result do not count as a difference (times, process ids), or a failing test would look
//! new each time. A change to a file that was not made before is progress and clears all suspicion.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

const REMEMBERED_CALLS: usize = 12;
const SAME_CALLS: usize = 3;
const MAX_REMINDERS: u32 = 3;

/// What a call did to the work tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changed a file through a file tool.
    ChangedFile,
    /// It changed none, or nobody can tell.
    Unknown,
}

/// What to do after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing.
    None,
    /// Tell the model that it repeats itself.
    Remind,
    /// It was told often enough.
    GiveUp,
}

/// The last calls, as fingerprints.
#[derive(Debug, Default)]
pub(super) struct Repetition {
    recent: VecDeque<u64>,
    reminders: u32,
}

impl Repetition {
    /// Takes note of a call that ended.
    pub(super) fn observe(&mut self, tool: &str, arguments: &str, result: &str, effect: Effect) -> Suspicion {
        let print = fingerprint(tool, arguments, result);
        if effect == Effect::ChangedFile && !self.recent.contains(&print) {
            *self = Self::default();
        }
        self.recent.push_back(print);
        if self.recent.len() > REMEMBERED_CALLS {
            self.recent.pop_front();
        }
        if self.recent.iter().filter(|known| **known == print).count() < SAME_CALLS {
            return Suspicion::None;
        }
        self.recent.retain(|known| *known != print);
        self.reminders += 1;
        if self.reminders >= MAX_REMINDERS {
            Suspicion::GiveUp
        } else {
            Suspicion::Remind
        }
    }
}

fn fingerprint(tool: &str, arguments: &str, result: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tool, arguments).hash(&mut hasher);
    let mut in_number = false;
    for character in result.chars() {
        let is_digit = character.is_ascii_digit();
        if !(is_digit && in_number) {
            (if is_digit { '0' } else { character }).hash(&mut hasher);
        }
        in_number = is_digit;
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_run(repetition: &mut Repetition, seconds: u32) -> Suspicion {
        repetition.observe(
            "bash",
            "make test",
            &format!("1 failed in 0.{seconds} s"),
            Effect::Unknown,
        )
    }

    #[test]
    fn three_same_calls_bring_a_reminder_and_nine_the_end() {
        let mut repetition = Repetition::default();
        let seen: Vec<Suspicion> = (0..9).map(|round| test_run(&mut repetition, round * 7)).collect();
        let round = [Suspicion::None, Suspicion::None, Suspicion::Remind];
        assert_eq!(seen[..6], [round, round].concat());
        assert_eq!(seen[6..], [Suspicion::None, Suspicion::None, Suspicion::GiveUp]);
    }

    #[test]
    fn alternating_calls_are_a_circle_too() {
        let mut repetition = Repetition::default();
        let mut last = Suspicion::None;
        for _ in 0..3 {
            repetition.observe("read_file", "a", "x", Effect::Unknown);
            last = repetition.observe("read_file", "b", "y", Effect::Unknown);
        }
        assert_eq!(last, Suspicion::Remind);
    }

    #[test]
    fn a_new_edit_between_failing_tests_is_progress_but_the_same_edit_is_not() {
        let mut repetition = Repetition::default();
        for edit in 0..9 {
            repetition.observe("edit_file", &format!("edit {edit}"), "done", Effect::ChangedFile);
            assert_eq!(test_run(&mut repetition, 3), Suspicion::None);
        }
        let mut repetition = Repetition::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            repetition.observe("edit_file", "same", "done", Effect::ChangedFile);
            seen.push(test_run(&mut repetition, 3));
        }
        assert_eq!(seen.last(), Some(&Suspicion::Remind));
    }
}
