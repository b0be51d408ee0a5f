//! Formats 2 to 4: Mosquitto up to 1.5, without MQTT 5.
//!
//! ```text
//! chunk = kind:2 length:4 fields          text = length:2 bytes
//! ```
//!
//! Mosquitto goes by the fields and not by the length, and so does this as long as the fields make sense.

use super::chunk::{Chunk, Client, ClientMessage, Configuration, Message, Outcome, Part, Subscription};
use super::{host64, kind, number16, number32, time};
use crate::change::Reader;

pub(super) fn next<'a>(
    format: u32,
    from: &mut Reader<'a>,
    take: &mut dyn FnMut(Chunk<'a>) -> Option<()>,
) -> Outcome {
    let (Some(kind), Some(len)) = (number16(from), number32(from)) else { return Outcome::End };
    let kind = kind.into();
    let mut fields = Reader(from.0);
    let part = part(format, kind, len, &mut fields);
    if part.and_then(|part| take(Chunk { len, part })).is_some() {
        *from = fields;
        return Outcome::Read;
    }
    if from.bytes(len.into()).is_some() { Outcome::Unreadable(kind) } else { Outcome::End }
}

/// `None` for what cannot be read.
fn part<'a>(format: u32, kind: u32, len: u32, from: &mut Reader<'a>) -> Option<Part<'a>> {
    Some(match kind {
        kind::CONFIGURATION => {
            let mut body = Reader(from.bytes(len.into())?);
            let (shutdown, id_size) = (body.byte()?, body.byte()?);
            Part::Configuration(Configuration { shutdown, id_size, last_id: host64(&mut body)? })
        }
        kind::MESSAGE => Part::Message(message(format, from)?),
        kind::CLIENT_MESSAGE => Part::ClientMessage(client_message(from)?),
        kind::RETAINED => Part::Retained(host64(from)?),
        kind::SUBSCRIPTION => {
            let (client, filter, qos) = (text(from)?, text(from)?, from.byte()?);
            Part::Subscription(Subscription { client, filter, qos, id: 0, options: 0 })
        }
        kind::CLIENT => Part::Client(client(format, len, from)?),
        _ => return None,
    })
}

fn message<'a>(format: u32, from: &mut Reader<'a>) -> Option<Message<'a>> {
    let (id, _source) = (host64(from)?, text(from)?);
    let mut source_port = 0;
    if format == 4 {
        let _user = text(from)?;
        source_port = number16(from)?;
    }
    let (source_packet_id, _packet_id) = (number16(from)?, number16(from)?);
    let topic = text(from)?;
    let (qos, retain) = (from.byte()?, from.byte()?);
    let payload_len = number32(from)?;
    let payload = from.bytes(payload_len.into())?;
    let (expires, properties) = (0, None);
    Some(Message { id, expires, source_port, source_packet_id, topic, qos, retain, payload, properties })
}

fn client_message<'a>(from: &mut Reader<'a>) -> Option<ClientMessage<'a>> {
    let client = text(from)?;
    let (message, packet_id) = (host64(from)?, number16(from)?);
    let (qos, retain) = (from.byte()?, from.byte()?);
    let (direction, state, dup) = (from.byte()?, from.byte()?, from.byte()?);
    let properties = None;
    Some(ClientMessage { client, message, packet_id, qos, retain, dup, direction, state, properties })
}

fn client<'a>(format: u32, len: u32, from: &mut Reader<'a>) -> Option<Client<'a>> {
    let id = text(from)?;
    let last_packet_id = number16(from)?;
    let mut left = 0;
    if format > 2 {
        // when it left, in four bytes or eight
        let before = 4 + u32::try_from(id.len()).ok()?;
        left = if len.checked_sub(before) == Some(4) {
            from.fixed().map(u32::from_le_bytes)?.into()
        } else {
            time(from)?
        };
    }
    // a session of MQTT 3 that is kept is kept for ever
    Some(Client { id, username: None, listener_port: 0, last_packet_id, expires: left, expiry: 0 })
}

fn text<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = number16(from)?;
    from.bytes(len.into())
}
