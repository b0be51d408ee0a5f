//! Formats 2 to 4: Mosquitto up to 1.5, without MQTT 5.
//!
//! ```text
//! chunk = kind:2 length:4 fields          text = length:2 bytes
//! ```
//!
//! Mosquitto goes by the fields and not by the length, and so does this as long as the fields make sense.

use super::{Chunk, ClientMessage, Db, host64, kind, number16, number32, subscribed};
use crate::change::{Letter, Reader};
use grovemq_codec::{Qos, SubscribeOptions, topic};
use grovemq_core::Message;
use grovemq_core::journal::{SessionImage, SubscriptionImage};
use std::sync::Arc;

impl Db {
    pub(super) fn old_chunk(&mut self, from: &mut Reader<'_>) -> Chunk {
        let (Some(kind), Some(len)) = (number16(from), number32(from)) else { return Chunk::End };
        let kind = kind.into();
        let mut fields = Reader(from.0);
        if self.old_fields(kind, len, &mut fields).is_some() {
            *from = fields;
            return Chunk::Read;
        }
        if from.bytes(len.into()).is_some() { Chunk::Unreadable(kind) } else { Chunk::End }
    }

    /// `None` for what cannot be read.
    fn old_fields(&mut self, kind: u32, len: u32, from: &mut Reader<'_>) -> Option<()> {
        match kind {
            kind::CONFIGURATION => {
                from.bytes(len.into())?;
            }
            kind::MESSAGE => {
                let (id, message) = self.old_message(from)?;
                self.messages.insert(id, message);
            }
            kind::CLIENT_MESSAGE => self.waiting.push(client_message(from)?),
            kind::RETAINED => self.retained.push(host64(from)?),
            kind::SUBSCRIPTION => self.subscriptions.push(subscription(from)?),
            kind::CLIENT => {
                let client_id = text(from)?;
                let _last_packet_id = number16(from)?;
                if self.format > 2 {
                    // when it left, in four bytes or eight: it does not matter, as the session is for ever
                    let before = 4 + u32::try_from(client_id.len()).ok()?;
                    let time_len = if len.checked_sub(before) == Some(4) { 4 } else { 8 };
                    from.bytes(time_len)?;
                }
                self.add(session(client_id));
            }
            _ => return None,
        }
        Some(())
    }

    fn old_message(&self, from: &mut Reader<'_>) -> Option<(u64, Arc<Message>)> {
        let (id, _source) = (host64(from)?, text(from)?);
        if self.format == 4 {
            let _user = text(from)?;
            let _source_port = number16(from)?;
        }
        let (_source_packet_id, _packet_id) = (number16(from)?, number16(from)?);
        let topic = text(from)?;
        topic::validate_name(topic).ok()?;
        let (qos, retain) = (Qos::from_u8(from.byte()?)?, from.byte()? != 0);
        let payload_len = number32(from)?;
        let payload = from.bytes(payload_len.into())?;
        let letter = Letter { topic, properties: &[], payload, qos, retain, expires: None };
        Some((id, self.clock.message(&letter)))
    }
}

/// A session of MQTT 3 that is kept is kept for ever.
fn session(client_id: &str) -> SessionImage {
    SessionImage {
        id: 0,
        client_id: client_id.into(),
        username: None,
        mount: None,
        expiry: u32::MAX,
        expires: None,
        will: None,
    }
}

fn client_message(from: &mut Reader<'_>) -> Option<ClientMessage> {
    let client = text(from)?.into();
    let (message, packet_id) = (host64(from)?, number16(from)?);
    let (qos, retain) = (Qos::from_u8(from.byte()?)?, from.byte()? != 0);
    let (direction, state, _dup) = (from.byte()?, from.byte()?, from.byte()?);
    Some(ClientMessage {
        client,
        message,
        packet_id,
        qos,
        state,
        retain,
        incoming: direction == 0,
        ids: None,
    })
}

fn subscription(from: &mut Reader<'_>) -> Option<(Box<str>, SubscriptionImage)> {
    let (client, filter) = (text(from)?, text(from)?);
    let options = SubscribeOptions::qos(Qos::from_u8(from.byte()?)?);
    Some((client.into(), subscribed(filter, options, 0)?))
}

fn text<'a>(from: &mut Reader<'a>) -> Option<&'a str> {
    let len = number16(from)?;
    str::from_utf8(from.bytes(len.into())?).ok()
}
