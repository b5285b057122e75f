//! What a model provider can send as a stream of events: however it is cut, the events are the same.
//!
//! The first byte is the size of a piece.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../server/src/model/sse.rs"]
#[allow(unreachable_pub)]
mod sse;

use sse::{SseDecoder, SseEvent};

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else {
        return;
    };
    let whole = framed(bytes, bytes.len().max(1));
    assert_eq!(framed(bytes, usize::from(*size).max(1)), whole);
    assert_eq!(framed(bytes, 1), whole);
});

fn framed(bytes: &[u8], size: usize) -> (Vec<SseEvent>, Option<SseEvent>) {
    let mut decoder = SseDecoder::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.push(piece, &mut events).expect("less than the limit");
    }
    (events, decoder.finish())
}
