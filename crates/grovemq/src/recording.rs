//! A recording: messages with their times, as lines of JSON.
//!
//! The first line says what it is; each further one is a message with the microseconds since the recording began. A payload that
//! is no text is in base64. What is not known in a line is passed over, so that later versions can say more.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use grovemq_client::{Message, Properties, Qos, topic};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, BufRead, Read as _, Write};
use std::time::Duration;

/// A line above this is none of ours: the largest payload, in base64, with everything around it.
const LINE_BYTES_MAX: u64 = 400 << 20;
const VERSION: u32 = 1;

/// A message and when it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Since the recording began.
    pub at: Duration,
    pub message: Message,
}

/// Why a recording cannot be read any further.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    /// The last line is not whole.
    Cut {
        line: u64,
    },
    Wrong {
        line: u64,
        what: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Cut { line } => write!(f, "{line}: the recording is cut off in this line"),
            Self::Wrong { line, what } => write!(f, "{line}: {what}"),
        }
    }
}

/// Begins a recording.
pub(crate) fn write_header(out: &mut dyn Write, begun: &str) -> io::Result<()> {
    write_line(out, &Header { grovemq_recording: VERSION, begun: begun.to_owned() })
}

/// Adds a message to a recording.
pub(crate) fn write_entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    write_line(out, &Line::of(entry))
}

/// Reads a recording line by line.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    line: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line, too.
    pub(crate) fn new(input: R) -> Result<Self, Fault> {
        let mut reader = Self { input, line: 0, bytes: Vec::new() };
        let wrong = |what: &str| Fault::Wrong { line: 1, what: what.to_owned() };
        match reader.read_line::<Header>() {
            Ok(Some(Header { grovemq_recording: VERSION, .. })) => Ok(reader),
            Ok(Some(_)) => Err(wrong("this recording was made by a later version")),
            Ok(None) | Err(Fault::Cut { .. } | Fault::Wrong { .. }) => Err(wrong("this is no recording")),
            Err(error) => Err(error),
        }
    }

    /// The next message and its line; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<(u64, Entry)>, Fault> {
        let Some(line) = self.read_line::<Line>()? else { return Ok(None) };
        match line.into_entry() {
            Ok(entry) => Ok(Some((self.line, entry))),
            Err(what) => Err(Fault::Wrong { line: self.line, what }),
        }
    }

    fn read_line<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>, Fault> {
        self.line += 1;
        self.bytes.clear();
        let mut limited = (&mut self.input).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut self.bytes).map_err(Fault::Io)?;
        if read == 0 {
            return Ok(None);
        }
        let is_whole = self.bytes.ends_with(b"\n");
        match serde_json::from_slice(&self.bytes) {
            Ok(value) => Ok(Some(value)),
            Err(_) if !is_whole && (read as u64) < LINE_BYTES_MAX => Err(Fault::Cut { line: self.line }),
            Err(_) if !is_whole => Err(Fault::Wrong { line: self.line, what: "too long".to_owned() }),
            Err(error) => Err(Fault::Wrong { line: self.line, what: error.to_string() }),
        }
    }
}

#[derive(Deserialize, Serialize)]
struct Header {
    /// The version of the format.
    grovemq_recording: u32,
    #[serde(default)]
    begun: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Line {
    us: u64,
    topic: String,
    #[serde(default)]
    qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_format: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user: Vec<(String, String)>,
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let Message { topic, payload, qos, retain, properties } = &entry.message;
        let mut line = Self {
            us: u64::try_from(entry.at.as_micros()).unwrap_or(u64::MAX),
            topic: topic.clone(),
            qos: *qos as u8,
            retain: *retain,
            payload_format: properties.payload_format,
            message_expiry: properties.message_expiry,
            content_type: properties.content_type.clone(),
            response_topic: properties.response_topic.clone(),
            correlation_base64: properties.correlation_data.as_ref().map(|data| BASE64_STANDARD.encode(data)),
            user: properties.user.clone(),
            ..Self::default()
        };
        match str::from_utf8(payload) {
            Ok(text) => line.payload = Some(text.to_owned()),
            Err(_) => line.payload_base64 = Some(BASE64_STANDARD.encode(payload)),
        }
        line
    }

