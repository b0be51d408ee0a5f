//! Mosquitto's `mosquitto.db`: format 6 (Mosquitto 2.0 and 2.1), 5 (1.6) and, in `old`, 2 to 4 (up to 1.5).
//!
//! ```text
//! file  = 00 b5 00 "mosquitto db" 0:4 format:4 chunk*      chunk = kind:4 length:4 fixed-part texts properties
//! ```
//!
//! Numbers are big-endian, but for the names of messages and times, which are as the machine had them: names are only compared,
//! and a time of the other byte order is far from any of ours. What cannot be read is named and left out; each chunk stands
//! for itself.

mod old;
#[cfg(test)]
mod tests;

use crate::change::{Letter, Reader};
use crate::clock::Clock;
use crate::{Error, Recovery};
use grovemq_codec::{PublishProperties, Qos, RetainHandling, SubscribeOptions, topic};
use grovemq_core::Message;
use grovemq_core::journal::{QueuedImage, Saved, SavedSession, SessionImage, StoredId, SubscriptionImage};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

const MAGIC: &[u8] = b"\x00\xb5\x00mosquitto db";
const FORMATS: std::ops::RangeInclusive<u32> = 2..=6;

mod kind {
    pub(super) const CONFIGURATION: u32 = 1;
    pub(super) const MESSAGE: u32 = 2;
    pub(super) const CLIENT_MESSAGE: u32 = 3;
    pub(super) const RETAINED: u32 = 4;
    pub(super) const SUBSCRIPTION: u32 = 5;
    pub(super) const CLIENT: u32 = 6;
}

/// Where a message to a client stands, in Mosquitto's numbers: its PUBREC has come, or is to be answered.
const OWNED: [u8; 2] = [6, 9];
const QUEUED: u8 = 11;

/// Reads a `mosquitto.db`. Sessions get ids from `first` on; `epoch` is the wall clock at core's `Time(0)`.
pub fn read_mosquitto_db(
    path: &Path,
    epoch: SystemTime,
    first: StoredId,
    visit: &mut dyn FnMut(Saved),
) -> Result<Recovery, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    parse_mosquitto_db(&bytes, path, epoch, first, visit)
}

/// The same with the file's contents; `path` is what it is called.
pub fn parse_mosquitto_db(
    bytes: &[u8],
    path: &Path,
    epoch: SystemTime,
    first: StoredId,
    visit: &mut dyn FnMut(Saved),
) -> Result<Recovery, Error> {
    let refuse = |what: String| Error::Unreadable { path: path.into(), what };
    let mut from = Reader(bytes);
    let magic = from.bytes(MAGIC.len() as u64);
    let (Some(MAGIC), Some(_), Some(format)) = (magic, number32(&mut from), number32(&mut from)) else {
        return Err(refuse("not a mosquitto.db".into()));
    };
    if !FORMATS.contains(&format) {
        return Err(refuse(format!("a mosquitto.db of format {format}; 2 to 6 can be read")));
    }
    let mut db = Db { format, clock: Clock::new(epoch), first, ..Db::new(epoch) };
    let total = bytes.len();
    while !from.0.is_empty() {
        let at = format!("{}:{}", path.display(), total - from.0.len());
        match if format < 5 { db.old_chunk(&mut from) } else { db.next_chunk(&mut from) } {
            Chunk::Read => {}
            Chunk::Unreadable(kind) => db.found.lose(at, format!("what cannot be read as {}", name(kind))),
            Chunk::End => {
                db.found.lose(at, "the rest of the file");
                break;
            }
        }
    }
    Ok(db.finish(visit))
}

/// What became of a chunk.
enum Chunk {
    Read,
    /// Of this kind; what follows may be good.
    Unreadable(u32),
    /// The file ends in it.
    End,
}

fn name(kind: u32) -> &'static str {
    match kind {
        kind::CONFIGURATION => "its description",
        kind::MESSAGE => "a message",
        kind::CLIENT_MESSAGE => "a client's message",
        kind::RETAINED => "a retained message",
        kind::SUBSCRIPTION => "a subscription",
        kind::CLIENT => "a client",
        _ => "any known kind of chunk",
    }
}

struct Db {
    format: u32,
    clock: Clock,
    first: StoredId,
    messages: HashMap<u64, Arc<Message>>,
    clients: BTreeMap<Box<str>, SavedSession>,
    /// Seen before their clients or messages, perhaps.
    waiting: Vec<ClientMessage>,
    subscriptions: Vec<(Box<str>, SubscriptionImage)>,
    retained: Vec<u64>,
    found: Recovery,
}

