//! The chunks of a `mosquitto.db` as they stand in it: neither judged nor put together.

use super::{host64, kind, number16, number32, old, time};
use crate::change::Reader;
use grovemq_codec::PublishProperties;

/// A chunk, and the length that it says it has, in bytes.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    pub len: u32,
    pub part: Part<'a>,
}

/// What is in a chunk. What a format does not have yet is 0 or empty; times are in seconds since 1970, and 0 for none.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    Configuration(Configuration),
    Message(Message<'a>),
    ClientMessage(ClientMessage<'a>),
    /// The name of the message.
    Retained(u64),
    Subscription(Subscription<'a>),
    Client(Client<'a>),
}

/// The file about itself.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// The broker ended in order.
    pub shutdown: u8,
    /// Bytes in the name of a message.
    pub id_size: u8,
    pub last_id: u64,
}

/// The body of a message, which clients' and retained messages refer to.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub id: u64,
    pub expires: u64,
    pub source_port: u16,
    pub source_packet_id: u16,
    pub topic: &'a [u8],
    pub qos: u8,
    pub retain: u8,
    pub payload: &'a [u8],
    pub properties: Option<PublishProperties<'a>>,
}

/// A message on its way to or from a client.
#[derive(Clone, Debug)]
pub struct ClientMessage<'a> {
    pub client: &'a [u8],
    pub message: u64,
    pub packet_id: u16,
    pub qos: u8,
    pub retain: u8,
    pub dup: u8,
    /// 0 from the client, 1 to it.
    pub direction: u8,
    /// In Mosquitto's numbers.
    pub state: u8,
    pub properties: Option<PublishProperties<'a>>,
}

/// What a client is subscribed to.
#[derive(Clone, Debug)]
pub struct Subscription<'a> {
    pub client: &'a [u8],
    pub filter: &'a [u8],
    pub qos: u8,
    pub id: u32,
    /// As in a SUBSCRIBE packet, without the QoS.
    pub options: u8,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    pub id: &'a [u8],
    /// `None` where the chunk ends before it.
    pub username: Option<&'a [u8]>,
    pub listener_port: u16,
    pub last_packet_id: u16,
    /// When it ends, or in formats 3 and 4 when the client left.
    pub expires: u64,
    /// Seconds that it outlives its connection.
    pub expiry: u32,
}

/// What became of a chunk.
pub(super) enum Outcome {
    Read,
    /// Of this kind; what follows may be good.
    Unreadable(u32),
    /// The file ends in it.
    End,
}

/// Reads a chunk and gives it to `take`, which has `None` for what makes no sense.
pub(super) fn next<'a>(
    format: u32,
    from: &mut Reader<'a>,
    take: &mut dyn FnMut(Chunk<'a>) -> Option<()>,
) -> Outcome {
    if format < 5 {
        return old::next(format, from, take);
    }
    let (Some(kind), Some(len)) = (number32(from), number32(from)) else { return Outcome::End };
    let Some(body) = from.bytes(len.into()) else { return Outcome::End };
    let part = part(format, kind, &mut Reader(body));
    match part.and_then(|part| take(Chunk { len, part })) {
        Some(()) => Outcome::Read,
        None => Outcome::Unreadable(kind),
    }
}

fn part<'a>(format: u32, kind: u32, from: &mut Reader<'a>) -> Option<Part<'a>> {
    Some(match kind {
        kind::CONFIGURATION => {
            let last_id = host64(from)?;
            Part::Configuration(Configuration { shutdown: from.byte()?, id_size: from.byte()?, last_id })
        }
        kind::MESSAGE => Part::Message(message(from)?),
        kind::CLIENT_MESSAGE => Part::ClientMessage(client_message(from)?),
        kind::RETAINED => Part::Retained(host64(from)?),
        kind::SUBSCRIPTION => Part::Subscription(subscription(from)?),
        kind::CLIENT => Part::Client(client(format, from)?),
        _ => return None,
    })
}

fn message<'a>(from: &mut Reader<'a>) -> Option<Message<'a>> {
    let (id, expires) = (host64(from)?, time(from)?);
    let payload_len = number32(from)?;
    let source_packet_id = number16(from)?;
    let (source_len, user_len, topic_len) = (number16(from)?, number16(from)?, number16(from)?);
    let source_port = number16(from)?;
    let (qos, retain) = (from.byte()?, from.byte()?);
    let _source = from.bytes(source_len.into())?;
    let _user = from.bytes(user_len.into())?;
    let topic = from.bytes(topic_len.into())?;
    let payload = from.bytes(payload_len.into())?;
    let properties = properties(from)?;
    Some(Message { id, expires, source_port, source_packet_id, topic, qos, retain, payload, properties })
}

fn client_message<'a>(from: &mut Reader<'a>) -> Option<ClientMessage<'a>> {
    let (message, packet_id, id_len) = (host64(from)?, number16(from)?, number16(from)?);
    let (qos, state) = (from.byte()?, from.byte()?);
    let (retain_and_dup, direction) = (from.byte()?, from.byte()?);
    let client = from.bytes(id_len.into())?;
    let (retain, dup) = (retain_and_dup >> 4, retain_and_dup & 0xf);
    let properties = properties(from)?;
    Some(ClientMessage { client, message, packet_id, qos, retain, dup, direction, state, properties })
}

fn subscription<'a>(from: &mut Reader<'a>) -> Option<Subscription<'a>> {
    let (id, id_len, filter_len) = (number32(from)?, number16(from)?, number16(from)?);
    let (qos, options) = (from.byte()?, from.byte()?);
    let _padding = from.bytes(2)?;
    let (client, filter) = (from.bytes(id_len.into())?, from.bytes(filter_len.into())?);
    Some(Subscription { client, filter, qos, id, options })
}

fn client<'a>(format: u32, from: &mut Reader<'a>) -> Option<Client<'a>> {
    let len = from.0.len();
    let (expires, expiry) = (time(from)?, number32(from)?);
    let (last_packet_id, id_len) = (number16(from)?, number16(from)?);
    let (mut listener_port, mut user_len) = (0, 0);
    if format >= 6 {
        listener_port = number16(from)?;
        user_len = number16(from)?;
        // where 64-bit numbers may stand at any multiple of 4, as on 32-bit x86, there is none
        let padding = from.0.first_chunk()?;
        let without = 20 + usize::from(id_len) + usize::from(user_len);
        if len != without || *padding == [0; 4] {
            let _padding = from.bytes(4)?;
        }
    }
    let id = from.bytes(id_len.into())?;
    let username = from.bytes(user_len.into());
    Some(Client { id, username, listener_port, last_packet_id, expires, expiry })
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
