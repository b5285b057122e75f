//! Secrets that no issuer's shape gives away: a telling name, a quoted or bare value, and randomness.
//!
//! Randomness alone says little (hashes, identifiers, encoded images), and a name alone says less, so
//! both are asked for, and values that only stand for one (`changeme`, `${TOKEN}`) are let pass.

use regex::bytes::Regex;

/// Least length of a value that is looked at.
const MIN_VALUE_BYTES: usize = 16;

/// Least entropy in bits for each byte: hexadecimal can't pass 4, random letters and digits of this length do.
const MIN_BITS: f64 = 3.4;

/// Words that show that a value only stands for one.
const STANDING_FOR: [&[u8]; 18] = [
    b"example",
    b"sample",
    b"changeme",
    b"change-me",
    b"change_me",
    b"placeholder",
    b"your",
    b"xxxx",
    b"dummy",
    b"fake",
    b"test",
    b"todo",
    b"redacted",
    b"insert",
    b"abcdef",
    b"12345678",
    b"secret",
    b"password",
];

/// Finds values by name and randomness.
#[derive(Debug)]
pub(super) struct Guess {
    assignment: Regex,
    url_password: Regex,
}

impl Guess {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let name = r"(?i-u)(?:secret|token|passwd|password|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|client[_-]?secret|credential)[a-z0-9_-]{0,24}";
        let sign = r#"["'`]?\s{0,8}(?::=|=>|=|:)\s{0,8}"#;
        let value = r#"(?:["'`]([A-Za-z0-9+/=_.~-]{16,256})["'`]|([A-Za-z0-9+/=_~-]{20,256})(?:\s|$))"#;
        Ok(Self {
            assignment: Regex::new(&format!("{name}{sign}{value}"))?,
            url_password: Regex::new(
                r"(?-u)[A-Za-z][A-Za-z0-9+.-]{1,20}://[A-Za-z0-9._~%-]{1,100}:([A-Za-z0-9._~%!$&*+=-]{16,200})@",
            )?,
        })
    }

    /// Returns what a line seems to have.
    pub(super) fn find(&self, line: &[u8]) -> Option<&'static str> {
        for found in self.assignment.captures_iter(line) {
            let value = found.get(1).or_else(|| found.get(2));
            if value.is_some_and(|value| is_random(value.as_bytes())) {
                return Some("a secret, by its name and its randomness");
            }
        }
        for found in self.url_password.captures_iter(line) {
            if found.get(1).is_some_and(|value| is_random(value.as_bytes())) {
                return Some("a password in an address");
            }
        }
        None
    }
}

fn is_random(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let stands_for = |word: &&[u8]| lower.windows(word.len()).any(|window| window == *word);
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    value.len() >= MIN_VALUE_BYTES
        && digits >= 3
        && letters >= 3
        && !STANDING_FOR.iter().any(stands_for)
        && entropy_bits(value) >= MIN_BITS
}

/// Shannon's entropy of the bytes' frequencies.
fn entropy_bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = bytes.len() as f64;
    let part = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_randomness_together_are_found() {
        let guess = Guess::new().unwrap();
        let random = ["q7Zr4Kx", "9Wm2Tb6", "Yd8Nf3"].concat();
        for line in [
            format!("API_TOKEN={random}"),
            format!("  \"clientSecret\": \"{random}\","),
            format!("db_password := `{random}`"),
            format!("private-key => '{random}'"),
            format!("url = postgres://app:{random}@db.internal/main"),
        ] {
            assert!(guess.find(line.as_bytes()).is_some(), "{line}");
        }
        for line in [
            format!("commit = \"{random}\""),
            format!("API_TOKEN = load(\"{random}\")"),
            "password = \"correct horse battery staple\"".into(),
            "token = \"aaaaaaaaaaaaaaaaaaaaaaa1234\"".into(),
            "url = postgres://app:password@localhost/main".into(),
        ] {
            assert_eq!(guess.find(line.as_bytes()), None, "{line}");
        }
    }
}
