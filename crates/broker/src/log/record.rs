//! One line of the log before it has a form: a sentence, or an object with fields.

use grovemq_config::LogType;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// Longest sentence, as in the original, and longest text of a field; bytes.
const TEXT_BYTES_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: LogType,
    pub(super) at: Timestamp,
    pub(super) text: String,
    /// What happened, in one word.
    pub(super) event: &'static str,
    /// The particulars; filled in for JSON only.
    pub(super) fields: Fields,
}

/// Particulars of an event, for logs that machines read.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl Fields {
    pub(crate) fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.0.push((name, Value::Text(cut(text).into())));
        self
    }

    /// Leaves the field out where there is nothing.
    pub(crate) fn maybe(&mut self, name: &'static str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    pub(crate) fn number(&mut self, name: &'static str, number: impl Into<u64>) -> &mut Self {
        self.0.push((name, Value::Number(number.into())));
        self
    }

    pub(crate) fn flag(&mut self, name: &'static str, flag: bool) -> &mut Self {
        self.0.push((name, Value::Flag(flag)));
        self
    }
}

impl Record {
    /// The sentence, without control characters and not endless.
    pub(super) fn sentence(&self) -> String {
        let mut line = String::with_capacity(self.text.len());
        push_escaped(&mut line, &self.text);
        cut(&line).into()
    }

    /// The moment, as `log_timestamp_format` wants it.
    pub(super) fn time(&self, format: &str) -> String {
        let local = self.at.to_zoned(TimeZone::system());
        jiff::fmt::strtime::format(format, &local).unwrap_or_default()
    }

    /// One object on one line. `format` is that of the time, `None` for no time at all.
    pub(super) fn json(&self, timestamp: bool, format: Option<&str>) -> String {
        let mut line = String::from("{");
        if timestamp {
            let time = format.map_or_else(|| format!("{:.6}", self.at), |format| self.time(format));
            push_pair(&mut line, "time", &Value::Text(time));
        }
        push_pair(&mut line, "level", &Value::Text(level(self.kind).into()));
        push_pair(&mut line, "event", &Value::Text(self.event.into()));
        push_pair(&mut line, "message", &Value::Text(self.sentence()));
        for (name, value) in &self.fields.0 {
            push_pair(&mut line, name, value);
        }
        line.push('}');
        line
    }
}

fn push_pair(line: &mut String, name: &str, value: &Value) {
    if line.len() > 1 {
        line.push(',');
    }
    let _infallible = match value {
        Value::Number(number) => write!(line, "\"{name}\":{number}"),
        Value::Flag(flag) => write!(line, "\"{name}\":{flag}"),
        Value::Text(text) => {
            let quoted = serde_json::to_string(text).unwrap_or_default();
            let _infallible = write!(line, "\"{name}\":");
            for c in quoted.chars() {
                // legal in JSON, but no terminal should get them
                if c.is_control() {
                    let _infallible = write!(line, "\\u{:04x}", u32::from(c));
                } else {
                    line.push(c);
                }
            }
            Ok(())
        }
    };
}

fn level(kind: LogType) -> &'static str {
    match kind {
        LogType::Error => "error",
        LogType::Warning => "warning",
        LogType::Notice | LogType::Subscribe | LogType::Unsubscribe => "notice",
        LogType::Information => "information",
        LogType::Debug | LogType::Websockets | LogType::Internal => "debug",
    }
}

/// As much of a text as a line may hold.
fn cut(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Control characters would let a client id forge lines; a tab is ours.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' { line.extend(c.escape_default()) } else { line.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record {
            kind: LogType::Notice,
            at: "2026-01-02T03:04:05.000678Z".parse().unwrap(),
            text: text.into(),
            event: "connected",
            fields: Fields::default(),
        }
    }

    #[test]
    fn d22_control_characters_cannot_forge_a_line() {
        let sentence = record("New client\n1700000000: forged\x1b[31m é").sentence();
        assert_eq!(sentence, "New client\\n1700000000: forged\\u{1b}[31m é");
    }

    #[test]
    fn one_object_on_one_line() {
        let mut record = record("Hello");
        record
            .fields
            .text("client", "a\"b\n\u{9b}c")
            .maybe("user", None)
            .number("port", 1883u16)
            .flag("clean", true);
        let expected = concat!(
            r#"{"time":"2026-01-02T03:04:05.000678Z","level":"notice","event":"connected","message":"Hello","#,
            r#""client":"a\"b\n\u009bc","port":1883,"clean":true}"#
        );
        assert_eq!(record.json(true, None), expected);
        assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
        assert!(record.json(false, None).starts_with(r#"{"level""#));
        assert!(record.json(true, Some("%Y")).starts_with(r#"{"time":"2026","#));
    }

    #[test]
    fn nothing_is_endless() {
        let mut record = record(&"é".repeat(5000));
        record.fields.text("topic", &"é".repeat(50_000));
        assert_eq!(record.sentence().len(), TEXT_BYTES_MAX);
        assert!(record.json(true, None).len() < 3 * TEXT_BYTES_MAX);
    }
}
