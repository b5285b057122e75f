//! Identifiers. Newtypes, so that a commit can't be passed where a branch is meant.
//!
//! Ids that a caller can name are random (122 bits): knowing one is not a right, but
//! guessing one must not be possible either.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new random id.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Returns the id as a UUID.
            pub fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// Names a Task; in the contract `tasks/{id}`, 32 hexadecimal digits.
    TaskId
}
uuid_id! {
    /// Names a sandbox; it outlives the run that made it when the server is restarted.
    SandboxId
}
uuid_id! {
    /// Names one server process; leases and container labels carry it.
    ServerId
}

impl TaskId {
    /// Returns the resource name of the contract, `tasks/{id}`.
    pub fn resource_name(&self) -> String {
        format!("tasks/{self}")
    }

    /// Returns the first eight digits, for branch names and people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text that the caller has checked, or that names nothing outside this process.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// Names an authenticated caller; `default` on a loopback server without tokens.
    PrincipalId
}
text_id! {
    /// Joins the start, the output and the end of one tool call; unique within a Task.
    CallId
}
text_id! {
    /// Names an artifact of a Task: `patch`, `log`, `exchanges`, or one made for a long output.
    ArtifactId
}

/// A git object id in lower-case hexadecimal, 40 or 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(String);

/// Text that is not a full object id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a full object id: expected 40 or 64 hexadecimal digits")]
pub struct InvalidObjectId;

impl ObjectId {
    /// Returns the hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            40 | 64 if is_hex => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(InvalidObjectId),
        }
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidObjectId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position of a durable event in its Task's log: 1, 2, 3… without a gap. Zero is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The position before the first event; also what live-only events carry.
    pub const ZERO: Self = Self(0);

    /// Returns the position that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fencing number of a lease: grows with each claim of a Task, so that a stale run can't write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A moment by the server's clock, in microseconds since the Unix epoch. For people and for
/// ordering across Tasks only; limits use the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the present moment.
    pub fn now() -> Self {
        Self::from(std::time::SystemTime::now())
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let micros = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Self(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_id_takes_full_ids_only() {
        let sha1 = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(sha1.parse::<ObjectId>().unwrap().as_str(), sha1.to_ascii_lowercase());
        assert!("f".repeat(64).parse::<ObjectId>().is_ok());
        for bad in ["", "abc", &"g".repeat(40), &"a".repeat(41)] {
            assert_eq!(bad.parse::<ObjectId>(), Err(InvalidObjectId), "{bad}");
        }
    }

    #[test]
    fn task_id_survives_its_own_text() {
        let id = TaskId::random();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        assert_eq!(id.resource_name(), format!("tasks/{id}"));
    }
}
