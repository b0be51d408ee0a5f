//! Mosquitto's `mosquitto.db`: format 6 (Mosquitto 2.0 and 2.1), 5 (1.6) and, in `old`, 2 to 4 (up to 1.5).
//!
//! ```text
//! file  = 00 b5 00 "mosquitto db" 0:4 format:4 chunk*      chunk = kind:4 length:4 fixed-part texts properties
//! ```
//!
//! Numbers are big-endian, but for the names of messages and times, which are as the machine had them: names are only compared,
//! and a time of the other byte order is far from any of ours. What cannot be read is named and left out; each chunk stands
//! for itself.

pub mod chunk;
mod old;
#[cfg(test)]
mod tests;

use crate::change::{Letter, Reader};
use crate::clock::Clock;
use crate::{Error, Recovery};
use chunk::{Chunk, Outcome, Part};
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
    let mut db = Db { first, ..Db::new(epoch) };
    let mut found = Recovery::default();
    visit_chunks(bytes, path, &mut found, &mut |header, chunk| db.take(header.format, chunk.part))?;
    db.found = found;
    Ok(db.finish(visit))
}

/// How a file begins.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Always 0 up to now.
    pub checksum: u32,
    pub format: u32,
}

/// Gives each chunk of a `mosquitto.db` to `visit`, as it stands there. Before the first, and if there is none, it is given how
/// the file begins alone. What cannot be read is named in the [`Recovery`], where nothing is counted.
pub fn read_chunks(path: &Path, visit: &mut dyn FnMut(Header, Option<Chunk<'_>>)) -> Result<Recovery, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    let mut found = Recovery::default();
    visit(header(&mut Reader(&bytes), path)?, None);
    visit_chunks(&bytes, path, &mut found, &mut |header, chunk| {
        visit(header, Some(chunk));
        Some(())
    })?;
    Ok(found)
}

/// `visit` has `None` for what makes no sense.
fn visit_chunks<'a>(
    bytes: &'a [u8],
    path: &Path,
    found: &mut Recovery,
    visit: &mut dyn FnMut(Header, Chunk<'a>) -> Option<()>,
) -> Result<(), Error> {
    let mut from = Reader(bytes);
    let header = header(&mut from, path)?;
    while !from.0.is_empty() {
        let at = format!("{}:{}", path.display(), bytes.len() - from.0.len());
        match chunk::next(header.format, &mut from, &mut |chunk| visit(header, chunk)) {
            Outcome::Read => {}
            Outcome::Unreadable(kind) => found.lose(at, format!("what cannot be read as {}", name(kind))),
            Outcome::End => {
                found.lose(at, "the rest of the file");
                break;
            }
        }
    }
    Ok(())
}

fn header(from: &mut Reader<'_>, path: &Path) -> Result<Header, Error> {
    let refuse = |what: String| Error::Unreadable { path: path.into(), what };
    let magic = from.bytes(MAGIC.len() as u64);
    let (Some(MAGIC), Some(checksum), Some(format)) = (magic, number32(from), number32(from)) else {
        return Err(refuse("not a mosquitto.db".into()));
    };
    if !FORMATS.contains(&format) {
        return Err(refuse(format!("a mosquitto.db of format {format}; 2 to 6 can be read")));
    }
    Ok(Header { checksum, format })
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

    /// `None` for what makes no sense.
    fn take(&mut self, format: u32, part: Part<'_>) -> Option<()> {
        match part {
            Part::Configuration(_) => {}
            Part::Message(message) => {
                let id = message.id;
                let message = self.message(message)?;
                self.messages.insert(id, message);
            }
            Part::ClientMessage(message) => self.waiting.push(waiting(&message)?),
            Part::Retained(id) => self.retained.push(id),
            Part::Subscription(subscription) => self.subscriptions.push(subscribed(&subscription)?),
            Part::Client(client) => self.add(session(format, &client)?),
        }
        Some(())
    }

    fn add(&mut self, image: SessionImage) {
        let (subscriptions, queue, received) = (Vec::new(), Vec::new(), Vec::new());
        let session = SavedSession { image, subscriptions, queue, received };
        self.clients.insert(session.image.client_id.clone(), session);
    }

    fn message(&self, from: chunk::Message<'_>) -> Option<Arc<Message>> {
        let topic = str::from_utf8(from.topic).ok()?;
        topic::validate_name(topic).ok()?;
        let qos = Qos::from_u8(from.qos)?;
        let mut kept = Vec::new();
        if let Some(properties) = from.properties {
            let empty = PublishProperties::default();
            let own = PublishProperties {
                message_expiry: None,
                topic_alias: None,
                subscription_ids: empty.subscription_ids,
                ..properties
            };
            own.write(&mut kept).ok()?;
        }
        let expires = moment(from.expires);
        let (payload, retain) = (from.payload, from.retain != 0);
        Some(self.clock.message(&Letter { topic, properties: &kept, payload, qos, retain, expires }))
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

fn session(format: u32, client: &chunk::Client<'_>) -> Option<SessionImage> {
    // so Mosquitto 2 writes a session that it has from a file of format 2 to 4, and does not end it
    let forever = format < 5 || (client.expiry == 0 && client.expires == 0);
    // Mosquitto 2.0 may write another client's name, and whatever followed it in memory, for a client without one
    let username = client.username.and_then(|name| str::from_utf8(name).ok());
    let username = username.filter(|name| !name.is_empty() && !name.contains('\0'));
    Some(SessionImage {
        id: 0,
        client_id: str::from_utf8(client.id).ok()?.into(),
        username: username.map(Into::into),
        mount: None,
        expiry: if forever { u32::MAX } else { client.expiry },
        expires: moment(client.expires).filter(|_| !forever),
        will: None,
    })
}

fn waiting(from: &chunk::ClientMessage<'_>) -> Option<ClientMessage> {
    let ids = from.properties.as_ref();
    let ids = ids.map(|properties| properties.subscription_ids.iter().collect::<Vec<u32>>());
    Some(ClientMessage {
        client: str::from_utf8(from.client).ok()?.into(),
        message: from.message,
        packet_id: from.packet_id,
        qos: Qos::from_u8(from.qos)?,
        state: from.state,
        retain: from.retain != 0,
        incoming: from.direction == 0,
        ids: ids.filter(|ids| !ids.is_empty()).map(Into::into),
    })
}

fn subscribed(from: &chunk::Subscription<'_>) -> Option<(Box<str>, SubscriptionImage)> {
    let client = str::from_utf8(from.client).ok()?;
    let filter = str::from_utf8(from.filter).ok()?;
    let retain_handling = match from.options >> 4 & 3 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        _ => RetainHandling::Never,
    };
    let options = SubscribeOptions {
        qos: Qos::from_u8(from.qos)?,
        no_local: from.options & 4 != 0,
        retain_as_published: from.options & 8 != 0,
        retain_handling,
    };
    topic::validate_filter(filter).ok()?;
    let shared = topic::parse_shared(filter).ok()?;
    let (group, filter) = shared.map_or((None, filter), |(group, filter)| (Some(group.into()), filter));
    Some((client.into(), SubscriptionImage { filter: filter.into(), group, options, id: from.id }))
}

/// In milliseconds.
fn moment(seconds: u64) -> Option<u64> {
    Some(seconds).filter(|seconds| *seconds != 0).map(|seconds| seconds.saturating_mul(1000))
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

fn time(from: &mut Reader<'_>) -> Option<u64> {
    host64(from).map(seconds)
}

/// No time of ours is that far: it comes from a machine of the other byte order.
fn seconds(written: u64) -> u64 {
    if written > 1 << 40 { written.swap_bytes() } else { written }
}
