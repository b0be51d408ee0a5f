//! What is to survive a restart of the program: messages of `QoS` 1 and 2 on their way to the server, and the packet ids of
//! `QoS` 2 messages that came from it.

use super::Message;
use crate::qos::Sender;
use grovemq_codec::{Publish, Qos, Version, decode_frame};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
};

/// What has become of one entry. Entries have numbers, which mean nothing but which entry it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The entry is this from now on.
    Put { key: u64, value: Vec<u8> },
    /// The entry is gone; perhaps there never was one.
    Remove { key: u64 },
}

/// Keys of ids of received messages have this bit, those of messages to be sent have it not.
const RECEIVED: u64 = 1 << 63;

/// A message to be sent, as it was kept.
#[derive(Debug)]
pub(super) enum Kept {
    Queued(Message),
    Sent(NonZeroU16, Message),
    /// The server has it and is to be told that we know.
    Released(NonZeroU16),
}

/// What has changed since the changes were last taken.
#[derive(Debug, Default)]
pub(super) struct Outbound(Option<BTreeMap<u64, Option<NonZeroU16>>>);

impl Outbound {
    pub(super) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    /// The message with this number has changed; if it is under way, then with this id.
    #[inline]
    pub(super) fn mark(&mut self, order: u64, id: Option<NonZeroU16>) {
        if let Some(changed) = &mut self.0 {
            changed.insert(order, id);
        }
    }

    pub(super) fn take(&mut self) -> BTreeMap<u64, Option<NonZeroU16>> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeMap::is_empty)
    }
}

/// The same of received `QoS` 2 messages.
#[derive(Debug, Default)]
pub(super) struct Inbound(Option<BTreeSet<NonZeroU16>>);

impl Inbound {
    pub(super) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    #[inline]
    pub(super) fn mark(&mut self, id: NonZeroU16) {
        if let Some(changed) = &mut self.0 {
            changed.insert(id);
        }
    }

    pub(super) fn take(&mut self) -> BTreeSet<NonZeroU16> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeSet::is_empty)
    }
}

/// The entry of a message to be sent. One that no packet can hold is not kept: it cannot be sent either.
pub(super) fn outgoing(order: u64, sent: Option<(NonZeroU16, Sender)>, message: Option<&Message>) -> Change {
    let mut value = vec![match sent {
        None => QUEUED,
        Some((_, Sender::AwaitPubComp)) => RELEASED,
        Some(_) => SENT,
    }];
    value.extend(sent.map_or(0, |(id, _)| id.get()).to_be_bytes());
    match message {
        Some(message) if encode(message, &mut value).is_none() => Change::Remove { key: order },
        _ => Change::Put { key: order, value },
    }
}

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const RELEASED: u8 = 2;

/// The entry of a received id, and whether it is open.
pub(super) fn received(id: NonZeroU16, open: bool) -> Change {
    let key = RECEIVED | u64::from(id.get());
    if open { Change::Put { key, value: Vec::new() } } else { Change::Remove { key } }
}

/// What an entry was. None: it is damaged.
pub(super) fn read(key: u64, value: &[u8]) -> Option<Entry> {
    if key & RECEIVED != 0 {
        let id = u16::try_from(key & !RECEIVED).ok().and_then(NonZeroU16::new)?;
        return Some(Entry::Received(id));
    }
    let (&[state, high, low], packet) = value.split_first_chunk()?;
    let id = NonZeroU16::new(u16::from_be_bytes([high, low]));
    Some(Entry::Outgoing(match (state, id) {
        (QUEUED, None) => Kept::Queued(decode(packet)?),
        (SENT, Some(id)) => Kept::Sent(id, decode(packet)?),
        (RELEASED, Some(id)) if packet.is_empty() => Kept::Released(id),
        _ => return None,
    }))
}

#[derive(Debug)]
pub(super) enum Entry {
    Outgoing(Kept),
    Received(NonZeroU16),
}

/// As PUBLISH of MQTT 5, which has room for everything a message can have. An alias belongs to a connection.
fn encode(message: &Message, out: &mut Vec<u8>) -> Option<()> {
    let mut properties = message.properties.as_wire();
    properties.topic_alias = None;
    let packet = Publish {
        dup: false,
        qos: message.qos,
        retain: message.retain,
        topic: &message.topic,
        packet_id: Some(NonZeroU16::MIN),
        properties,
        raw_properties: &[],
        payload: &message.payload,
    };
    packet.encode(Version::V5, out).ok()
}

fn decode(packet: &[u8]) -> Option<Message> {
    let frame = decode_frame(packet, u32::MAX).ok()??;
    let publish = Publish::parse(&frame, Version::V5).ok()?;
    if frame.len() != packet.len() || publish.qos == Qos::AtMostOnce || publish.topic.is_empty() {
        return None;
    }
    Some(Message::from_wire(publish.topic.to_owned(), &publish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Properties;

    fn message() -> Message {
        let properties = Properties {
            payload_format: Some(true),
            message_expiry: Some(60),
            topic_alias: Some(1),
            response_topic: Some("r".to_owned()),
            correlation_data: Some(vec![1, 2]),
            content_type: Some("text".to_owned()),
            user: vec![("k".to_owned(), "v".to_owned())],
            ..Properties::default()
        };
        Message::new("a/b", "hello").qos(Qos::ExactlyOnce).retain(true).properties(properties)
    }

    fn kept(sent: Option<(NonZeroU16, Sender)>, message: Option<&Message>) -> Vec<u8> {
        match outgoing(3, sent, message) {
            Change::Put { key: 3, value } => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_come_back_whole_but_for_the_alias() {
        let id = NonZeroU16::new(7).unwrap();
        let mut wanted = message();
        wanted.properties.topic_alias = None;
        let queued = read(3, &kept(None, Some(&message())));
        assert!(matches!(queued, Some(Entry::Outgoing(Kept::Queued(m))) if m == wanted));
        let sent = read(3, &kept(Some((id, Sender::AwaitPubRec)), Some(&message())));
        assert!(matches!(sent, Some(Entry::Outgoing(Kept::Sent(i, m))) if i == id && m == wanted));
        let released = read(3, &kept(Some((id, Sender::AwaitPubComp)), None));
        assert!(matches!(released, Some(Entry::Outgoing(Kept::Released(i))) if i == id));
        let Change::Put { key, value } = received(id, true) else { panic!() };
        assert!(matches!(read(key, &value), Some(Entry::Received(i)) if i == id));
        assert_eq!(received(id, false), Change::Remove { key });
    }

    #[test]
    fn damaged_entries_are_told_apart() {
        let value = kept(None, Some(&message()));
        for len in 0..value.len() {
            assert!(read(3, &value[..len]).is_none(), "{len}");
        }
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut damaged = value.clone();
                damaged[at] ^= 1 << bit;
                // whatever it is taken for, it does no harm
                read(3, &damaged);
            }
        }
        assert!(read(RECEIVED, &[]).is_none());
        assert!(read(RECEIVED | 0x1_0000, &[]).is_none());
    }

    #[test]
    fn what_no_packet_can_hold_is_not_kept() {
        let long = Message::new("a".repeat(70_000), "").qos(Qos::AtLeastOnce);
        assert_eq!(outgoing(3, None, Some(&long)), Change::Remove { key: 3 });
    }
}
