//! PUBLISH towards clients: the one packet that is written from parts, because its properties travel as the bytes
//! they came in.

use crate::{MessageRef, Time};
use grovemq_codec::{Qos, VARINT_MAX};

/// What differs from receiver to receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing<'a> {
    pub(crate) v5: bool,
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// 0 where QoS is 0.
    pub(crate) packet_id: u16,
    pub(crate) ids: &'a [u32],
    pub(crate) alias: Alias,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Alias {
    #[default]
    None,
    /// Topic and alias.
    New(u16),
    /// The alias stands for the topic.
    Known(u16),
}

impl Framing<'_> {
    #[inline]
    pub(crate) fn first_byte(&self) -> u8 {
        0x30 | (u8::from(self.dup) << 3) | ((self.qos as u8) << 1) | u8::from(self.retain)
    }
}

/// The packet's whole size in bytes; `None` above what MQTT can express.
pub(crate) fn publish_len(m: &MessageRef<'_>, f: &Framing<'_>) -> Option<usize> {
    let body = body_len(m, f);
    if body > VARINT_MAX as usize { None } else { Some(1 + varint_len(body) + body) }
}

/// Appends the packet, without its payload if told so. Returns where in the packet its packet id stands.
#[inline]
pub(crate) fn publish(
    out: &mut Vec<u8>,
    now: Time,
    m: &MessageRef<'_>,
    f: &Framing<'_>,
    payload: bool,
) -> usize {
    let start = out.len();
    let body = body_len(m, f);
    out.reserve(6 + body - if payload { 0 } else { m.payload.len() });
    out.push(f.first_byte());
    push_varint(out, body);
    let topic = if matches!(f.alias, Alias::Known(_)) { "" } else { m.topic };
    push_u16(out, topic.len());
    out.extend_from_slice(topic.as_bytes());
    let id_at = out.len() - start;
    if f.qos != Qos::AtMostOnce {
        out.extend_from_slice(&f.packet_id.to_be_bytes());
    }
    if f.v5 {
        push_varint(out, properties_len(m, f));
        out.extend_from_slice(m.properties);
        if let Some(expires) = m.expires {
            // [MQTT-3.3.2-6] what is left of it
            let left =
                u32::try_from(expires.0.saturating_sub(now.0).div_ceil(1000)).unwrap_or(u32::MAX).max(1);
            out.push(0x02);
            out.extend_from_slice(&left.to_be_bytes());
        }
        for id in f.ids {
            out.push(0x0b);
            push_varint(out, *id as usize);
        }
        if let Alias::New(alias) | Alias::Known(alias) = f.alias {
            out.push(0x23);
            out.extend_from_slice(&alias.to_be_bytes());
        }
    }
    if payload {
        out.extend_from_slice(m.payload);
    }
    id_at
}

#[inline]
fn body_len(m: &MessageRef<'_>, f: &Framing<'_>) -> usize {
    let topic = if matches!(f.alias, Alias::Known(_)) { 0 } else { m.topic.len() };
    let id = if f.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = if f.v5 {
        let len = properties_len(m, f);
        varint_len(len) + len
    } else {
        0
    };
    2 + topic + id + properties + m.payload.len()
}

#[inline]
fn properties_len(m: &MessageRef<'_>, f: &Framing<'_>) -> usize {
    let expiry = if m.expires.is_some() { 5 } else { 0 };
    let alias = if f.alias == Alias::None { 0 } else { 3 };
    let ids: usize = f.ids.iter().map(|id| 1 + varint_len(*id as usize)).sum();
    m.properties.len() + expiry + alias + ids
}

#[inline]
fn varint_len(n: usize) -> usize {
    match n {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn push_varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 128 {
        out.push((n & 127) as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "topics were parsed from a field of 16 bits")]
fn push_u16(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u16).to_be_bytes());
}