struct ClientMessage {
    client: Box<str>,
    message: u64,
    packet_id: u16,
    qos: Qos,
    state: u8,
    retain: bool,
    incoming: bool,
    ids: Option<Box<[u32]>>,
}

impl Db {
    fn new(epoch: SystemTime) -> Self {
        Self {
            format: 0,
            clock: Clock::new(epoch),
            first: 1,
            messages: HashMap::new(),
            clients: BTreeMap::new(),
            waiting: Vec::new(),
            subscriptions: Vec::new(),
            retained: Vec::new(),
            found: Recovery::default(),
        }
    }

    fn next_chunk(&mut self, from: &mut Reader<'_>) -> Chunk {
        let body = match (number32(from), number32(from)) {
            (Some(kind), Some(len)) => from.bytes(len.into()).map(|body| (kind, body)),
            _ => None,
        };
        let Some((kind, body)) = body else { return Chunk::End };
        if self.chunk(kind, body).is_some() { Chunk::Read } else { Chunk::Unreadable(kind) }
    }

    /// `None` for what cannot be read.
    fn chunk(&mut self, kind: u32, body: &[u8]) -> Option<()> {
        let mut from = Reader(body);
        match kind {
            kind::CONFIGURATION => {}
            kind::MESSAGE => {
                let (id, message) = self.message(&mut from)?;
                self.messages.insert(id, message);
            }
            kind::CLIENT_MESSAGE => self.waiting.push(client_message(&mut from)?),
            kind::RETAINED => self.retained.push(host64(&mut from)?),
            kind::SUBSCRIPTION => self.subscriptions.push(subscription(&mut from)?),
            kind::CLIENT => {
                let image = self.client(&mut from)?;
                self.add(image);
            }
            _ => return None,
        }
        Some(())
    }

    fn add(&mut self, image: SessionImage) {
        let (subscriptions, queue, received) = (Vec::new(), Vec::new(), Vec::new());
        let session = SavedSession { image, subscriptions, queue, received };
        self.clients.insert(session.image.client_id.clone(), session);
    }

    fn message(&self, from: &mut Reader<'_>) -> Option<(u64, Arc<Message>)> {
        let (id, expires) = (host64(from)?, time(from)?);
        let payload_len = number32(from)?;
        let _source_packet_id = number16(from)?;
        let (source_len, user_len, topic_len) = (number16(from)?, number16(from)?, number16(from)?);
        let _source_port = number16(from)?;
        let (qos, retain) = (Qos::from_u8(from.byte()?)?, from.byte()? != 0);
        let _source = from.bytes(source_len.into())?;
        let _user = from.bytes(user_len.into())?;
        let topic = str::from_utf8(from.bytes(topic_len.into())?).ok()?;
        topic::validate_name(topic).ok()?;
        let payload = from.bytes(payload_len.into())?;
        let mut kept = Vec::new();
        if let Some(properties) = properties(from)? {
            let empty = PublishProperties::default();
            let own = PublishProperties {
                message_expiry: None,
                topic_alias: None,
                subscription_ids: empty.subscription_ids,
                ..properties
            };
            own.write(&mut kept).ok()?;
        }
        let expires = expires.map(|seconds| seconds.saturating_mul(1000));
        let letter = Letter { topic, properties: &kept, payload, qos, retain, expires };
        Some((id, self.clock.message(&letter)))
    }

    fn client(&self, from: &mut Reader<'_>) -> Option<SessionImage> {
        let len = from.0.len();
        let (expires, expiry) = (time(from)?, number32(from)?);
        let (_last_packet_id, id_len) = (number16(from)?, number16(from)?);
        let mut user_len = 0;
        if self.format >= 6 {
            let _port = number16(from)?;
            user_len = number16(from)?;
            // where 64-bit numbers may stand at any multiple of 4, as on 32-bit x86, there is none
            let padding = from.0.first_chunk()?;
            let without = 20 + usize::from(id_len) + usize::from(user_len);
            if len != without || *padding == [0; 4] {
                let _padding = from.bytes(4)?;
            }
        }
        // so Mosquitto 2 writes a session that it has from a file of format 2 to 4, and does not end it
        let expiry = if expiry == 0 && expires.is_none() { u32::MAX } else { expiry };
        let client_id = str::from_utf8(from.bytes(id_len.into())?).ok()?;
        // Mosquitto 2.0 may write another client's name, and whatever followed it in memory, for a client without one
        let username = from.bytes(user_len.into()).and_then(|name| str::from_utf8(name).ok());
        let username = username.filter(|name| !name.is_empty() && !name.contains('\0'));
        Some(SessionImage {
            id: 0,
            client_id: client_id.into(),
            username: username.map(Into::into),
            mount: None,
            expiry,
            expires: expires.map(|seconds| seconds.saturating_mul(1000)),
            will: None,
        })
    }

