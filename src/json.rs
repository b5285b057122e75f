//! Canonical protobuf JSON for every message of the contract.
//!
//! By reflection over the descriptor set rather than by serde derives on the generated types: field
//! names, 64-bit integers as strings, bytes as base64, RFC 3339 times and durations such as `1.5s` then
//! follow the specification of protobuf for every message, also for those added later.
//!
//! An enum number this build does not know is written as a number and read back as it was. Names that
//! are not known are refused by [`from_json`], which is for input somebody typed, and skipped by
//! [`from_json_of_a_peer`], which is for what a newer server says.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use thiserror::Error;

/// Why a message could not be turned into JSON or back.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The type is not part of the contract.
    #[error("message type {name} is not part of the contract")]
    UnknownType {
        /// The full name asked for.
        name: String,
    },
    /// The JSON does not fit the message.
    #[error("the JSON is no {name}: {source}")]
    Malformed {
        /// The full name of the message wanted.
        name: String,
        /// What is wrong, and where in the text if it was one.
        #[source]
        source: serde_json::Error,
    },
    /// The message and its description disagree, which is a defect of this build.
    #[error("{name} does not match its description: {reason}")]
    Mismatch {
        /// The full name of the message.
        name: String,
        /// What the two disagree about.
        reason: String,
    },
}

/// Whether fields that are at their default are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// Leaves them out, as protobuf does by default.
    Omitted,
    /// Writes them, so that a script finds every field without presence.
    Written,
}

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).ok());

/// Returns a message as canonical protobuf JSON; fields at their default are left out.
pub fn to_json<M: Message + Name>(message: &M) -> Result<Value, JsonError> {
    to_json_with(message, Defaults::Omitted)
}

/// Returns a message as canonical protobuf JSON.
pub fn to_json_with<M: Message + Name>(message: &M, defaults: Defaults) -> Result<Value, JsonError> {
    let name = M::full_name();
    let mut dynamic = DynamicMessage::new(descriptor(&name)?);
    dynamic.transcode_from(message).map_err(|error| JsonError::Mismatch {
        name: name.clone(),
        reason: error.to_string(),
    })?;
    let options = SerializeOptions::new().skip_default_fields(defaults == Defaults::Omitted);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| JsonError::Mismatch {
            name,
            reason: error.to_string(),
        })
}

/// Reads a message from canonical protobuf JSON; a field or an enum name that is not known is an error.
pub fn from_json<M: Message + Name + Default>(json: Value) -> Result<M, JsonError> {
    read(json, &DeserializeOptions::new())
}

/// Reads a message from canonical protobuf JSON; fields and enum names that are not known are skipped.
pub fn from_json_of_a_peer<M: Message + Name + Default>(json: Value) -> Result<M, JsonError> {
    read(json, &DeserializeOptions::new().deny_unknown_fields(false))
}

/// Reads a message from JSON text; errors name the line and column. As strict as [`from_json`].
pub fn from_json_text<M: Message + Name + Default>(text: &[u8]) -> Result<M, JsonError> {
    let name = M::full_name();
    let descriptor = descriptor(&name)?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let malformed = |source| JsonError::Malformed {
        name: name.clone(),
        source,
    };
    let dynamic = DynamicMessage::deserialize(descriptor, &mut deserializer).map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    transcode(&dynamic, name)
}

fn read<M: Message + Name + Default>(json: Value, options: &DeserializeOptions) -> Result<M, JsonError> {
    let name = M::full_name();
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(&name)?, json, options).map_err(|source| {
        JsonError::Malformed {
            name: name.clone(),
            source,
        }
    })?;
    transcode(&dynamic, name)
}

fn transcode<M: Message + Default>(dynamic: &DynamicMessage, name: String) -> Result<M, JsonError> {
    dynamic.transcode_to().map_err(|error| JsonError::Mismatch {
        name,
        reason: error.to_string(),
    })
}

fn descriptor(name: &str) -> Result<MessageDescriptor, JsonError> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(name))
        .ok_or_else(|| JsonError::UnknownType { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v1;

    fn event() -> v1::TaskEvent {
        v1::TaskEvent {
            sequence: 9_007_199_254_740_993,
            event_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 250_000_000,
            }),
            payload: Some(v1::task_event::Payload::ToolCallFinished(v1::ToolCallFinished {
                call_id: "c1".to_owned(),
                outcome: v1::tool_call_finished::Outcome::Ok.into(),
                exit_code: Some(0),
                output: "ok\u{1b}[0m".to_owned(),
                duration: Some(prost_types::Duration {
                    seconds: 1,
                    nanos: 500_000_000,
                }),
                tool: "bash".to_owned(),
                ..Default::default()
            })),
        }
    }

    #[test]
    fn an_event_is_written_as_the_specification_says_and_read_back() {
        let json = to_json(&event()).unwrap();
        assert_eq!(
            json,
            json!({
                "sequence": "9007199254740993",
                "eventTime": "2023-11-14T22:13:20.250Z",
                "toolCallFinished": {
                    "callId": "c1", "outcome": "OUTCOME_OK", "exitCode": 0, "output": "ok\u{1b}[0m",
                    "duration": "1.500s", "tool": "bash",
                },
            })
        );
        assert_eq!(from_json::<v1::TaskEvent>(json).unwrap(), event());
    }

    #[test]
    fn bytes_are_base64() {
        let delta = v1::ToolOutputDelta {
            chunk: Some(v1::tool_output_delta::Chunk::Stdout(vec![0xff, 0x00])),
            ..Default::default()
        };
        assert_eq!(to_json(&delta).unwrap(), json!({"stdout": "/wA="}));
    }

    #[test]
    fn an_enum_number_that_is_not_known_survives_the_way_there_and_back() {
        let task = v1::Task {
            state: 77,
            ..Default::default()
        };
        let json = to_json(&task).unwrap();
        assert_eq!(json, json!({"state": 77}));
        assert_eq!(from_json::<v1::Task>(json).unwrap(), task);
    }

    #[test]
    fn names_that_are_not_known_are_refused_in_input_and_skipped_from_a_peer() {
        let newer = json!({"state": "STATE_DREAMING", "moonPhase": 3, "name": "tasks/1"});
        assert!(from_json::<v1::Task>(newer.clone()).is_err());
        let read: v1::Task = from_json_of_a_peer(newer).unwrap();
        assert_eq!(
            read,
            v1::Task {
                name: "tasks/1".to_owned(),
                ..Default::default()
            }
        );
    }

    #[test]
    fn proto_field_names_are_read_too() {
        let read: v1::ToolCallFinished = from_json(json!({"call_id": "a"})).unwrap();
        assert_eq!(read.call_id, "a");
    }

    #[test]
    fn an_error_in_text_names_the_place() {
        let error = from_json_text::<v1::RunTaskRequest>(b"{\"spec\": {\"instructionn\": \"x\"}}").unwrap_err();
        let JsonError::Malformed { name, source } = error else {
            panic!("{error}")
        };
        assert_eq!((name.as_str(), source.line()), ("backspace.v1.RunTaskRequest", 1));
        assert!(source.to_string().contains("instructionn"), "{source}");
        assert!(from_json_text::<v1::RunTaskRequest>(b"{} trailing").is_err());
    }

    #[test]
    fn defaults_are_written_when_asked_for() {
        let json = to_json_with(&v1::Progress::default(), Defaults::Written).unwrap();
        assert_eq!(json, json!({"percent": 0, "step": ""}));
    }
}
