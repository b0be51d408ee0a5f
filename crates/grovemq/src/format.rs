//! `-F`: how a received message is printed.
//!
//! The bytes are those of the original, quirks included, for scripts rely on them: with a width of `n`, `%p` prints `n`
//! bytes at most, and `%x` half as many.

mod parse;
mod strftime;

pub(crate) use parse::HELP;

use crate::json;
use grovemq_client::Received;
use jiff::Zoned;
use std::io::{self, Write};

/// A format, ready to print with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(Field, Layout),
    /// `@X`
    Time(char),
    /// `@N`
    Nanoseconds,
}

/// What stands between `%` and the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    left: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    /// Between groups of hexadecimal digits.
    separator: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Percent,
    TopicAlias,
    ContentType,
    CorrelationData,
    Double,
    MessageExpiry,
    PayloadFormat,
    Float,
    Date,
    JsonText,
    /// The payload in whichever way it can be.
    JsonLine,
    JsonValue,
    PayloadLen,
    PacketId,
    UserProperties,
    Payload,
    Qos,
    ResponseTopic,
    Retain,
    SubscriptionId,
    Topic,
    UnixTime,
    HexLower,
    HexUpper,
}

/// Whether everything could be printed as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    Whole,
    /// The payload was to be printed as the JSON that it is not.
    NotJson,
}

impl Format {
    /// Each message as JSON, whatever its payload is.
    pub(crate) fn json_lines() -> Self {
        Self { pieces: vec![Piece::Field(Field::JsonLine, Layout::default())] }
    }

    /// Prints a message, without a line end. `pretty` is for JSON.
    pub(crate) fn print(
        &self,
        out: &mut dyn Write,
        received: &Received,
        pretty: bool,
    ) -> io::Result<Printed> {
        let now = self.needs_clock().then(Zoned::now);
        self.print_at(out, received, pretty, &now.unwrap_or_default())
    }

    /// [`Self::print`] at a given time.
    fn print_at(
        &self,
        out: &mut dyn Write,
        received: &Received,
        pretty: bool,
        now: &Zoned,
    ) -> io::Result<Printed> {
        let mut printed = Printed::Whole;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.write_all(text.as_bytes())?,
                Piece::Time(letter) => out.write_all(strftime::expand(*letter, now).as_bytes())?,
                Piece::Nanoseconds => write!(out, "{:09}", now.subsec_nanosecond())?,
                Piece::Field(Field::JsonText, _) => json::print_message(out, received, None, pretty, now)?,
                Piece::Field(Field::JsonLine, _) => json::print_line(out, received, pretty, now)?,
                Piece::Field(Field::JsonValue, _) => match json::parse_payload(&received.message.payload) {
                    Some(value) => json::print_message(out, received, Some(value), pretty, now)?,
                    None => printed = Printed::NotJson,
                },
                Piece::Field(field, layout) => print_field(out, *field, *layout, received, now)?,
            }
        }
        Ok(printed)
    }

    fn needs_clock(&self) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Literal(_) => false,
            Piece::Time(_) | Piece::Nanoseconds => true,
            Piece::Field(field, _) => {
                matches!(
                    field,
                    Field::Date | Field::JsonLine | Field::JsonText | Field::JsonValue | Field::UnixTime
                )
            }
        })
    }
}

