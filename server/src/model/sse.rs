//! Server-sent events, framed on bytes.
//!
//! Lines are found and joined as bytes and decoded only when an event is whole, so that a chunk may
//! end anywhere: inside a character, between CR and LF, inside the byte order mark. Written here
//! because ready-made ones lost text at such places or panicked; the standard's rules are few.

/// Largest event.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its `event` field; empty when it had none.
    pub event: String,
    /// Its `data` lines, joined by LF.
    pub data: String,
}

/// An event was larger than `MAX_EVENT_BYTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is larger than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLarge;

/// Turns chunks of bytes into events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseDecoder {
    line: Vec<u8>,
    event: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    past_first_line: bool,
}

impl SseDecoder {
    /// Takes the next bytes and adds the events that they complete to `events`.
    pub fn push(&mut self, mut chunk: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLarge> {
        while let Some((first, rest)) = chunk.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                chunk = rest;
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = chunk
                .split_at_checked(end.unwrap_or(chunk.len()))
                .unwrap_or((chunk, &[]));
            if self.line.len() + self.data.len() + part.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
            self.line.extend_from_slice(part);
            chunk = match rest.split_first() {
                Some((terminator, after)) => {
                    self.after_cr = *terminator == b'\r';
                    self.end_line(events);
                    after
                }
                None => rest,
            };
        }
        Ok(())
    }

    /// Returns the event that the stream ended in, for the caller who knows whether it may count.
    pub fn finish(mut self) -> Option<SseEvent> {
        let mut events = Vec::new();
        self.end_line(&mut events);
        self.end_event(&mut events);
        events.pop()
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) {
        let mut whole = std::mem::take(&mut self.line);
        let mut line = whole.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event(events);
        } else {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (field, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            self.field(field, value);
        }
        whole.clear();
        self.line = whole;
    }

    fn field(&mut self, field: &[u8], value: &[u8]) {
        match field {
            b"event" => self.event = value.to_vec(),
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            _ => {} // comments have an empty name; `id` and `retry` are for clients that reconnect
        }
    }

    fn end_event(&mut self, events: &mut Vec<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            events.push(SseEvent {
                event: String::from_utf8_lossy(&event).into_owned(),
                data: String::from_utf8_lossy(&self.data).into_owned(),
            });
            self.data.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> (Vec<SseEvent>, Option<SseEvent>) {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(chunk, &mut events).unwrap();
        }
        (events, decoder.finish())
    }

    fn event(event: &str, data: &str) -> SseEvent {
        SseEvent {
            event: event.into(),
            data: data.into(),
        }
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("data: a\n\n", vec![event("", "a")]),
            ("data:a\n\n", vec![event("", "a")]),
            ("data:  a\n\n", vec![event("", " a")]),
            ("data: a\ndata: b\ndata\n\n", vec![event("", "a\nb\n")]),
            (
                "event: x\ndata: a\n\ndata: b\n\n",
                vec![event("x", "a"), event("", "b")],
            ),
            ("event: x\n\ndata: b\n\n", vec![event("", "b")]),
            (": OPENROUTER PROCESSING\n\n:\n\ndata: a\n\n", vec![event("", "a")]),
            ("id: 1\nretry: 5\ndata: a\nunknown: z\n\n", vec![event("", "a")]),
            ("\u{feff}data: a\n\n", vec![event("", "a")]),
            ("\u{feff}\u{feff}data: a\n\ndata: b\n\n", vec![event("", "b")]),
            ("data: \u{feff}a\n\n", vec![event("", "\u{feff}a")]),
            ("\n\n\ndata: a\n\n\n\n", vec![event("", "a")]),
        ] {
            assert_eq!(decode(&[text.as_bytes()]), (expected, None), "{text:?}");
        }
    }

    #[test]
    fn every_line_end_and_every_cut_gives_the_same_events() {
        let text = "\u{feff}event: größe\ndata: {\"a\":\"日本\"}\ndata: 😄\n\n: hi\n\ndata: b\n\n";
        let expected = vec![event("größe", "{\"a\":\"日本\"}\n😄"), event("", "b")];
        for ending in ["\n", "\r\n", "\r"] {
            let bytes = text.replace('\n', ending).into_bytes();
            for cut in 0..=bytes.len() {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(decode(&[left, right]), (expected.clone(), None), "{ending:?} at {cut}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(&single), (expected.clone(), None));
        }
    }

    #[test]
    fn an_unfinished_event_is_given_apart() {
        assert_eq!(
            decode(&[b"data: a\n\ndata: b\n"]),
            (vec![event("", "a")], Some(event("", "b")))
        );
        assert_eq!(decode(&[b"data: b"]), (vec![], Some(event("", "b"))));
        assert_eq!(decode(&[b"event: b\n"]), (vec![], None));
        assert_eq!(decode(&[b""]), (vec![], None));
    }

    #[test]
    fn broken_utf8_does_not_end_the_stream() {
        assert_eq!(decode(&[b"data: a\xff\n\n"]).0, vec![event("", "a\u{fffd}")]);
    }

    #[test]
    fn an_event_has_a_largest_size() {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        let half = vec![b'x'; MAX_EVENT_BYTES / 2];
        decoder.push(b"data:", &mut events).unwrap();
        decoder.push(&half, &mut events).unwrap();
        decoder.push(b"\ndata:", &mut events).unwrap();
        assert_eq!(decoder.push(&half, &mut events), Err(EventTooLarge));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_the_same_events_however_they_are_cut(
            bytes in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::strategy::Just(b'\n'),
                    proptest::strategy::Just(b'\r'),
                    proptest::strategy::Just(b':'),
                    proptest::strategy::Just(b' '),
                    proptest::sample::select(b"dataevent\xEF\xBB\xBF".to_vec()),
                    proptest::arbitrary::any::<u8>(),
                ],
                0..300,
            ),
            size in 1..40_usize,
        ) {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            proptest::prop_assert_eq!(decode(&chunks), decode(&[&bytes]));
        }
    }
}
