//! Changes to the file of principals, for `backspace-server token`. What a person wrote stays: comments,
//! order and other entries.
//!
//! A token is seen once, when it is made; the file has its hash. The file is replaced whole, readable by
//! its owner alone, so that a server never reads half of it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};
use uuid::Uuid;

use super::parse;
use crate::api::auth::hash_token;

/// Digits of a hash that are shown, and that name a token to be revoked.
const SHOWN_DIGITS: usize = 12;

/// A file of principals to be changed.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    document: DocumentMut,
}

/// What is known of a principal whose token is made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// The principal, made when there is none of that name.
    pub name: String,
    /// Who it is, for people: `Name <address>`.
    pub requester: Option<String>,
    /// Patterns of repositories it may use; they are added.
    pub repositories: Vec<String>,
    /// Calls a minute that start work.
    pub starts_per_minute: Option<u32>,
}

/// A principal as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The first digits of the hashes of its tokens.
    pub tokens: Vec<String>,
    /// Patterns of repositories, when the file has any.
    pub repositories: Vec<String>,
}

/// Why a file can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is wrong before, or would be after, the change; nothing was written.
    #[error("{path}: {faults}; nothing was changed")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        faults: String,
    },
    /// There is no such principal or token.
    #[error("{what}; see `backspace-server token list`")]
    Unknown {
        /// What was looked for.
        what: String,
    },
}

impl TokenFile {
    /// Reads a file; one that is missing is empty.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(file_error(path, source)),
        };
        let document = text.parse().map_err(|error: toml_edit::TomlError| EditError::Invalid {
            path: path.to_owned(),
            faults: error.message().to_owned(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            document,
        })
    }

    /// Makes a token and returns it; it can't be shown again.
    pub fn create(&mut self, new: &NewToken) -> Result<String, EditError> {
        // 244 random bits of the system's generator.
        let token = format!("bsp_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let hash = hash_token(&token).to_string();
        self.change(&new.name, |entry| {
            if let Some(requester) = &new.requester {
                entry.insert("requester", value(requester));
            }
            if let Some(starts) = new.starts_per_minute {
                entry.insert("starts_per_minute", value(i64::from(starts)));
            }
            for pattern in &new.repositories {
                push(entry, "repositories", pattern);
            }
            push(entry, "token_sha256", &hash);
        });
        self.save()?;
        Ok(token)
    }

    /// Lists principals and what names their tokens.
    pub fn list(&self) -> Vec<Listed> {
        let principals = self.principals().into_iter().flatten();
        principals
            .map(|entry| Listed {
                name: text(entry, "name"),
                tokens: strings(entry, "token_sha256")
                    .iter()
                    .map(|hash| hash.chars().take(SHOWN_DIGITS).collect())
                    .collect(),
                repositories: strings(entry, "repositories"),
            })
            .collect()
    }

    /// Revokes one token of a principal, named by the first digits of its hash, or all; returns how many.
    ///
    /// A principal that nothing identifies any more leaves the file. Its Tasks stay.
    pub fn revoke(&mut self, name: &str, digits: Option<&str>) -> Result<usize, EditError> {
        let unknown = |what: String| EditError::Unknown { what };
        let Some(before) = self.principals().and_then(|principals| {
            let mut named = principals.iter().filter(|entry| text(entry, "name") == name);
            named.next().map(|entry| strings(entry, "token_sha256"))
        }) else {
            return Err(unknown(format!("there is no principal {name}")));
        };
        let goes = |hash: &str| digits.is_none_or(|digits| !digits.is_empty() && hash.starts_with(digits));
        let kept: Array = before.iter().filter(|hash| !goes(hash)).collect();
        let revoked = before.len() - kept.len();
        if revoked == 0 {
            let digits = digits.unwrap_or_default();
            return Err(unknown(format!("{name} has no token that begins with {digits:?}")));
        }
        let is_known_otherwise = self.principals().into_iter().flatten().any(|entry| {
            let others = ["certificate_names", "oidc_subjects"];
            text(entry, "name") == name && others.iter().any(|key| !strings(entry, key).is_empty())
        });
        if kept.is_empty() && !is_known_otherwise {
            if let Some(principals) = self
                .document
                .get_mut("principal")
                .and_then(Item::as_array_of_tables_mut)
            {
                principals.retain(|entry| text(entry, "name") != name);
            }
        } else {
            self.change(name, |entry| drop(entry.insert("token_sha256", value(kept))));
        }
        self.save()?;
        Ok(revoked)
    }

    fn principals(&self) -> Option<&ArrayOfTables> {
        self.document.get("principal").and_then(Item::as_array_of_tables)
    }

    /// Changes the entry of a principal, made when there is none.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Table)) {
        let tables = self.document.remove("principal");
        let mut tables = tables
            .and_then(|item| item.into_array_of_tables().ok())
            .unwrap_or_default();
        let known = tables.iter().position(|entry| text(entry, "name") == name);
        match known.and_then(|position| tables.get_mut(position)) {
            Some(entry) => change(entry),
            None => {
                let mut entry = Table::new();
                entry.insert("name", value(name));
                change(&mut entry);
                tables.push(entry);
            }
        }
        self.document.insert("principal", Item::ArrayOfTables(tables));
    }

    fn save(&self) -> Result<(), EditError> {
        let text = self.document.to_string();
        parse(&text).map_err(|faults| EditError::Invalid {
            path: self.path.clone(),
            faults: faults.join("; "),
        })?;
        let temporary = self.path.with_extension("new");
        let written = (|| {
            drop(fs::remove_file(&temporary));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        })();
        written.map_err(|source| file_error(&self.path, source))
    }
}

