//! Reads a pack as it streams by, before git does: how many objects it has and how large they become.
//!
//! One MiB of pack can hold a blob of a GiB, and git would hash all of it before anyone could ask its
//! size. The sizes stand at the head of each object, so a bomb is refused when its head has passed.
//! Nothing else is judged here; what the objects are is for `index-pack --strict`.

use flate2::{Decompress, FlushDecompress, Status};

use crate::forge::git::repository::ObjectFormat;

/// Bytes of a pack's header: `PACK`, version, number of objects.
const HEADER_BYTES: usize = 12;

/// Enough for type and size of an object, or for both sizes of a delta.
const MAX_NUMBER_BYTES: usize = 10;

/// Bounds on a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackLimits {
    pub(crate) objects: u64,
    pub(crate) object_bytes: u64,
    pub(crate) inflated_bytes: u64,
}

/// Why a pack is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is over a limit: an honest sandbox may come to that.
    TooLarge(String),
    /// It is not a pack as it should be.
    Malformed(&'static str),
}

/// Follows a pack's bytes.
pub(crate) struct PackReader {
    limits: PackLimits,
    id_bytes: usize,
    step: Step,
    head: Vec<u8>,
    objects_left: u64,
    inflated_bytes: u64,
    inflater: Decompress,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for PackReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackReader")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Header,
    ObjectHead,
    /// The id, or the offset, of a delta's base; so many bytes of it are left, 0 = it ends itself.
    DeltaBase {
        id_bytes_left: usize,
    },
    Data {
        declared_bytes: u64,
        seen_bytes: u64,
        is_delta: bool,
    },
    Trailer {
        bytes_left: usize,
    },
}

impl PackReader {
    pub(crate) fn new(format: ObjectFormat, limits: PackLimits) -> Self {
        Self {
            limits,
            id_bytes: format.id_bytes(),
            step: Step::Header,
            head: Vec::new(),
            objects_left: 0,
            inflated_bytes: 0,
            inflater: Decompress::new(true),
            scratch: vec![0; 32 * 1024],
        }
    }

    /// Returns whether the pack is whole.
    pub(crate) fn is_complete(&self) -> bool {
        self.step == Step::Trailer { bytes_left: 0 }
    }

