//! How a group of changes lies in the log: one frame, whole or not at all.
//!
//! ```text
//! frame  = header record* padding to a multiple of 8
//! header = magic:4 payload:4 position:8 start:8 number:8 sessions:8 records:4 check:4       (little-endian, 48 bytes)
//! record = number(length) check:4 change
//! ```
//!
//! Positions count the bytes of the log since it began; a segment file is a window on it. A header tells its position, so
//! that what a file held before it was used anew is never taken for valid; and every check covers the store's salt, so
//! that no message can be made to look like a frame. A damaged record does not take the others of its frame along.

use crate::change::{Reader, put_number};

pub(crate) const HEADER_LEN: usize = 48;
const MAGIC: [u8; 4] = *b"GRVf";
const ALIGNMENT: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the records.
    pub(crate) payload: u32,
    /// Of its first byte.
    pub(crate) position: u64,
    /// Nothing before this position is needed any more.
    pub(crate) start: u64,
    /// Groups are numbered in the order they were committed; 1 is the first.
    pub(crate) number: u64,
    /// The highest id of a session so far.
    pub(crate) sessions: u64,
    pub(crate) records: u32,
}

impl Header {
    /// With padding.
    pub(crate) fn frame_len(&self) -> u64 {
        (HEADER_LEN as u64 + u64::from(self.payload)).next_multiple_of(ALIGNMENT as u64)
    }

    fn encode(&self, salt: u32) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let fields: [&[u8]; 7] = [
            &MAGIC,
            &self.payload.to_le_bytes(),
            &self.position.to_le_bytes(),
            &self.start.to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.sessions.to_le_bytes(),
            &self.records.to_le_bytes(),
        ];
        let (body, check) = bytes.split_at_mut(HEADER_LEN - 4);
        body.copy_from_slice(&fields.concat());
        check.copy_from_slice(&checksum(&[&salt.to_le_bytes(), body]));
        bytes
    }

    /// The header at the beginning of `bytes`, if that is one and it belongs at `position`.
    pub(crate) fn decode(bytes: &[u8], position: u64, salt: u32) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let (body, check) = bytes.split_at(HEADER_LEN - 4);
        if !body.starts_with(&MAGIC) || checksum(&[&salt.to_le_bytes(), body]) != *check {
            return None;
        }
        let mut from = Reader(body);
        let _magic = from.bytes(4);
        let header = Self {
            payload: from.fixed().map(u32::from_le_bytes)?,
            position: from.fixed().map(u64::from_le_bytes)?,
            start: from.fixed().map(u64::from_le_bytes)?,
            number: from.fixed().map(u64::from_le_bytes)?,
            sessions: from.fixed().map(u64::from_le_bytes)?,
            records: from.fixed().map(u32::from_le_bytes)?,
        };
        (header.position == position).then_some(header)
    }
}

/// A frame in the making.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    salt: u32,
    number: u64,
    seed: crc32fast::Hasher,
    records: u32,
    /// Of the records; padding follows.
    end: usize,
    scratch: Vec<u8>,
}

impl Builder {
    /// The frame will have this number.
    pub(crate) fn begin(&mut self, number: u64, salt: u32) {
        self.bytes.clear();
        self.bytes.resize(HEADER_LEN, 0);
        (self.records, self.end) = (0, HEADER_LEN);
        (self.number, self.salt) = (number, salt);
        self.seed = record_seed(salt, number);
    }

