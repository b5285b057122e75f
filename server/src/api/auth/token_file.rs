//! The file of principals: who they are, how they are known, what they may do.
//!
//! TOML, one `[[principal]]` each, known by the hashes of tokens, by names in client certificates, or by
//! what an issuer calls it. A principal may have several of each, so that one can be replaced without a
//! moment in which neither works. With more than one principal nobody may use a repository
//! with the server's credential unless the file says so.

pub mod edit;

use std::fmt;

use serde::Deserialize;

use crate::orchestrator::Caller;
use crate::task::id::PrincipalId;

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// One principal of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What it is to the rest of the server.
    pub caller: Caller,
    /// Hashes of its tokens.
    pub tokens: Vec<TokenHash>,
    /// DNS and URI names in its client certificates.
    pub certificate_names: Vec<String>,
    /// What the issuer of OIDC tokens calls it.
    pub oidc_subjects: Vec<String>,
    /// Calls a minute that start work, when it has a number of its own.
    pub starts_per_minute: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    principal: Vec<PrincipalText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalText {
    name: String,
    #[serde(default)]
    token_sha256: Vec<String>,
    #[serde(default)]
    certificate_names: Vec<String>,
    #[serde(default)]
    oidc_subjects: Vec<String>,
    requester: Option<String>,
    repositories: Option<Vec<String>>,
    starts_per_minute: Option<u32>,
}

/// Parses a file and returns everything that is wrong with it at once. A file without principals is a good
/// one: the last token was revoked, and nobody may call.
pub fn parse(text: &str) -> Result<Vec<Principal>, Vec<String>> {
    let FileText { principal: entries } = toml::from_str(text).map_err(|error| vec![error.message().to_owned()])?;
    let mut faults = Vec::new();
    let is_shared = entries.len() > 1;
    let mut principals: Vec<Principal> = Vec::new();
    for entry in entries {
        let PrincipalText {
            name,
            token_sha256,
            certificate_names,
            oidc_subjects,
            requester,
            repositories,
            starts_per_minute,
        } = entry;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            faults.push("a name must be 1 to 64 letters, digits or one of `-_.@`".to_owned());
        }
        if principals.iter().any(|known| known.caller.principal.as_str() == name) {
            faults.push(format!("{name} is there twice; give one entry several tokens instead"));
        }
        if token_sha256.is_empty() && certificate_names.is_empty() && oidc_subjects.is_empty() {
            faults.push(format!(
                "{name} has no token_sha256, certificate_names or oidc_subjects"
            ));
        }
        for known in &principals {
            let is_shared = |mine: &[String], theirs: &[String]| mine.iter().any(|name| theirs.contains(name));
            if is_shared(&certificate_names, &known.certificate_names) {
                faults.push(format!("{name} has a certificate name of another principal"));
            }
            if is_shared(&oidc_subjects, &known.oidc_subjects) {
                faults.push(format!("{name} has an OIDC subject of another principal"));
            }
        }
        let mut tokens = Vec::new();
        for hash in &token_sha256 {
            match TokenHash::parse(hash) {
                None => faults.push(format!("{name}: token_sha256 must be 64 hexadecimal digits")),
                Some(hash) if principals.iter().any(|known| known.tokens.contains(&hash)) => {
                    faults.push(format!("{name} has a token of another principal"));
                }
                Some(hash) => tokens.push(hash),
            }
        }
        principals.push(Principal {
            caller: Caller {
                requester: requester.unwrap_or_else(|| name.clone()),
                principal: PrincipalId::new(name),
                repositories: if is_shared {
                    Some(repositories.unwrap_or_default())
                } else {
                    repositories
                },
            },
            tokens,
            certificate_names,
            oidc_subjects,
            starts_per_minute,
        });
    }
    if faults.is_empty() { Ok(principals) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::auth::hash_token;

    #[test]
    fn a_hash_survives_its_own_text() {
        let hash = hash_token("secret");
        assert_eq!(TokenHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(TokenHash::parse(&"é".repeat(32)), None);
        assert_eq!(TokenHash::parse("abc"), None);
        assert_eq!(format!("{hash:?}"), "TokenHash(…)");
    }

    #[test]
    fn a_sole_principal_may_use_every_repository() {
        let text = format!("[[principal]]\nname = \"ci\"\ntoken_sha256 = [\"{}\"]", hash_token("x"));
        let principals = parse(&text).unwrap();
        let expected = Principal {
            caller: Caller {
                principal: PrincipalId::new("ci"),
                requester: "ci".into(),
                repositories: None,
            },
            tokens: vec![hash_token("x")],
            certificate_names: vec![],
            oidc_subjects: vec![],
            starts_per_minute: None,
        };
        assert_eq!(principals, [expected]);
    }

    #[test]
    fn a_certificate_or_a_subject_is_enough_and_belongs_to_one_principal() {
        let text = |subject: &str| {
            format!(
                "[[principal]]\nname = \"a\"\ncertificate_names = [\"ci.test\", \"spiffe://c/ci\"]\n\
                 [[principal]]\nname = \"b\"\noidc_subjects = [\"repo:acme/x\"]\n\
                 [[principal]]\nname = \"c\"\ncertificate_names = [\"cd.test\"]\noidc_subjects = [{subject:?}]\n"
            )
        };
        let principals = parse(&text("repo:acme/y")).unwrap();
        assert_eq!(principals[0].certificate_names, ["ci.test", "spiffe://c/ci"]);
        assert_eq!(principals[2].oidc_subjects, ["repo:acme/y"]);
        assert_eq!(
            parse(&text("repo:acme/x")).unwrap_err(),
            ["c has an OIDC subject of another principal"]
        );
    }

    #[test]
    fn every_fault_of_a_file_is_reported_at_once() {
        let hash = hash_token("x");
        let text = format!(
            "[[principal]]\nname = \"a b\"\ntoken_sha256 = []\n\
             [[principal]]\nname = \"c\"\ntoken_sha256 = [\"zz\", \"{hash}\"]\n\
             [[principal]]\nname = \"c\"\ntoken_sha256 = [\"{hash}\"]\n"
        );
        assert_eq!(parse(&text).unwrap_err().len(), 5);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("[[principal]]\nname = 1").unwrap_err().len(), 1);
        assert_eq!(parse("token = 1").unwrap_err().len(), 1);
    }
}
