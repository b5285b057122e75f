//! The conversation with its wire form beside it.
//!
//! The wire form grows with the items and is never made anew, so a turn costs what it adds, and the
//! provider's cached prefix always hits. It belongs to one protocol, provider and model (the key);
//! another starts from nothing, because what may be sent back of an answer depends on who gave it.
//! It is kept *open at its end*: the last message lacks its closing brackets, so that a second item
//! of the same role joins it and no byte ever changes. Who sends it closes it in the request.

use crate::model::{Item, ToolSpec};

/// Whose message the open end of a wire form is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// Nothing was written yet.
    #[default]
    Empty,
    /// A user's message that more may be added to.
    User,
    /// An assistant's message that more may be added to.
    Assistant,
    /// A message that is whole.
    Closed,
}

/// Bytes that only grow, and what their end is.
#[derive(Debug, Default)]
pub struct Wire {
    /// The messages, without what closes the last.
    pub bytes: Vec<u8>,
    /// What the last message is.
    pub tail: Tail,
}

/// What one protocol sends for a conversation.
#[derive(Debug)]
pub struct Encoded<'a> {
    /// Everything before the messages: model, system prompt, tools.
    pub head: &'a [u8],
    /// The messages, open at the end.
    pub bytes: &'a [u8],
    /// What the last message is.
    pub tail: Tail,
    /// Length of `bytes` after each item.
    pub ends: &'a [usize],
    /// The items.
    pub items: &'a [Item],
}

/// Writes items and the head of a request for one protocol, provider and model.
pub trait Encoder {
    /// Returns what tells this wire form from every other.
    fn key(&self) -> &str;

    /// Writes everything before the messages.
    fn head(&self, system: &str, tools: &[ToolSpec], out: &mut Vec<u8>);

    /// Adds an item; `before` are the items before it.
    fn item(&self, before: &[Item], item: &Item, wire: &mut Wire);
}

/// A conversation: items, and the bytes that one protocol sends for them.
#[derive(Debug, Default)]
pub struct Transcript {
    items: Vec<Item>,
    tries: u32,
    key: String,
    wire: Wire,
    ends: Vec<usize>,
    head: Head,
}

/// The head of a request with what it was made of.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    system: String,
    tools: Vec<ToolSpec>,
}

impl Head {
    fn is_of(&self, system: &str, tools: &[ToolSpec]) -> bool {
        let same = |(ours, theirs): (&ToolSpec, &ToolSpec)| {
            ours.name == theirs.name && ours.description == theirs.description && ours.schema == theirs.schema
        };
        !self.bytes.is_empty()
            && self.system == system
            && self.tools.len() == tools.len()
            && self.tools.iter().zip(tools).all(same)
    }
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
        self.tries = 0;
    }

    /// Replaces all items after a compaction.
    pub fn replace(&mut self, items: Vec<Item>) {
        *self = Self::new(items);
    }

    /// Counts a request and returns how many there were since the last item was added.
    pub fn count_try(&mut self) -> u32 {
        self.tries = self.tries.saturating_add(1);
        self.tries
    }

    /// Returns the wire form, made by `encoder` only for what its key has not seen.
    pub fn encode(&mut self, encoder: &impl Encoder, system: &str, tools: &[ToolSpec]) -> Encoded<'_> {
        if self.key != encoder.key() {
            encoder.key().clone_into(&mut self.key);
            self.wire = Wire::default();
            self.ends.clear();
            self.head = Head::default();
        }
        if !self.head.is_of(system, tools) {
            let mut bytes = Vec::new();
            encoder.head(system, tools, &mut bytes);
            self.head = Head {
                bytes,
                system: system.to_owned(),
                tools: tools.to_vec(),
            };
        }
        while let Some((before, item)) = self
            .items
            .split_at_checked(self.ends.len())
            .and_then(|(before, rest)| Some((before, rest.first()?)))
        {
            encoder.item(before, item, &mut self.wire);
            self.ends.push(self.wire.bytes.len());
        }
        Encoded {
            head: &self.head.bytes,
            bytes: &self.wire.bytes,
            tail: self.wire.tail,
            ends: &self.ends,
            items: &self.items,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Counting {
        key: &'static str,
        items: Cell<u32>,
        heads: Cell<u32>,
    }

    impl Encoder for Counting {
        fn key(&self) -> &str {
            self.key
        }

        fn head(&self, system: &str, _: &[ToolSpec], out: &mut Vec<u8>) {
            self.heads.set(self.heads.get() + 1);
            out.extend_from_slice(system.as_bytes());
        }

        fn item(&self, before: &[Item], item: &Item, wire: &mut Wire) {
            self.items.set(self.items.get() + 1);
            if let Item::User { text } = item {
                wire.bytes.extend_from_slice(text.as_bytes());
                wire.bytes.push(b'0' + before.len() as u8);
            }
        }
    }

    fn counting(key: &'static str) -> Counting {
        Counting {
            key,
            items: Cell::new(0),
            heads: Cell::new(0),
        }
    }

    #[test]
    fn items_and_head_are_encoded_once_per_key() {
        let (x, y) = (counting("x"), counting("y"));
        let mut transcript = Transcript::default();
        transcript.push(Item::User { text: "a".into() });
        assert_eq!(transcript.encode(&x, "s", &[]).bytes, b"a0");
        transcript.push(Item::User { text: "b".into() });
        let encoded = transcript.encode(&x, "s", &[]);
        assert_eq!(
            (encoded.head, encoded.bytes, encoded.ends),
            (&b"s"[..], &b"a0b1"[..], &[2, 4][..])
        );
        assert_eq!((x.items.get(), x.heads.get()), (2, 1));
        assert_eq!(transcript.encode(&y, "s", &[]).bytes, b"a0b1");
        assert_eq!((y.items.get(), y.heads.get()), (2, 1));
        assert_eq!(transcript.encode(&y, "other", &[]).head, b"other");
        assert_eq!((y.items.get(), y.heads.get()), (2, 2));
    }

    #[test]
    fn tries_are_counted_from_the_last_item() {
        let mut transcript = Transcript::default();
        assert_eq!((transcript.count_try(), transcript.count_try()), (1, 2));
        transcript.push(Item::User { text: "a".into() });
        assert_eq!(transcript.count_try(), 1);
    }
}