    /// What was pushed, with its offset.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        split(self.bytes.get(HEADER_LEN..self.end).unwrap_or_default())
            .map(|(offset, _, record)| (offset, record))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// With padding, as it stands now.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len().next_multiple_of(ALIGNMENT) as u64
    }

    /// Adds a record that `encode` writes, and says at which offset in the frame it stands.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let offset = self.bytes.len() as u64;
        self.scratch.clear();
        encode(&mut self.scratch);
        put_number(&mut self.bytes, self.scratch.len() as u64);
        self.bytes.extend_from_slice(&record_check(&self.seed, &self.scratch));
        self.bytes.extend_from_slice(&self.scratch);
        self.records += 1;
        self.end = self.bytes.len();
        offset
    }

    /// `None` when it is larger than a frame can be.
    pub(crate) fn finish(&mut self, position: u64, start: u64, sessions: u64) -> Option<&[u8]> {
        let payload = u32::try_from(self.end - HEADER_LEN).ok()?;
        let (number, records) = (self.number, self.records);
        let header = Header { payload, position, start, number, sessions, records };
        self.bytes[..HEADER_LEN].copy_from_slice(&header.encode(self.salt));
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        Some(&self.bytes)
    }

    /// As [`Builder::finish`], with so many zeros behind it.
    pub(crate) fn finish_filled(
        &mut self,
        position: u64,
        start: u64,
        sessions: u64,
        fill: usize,
    ) -> Option<&[u8]> {
        self.finish(position, start, sessions)?;
        self.bytes.resize(self.bytes.len() + fill, 0);
        Some(&self.bytes)
    }

    /// Gives back what an unusual group has needed.
    pub(crate) fn shrink(&mut self) {
        const KEPT: usize = 1 << 18;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.scratch.clear();
        self.scratch.shrink_to(KEPT);
    }
}

/// What the checks of a frame's records begin with.
fn record_seed(salt: u32, number: u64) -> crc32fast::Hasher {
    let mut seed = crc32fast::Hasher::new();
    seed.update(&salt.to_le_bytes());
    seed.update(&number.to_le_bytes());
    seed
}

fn record_check(seed: &crc32fast::Hasher, record: &[u8]) -> [u8; 4] {
    let mut hasher = seed.clone();
    hasher.update(record);
    hasher.finalize().to_le_bytes()
}

pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_le_bytes()
}

/// The records of a frame, each with its offset in it; `Err` for one that is damaged. Ends early where not even the length
/// of a record can be believed.
pub(crate) fn records(
    header: Header,
    frame: &[u8],
    salt: u32,
) -> impl Iterator<Item = (u64, Result<&[u8], Damaged>)> {
    let end = HEADER_LEN.saturating_add(header.payload as usize);
    let seed = record_seed(salt, header.number);
    split(frame.get(HEADER_LEN..end).unwrap_or_default()).map(move |(offset, given, record)| {
        let sound = record_check(&seed, record) == given;
        (offset, if sound { Ok(record) } else { Err(Damaged) })
    })
}

