//! The conversation with its wire form beside it.
//!
//! The wire form grows with the items and is never made anew, so a turn costs what it adds, and the
//! provider's cached prefix always hits. It belongs to one protocol; another starts from nothing.

use crate::model::Item;

/// A conversation: items, and the bytes that one protocol sends for them.
#[derive(Debug, Default)]
pub struct Transcript {
    items: Vec<Item>,
    wire: Vec<u8>,
    wire_items: usize,
    wire_protocol: &'static str,
}

impl Transcript {
    /// Makes a transcript of restored items.
    pub fn new(items: Vec<Item>) -> Self {
        Self {
            items,
            ..Self::default()
        }
    }

    /// Returns the items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Adds an item.
    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Replaces all items after a compaction.
    pub fn replace(&mut self, items: Vec<Item>) {
        *self = Self::new(items);
    }

    /// Returns the wire form of all items, calling `encode` only for those that this protocol has not seen.
    pub fn wire(&mut self, protocol: &'static str, mut encode: impl FnMut(&Item, &mut Vec<u8>)) -> &[u8] {
        if self.wire_protocol != protocol {
            self.wire.clear();
            self.wire_items = 0;
            self.wire_protocol = protocol;
        }
        for item in self.items.iter().skip(self.wire_items) {
            encode(item, &mut self.wire);
        }
        self.wire_items = self.items.len();
        &self.wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_encoded_once_per_protocol() {
        let mut transcript = Transcript::default();
        let mut calls = 0;
        let mut encode = |item: &Item, out: &mut Vec<u8>| {
            calls += 1;
            if let Item::User { text } = item {
                out.extend_from_slice(text.as_bytes());
            }
        };
        transcript.push(Item::User { text: "a".into() });
        assert_eq!(transcript.wire("x", &mut encode), b"a");
        transcript.push(Item::User { text: "b".into() });
        assert_eq!(transcript.wire("x", &mut encode), b"ab");
        assert_eq!(transcript.wire("y", &mut encode), b"ab");
        assert_eq!(calls, 4);
    }
}