fn file_error(path: &Path, source: io::Error) -> EditError {
    EditError::File {
        path: path.to_owned(),
        source,
    }
}

fn text(entry: &Table, key: &str) -> String {
    entry.get(key).and_then(Item::as_str).unwrap_or_default().to_owned()
}

fn strings(entry: &Table, key: &str) -> Vec<String> {
    let items = entry.get(key).and_then(Item::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn push(entry: &mut Table, key: &str, text: &str) {
    let mut items: Array = strings(entry, key).into_iter().filter(|known| known != text).collect();
    items.push(text);
    entry.insert(key, value(items));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::api::auth::token_file::Principal;

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.into(),
            ..NewToken::default()
        }
    }

    fn names(principals: &[Principal]) -> Vec<&str> {
        principals
            .iter()
            .map(|principal| principal.caller.principal.as_str())
            .collect()
    }

    #[test]
    fn a_token_that_was_made_is_the_one_in_the_file_and_its_text_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        fs::write(&path, "# ours\n").unwrap();
        let mut file = TokenFile::open(&path).unwrap();
        let first = file
            .create(&NewToken {
                requester: Some("Alice <a@b.test>".into()),
                repositories: vec!["https://github.com/octo/*".into()],
                starts_per_minute: Some(3),
                ..new("alice")
            })
            .unwrap();
        let second = TokenFile::open(&path).unwrap().create(&new("alice")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("# ours\n"), "{text}");
        assert!(!text.contains(&first) && !text.contains(&second), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let principals = parse(&text).unwrap();
        assert_eq!(names(&principals), ["alice"]);
        let principal = &principals[0];
        assert_eq!(principal.tokens, [hash_token(&first), hash_token(&second)]);
        assert_eq!(principal.starts_per_minute, Some(3));
        assert_eq!(principal.caller.requester, "Alice <a@b.test>");
        assert_eq!(
            principal.caller.repositories,
            Some(vec!["https://github.com/octo/*".to_owned()])
        );
    }

    #[test]
    fn one_token_or_all_of_a_principal_are_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mut file = TokenFile::open(&path).unwrap();
        let kept = file.create(&new("alice")).unwrap();
        let gone = file.create(&new("alice")).unwrap();
        file.create(&new("bob")).unwrap();
        let digits: String = hash_token(&gone).to_string().chars().take(SHOWN_DIGITS).collect();
        assert_eq!(file.list()[0].tokens[1], digits);
        assert_eq!(file.revoke("alice", Some(&digits)).unwrap(), 1);
        let principals = parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(principals[0].tokens, [hash_token(&kept)]);
        assert_eq!(file.revoke("alice", None).unwrap(), 1);
        let principals = parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(names(&principals), ["bob"]);
        for (name, digits) in [("alice", None), ("bob", Some("")), ("bob", Some("zz"))] {
            let error = file.revoke(name, digits).unwrap_err();
            assert!(matches!(error, EditError::Unknown { .. }), "{error}");
        }
        assert_eq!(file.revoke("bob", None).unwrap(), 1);
        assert_eq!(file.list(), []);
    }

    #[test]
    fn what_would_be_wrong_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mut file = TokenFile::open(&path).unwrap();
        for name in ["", "two words", "a/b"] {
            let error = TokenFile::open(&path).unwrap().create(&new(name)).unwrap_err();
            assert!(matches!(error, EditError::Invalid { .. }), "{error}");
        }
        assert!(!path.exists());
        file.create(&new("alice")).unwrap();
        fs::write(&path, "[[principal]\n").unwrap();
        assert!(matches!(TokenFile::open(&path), Err(EditError::Invalid { .. })));
    }
}