    fn finish(mut self, visit: &mut dyn FnMut(Saved)) -> Recovery {
        for (client, image) in std::mem::take(&mut self.subscriptions) {
            if let Some(session) = self.clients.get_mut(&client) {
                session.subscriptions.push(image);
            } else {
                let what = format!("a subscription to {} without its client", image.filter);
                self.found.lose(client, what);
            }
        }
        let (incoming, outgoing): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.incoming);
        for waiting in outgoing {
            if let Err(what) = self.deliver(&waiting) {
                self.found.lose(waiting.client, what);
            }
        }
        for waiting in incoming {
            if let Err(what) = self.publish(&waiting) {
                self.found.lose(waiting.client, what);
            }
        }
        let mut found = std::mem::take(&mut self.found);
        for (id, mut session) in (self.first..).zip(self.clients.into_values()) {
            session.image.id = id;
            found.sessions += 1;
            found.subscriptions += session.subscriptions.len() as u64;
            found.queued += session.queue.len() as u64;
            found.highest_session = id;
            visit(Saved::Session(Box::new(session)));
        }
        for id in self.retained {
            match self.messages.get(&id) {
                Some(message) => {
                    found.retained += 1;
                    visit(Saved::Retained(message.clone()));
                }
                None => found.lose("retained messages", format!("the body of message {id}")),
            }
        }
        found
    }

    fn deliver(&mut self, waiting: &ClientMessage) -> Result<(), String> {
        let session = self.clients.get_mut(&waiting.client).ok_or("a message without its client")?;
        let message = self.messages.get(&waiting.message).ok_or("a message without its body")?;
        if waiting.qos == Qos::AtMostOnce {
            return Err(format!("a message to {} of QoS 0, which is not kept", message.topic()));
        }
        let last = session.queue.last().map_or(0, |(seq, _)| *seq);
        let first = session.queue.first().map_or(0, |(seq, _)| *seq);
        let known = Some(waiting.packet_id).filter(|id| *id != 0 && waiting.state != QUEUED);
        // so that the packet id that its receiver may know follows from the place
        let place = known.map_or(last + 1, |id| place_after(last, id));
        let seq = if place - first < u64::from(u16::MAX) { place } else { last + 1 };
        let image = QueuedImage {
            seq,
            message: message.clone(),
            qos: waiting.qos,
            retain: waiting.retain,
            ids: waiting.ids.clone(),
        };
        session.queue.push((seq, Some(image).filter(|_| !OWNED.contains(&waiting.state))));
        Ok(())
    }

    /// A message of QoS 2 that its author has not released. Mosquitto hands it on only then, and this broker when it comes: so
    /// it is for all who are subscribed, and when its author sends it again, it is known.
    fn publish(&mut self, waiting: &ClientMessage) -> Result<(), String> {
        let message = self.messages.get(&waiting.message).ok_or("a message without its body")?.clone();
        let author = self.clients.get_mut(&waiting.client).ok_or("a message without its client")?;
        if waiting.packet_id == 0
            || waiting.qos != Qos::ExactlyOnce
            || author.received.contains(&waiting.packet_id)
        {
            return Err(format!("a message to {} that it cannot have sent", message.topic()));
        }
        author.received.push(waiting.packet_id);
        if message.view().retain {
            let of = |id: &u64| self.messages.get(id).map(|message| message.topic());
            self.retained.retain(|id| of(id) != Some(message.topic()));
            self.retained.extend(Some(waiting.message).filter(|_| !message.payload().is_empty()));
        }
        let mut groups = BTreeSet::new();
        for session in self.clients.values_mut() {
            let mut matching = Vec::new();
            for image in &session.subscriptions {
                // of each shared group, one gets it
                let mine = image
                    .group
                    .as_ref()
                    .is_none_or(|group| groups.insert((group.clone(), image.filter.clone())));
                if topic::matches(&image.filter, message.topic()) && mine {
                    matching.push(image);
                }
            }
            let own = session.image.client_id == waiting.client;
            matching.retain(|image| !(own && image.options.no_local));
            let qos = matching.iter().map(|image| image.options.qos).max().unwrap_or_default();
            if qos == Qos::AtMostOnce {
                continue;
            }
            let retain =
                message.view().retain && matching.iter().any(|image| image.options.retain_as_published);
            let ids: Vec<u32> = matching.iter().map(|image| image.id).filter(|id| *id != 0).collect();
            let seq = session.queue.last().map_or(0, |(seq, _)| *seq) + 1;
            let qos = qos.min(message.view().qos);
            let ids = Some(ids).filter(|ids| !ids.is_empty()).map(Into::into);
            session.queue.push((seq, Some(QueuedImage { seq, message: message.clone(), qos, retain, ids })));
        }
        Ok(())
    }
}

