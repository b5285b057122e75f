//! What a command can print: however it is cut, the known secret does not come out and offsets stay true.
//!
//! The first byte is the size of a piece, the second says where the secret is put in.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;

// Two modules as they are: all of the server would have to be built for them otherwise.
#[path = "../../server/src"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod server {
    pub(crate) mod secret;
    pub(crate) mod task;
}

use server::secret::{self, MaskedPiece, MaskedStream, Redactor, Secret};
use server::task;

const KEY: &str = "k9ZqX72mVwLq0eRt55yHb3c8fUoPa1sD4gJ6";

static REDACTOR: LazyLock<Arc<Redactor>> = LazyLock::new(|| Arc::new(Redactor::new([Secret::new(KEY)])));

fuzz_target!(|input: &[u8]| {
    let [size, place, rest @ ..] = input else {
        return;
    };
    let (before, after) = rest.split_at(rest.len() * usize::from(*place) / 256);
    let text = [before, KEY.as_bytes(), after].concat();
    let mut stream = MaskedStream::new(REDACTOR.clone());
    let mut shown = Vec::new();
    let mut offset = 0;
    let mut take = |pieces: Vec<MaskedPiece>| {
        for piece in pieces {
            assert_eq!(piece.offset, shown.len() as u64);
            shown.extend(piece.data);
        }
    };
    for piece in text.chunks(usize::from(*size).max(1)) {
        take(stream.push(offset, piece));
        offset += piece.len() as u64;
    }
    take(stream.finish().into_iter().collect());
    assert_eq!(shown.len(), text.len());
    assert!(!shown.windows(KEY.len()).any(|window| window == KEY.as_bytes()));
    let masked = REDACTOR.mask(&String::from_utf8_lossy(&text)).into_owned();
    assert!(!masked.contains(KEY));
});
