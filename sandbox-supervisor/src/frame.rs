//! Framing: finds frames in a byte stream, also after one was cut off in the middle.
//!
//! A dying attach can leave half a frame, so a frame starts with a marker, its header has a checksum
//! and so has its payload; a reader that meets garbage skips to the next frame that checks out.
//!
//! Layout, little endian: `magic[4] kind:u8 reserved:u8[3] stream:u32 sequence:u64 length:u32
//! payload_crc:u32 header_crc:u32`, then `length` bytes. CRC is CRC-32 (IEEE), over the 28 bytes before it
//! for the header.

/// Starts every frame.
pub const MAGIC: [u8; 4] = *b"\xB5BK\x01";

/// Bytes of a header.
pub const HEADER_BYTES: usize = 32;

/// Longest payload; a longer claim is garbage.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// So many zeros end whatever frame the other end was cut off in: a header that arrived whole promises a payload
/// that is waited for. Sent before the first frame by who comes to a stream that was in use.
pub const RESYNC_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// How often a header may promise a payload that does not check out. Each costs a checksum over as much as
/// a MiB, so a flood of such headers would be a way to burn time.
const MAX_BAD_PAYLOADS: u32 = 64;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is; see `protocol`.
    pub kind: u8,
    /// Exec or request that it belongs to; 0 for the connection.
    pub stream: u32,
    /// Meaning depends on the kind: a sequence, or an offset in an output stream.
    pub sequence: u64,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Appends the frame's bytes. The payload must not be longer than `MAX_PAYLOAD_BYTES`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(self.kind, self.stream, self.sequence, &self.payload, out);
    }
}

/// Appends a frame's bytes without owning its payload.
pub fn encode(kind: u8, stream: u32, sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Finds frames in a byte stream.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    skipped: u64,
    bad_payloads: u32,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next frame that checks out, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if self.is_hopeless() {
                self.skip(self.buffer.len() - self.start);
                return None;
            }
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let Some(at) = find_magic(rest) else {
                let keep = rest.len().min(MAGIC.len() - 1);
                self.skip(rest.len() - keep);
                return None;
            };
            self.skip(at);
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let header = Header::parse(rest.get(..HEADER_BYTES)?);
            let Some(header) = header else {
                self.skip(1);
                continue;
            };
            let payload = rest.get(HEADER_BYTES..HEADER_BYTES + header.length)?;
            if crc32fast::hash(payload) != header.payload_crc {
                self.bad_payloads += 1;
                self.skip(1);
                continue;
            }
            let frame = Frame {
                kind: header.kind,
                stream: header.stream,
                sequence: header.sequence,
                payload: payload.to_vec(),
            };
            self.start += HEADER_BYTES + header.length;
            return Some(frame);
        }
    }

    /// Returns how many bytes were thrown away as garbage so far.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped
    }

    /// Returns true when the stream is hostile rather than damaged; no frame comes from it any more.
    pub fn is_hopeless(&self) -> bool {
        self.bad_payloads >= MAX_BAD_PAYLOADS
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        self.skipped += count as u64;
    }
}

struct Header {
    kind: u8,
    stream: u32,
    sequence: u64,
    length: usize,
    payload_crc: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let field = |from: usize| bytes.get(from..from + 4)?.try_into().ok().map(u32::from_le_bytes);
        if crc32fast::hash(bytes.get(..HEADER_BYTES - 4)?) != field(28)? {
            return None;
        }
        let length = field(20)? as usize;
        if length > MAX_PAYLOAD_BYTES {
            return None;
        }
        let sequence = bytes.get(12..20)?.try_into().ok().map(u64::from_le_bytes)?;
        Some(Self {
            kind: *bytes.get(4)?,
            stream: field(8)?,
            sequence,
            length,
            payload_crc: field(24)?,
        })
    }
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Frame {
        Frame {
            kind: 3,
            stream: 9,
            sequence: u64::MAX - 1,
            payload: payload.to_vec(),
        }
    }

    fn drain(decoder: &mut Decoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame()).collect()
    }

    #[test]
    fn frames_survive_any_cut() {
        let frames = [frame(b""), frame(&MAGIC), frame(&[7; 1000])];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            decoder.extend(&bytes[..cut]);
            let mut found = drain(&mut decoder);
            decoder.extend(&bytes[cut..]);
            found.extend(drain(&mut decoder));
            assert_eq!(found, frames, "cut at {cut}");
            assert_eq!(decoder.skipped_bytes(), 0);
        }
    }

    #[test]
    fn a_frame_cut_off_costs_only_itself() {
        let mut whole = Vec::new();
        frame(&[1; 100]).encode(&mut whole);
        for cut in 1..whole.len() {
            let mut bytes = whole[..cut].to_vec();
            frame(b"next").encode(&mut bytes);
            frame(&[2; 200]).encode(&mut bytes);
            let mut decoder = Decoder::default();
            decoder.extend(&bytes);
            assert_eq!(drain(&mut decoder), [frame(b"next"), frame(&[2; 200])], "cut at {cut}");
            assert_eq!(decoder.skipped_bytes(), cut as u64);
        }
    }

    #[test]
    fn a_flood_of_headers_with_wrong_payloads_is_given_up() {
        let mut header = Vec::new();
        frame(&[0; 4096]).encode(&mut header);
        header.truncate(HEADER_BYTES);
        let mut decoder = Decoder::default();
        decoder.extend(&header.repeat(10_000));
        assert_eq!(drain(&mut decoder), []);
        assert!(decoder.is_hopeless());
        assert_eq!(decoder.bad_payloads, MAX_BAD_PAYLOADS);
        assert_eq!(decoder.skipped_bytes(), 10_000 * HEADER_BYTES as u64);
    }

    #[test]
    fn a_flipped_bit_never_gives_a_frame() {
        let mut whole = Vec::new();
        frame(b"payload").encode(&mut whole);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::default();
            decoder.extend(&bytes);
            assert_eq!(drain(&mut decoder), [], "bit {bit}");
        }
    }
}