    fn into_entry(self) -> Result<Entry, String> {
        let decode = |name: &str, text: String| {
            BASE64_STANDARD.decode(text).map_err(|error| format!("{name}: {error}"))
        };
        topic::validate_name(&self.topic).map_err(|_| format!("'{}' is no topic", self.topic))?;
        let qos = match self.qos {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            2 => Qos::ExactlyOnce,
            other => return Err(format!("there is no QoS {other}")),
        };
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => decode("payload_base64", text)?,
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => return Err("one message has one payload".to_owned()),
        };
        let properties = Properties {
            payload_format: self.payload_format,
            message_expiry: self.message_expiry,
            content_type: self.content_type,
            response_topic: self.response_topic,
            correlation_data: match self.correlation_base64 {
                Some(text) => Some(decode("correlation_base64", text)?),
                None => None,
            },
            user: self.user,
            ..Properties::default()
        };
        let message = Message { topic: self.topic, payload, qos, retain: self.retain, properties };
        Ok(Entry { at: Duration::from_micros(self.us), message })
    }
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, "now").unwrap();
        for entry in entries {
            write_entry(&mut bytes, entry).unwrap();
        }
        bytes
    }

    fn entry(us: u64, payload: &[u8]) -> Entry {
        Entry { at: Duration::from_micros(us), message: Message::new("a/b", payload) }
    }

    /// What can be read, and how it ends.
    fn read(bytes: &[u8]) -> (Vec<Entry>, Option<String>) {
        let mut entries = Vec::new();
        let mut reader = match Reader::new(bytes) {
            Ok(reader) => reader,
            Err(fault) => return (entries, Some(fault.to_string())),
        };
        loop {
            match reader.next_entry() {
                Ok(Some((_, entry))) => entries.push(entry),
                Ok(None) => return (entries, None),
                Err(fault) => return (entries, Some(fault.to_string())),
            }
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut full = entry(7, b"\xff\0");
        full.message.qos = Qos::ExactlyOnce;
        full.message.retain = true;
        full.message.properties = Properties {
            payload_format: Some(false),
            message_expiry: Some(9),
            content_type: Some("x".to_owned()),
            response_topic: Some("r".to_owned()),
            correlation_data: Some(vec![0xfe]),
            user: vec![("k".to_owned(), "v".to_owned())],
            ..Properties::default()
        };
        let entries = [entry(0, b""), entry(1, "text \n \"\u{1}\" ü".as_bytes()), full];
        assert_eq!(read(&recorded(&entries)), (entries.to_vec(), None));
    }

    #[test]
    fn a_cut_recording_is_read_up_to_the_cut() {
        let entries = [entry(0, b"one"), entry(1, b"two")];
        let bytes = recorded(&entries);
        let first = recorded(&entries[..1]).len();
        for end in first + 1..bytes.len() - 1 {
            let (read, fault) = read(&bytes[..end]);
            assert_eq!(read, entries[..1], "{end}");
            assert_eq!(fault.as_deref(), Some("3: the recording is cut off in this line"), "{end}");
        }
        // only the line's end is missing
        assert_eq!(read(&bytes[..bytes.len() - 1]), (entries.to_vec(), None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (line, what) in [
            ("{}\n", "2: missing field `us` at line 1 column 2"),
            (r#"{"us":0,"topic":"a/#"}"#, "2: 'a/#' is no topic"),
            (r#"{"us":0,"topic":"a","qos":3}"#, "2: there is no QoS 3"),
            (r#"{"us":0,"topic":"a","payload":"","payload_base64":""}"#, "2: one message has one payload"),
        ] {
            let bytes = [recorded(&[]), line.as_bytes().to_vec()].concat();
            assert_eq!(read(&bytes).1.as_deref(), Some(what), "{line}");
        }
        for text in ["", "x", "{\"us\":0}\n", "{\"grovemq_rec"] {
            assert_eq!(read(text.as_bytes()).1.as_deref(), Some("1: this is no recording"), "{text}");
        }
        let later = read(b"{\"grovemq_recording\":2}\n").1;
        assert_eq!(later.as_deref(), Some("1: this recording was made by a later version"));
    }
}
