//! The framing, which both ends of the supervisor protocol read hostile bytes with.
//!
//! A fuzzer does not find checksums, so whole frames are put between the garbage. Two facts are checked: how
//! a stream is cut changes nothing, and no frame comes out that the bytes do not hold.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sandbox_supervisor::frame::{Decoder, Frame};

#[derive(Arbitrary, Debug)]
enum Piece {
    Garbage(Vec<u8>),
    Whole {
        kind: u8,
        stream: u32,
        sequence: u64,
        payload: Vec<u8>,
    },
    Cut {
        payload: Vec<u8>,
        length: u8,
    },
}

fuzz_target!(|input: (Vec<Piece>, Vec<u8>)| {
    let (pieces, cuts) = input;
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Garbage(garbage) => bytes.extend_from_slice(&garbage),
            Piece::Whole {
                kind,
                stream,
                sequence,
                payload,
            } => {
                Frame {
                    kind,
                    stream,
                    sequence,
                    payload,
                }
                .encode(&mut bytes);
            }
            Piece::Cut { payload, length } => {
                let mut whole = Vec::new();
                Frame {
                    kind: 1,
                    stream: 1,
                    sequence: 1,
                    payload,
                }
                .encode(&mut whole);
                bytes.extend_from_slice(&whole[..whole.len().min(length.into())]);
            }
        }
    }
    let (at_once, skipped) = decode(&[&bytes]);
    let mut rest = bytes.as_slice();
    let mut parts = Vec::new();
    for cut in cuts {
        let (part, after) = rest.split_at(rest.len().min(cut.into()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    assert_eq!(decode(&parts), (at_once.clone(), skipped), "cuts change what is read");

    for frame in at_once {
        let mut encoded = Vec::new();
        frame.encode(&mut encoded);
        // The reserved bytes of the header may differ, and with them its checksum.
        let payload = &encoded[sandbox_supervisor::frame::HEADER_BYTES..];
        assert!(payload.is_empty() || bytes.windows(payload.len()).any(|window| window == payload));
    }
});

fn decode(parts: &[&[u8]]) -> (Vec<Frame>, u64) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for part in parts {
        decoder.extend(part);
        frames.extend(std::iter::from_fn(|| decoder.next_frame()));
    }
    (frames, decoder.skipped_bytes())
}