fn print_field(
    out: &mut dyn Write,
    field: Field,
    layout: Layout,
    received: &Received,
    now: &Zoned,
) -> io::Result<()> {
    let message = &received.message;
    let properties = &message.properties;
    match field {
        Field::Percent => out.write_all(b"%"),
        Field::TopicAlias => layout.print_property(out, properties.topic_alias.map(u32::from)),
        Field::MessageExpiry => layout.print_property(out, properties.message_expiry),
        Field::PayloadFormat => layout.print_property(out, properties.payload_format.map(u32::from)),
        Field::SubscriptionId => layout.print_property(out, properties.subscription_ids.first().copied()),
        Field::ContentType => layout.print_text(out, properties.content_type.as_deref().unwrap_or_default()),
        Field::ResponseTopic => match &properties.response_topic {
            Some(topic) => layout.print_text(out, topic),
            None => Ok(()),
        },
        Field::CorrelationData => out.write_all(properties.correlation_data.as_deref().unwrap_or_default()),
        Field::UserProperties => {
            for (i, (key, value)) in properties.user.iter().enumerate() {
                let space = if i == 0 { "" } else { " " };
                write!(out, "{space}{key}:{value}")?;
            }
            Ok(())
        }
        Field::Date => layout.print_text(out, &now.strftime("%Y-%m-%dT%H:%M:%S%z").to_string()),
        Field::UnixTime => {
            write!(out, "{}.{:09}", now.timestamp().as_second(), now.timestamp().subsec_nanosecond())
        }
        Field::PayloadLen => layout.print_number(out, &message.payload.len().to_string()),
        Field::PacketId => layout.print_number(out, &received.packet_id.map_or(0, u16::from).to_string()),
        Field::Qos => write!(out, "{}", message.qos as u8),
        Field::Retain => write!(out, "{}", u8::from(message.retain)),
        Field::Topic => layout.print_text(out, &message.topic),
        Field::Payload => layout.print_payload(out, &message.payload),
        Field::HexLower => layout.print_hex(out, &message.payload, b"0123456789abcdef"),
        Field::HexUpper => layout.print_hex(out, &message.payload, b"0123456789ABCDEF"),
        Field::Double => {
            let value = <[u8; 8]>::try_from(&*message.payload).ok().map(f64::from_le_bytes);
            layout.print_float(out, value)
        }
        Field::Float => {
            let value = <[u8; 4]>::try_from(&*message.payload).ok().map(f32::from_le_bytes);
            layout.print_float(out, value.map(f64::from))
        }
        // Printed by the caller, who needs to know how it went.
        Field::JsonLine | Field::JsonText | Field::JsonValue => Ok(()),
    }
}

impl Layout {
    /// A number of a property, or as many blanks as it might take. There, zeros are even for blanks.
    fn print_property(self, out: &mut dyn Write, value: Option<u32>) -> io::Result<()> {
        match value {
            Some(value) => self.print_number(out, &value.to_string()),
            None => print_padding(out, if self.zero { b'0' } else { b' ' }, self.width),
        }
    }

    fn print_number(self, out: &mut dyn Write, digits: &str) -> io::Result<()> {
        self.print_padded(out, digits.as_bytes(), if self.zero { b'0' } else { b' ' })
    }

    fn print_float(self, out: &mut dyn Write, value: Option<f64>) -> io::Result<()> {
        let text = value.map(|value| format!("{value:.*}", self.precision.unwrap_or(6)));
        self.print_number(out, &text.unwrap_or_default())
    }

    /// Widths count bytes, and may cut a character.
    fn print_text(self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        let bytes = text.as_bytes();
        let end = self.precision.unwrap_or(bytes.len()).min(bytes.len());
        self.print_padded(out, bytes.get(..end).unwrap_or(bytes), b' ')
    }

    fn print_payload(self, out: &mut dyn Write, payload: &[u8]) -> io::Result<()> {
        self.print_padded(out, self.cut(payload), if self.zero { b'0' } else { b' ' })
    }

    fn print_hex(self, out: &mut dyn Write, payload: &[u8], digits: &[u8; 16]) -> io::Result<()> {
        let bytes = self.cut(payload);
        let bytes = if self.width == 0 { bytes } else { bytes.get(..bytes.len() / 2).unwrap_or(bytes) };
        let mut buffer = [0; 4];
        let separator = self.separator.map(|mark| mark.encode_utf8(&mut buffer).as_bytes());
        let group = self.precision.unwrap_or(0);
        let mut hex = Vec::with_capacity(bytes.len().saturating_mul(2));
        let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        for (i, nibble) in nibbles.enumerate() {
            if let Some(separator) = separator.filter(|_| group > 0 && i > 0 && i.is_multiple_of(group)) {
                hex.extend_from_slice(separator);
            }
            hex.extend(digits.get(usize::from(nibble)));
        }
        self.print_padded(out, &hex, if self.zero { b'0' } else { b' ' })
    }

    /// For a payload the width is the greatest as well as the least.
    fn cut(self, payload: &[u8]) -> &[u8] {
        let end = if self.width == 0 { payload.len() } else { payload.len().min(self.width) };
        payload.get(..end).unwrap_or(payload)
    }

    fn print_padded(self, out: &mut dyn Write, bytes: &[u8], pad: u8) -> io::Result<()> {
        let missing = self.width.saturating_sub(bytes.len());
        if self.left {
            out.write_all(bytes)?;
            print_padding(out, b' ', missing)
        } else {
            print_padding(out, pad, missing)?;
            out.write_all(bytes)
        }
    }
}

fn print_padding(out: &mut dyn Write, pad: u8, count: usize) -> io::Result<()> {
    for _ in 0..count {
        out.write_all(&[pad])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
