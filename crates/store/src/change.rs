//! One change as it stands in the log: the same as a [`Record`](grovemq_core::journal::Record), but a message is written
//! once and then named by a number.
//!
//! ```text
//! change  = kind:u8 fields      number = 7 bits per byte, low ones first, at most ten bytes
//! text    = number bytes        message = flags:u8 text(topic) text(properties) [number(expires)] rest(payload)
//! ```
//!
//! [`Change::decode`] never panics and allocates no more than it is given.

use grovemq_codec::{Qos, RetainHandling, SubscribeOptions};
use grovemq_core::journal::StoredId;
use std::borrow::Cow;

/// Names a message body in one store. Never 0.
pub(crate) type BodyId = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Body {
        id: BodyId,
        letter: Letter<'a>,
    },
    Session(Description<'a>),
    Ended(StoredId),
    Subscribed {
        session: StoredId,
        filter: &'a str,
        group: Option<&'a str>,
        options: SubscribeOptions,
        id: u32,
    },
    Unsubscribed {
        session: StoredId,
        filter: &'a str,
        group: Option<&'a str>,
    },
    Queued(Queued<'a>),
    /// Stands for itself: what was queued need not be there any more.
    Owned {
        session: StoredId,
        seq: u64,
    },
    Finished {
        session: StoredId,
        seq: u64,
    },
    Received {
        session: StoredId,
        packet_id: u16,
    },
    Completed {
        session: StoredId,
        packet_id: u16,
    },
    Retained {
        topic: &'a str,
        body: BodyId,
    },
    Cleared {
        topic: &'a str,
    },
}

/// A message. Unlike core's, its end is a time of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter<'a> {
    pub(crate) topic: &'a str,
    pub(crate) properties: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Milliseconds since 1970.
    pub(crate) expires: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description<'a> {
    pub(crate) id: StoredId,
    pub(crate) client_id: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) mount: Option<&'a str>,
    pub(crate) expiry: u32,
    pub(crate) expires: Option<u64>,
    pub(crate) will: Option<Will<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will<'a> {
    pub(crate) letter: Letter<'a>,
    pub(crate) due: u64,
    pub(crate) expiry: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued<'a> {
    pub(crate) session: StoredId,
    pub(crate) seq: u64,
    pub(crate) body: BodyId,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Subscription identifiers.
    pub(crate) ids: Cow<'a, [u32]>,
}

mod kind {
    pub(super) const BODY: u8 = 1;
    pub(super) const SESSION: u8 = 2;
    pub(super) const ENDED: u8 = 3;
    pub(super) const SUBSCRIBED: u8 = 4;
    pub(super) const UNSUBSCRIBED: u8 = 5;
    pub(super) const QUEUED: u8 = 6;
    pub(super) const OWNED: u8 = 7;
    pub(super) const FINISHED: u8 = 8;
    pub(super) const RECEIVED: u8 = 9;
    pub(super) const COMPLETED: u8 = 10;
    pub(super) const RETAINED: u8 = 11;
    pub(super) const CLEARED: u8 = 12;
}