/// The next place that has this packet id: the ids 1 to 65,535 go round.
fn place_after(last: u64, packet_id: u16) -> u64 {
    let ring = u64::from(u16::MAX);
    let id_of_next = last % ring + 1;
    last + 1 + (u64::from(packet_id) + ring - id_of_next) % ring
}

fn client_message(from: &mut Reader<'_>) -> Option<ClientMessage> {
    let (message, packet_id, id_len) = (host64(from)?, number16(from)?, number16(from)?);
    let (qos, state) = (Qos::from_u8(from.byte()?)?, from.byte()?);
    let (retain_and_dup, direction) = (from.byte()?, from.byte()?);
    let client = str::from_utf8(from.bytes(id_len.into())?).ok()?.into();
    let ids = properties(from)?.map(|properties| properties.subscription_ids.iter().collect::<Vec<u32>>());
    Some(ClientMessage {
        client,
        message,
        packet_id,
        qos,
        state,
        retain: retain_and_dup >> 4 != 0,
        incoming: direction == 0,
        ids: ids.filter(|ids| !ids.is_empty()).map(Into::into),
    })
}

fn subscription(from: &mut Reader<'_>) -> Option<(Box<str>, SubscriptionImage)> {
    let (id, id_len, topic_len) = (number32(from)?, number16(from)?, number16(from)?);
    let (qos, options) = (Qos::from_u8(from.byte()?)?, from.byte()?);
    let _padding = from.bytes(2)?;
    let client = str::from_utf8(from.bytes(id_len.into())?).ok()?;
    let filter = str::from_utf8(from.bytes(topic_len.into())?).ok()?;
    let retain_handling = match options >> 4 & 3 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        _ => RetainHandling::Never,
    };
    let options = SubscribeOptions {
        qos,
        no_local: options & 4 != 0,
        retain_as_published: options & 8 != 0,
        retain_handling,
    };
    Some((client.into(), subscribed(filter, options, id)?))
}

fn subscribed(filter: &str, options: SubscribeOptions, id: u32) -> Option<SubscriptionImage> {
    topic::validate_filter(filter).ok()?;
    let shared = topic::parse_shared(filter).ok()?;
    let (group, filter) = shared.map_or((None, filter), |(group, filter)| (Some(group.into()), filter));
    Some(SubscriptionImage { filter: filter.into(), group, options, id })
}

/// What is left, if anything is: a length and a block of properties. The outer `None` is damage.
#[expect(clippy::option_option, reason = "whether it could be read, and whether it is there")]
fn properties<'a>(from: &mut Reader<'a>) -> Option<Option<PublishProperties<'a>>> {
    if from.0.is_empty() {
        return Some(None);
    }
    let len = from.number()?;
    PublishProperties::read(from.bytes(len)?).ok().map(Some)
}

fn number32(from: &mut Reader<'_>) -> Option<u32> {
    from.fixed().map(u32::from_be_bytes)
}

fn number16(from: &mut Reader<'_>) -> Option<u16> {
    from.fixed().map(u16::from_be_bytes)
}

fn host64(from: &mut Reader<'_>) -> Option<u64> {
    from.fixed().map(u64::from_le_bytes)
}

/// Seconds since 1970, if there is a time at all. The outer `None` is damage.
#[expect(clippy::option_option, reason = "whether it could be read, and whether it is there")]
fn time(from: &mut Reader<'_>) -> Option<Option<u64>> {
    let seconds = host64(from)?;
    // no time of ours is that far; the file comes from a machine of the other byte order
    let seconds = if seconds > 1 << 40 { seconds.swap_bytes() } else { seconds };
    Some(Some(seconds).filter(|seconds| *seconds != 0))
}
