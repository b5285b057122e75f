//! Lists of host patterns, as settings, requests and repositories state them.
//!
//! `none` stands for an empty list said on purpose: a request that asks for it gets no network even where its
//! repository asks for some.

use std::fmt;

use super::{Destination, HostError, HostPattern, presets};

/// Says on purpose that no host is allowed.
pub const NONE: &str = "none";

/// Patterns; a destination is allowed when one of them allows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules(Vec<HostPattern>);

impl HostRules {
    /// Reads entries, each a pattern, a group like `@npm`, or `none`; returns every fault with its index.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, Vec<(usize, HostError)>> {
        let mut patterns = Vec::new();
        let mut faults = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match parse_entry(entry.as_ref()) {
                Ok(more) => patterns.extend(more),
                Err(error) => faults.push((index, error)),
            }
        }
        if faults.is_empty() {
            Ok(Self(patterns))
        } else {
            Err(faults)
        }
    }

    /// Returns whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a destination is allowed.
    pub fn allows(&self, destination: &Destination) -> bool {
        self.0.iter().any(|pattern| pattern.allows(destination))
    }

    /// Returns whether everything that a pattern allows is allowed here, by one pattern.
    pub fn covers(&self, asked: &HostPattern) -> bool {
        self.0.iter().any(|pattern| pattern.covers(asked))
    }

    /// Returns what of the other list is allowed here, and the rest of it.
    pub fn divide(&self, asked: Self) -> (Self, Self) {
        let (inside, outside) = asked.0.into_iter().partition(|pattern| self.covers(pattern));
        (Self(inside), Self(outside))
    }

    /// Returns the patterns as text.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(HostPattern::to_string).collect()
    }
}

impl fmt::Display for HostRules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("no host");
        }
        formatter.write_str(&self.to_texts().join(", "))
    }
}

/// Returns what is wrong with one entry.
pub fn entry_fault(entry: &str) -> Option<HostError> {
    parse_entry(entry).err()
}

fn parse_entry(entry: &str) -> Result<Vec<HostPattern>, HostError> {
    if entry == NONE {
        return Ok(Vec::new());
    }
    match entry.strip_prefix('@') {
        None => HostPattern::parse(entry).map(|pattern| vec![pattern]),
        Some(name) => presets::patterns(name)
            .ok_or(HostError::UnknownPreset)?
            .into_iter()
            .map(HostPattern::parse)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[&str]) -> HostRules {
        HostRules::parse(entries).unwrap()
    }

    #[test]
    fn groups_stand_for_their_patterns() {
        let rules = rules(&["@npm", "none", "a.org"]);
        assert_eq!(rules.to_string(), "registry.npmjs.org, registry.yarnpkg.com, a.org");
        assert!(rules.allows(&Destination::parse("registry.npmjs.org:443", None).unwrap()));
        assert!(!rules.allows(&Destination::parse("pypi.org:443", None).unwrap()));
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = HostRules::parse(&["a.org", "https://b.org", "@nothing", "c.org:0"]).unwrap_err();
        assert_eq!(
            faults,
            [
                (1, HostError::Grammar),
                (2, HostError::UnknownPreset),
                (3, HostError::Port)
            ]
        );
    }

    #[test]
    fn a_list_is_divided_by_what_another_covers() {
        let (inside, outside) = rules(&["@npm", "*.a.org"]).divide(rules(&["registry.npmjs.org", "a.org", "b.a.org"]));
        assert_eq!(inside, rules(&["registry.npmjs.org", "b.a.org"]));
        assert_eq!(outside, rules(&["a.org"]));
        assert_eq!(HostRules::default().to_string(), "no host");
    }
}