/// Each record with its offset in the frame and its check.
fn split(payload: &[u8]) -> impl Iterator<Item = (u64, [u8; 4], &[u8])> {
    let mut from = Reader(payload);
    std::iter::from_fn(move || {
        let offset = (HEADER_LEN + payload.len() - from.0.len()) as u64;
        let len = from.number()?;
        Some((offset, from.fixed()?, from.bytes(len)?))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// What lies in a piece of the log.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// All of its records are sound.
    Frame(Header, &'a [u8]),
    /// A frame of which some records are not.
    Torn(Header, &'a [u8]),
    /// No frame begins here, but one does after so many bytes.
    Gap { position: u64, len: u64 },
}

/// Walks over the frames in `bytes`, whose first byte has this position. Ends after the last frame that is sound, or torn
/// but complete in length.
pub(crate) fn walk<'a>(bytes: &'a [u8], first: u64, salt: u32, visit: &mut dyn FnMut(Found<'a>)) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let position = first + at as u64;
        let found = Header::decode(rest, position, salt).and_then(|header| {
            let frame = rest.get(..usize::try_from(header.frame_len()).ok()?)?;
            Some((header, frame))
        });
        if let Some((header, frame)) = found {
            visit(if is_sound(header, frame, salt) {
                Found::Frame(header, frame)
            } else {
                Found::Torn(header, frame)
            });
            at += frame.len();
            continue;
        }
        let Some(next) = next_frame(rest, position, salt) else { return };
        visit(Found::Gap { position, len: next as u64 });
        at += next;
    }
}

fn is_sound(header: Header, frame: &[u8], salt: u32) -> bool {
    let sound = records(header, frame, salt).take_while(|(_, record)| record.is_ok()).count();
    sound == header.records as usize
}

/// Where the next header is that belongs where it stands.
pub(crate) fn next_frame(bytes: &[u8], position: u64, salt: u32) -> Option<usize> {
    let places = (ALIGNMENT..bytes.len()).step_by(ALIGNMENT);
    places.into_iter().find(|at| {
        let here = bytes.get(*at..).unwrap_or_default();
        here.starts_with(&MAGIC) && Header::decode(here, position + *at as u64, salt).is_some()
    })
}

/// The position of `bytes` as the first header in them tells it.
pub(crate) fn position_of(bytes: &[u8], salt: u32) -> Option<u64> {
    (0..bytes.len()).step_by(ALIGNMENT).find_map(|at| {
        let here = bytes.get(at..).filter(|here| here.starts_with(&MAGIC))?;
        let told = u64::from_le_bytes(*here.get(8..)?.first_chunk()?);
        Header::decode(here, told, salt)?.position.checked_sub(at as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = 4096;
    const SALT: u32 = 77;

    /// Three frames of two records each.
    fn log() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        let mut builder = Builder::default();
        for number in 1..=3u8 {
            starts.push(bytes.len());
            builder.begin(number.into(), SALT);
            builder.push(|out| out.extend_from_slice(&[number; 5]));
            builder.push(|out| out.extend_from_slice(&[number; 200]));
            let len = builder.len();
            let frame = builder.finish(FIRST + bytes.len() as u64, FIRST, 9).unwrap();
            assert_eq!(len, frame.len() as u64);
            bytes.extend_from_slice(frame);
        }
        starts.push(bytes.len());
        (bytes, starts)
    }

    /// Numbers of the sound frames, and how many records of torn ones are sound.
    fn read(bytes: &[u8]) -> (Vec<u64>, usize, bool) {
        let (mut sound, mut salvaged, mut gap) = (Vec::new(), 0, false);
        walk(bytes, FIRST, SALT, &mut |found| match found {
            Found::Frame(header, frame) => {
                assert_eq!(records(header, frame, SALT).count(), 2);
                for (_, record) in records(header, frame, SALT) {
                    assert!(record.unwrap().iter().all(|byte| u64::from(*byte) == header.number));
                }
                sound.push(header.number);
            }
            Found::Torn(header, frame) => {
                salvaged += records(header, frame, SALT).filter(|(_, record)| record.is_ok()).count();
            }
            Found::Gap { .. } => gap = true,
        });
        (sound, salvaged, gap)
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        assert_eq!(read(&log().0), (vec![1, 2, 3], 0, false));
    }

    #[test]
    fn e02_a_log_cut_anywhere_ends_with_the_last_whole_frame() {
        let (bytes, starts) = log();
        for len in 0..bytes.len() {
            let whole = starts.iter().skip(1).filter(|end| **end <= len).count() as u64;
            let (sound, ..) = read(&bytes[..len]);
            assert_eq!(sound, (1..=whole).collect::<Vec<_>>(), "{len} bytes");
        }
    }

    #[test]
    fn any_flipped_bit_costs_at_most_its_frame() {
        let (bytes, starts) = log();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let hit = starts.iter().rposition(|start| *start <= at).unwrap() as u64 + 1;
                let (sound, salvaged, gap) = read(&bytes);
                let others: Vec<u64> = (1..=3).filter(|number| *number != hit).collect();
                // padding carries nothing
                assert!(sound == others || sound == [1, 2, 3], "byte {at}: {sound:?}");
                assert!(salvaged <= 1);
                assert!(!gap || hit < 3);
            }
        }
    }

    #[test]
    fn what_belongs_elsewhere_is_not_read() {
        let (bytes, starts) = log();
        let moved = &bytes[starts[1]..];
        assert_eq!(read(moved), (vec![], 0, false));
        assert_eq!(position_of(moved, SALT), Some(FIRST + starts[1] as u64));
        assert_eq!(position_of(&bytes[3..], SALT), None);
        // another store's
        assert_eq!(position_of(&bytes, SALT + 1), None);
    }
}
