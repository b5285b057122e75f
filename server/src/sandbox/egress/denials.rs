//! Refusals of one sandbox on their way into its Task's events: each once, and not without end.

use std::collections::HashSet;

use super::super::Denial;

/// Different refusals that are told of one sandbox.
const MAX_DENIALS: usize = 100;

/// Longest message of one.
const MAX_MESSAGE_BYTES: usize = 500;

/// What was refused.
#[derive(Debug, Default)]
pub(super) struct Denials {
    new: Vec<Denial>,
    told: HashSet<(String, String)>,
}

impl Denials {
    /// Keeps a refusal and returns true, unless it is known. After too many different ones only that is told.
    pub(super) fn add(&mut self, mut denial: Denial) -> bool {
        if denial.message.len() > MAX_MESSAGE_BYTES {
            let end = (0..=MAX_MESSAGE_BYTES)
                .rev()
                .find(|end| denial.message.is_char_boundary(*end));
            denial.message.truncate(end.unwrap_or(0));
            denial.message.push('…');
        }
        if self.told.len() >= MAX_DENIALS {
            denial = Denial {
                subject: "(more)".into(),
                message: format!("more than {MAX_DENIALS} different connections were refused; the rest is not listed"),
            };
        }
        let is_new = self.told.insert((denial.subject.clone(), denial.message.clone()));
        if is_new {
            self.new.push(denial);
        }
        is_new
    }

    /// Returns what came since the last call.
    pub(super) fn take(&mut self) -> Vec<Denial> {
        std::mem::take(&mut self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(subject: impl Into<String>) -> Denial {
        Denial {
            subject: subject.into(),
            message: "is not allowed".into(),
        }
    }

    #[test]
    fn each_refusal_is_told_once() {
        let mut denials = Denials::default();
        assert!(denials.add(denial("a.org:443")));
        assert!(denials.add(denial("b.org:443")));
        assert!(!denials.add(denial("a.org:443")));
        assert_eq!(denials.take(), [denial("a.org:443"), denial("b.org:443")]);
        denials.add(denial("a.org:443"));
        assert_eq!(denials.take(), []);
    }

    #[test]
    fn a_flood_is_bounded_and_says_so() {
        let mut denials = Denials::default();
        for number in 0..10_000 {
            denials.add(denial(format!("{number}.org:443")));
        }
        let taken = denials.take();
        assert_eq!(taken.len(), MAX_DENIALS + 1);
        assert_eq!(taken.last().unwrap().subject, "(more)");
        assert_eq!(denials.told.len(), MAX_DENIALS + 1);
    }

    #[test]
    fn a_long_message_is_cut() {
        let mut denials = Denials::default();
        denials.add(Denial {
            subject: "a".into(),
            message: "ä".repeat(1000),
        });
        let taken = denials.take();
        assert_eq!(taken[0].message, format!("{}…", "ä".repeat(MAX_MESSAGE_BYTES / 2)));
    }
}
