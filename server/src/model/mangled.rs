//! Recorded streams with damage, put through a parser. For tests only.
//!
//! Damage is of the kind that networks and gateways do: bytes lost, doubled, exchanged, lines moved. What
//! comes of it is not foreseen, but how it is cut must not matter, and nothing of a cut answer may run.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::model::recorded;
use crate::model::stream::{AnswerParser, Step, StreamReader};
use crate::model::{Answer, ModelError, StopReason};

const CASES: u32 = 300;

/// Damage at one place; places are parts of a stream's length.
#[derive(Clone, Debug)]
enum Damage {
    Lost(u16, u8),
    Doubled(u16, u8),
    Replaced(u16, u8),
    Inserted(u16, &'static str),
}

const INSERTS: [&str; 10] = [
    "\n\n",
    "\r",
    "data: {}\n\n",
    "data: null\n\n",
    "data: [DONE]\n\n",
    "event: error\n",
    "\":null,\"",
    "-1",
    "99999999999999999999",
    "\u{feff}",
];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, count)| Damage::Lost(at, count)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, count)| Damage::Doubled(at, count)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replaced(at, byte)),
        (any::<u16>(), prop::sample::select(&INSERTS[..])).prop_map(|(at, text)| Damage::Inserted(at, text)),
    ]
}

fn damaged(mut bytes: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        let place = |at: u16| bytes.len() * usize::from(at) / 65_536;
        match *damage {
            Damage::Lost(at, count) => {
                let (start, end) = (place(at), (place(at) + usize::from(count)).min(bytes.len()));
                bytes.drain(start..end);
            }
            Damage::Doubled(at, count) => {
                let (start, end) = (place(at), (place(at) + usize::from(count)).min(bytes.len()));
                let part = bytes[start..end].to_vec();
                bytes.splice(start..start, part);
            }
            Damage::Replaced(at, byte) => {
                let start = place(at);
                bytes[start..].iter_mut().take(1).for_each(|old| *old = byte);
            }
            Damage::Inserted(at, text) => {
                let start = place(at);
                bytes.splice(start..start, text.bytes());
            }
        }
    }
    bytes
}

/// Reads as the transport does: nothing counts after the last event.
fn read<P: AnswerParser>(mut parser: P, bytes: &[u8], size: usize) -> Result<P, ModelError> {
    let mut reader = StreamReader::default();
    for chunk in bytes.chunks(size) {
        if reader.push(chunk, &mut parser, &mut |_| {})? == Step::Done {
            return Ok(parser);
        }
    }
    reader.end(&mut parser, &mut |_| {})?;
    Ok(parser)
}

/// Damages every recording that begins with `prefix` in many ways.
pub(crate) fn check<P: AnswerParser>(
    prefix: &str,
    new: impl Fn() -> P,
    finish: impl Fn(P) -> Result<Answer, ModelError>,
) {
    let names = prop::sample::select(recorded::names(prefix));
    // An id that a server left out is made up, each time another.
    let made_up = regex::Regex::new("call_[0-9a-f]{32}").unwrap();
    let mut runner = TestRunner::new(Config::with_cases(CASES));
    let tried = runner.run(&(names, vec(damage(), 1..5), 1..200_usize), |(name, all, size)| {
        let bytes = damaged(recorded::bytes(&name), &all);
        let whole = read(new(), &bytes, bytes.len().max(1)).and_then(&finish);
        let cut = read(new(), &bytes, size).and_then(&finish);
        let shown = |result: &Result<Answer, ModelError>| match result {
            Ok(answer) => made_up
                .replace_all(&serde_json::to_string(answer).unwrap(), "call_made_up")
                .into_owned(),
            Err(error) => format!("{error:?}"),
        };
        prop_assert_eq!(shown(&whole), shown(&cut));
        if let Ok(answer) = whole {
            prop_assert!(answer.stop != StopReason::MaxTokens || answer.tool_calls.is_empty());
            prop_assert!(answer.tool_calls.iter().all(|call| !call.id.is_empty()));
        }
        Ok(())
    });
    tried.unwrap();
}
