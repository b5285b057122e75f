//! Recorded streams, put through a parser in every way that a network may cut them. For tests only.

use std::path::PathBuf;

use serde_json::Value;

use crate::model::sse::{SseDecoder, SseEvent};
use crate::model::stream::{AnswerParser, StreamReader};
use crate::model::{Answer, Delta, ModelError};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/llm-streams")
}

/// Returns the names of the recordings that begin with `prefix`.
pub(crate) fn names(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(".sse")
                .map(str::to_owned)
        })
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// Returns the bytes of a recording.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.sse"))).unwrap()
}

/// Returns what the official clients make of a recording.
pub(crate) fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join("EXPECTED.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].take()
}

/// Reads chunks to their end.
pub(crate) fn read<'a, P: AnswerParser>(
    mut parser: P,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(P, Vec<Delta>), ModelError> {
    let mut deltas = Vec::new();
    let mut on_delta = |delta| deltas.push(delta);
    let mut reader = StreamReader::default();
    for chunk in chunks {
        reader.push(chunk, &mut parser, &mut on_delta)?;
    }
    reader.end(&mut parser, &mut on_delta)?;
    Ok((parser, deltas))
}

/// Returns the answer of a recording after checking that every way of cutting it gives the same, and that no
/// part of it but the whole gives any.
pub(crate) fn read_every_way<P: AnswerParser + Clone>(
    name: &str,
    new: impl Fn() -> P,
    finish: impl Fn(P) -> Result<Answer, ModelError>,
) -> Result<Answer, ModelError> {
    let bytes = bytes(name);
    let outcome = |result: Result<(P, Vec<Delta>), ModelError>| match result {
        Ok((parser, deltas)) => match finish(parser) {
            Ok(answer) => format!("{} {deltas:?}", serde_json::to_string(&answer).unwrap()),
            Err(error) => format!("{error:?}"),
        },
        Err(error) => format!("{error:?}"),
    };
    let whole = outcome(read(new(), [bytes.as_slice()]));
    assert_eq!(outcome(read(new(), bytes.chunks(1))), whole, "{name} byte by byte");
    let text = String::from_utf8(bytes.clone()).unwrap();
    let with_bom = [b"\xEF\xBB\xBF", bytes.as_slice()].concat();
    for (way, changed) in [
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("CR", text.replace('\n', "\r").into_bytes()),
        ("BOM", with_bom),
        ("comments", text.replace("\n\n", "\n\n: keep-alive\n\n:\n").into_bytes()),
    ] {
        for size in [1, 2, 3, 7, 100, 1460, changed.len()] {
            assert_eq!(
                outcome(read(new(), changed.chunks(size))),
                whole,
                "{name} with {way} in {size}"
            );
        }
    }
    same_framing_at_every_cut(name, &bytes);
    truncation_gives_nothing(name, &bytes, new(), &|parser: P| outcome(Ok((parser, Vec::new()))));
    read(new(), [bytes.as_slice()]).and_then(|(parser, _)| finish(parser))
}

fn same_framing_at_every_cut(name: &str, bytes: &[u8]) {
    let mut bytewise = SseDecoder::default();
    let mut bytewise_events: Vec<SseEvent> = Vec::new();
    let step = 1 + bytes.len() / 1500;
    for (position, byte) in bytes.iter().enumerate() {
        if position % step == 0 {
            let mut chunked = SseDecoder::default();
            let mut events = Vec::new();
            chunked.push(&bytes[..position], &mut events).unwrap();
            assert_eq!(
                (&chunked, &events),
                (&bytewise, &bytewise_events),
                "{name} cut at {position}"
            );
        }
        bytewise.push(&[*byte], &mut bytewise_events).unwrap();
    }
}

/// Ends the stream after each byte: it is truncated until the protocol's end has come, and then it is whole.
fn truncation_gives_nothing<P: AnswerParser + Clone>(
    name: &str,
    bytes: &[u8],
    mut parser: P,
    outcome: &dyn Fn(P) -> String,
) {
    let mut reader = StreamReader::default();
    let mut whole_from = None;
    let mut ignore = |_: Delta| {};
    for (position, byte) in bytes.iter().enumerate() {
        let mut ended = parser.clone();
        match (reader.clone().end(&mut ended, &mut ignore), &whole_from) {
            (Err(ModelError::Truncated), None) | (Ok(()), Some(_)) => {}
            (Ok(()), None) => {
                assert!(!outcome(ended).is_empty());
                whole_from = Some(position);
            }
            (other, _) => panic!("{name} ended at {position}: {other:?}, whole from {whole_from:?}"),
        }
        if reader.push(&[*byte], &mut parser, &mut ignore).is_err() {
            return; // the recording ends in an error
        }
    }
    let seen = String::from_utf8_lossy(&bytes[..whole_from.unwrap_or(bytes.len())]);
    let ends = [
        "\"finish_reason\":\"",
        "\"message_stop\"",
        "[DONE]",
        "\"response.completed\"",
        "\"response.incomplete\"",
    ];
    assert!(
        ends.iter().any(|end| seen.contains(end)),
        "{name} was whole at {whole_from:?}"
    );
}

/// Compares with an expectation whose long texts are shortened to a beginning and `…(N chars)`.
pub(crate) fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let mut fields = expected.iter();
            expected.len() == actual.len()
                && fields.all(|(name, value)| actual.get(name).is_some_and(|actual| fits(value, actual)))
        }
        (Value::Array(expected), Value::Array(actual)) => {
            let mut pairs = expected.iter().zip(actual);
            expected.len() == actual.len() && pairs.all(|(expected, actual)| fits(expected, actual))
        }
        (Value::String(expected), Value::String(actual)) => {
            let shortened = expected.strip_suffix(" chars)").and_then(|text| text.rsplit_once("…("));
            match shortened {
                Some((beginning, chars)) => {
                    actual.starts_with(beginning) && actual.chars().count().to_string() == chars
                }
                None => expected == actual,
            }
        }
        (expected, actual) => expected == actual,
    }
}
