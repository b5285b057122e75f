//! Masking of a stream that comes in pieces: a secret cut in two by a chunk's end must not slip through.
//!
//! What may be the beginning of a secret is held back until white space or a bound decides. Masks are
//! as long as what they hide, so that offsets of the stream stay true.

use std::sync::Arc;

use crate::secret::Redactor;

/// Most bytes held back; beyond, only as much as the longest known secret.
const MAX_HELD_BYTES: usize = 8 * 1024;

/// One stream on its way out.
#[derive(Debug)]
pub struct MaskedStream {
    redactor: Arc<Redactor>,
    held: Vec<u8>,
    offset: u64,
}

/// A masked piece and where it starts in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedPiece {
    /// Where it starts.
    pub offset: u64,
    /// The bytes.
    pub data: Vec<u8>,
}

impl MaskedStream {
    /// Starts a stream at offset 0.
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            held: Vec::new(),
            offset: 0,
        }
    }

    /// Takes a piece that starts at `offset` and returns what may be shown now. A hole before it ends what was held.
    pub fn push(&mut self, offset: u64, data: &[u8]) -> Vec<MaskedPiece> {
        let mut shown = Vec::new();
        let expected = self.offset + self.held.len() as u64;
        if offset != expected {
            shown.extend(self.finish());
            self.offset = offset;
        }
        self.held.extend_from_slice(data);
        let spans = self.redactor.spans(&self.held);
        let mut cut = self.safe_end();
        if let Some(span) = spans.iter().find(|span| span.start < cut && cut < span.end) {
            cut = if self.held.len() > MAX_HELD_BYTES {
                span.end
            } else {
                span.start
            };
        }
        shown.extend(self.release(cut));
        shown
    }

    /// Returns what is still held.
    pub fn finish(&mut self) -> Option<MaskedPiece> {
        self.release(self.held.len())
    }

    fn safe_end(&self) -> usize {
        let length = self.held.len();
        let after_space = self
            .held
            .iter()
            .rposition(u8::is_ascii_whitespace)
            .map_or(0, |index| index + 1);
        let but_longest = length.saturating_sub(self.redactor.longest_bytes());
        if length > MAX_HELD_BYTES {
            after_space.max(but_longest)
        } else if self.redactor.has_spaced_form() {
            after_space.min(but_longest)
        } else {
            after_space
        }
    }

    fn release(&mut self, cut: usize) -> Option<MaskedPiece> {
        if cut == 0 {
            return None;
        }
        // The mask is made over all that is held: a match may need what follows the cut.
        let mut masked = self.held.clone();
        self.redactor.mask_in_place(&mut masked);
        masked.truncate(cut);
        self.held.drain(..cut.min(self.held.len()));
        let offset = self.offset;
        self.offset += masked.len() as u64;
        Some(MaskedPiece { offset, data: masked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const KEY: &str = "k9ZqX72mVwLq0eRt55yHb3c8fUoPa1sD4gJ6";

    fn stream() -> MaskedStream {
        MaskedStream::new(Arc::new(Redactor::new([Secret::new(KEY)])))
    }

    fn joined(pieces: &[MaskedPiece]) -> String {
        let mut at = 0;
        let mut all = Vec::new();
        for piece in pieces {
            assert_eq!(piece.offset, at);
            at += piece.data.len() as u64;
            all.extend_from_slice(&piece.data);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_value_cut_at_any_position_is_masked() {
        let text = format!("a line\nthe key {KEY} and\nmore");
        let right = text.replace(KEY, &"*".repeat(KEY.len()));
        for cut in 0..text.len() {
            let mut stream = stream();
            let (head, tail) = text.split_at(cut);
            let mut pieces = stream.push(0, head.as_bytes());
            pieces.extend(stream.push(cut as u64, tail.as_bytes()));
            pieces.extend(stream.finish());
            assert_eq!(joined(&pieces), right, "cut at {cut}");
        }
    }

    #[test]
    fn whole_words_are_shown_at_once() {
        let pieces = stream().push(0, b"one two thr");
        assert_eq!(
            pieces,
            [MaskedPiece {
                offset: 0,
                data: b"one two ".to_vec()
            }]
        );
    }

    #[test]
    fn a_hole_ends_what_was_held() {
        let mut stream = stream();
        assert_eq!(stream.push(0, b"abc"), []);
        let pieces = stream.push(100, b"d e");
        let piece = |offset, data: &[u8]| MaskedPiece {
            offset,
            data: data.to_vec(),
        };
        assert_eq!(pieces, [piece(0, b"abc"), piece(100, b"d ")]);
    }

    #[test]
    fn a_key_without_white_space_is_masked_in_an_endless_word() {
        let mut stream = stream();
        let text = format!("{}{KEY}{}", "x".repeat(20_000), "y".repeat(20_000));
        let mut pieces = Vec::new();
        for (index, part) in text.as_bytes().chunks(700).enumerate() {
            pieces.extend(stream.push(index as u64 * 700, part));
        }
        pieces.extend(stream.finish());
        assert_eq!(joined(&pieces), text.replace(KEY, &"*".repeat(KEY.len())));
    }

    proptest::proptest! {
        #[test]
        fn no_cut_lets_a_secret_through_and_offsets_stay_true(
            before in "[ -~\n]{0,60}",
            after in "[ -~\n]{0,60}",
            cuts in proptest::collection::vec(1..20_usize, 1..30),
        ) {
            let text = format!("{before}{KEY}{after}");
            let mut stream = stream();
            let (mut rest, mut offset, mut pieces) = (text.as_bytes(), 0, Vec::new());
            for cut in cuts.iter().cycle() {
                let (piece, more) = rest.split_at(rest.len().min(*cut));
                pieces.extend(stream.push(offset, piece));
                offset += piece.len() as u64;
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            pieces.extend(stream.finish());
            let shown = joined(&pieces);
            proptest::prop_assert_eq!(shown.len(), text.len());
            proptest::prop_assert!(!shown.contains(KEY), "{}", shown);
            for part in KEY.as_bytes().windows(20) {
                let part = std::str::from_utf8(part).unwrap();
                proptest::prop_assert!(!shown.contains(part), "{} is in {}", part, shown);
            }
        }
    }
}
