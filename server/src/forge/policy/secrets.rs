//! The secret scan: known values first, then the shapes of well-known ones, then guesses.
//!
//! It looks at one line at a time, as bytes. Its self-test at start plants an example of every rule: a
//! scan that is broken by a change must stop the server and not let secrets pass in silence.

use std::sync::Arc;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::forge::policy::PolicyError;
use crate::forge::policy::entropy::Guess;
use crate::forge::policy::rules::{HARMLESS, RULES};
use crate::secret::{Redactor, Secret};

/// Something that looks like a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// What, as in "looks like …".
    pub(super) rule: &'static str,
    /// True when only its name and randomness speak for it.
    pub(super) is_guess: bool,
}

/// Finds secrets in lines.
#[derive(Debug)]
pub(super) struct SecretScan {
    known: Arc<Redactor>,
    shapes: RegexSet,
    guess: Guess,
}

impl SecretScan {
    pub(super) fn new(known: Arc<Redactor>) -> Result<Self, PolicyError> {
        let broken = |error: regex::Error| PolicyError::SelfTest {
            message: error.to_string(),
        };
        let shapes = RegexSetBuilder::new(RULES.iter().map(|rule| rule.pattern))
            .unicode(false)
            .build()
            .map_err(broken)?;
        let guess = Guess::new().map_err(broken)?;
        Ok(Self { known, shapes, guess })
    }

    /// Returns the first thing in a line that looks like a secret.
    pub(super) fn scan(&self, line: &[u8]) -> Option<Hit> {
        if self.known.holds_value(line) {
            return Some(Hit {
                rule: "a secret that this server holds",
                is_guess: false,
            });
        }
        if let Some(rule) = self
            .shapes
            .matches(line)
            .iter()
            .next()
            .and_then(|index| RULES.get(index))
        {
            return Some(Hit {
                rule: rule.name,
                is_guess: false,
            });
        }
        self.guess.find(line).map(|rule| Hit { rule, is_guess: true })
    }

    /// Plants an example of every rule, a known value in two forms, a guess, and harmless lines.
    pub(super) fn self_test(&self) -> Result<(), PolicyError> {
        let failed = |message: String| Err(PolicyError::SelfTest { message });
        for rule in &RULES {
            let line = format!("x = \"{}\"", rule.example.concat());
            let hit = self.shapes.matches(line.as_bytes());
            if !hit
                .iter()
                .any(|index| RULES.get(index).is_some_and(|found| found.name == rule.name))
            {
                return failed(format!("it did not find {}", rule.name));
            }
        }
        let planted = ["correct", "-horse-", "battery"].concat();
        let known = Self::new(Arc::new(Redactor::new([Secret::new(planted.as_str())])))?;
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &planted);
        for form in [planted, encoded] {
            if known
                .scan(format!("a {form} b").as_bytes())
                .is_none_or(|hit| hit.is_guess)
            {
                return failed("it did not find a value that the server holds".into());
            }
        }
        let random = ["q7Zr4Kx", "9Wm2Tb6", "Yd8Nf3"].concat();
        if self.guess.find(format!("api_key = \"{random}\"").as_bytes()).is_none() {
            return failed("it did not find a random value with a telling name".into());
        }
        for line in HARMLESS {
            if let Some(hit) = self.scan(line.as_bytes()) {
                return failed(format!("it took `{line}` for {}", hit.rule));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_passes_and_fails_when_a_rule_is_broken() {
        let mut scan = SecretScan::new(Arc::new(Redactor::default())).unwrap();
        scan.self_test().unwrap();
        scan.shapes = RegexSet::new(RULES.iter().skip(1).map(|rule| rule.pattern)).unwrap();
        assert!(scan.self_test().is_err());
    }

    #[test]
    fn names_of_rules_are_distinct() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn secrets_are_found_among_bytes_that_are_no_text() {
        let scan = SecretScan::new(Arc::new(Redactor::default())).unwrap();
        let mut line = b"\xff\0\x80 ".to_vec();
        line.extend(RULES[1].example.concat().bytes());
        line.extend(b"\0\xfe");
        assert_eq!(scan.scan(&line).unwrap().rule, "a GitHub token");
    }
}
