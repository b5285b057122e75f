//! What a model provider can send, through all three parsers: how it is cut does not matter.
//!
//! The bytes are a stream as it is recorded; each goes through every parser.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The parsers as they are: all of the server would have to be built for them otherwise.
#[path = "../../server/src/model"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod model {
    pub(crate) mod classify;
    pub(crate) mod conversation;
    mod error;
    mod message;
    pub(crate) mod retry_after;
    pub(crate) mod sse;
    pub(crate) mod stream;

    pub(crate) use error::ModelError;
    pub(crate) use message::{Answer, Delta, Item, RawAnswer, StopReason, TokenUsage, ToolCall, ToolResult};

    pub(crate) mod anthropic {
        pub(crate) const PROTOCOL: &str = "anthropic";
        pub(super) mod answer;

        pub(crate) fn read(bytes: &[u8], size: usize) -> Result<super::Answer, super::ModelError> {
            super::read(answer::MessageParser::default(), bytes, size)?.into_answer("m".to_owned())
        }
    }

    pub(crate) mod openai_chat {
        pub(crate) const PROTOCOL: &str = "chat";
        pub(super) mod answer;
        mod calls;

        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ReasoningReturn {
            Sealed,
            Plain,
            Never,
        }

        pub(crate) fn read(bytes: &[u8], size: usize) -> Result<super::Answer, super::ModelError> {
            let parser = super::read(answer::ChatParser::default(), bytes, size)?;
            Ok(parser.into_answer("m".to_owned(), ReasoningReturn::Plain))
        }
    }

    pub(crate) mod openai_responses {
        pub(crate) const PROTOCOL: &str = "responses";
        pub(super) mod answer;

        pub(crate) fn read(bytes: &[u8], size: usize) -> Result<super::Answer, super::ModelError> {
            let parser = super::read(answer::ResponseParser::new(None), bytes, size)?;
            Ok(parser.into_answer("m".to_owned(), super::openai_chat::ReasoningReturn::Plain))
        }
    }

    /// Reads as the transport does: nothing counts after the last event.
    fn read<P: stream::AnswerParser>(mut parser: P, bytes: &[u8], size: usize) -> Result<P, ModelError> {
        let mut reader = stream::StreamReader::default();
        for chunk in bytes.chunks(size) {
            if reader.push(chunk, &mut parser, &mut |_| {})? == stream::Step::Done {
                return Ok(parser);
            }
        }
        reader.end(&mut parser, &mut |_| {})?;
        Ok(parser)
    }
}

use model::{Answer, ModelError, StopReason};

type Read = fn(&[u8], usize) -> Result<Answer, ModelError>;

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() % 61 + 1;
    for read in [
        model::anthropic::read as Read,
        model::openai_chat::read,
        model::openai_responses::read,
    ] {
        let whole = read(bytes, bytes.len().max(1));
        let cut = read(bytes, size);
        assert_eq!(plain(&whole), plain(&cut));
        if let Ok(answer) = whole {
            // Calls of an answer that was cut by its limit or refused may be half; none of them is there to run.
            assert!(
                answer.tool_calls.is_empty() || !matches!(answer.stop, StopReason::MaxTokens | StopReason::Refusal)
            );
            assert!(answer.tool_calls.iter().all(|call| !call.id.is_empty()));
        }
    }
});

/// What must be equal: ids that the server gave out itself are not.
fn plain(read: &Result<Answer, ModelError>) -> String {
    match read {
        Ok(answer) => {
            let calls: Vec<_> = answer
                .tool_calls
                .iter()
                .map(|call| (&call.name, &call.arguments))
                .collect();
            format!("{} {calls:?} {:?} {:?}", answer.text, answer.stop, answer.usage)
        }
        Err(error) => format!("{error}"),
    }
}
