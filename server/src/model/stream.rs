//! A streamed answer: framing and a protocol's parser put together, without a network.
//!
//! It decides the one thing that must never be wrong: whether the answer is whole. The end of the
//! bytes proves nothing; only the parser's own end does.

use crate::model::sse::{SseDecoder, SseEvent};
use crate::model::{Delta, ModelError};

/// Largest answer: texts, reasoning and arguments together.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What an event meant for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A keep-alive or an envelope: the provider lives, the answer did not grow.
    Idle,
    /// The answer grew.
    Progress,
    /// The answer is whole; figures may follow.
    Finished,
    /// Nothing follows.
    Done,
}

/// Reads the events of one protocol.
pub trait AnswerParser: Send {
    /// Takes an event.
    fn event(&mut self, event: &SseEvent, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<Step, ModelError>;

    /// Returns whether an event that the stream ended in may count: only the protocol's own last one.
    fn is_last(&self, event: &SseEvent) -> bool;

    /// Takes a whole answer that some gateways send instead of a stream.
    fn whole(&mut self, body: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<(), ModelError>;

    /// Returns whether the bytes may end now.
    fn is_finished(&self) -> bool;
}

/// Drives a parser over chunks of bytes.
#[derive(Clone, Debug, Default)]
pub struct StreamReader {
    decoder: SseDecoder,
    events: Vec<SseEvent>,
}

impl StreamReader {
    /// Takes a chunk and returns the furthest step that its events were.
    pub fn push(
        &mut self,
        chunk: &[u8],
        parser: &mut dyn AnswerParser,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Step, ModelError> {
        let framed = self.decoder.push(chunk, &mut self.events);
        let mut furthest = Step::Idle;
        for event in self.events.drain(..) {
            let step = parser.event(&event, on_delta)?;
            furthest = furthest.max(step);
            if step == Step::Done {
                break;
            }
        }
        self.events.clear();
        framed.map_err(|error| ModelError::Protocol {
            message: error.to_string(),
        })?;
        Ok(furthest)
    }

    /// Takes the end of the bytes.
    pub fn end(
        self,
        parser: &mut dyn AnswerParser,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<(), ModelError> {
        if let Some(event) = self.decoder.finish()
            && parser.is_last(&event)
        {
            parser.event(&event, on_delta)?;
        }
        if parser.is_finished() {
            Ok(())
        } else {
            Err(ModelError::Truncated)
        }
    }
}

/// Counts the bytes of an answer against `MAX_ANSWER_BYTES`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerSize(usize);

impl AnswerSize {
    /// Adds a part.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > MAX_ANSWER_BYTES {
            return Err(ModelError::Protocol {
                message: format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"),
            });
        }
        Ok(())
    }
}