impl<'a> Change<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Body { id, letter } => {
                head(out, kind::BODY, &[*id]);
                put_letter(out, letter);
            }
            Self::Session(description) => put_description(out, description),
            Self::Ended(id) => head(out, kind::ENDED, &[*id]),
            Self::Subscribed { session, filter, group, options, id } => {
                head(out, kind::SUBSCRIBED, &[*session, u64::from(*id)]);
                out.push(options_byte(*options));
                put_texts(out, &[Some(filter), *group]);
            }
            Self::Unsubscribed { session, filter, group } => {
                head(out, kind::UNSUBSCRIBED, &[*session]);
                put_texts(out, &[Some(filter), *group]);
            }
            Self::Queued(queued) => {
                head(out, kind::QUEUED, &[queued.session, queued.seq, queued.body]);
                out.push(queued.qos as u8 | u8::from(queued.retain) << 2);
                queued.ids.iter().for_each(|id| put_number(out, (*id).into()));
            }
            Self::Owned { session, seq } => head(out, kind::OWNED, &[*session, *seq]),
            Self::Finished { session, seq } => head(out, kind::FINISHED, &[*session, *seq]),
            Self::Received { session, packet_id } => {
                head(out, kind::RECEIVED, &[*session, (*packet_id).into()]);
            }
            Self::Completed { session, packet_id } => {
                head(out, kind::COMPLETED, &[*session, (*packet_id).into()]);
            }
            Self::Retained { topic, body } => {
                head(out, kind::RETAINED, &[*body]);
                out.extend_from_slice(topic.as_bytes());
            }
            Self::Cleared { topic } => {
                head(out, kind::CLEARED, &[]);
                out.extend_from_slice(topic.as_bytes());
            }
        }
    }

    /// `None` for anything that [`Change::encode`] does not write.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let change = match from.byte()? {
            kind::BODY => Self::Body { id: from.number()?, letter: from.letter()? },
            kind::SESSION => Self::Session(from.description()?),
            kind::ENDED => Self::Ended(from.number()?),
            kind::SUBSCRIBED => {
                let (session, id) = (from.number()?, from.small()?);
                let options = from.options()?;
                Self::Subscribed { session, filter: from.text()?, group: from.optional_text()?, options, id }
            }
            kind::UNSUBSCRIBED => Self::Unsubscribed {
                session: from.number()?,
                filter: from.text()?,
                group: from.optional_text()?,
            },
            kind::QUEUED => Self::Queued(from.queued()?),
            kind::OWNED => Self::Owned { session: from.number()?, seq: from.number()? },
            kind::FINISHED => Self::Finished { session: from.number()?, seq: from.number()? },
            kind::RECEIVED => Self::Received { session: from.number()?, packet_id: from.small()? },
            kind::COMPLETED => Self::Completed { session: from.number()?, packet_id: from.small()? },
            kind::RETAINED => Self::Retained { body: from.number()?, topic: from.rest_text()? },
            kind::CLEARED => Self::Cleared { topic: from.rest_text()? },
            _ => return None,
        };
        from.0.is_empty().then_some(change)
    }
}