    /// Takes the next bytes; an error says why the pack is refused.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            bytes = match self.step {
                Step::Header => self.read_header(bytes)?,
                Step::ObjectHead => self.read_object_head(bytes)?,
                Step::DeltaBase { id_bytes_left } => self.read_delta_base(bytes, id_bytes_left)?,
                Step::Data { .. } => self.read_data(bytes)?,
                Step::Trailer { bytes_left } => {
                    let taken = bytes_left.min(bytes.len());
                    if taken == 0 {
                        return Err(Refusal::Malformed("the pack has bytes after its end"));
                    }
                    self.step = Step::Trailer {
                        bytes_left: bytes_left - taken,
                    };
                    bytes.get(taken..).unwrap_or_default()
                }
            };
        }
        Ok(())
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let taken = (HEADER_BYTES - self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(taken);
        self.head.extend_from_slice(head);
        if let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.head.as_slice()) {
            let [b'P', b'A', b'C', b'K', 0, 0, 0, 2, count @ ..] = header else {
                return Err(Refusal::Malformed("it is not a pack of version 2"));
            };
            self.objects_left = u64::from(u32::from_be_bytes(count));
            if self.objects_left > self.limits.objects {
                return Err(Refusal::TooLarge(format!(
                    "the pack has more than {} objects",
                    self.limits.objects
                )));
            }
            self.next_object();
        }
        Ok(rest)
    }

    fn next_object(&mut self) {
        self.head.clear();
        self.step = if self.objects_left == 0 {
            Step::Trailer {
                bytes_left: self.id_bytes,
            }
        } else {
            self.objects_left -= 1;
            Step::ObjectHead
        };
    }

    fn read_object_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (Some(byte), rest) = (bytes.first(), bytes.get(1..).unwrap_or_default()) else {
            return Ok(bytes);
        };
        self.head.push(*byte);
        if byte & 0x80 != 0 {
            return if self.head.len() < MAX_NUMBER_BYTES {
                Ok(rest)
            } else {
                Err(Refusal::Malformed("an object's size is not a number"))
            };
        }
        let kind = self.head.first().map_or(0, |byte| (byte >> 4) & 7);
        let declared_bytes = object_size(&self.head);
        self.head.clear();
        self.inflater.reset(true);
        self.count(declared_bytes)?;
        let data = Step::Data {
            declared_bytes,
            seen_bytes: 0,
            is_delta: matches!(kind, 6 | 7),
        };
        // The base of a delta stands between head and data; `Data` is remembered by its size.
        self.step = match kind {
            1..=4 => data,
            6 | 7 => {
                self.head.extend_from_slice(&declared_bytes.to_be_bytes());
                let id_bytes_left = if kind == 7 { self.id_bytes } else { 0 };
                Step::DeltaBase { id_bytes_left }
            }
            _ => return Err(Refusal::Malformed("an object's type is unknown")),
        };
        Ok(rest)
    }

    fn read_delta_base<'a>(&mut self, bytes: &'a [u8], id_bytes_left: usize) -> Result<&'a [u8], Refusal> {
        let (taken, ends) = if id_bytes_left == 0 {
            match bytes.iter().position(|byte| byte & 0x80 == 0) {
                Some(last) => (last + 1, true),
                None => (bytes.len(), false),
            }
        } else {
            let taken = id_bytes_left.min(bytes.len());
            if taken < id_bytes_left {
                self.step = Step::DeltaBase {
                    id_bytes_left: id_bytes_left - taken,
                };
            }
            (taken, taken == id_bytes_left)
        };
        if ends {
            let declared = <[u8; 8]>::try_from(self.head.as_slice()).map(u64::from_be_bytes);
            self.head.clear();
            self.step = Step::Data {
                declared_bytes: declared.unwrap_or_default(),
                seen_bytes: 0,
                is_delta: true,
            };
        }
        Ok(bytes.get(taken..).unwrap_or_default())
    }

    fn read_data<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let Step::Data {
            declared_bytes,
            seen_bytes,
            is_delta,
        } = self.step
        else {
            return Ok(bytes);
        };
        let (in_before, out_before) = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(bytes, &mut self.scratch, FlushDecompress::None)
            .map_err(|_| Refusal::Malformed("an object is not compressed as it should be"))?;
        let taken = usize::try_from(self.inflater.total_in() - in_before).unwrap_or(usize::MAX);
        let made = usize::try_from(self.inflater.total_out() - out_before).unwrap_or(usize::MAX);
        let seen_bytes = seen_bytes + made as u64;
        if seen_bytes > declared_bytes {
            return Err(Refusal::Malformed("an object is larger than it says"));
        }
        if is_delta && self.head.len() < 2 * MAX_NUMBER_BYTES {
            let missing = 2 * MAX_NUMBER_BYTES - self.head.len();
            self.head.extend(self.scratch.iter().take(made.min(missing)));
        }
        self.step = Step::Data {
            declared_bytes,
            seen_bytes,
            is_delta,
        };
        if status == Status::StreamEnd {
            if seen_bytes != declared_bytes {
                return Err(Refusal::Malformed("an object is smaller than it says"));
            }
            if is_delta {
                let result_bytes =
                    delta_result_size(&self.head).ok_or(Refusal::Malformed("a delta's size is not a number"))?;
                self.count(result_bytes)?;
            }
            self.next_object();
        } else if taken == 0 && made == 0 {
            return Err(Refusal::Malformed("an object is not compressed as it should be"));
        }
        Ok(bytes.get(taken..).unwrap_or_default())
    }

    fn count(&mut self, object_bytes: u64) -> Result<(), Refusal> {
        if object_bytes > self.limits.object_bytes {
            return Err(Refusal::TooLarge(format!(
                "a file is larger than {} MiB",
                self.limits.object_bytes >> 20
            )));
        }
        self.inflated_bytes = self.inflated_bytes.saturating_add(object_bytes);
        if self.inflated_bytes > self.limits.inflated_bytes {
            return Err(Refusal::TooLarge(format!(
                "the change is larger than {} MiB",
                self.limits.inflated_bytes >> 20
            )));
        }
        Ok(())
    }
}

/// The size at an object's head: four bits of the first byte, then seven of each.
fn object_size(head: &[u8]) -> u64 {
    let mut size = head.first().map_or(0, |byte| u64::from(byte & 15));
    let mut shift = 4_u32;
    for byte in head.iter().skip(1) {
        size |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(u64::MAX);
        shift += 7;
    }
    size
}

/// The second number at a delta's head: the size of what it makes.
fn delta_result_size(head: &[u8]) -> Option<u64> {
    let end_of_first = head.iter().position(|byte| byte & 0x80 == 0)?;
    let second = head.get(end_of_first + 1..)?;
    let end = second.iter().position(|byte| byte & 0x80 == 0)?;
    let mut size = 0_u64;
    for (place, byte) in second.iter().take(end + 1).enumerate() {
        size |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(place).ok()?)?;
    }
    Some(size)
}