fn head(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    for number in numbers {
        put_number(out, *number);
    }
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// None is 0, and a text one more than its length.
fn put_texts(out: &mut Vec<u8>, texts: &[Option<&str>]) {
    for text in texts {
        put_number(out, text.map_or(0, |text| text.len() as u64 + 1));
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

fn put_letter(out: &mut Vec<u8>, letter: &Letter<'_>) {
    out.push(letter.qos as u8 | u8::from(letter.retain) << 2 | u8::from(letter.expires.is_some()) << 3);
    put_bytes(out, letter.topic.as_bytes());
    put_bytes(out, letter.properties);
    if let Some(expires) = letter.expires {
        put_number(out, expires);
    }
    out.extend_from_slice(letter.payload);
}

fn put_description(out: &mut Vec<u8>, session: &Description<'_>) {
    head(out, kind::SESSION, &[session.id, session.expiry.into(), session.expires.map_or(0, |t| t.max(1))]);
    put_texts(out, &[Some(session.client_id), session.username, session.mount]);
    if let Some(will) = &session.will {
        put_number(out, will.due);
        put_number(out, will.expiry.map_or(0, |seconds| u64::from(seconds) + 1));
        put_letter(out, &will.letter);
    }
}

fn options_byte(options: SubscribeOptions) -> u8 {
    options.qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

/// What is left to read. Nothing it returns is longer than that.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            // the tenth byte has room for one bit
            if place == 9 && byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        self.number()?.try_into().ok()
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.bytes(len)
    }

    fn text(&mut self) -> Option<&'a str> {
        self.optional_text()?
    }

    /// The outer `None` is damage.
    #[expect(clippy::option_option, reason = "whether it could be read, and whether it is there")]
    fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(len) => Some(Some(str::from_utf8(self.bytes(len)?).ok()?)),
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn rest_text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.rest()).ok()
    }

    fn letter(&mut self) -> Option<Letter<'a>> {
        let flags = self.byte()?;
        let (topic, properties) = (self.counted()?, self.counted()?);
        let expires = if flags & 8 == 0 { None } else { Some(self.number()?) };
        Some(Letter {
            topic: str::from_utf8(topic).ok()?,
            properties,
            payload: self.rest(),
            qos: Qos::from_u8(flags & 3).filter(|_| flags < 16)?,
            retain: flags & 4 != 0,
            expires,
        })
    }

    fn description(&mut self) -> Option<Description<'a>> {
        let (id, expiry, expires) = (self.number()?, self.small()?, self.number()?);
        let (client_id, username, mount) = (self.text()?, self.optional_text()?, self.optional_text()?);
        let will = if self.0.is_empty() {
            None
        } else {
            let (due, expiry) = (self.number()?, self.number()?.checked_sub(1));
            let expiry = expiry.map(u32::try_from).transpose().ok()?;
            Some(Will { due, expiry, letter: self.letter()? })
        };
        let expires = Some(expires).filter(|time| *time != 0);
        Some(Description { id, client_id, username, mount, expiry, expires, will })
    }

    fn options(&mut self) -> Option<SubscribeOptions> {
        let byte = self.byte()?;
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return None,
        };
        let (no_local, retain_as_published) = (byte & 4 != 0, byte & 8 != 0);
        Some(SubscribeOptions {
            qos: Qos::from_u8(byte & 3)?,
            no_local,
            retain_as_published,
            retain_handling,
        })
    }

    fn queued(&mut self) -> Option<Queued<'a>> {
        let (session, seq, body) = (self.number()?, self.number()?, self.number()?);
        let flags = self.byte()?;
        let mut ids = Vec::new();
        while !self.0.is_empty() {
            ids.push(self.small()?);
        }
        let qos = Qos::from_u8(flags & 3).filter(|_| flags < 8)?;
        Some(Queued { session, seq, body, qos, retain: flags & 4 != 0, ids: ids.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letter() -> Letter<'static> {
        Letter {
            topic: "lab/temperature",
            properties: &[1, 1],
            payload: b"21.5",
            qos: Qos::ExactlyOnce,
            retain: true,
            expires: Some(1_700_000_000_000),
        }
    }

    fn all_kinds() -> Vec<Change<'static>> {
        let options = SubscribeOptions {
            qos: Qos::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::Never,
        };
        let plain = Description {
            id: 300,
            client_id: "",
            username: None,
            mount: Some(""),
            expiry: u32::MAX,
            expires: None,
            will: None,
        };
        let will = Will { letter: letter(), due: u64::MAX, expiry: Some(u32::MAX) };
        let waiting =
            Description { username: Some("u"), expires: Some(5), will: Some(will), ..plain.clone() };
        let queued = Queued {
            session: 1,
            seq: u64::MAX,
            body: 9,
            qos: Qos::AtLeastOnce,
            retain: true,
            ids: vec![1, 268_435_455].into(),
        };
        vec![
            Change::Body { id: 1, letter: letter() },
            Change::Body {
                id: u64::MAX,
                letter: Letter { expires: None, payload: b"", qos: Qos::AtMostOnce, ..letter() },
            },
            Change::Session(plain),
            Change::Session(waiting),
            Change::Ended(2),
            Change::Subscribed { session: 1, filter: "a/+/#", group: Some("g"), options, id: 7 },
            Change::Unsubscribed { session: 1, filter: "a", group: None },
            Change::Queued(queued),
            Change::Owned { session: 1, seq: 2 },
            Change::Finished { session: 1, seq: 2 },
            Change::Received { session: 1, packet_id: 3 },
            Change::Completed { session: 1, packet_id: 3 },
            Change::Retained { topic: "ä/b", body: 4 },
            Change::Cleared { topic: "ä/b" },
        ]
    }

    #[test]
    fn every_change_is_read_as_it_was_written() {
        for change in all_kinds() {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            assert_eq!(Change::decode(&bytes), Some(change.clone()));
        }
    }

    #[test]
    fn what_is_written_has_one_reading() {
        // of everything that can be made from a change by cutting or altering a byte
        for change in all_kinds() {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            for at in 0..bytes.len() {
                Change::decode(&bytes[..at]);
                for bit in 0..8 {
                    let mut other = bytes.clone();
                    other[at] ^= 1 << bit;
                    assert_ne!(Change::decode(&other).as_ref(), Some(&change), "byte {at}, bit {bit}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in 0u8..13) {
            Change::decode(&bytes);
            let mut bytes = bytes;
            bytes.insert(0, kind);
            if let Some(change) = Change::decode(&bytes) {
                let mut again = Vec::new();
                change.encode(&mut again);
                prop_assert_eq!(Change::decode(&again), Some(change));
            }
        }
    }
}
