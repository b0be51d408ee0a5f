//! Values, and how they travel.

use std::fmt;

use serde_json::{Number, Value as Json};

use crate::config::Payload;

/// What a sensor has seen, or what a message says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `True` or `False`.
    Flag(bool),
    /// A number that is shown with at most so many digits after the point.
    Number(f64, u8),
    Text(String),
    /// There is nothing to be seen.
    None,
}

/// Why a payload has no value in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoValue(pub(crate) &'static str);

impl Value {
    /// The payload of a message.
    pub(crate) fn payload(&self, form: Payload, unit: Option<&str>) -> String {
        match form {
            Payload::Text => self.to_string(),
            Payload::Json => {
                let mut object = serde_json::Map::new();
                object.insert("value".to_owned(), self.json());
                if let Some(unit) = unit {
                    object.insert("unit".to_owned(), unit.into());
                }
                object.insert("time".to_owned(), format!("{:.3}", jiff::Timestamp::now()).into());
                Json::Object(object).to_string()
            }
        }
    }

    /// What a payload says. Text is not interpreted: what it means is the actuator's matter.
    pub(crate) fn of_payload(payload: &[u8], form: Payload) -> Result<Self, NoValue> {
        match form {
            Payload::Text => std::str::from_utf8(payload)
                .map(|text| Self::Text(text.to_owned()))
                .map_err(|_| NoValue("UTF-8")),
            Payload::Json => {
                let wrong = NoValue("an object such as {\"value\": …}");
                let json: Json = serde_json::from_slice(payload).map_err(|_| wrong)?;
                match json.get("value") {
                    Some(Json::Bool(flag)) => Ok(Self::Flag(*flag)),
                    Some(Json::Number(number)) => {
                        number.as_f64().map(|number| Self::Number(number, 9)).ok_or(wrong)
                    }
                    Some(Json::String(text)) => Ok(Self::Text(text.clone())),
                    Some(Json::Null) => Ok(Self::None),
                    _ => Err(wrong),
                }
            }
        }
    }

    /// A number as it is shown.
    pub(crate) fn rounded(number: f64, decimals: u8) -> f64 {
        let factor = 10f64.powi(i32::from(decimals));
        let rounded = (number * factor).round() / factor;
        // no minus before nothing
        if rounded == 0.0 || !rounded.is_finite() { 0.0 } else { rounded }
    }

    fn json(&self) -> Json {
        match self {
            Self::Flag(flag) => Json::Bool(*flag),
            Self::Number(number, decimals) => {
                let rounded = Self::rounded(*number, *decimals);
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
                let whole = (rounded.fract() == 0.0 && rounded.abs() < 1e15).then_some(rounded as i64);
                whole.map_or_else(|| Number::from_f64(rounded).into(), Json::from)
            }
            Self::Text(text) => Json::String(text.clone()),
            Self::None => Json::Null,
        }
    }
}

/// The text that is published.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("True"),
            Self::Flag(false) => f.write_str("False"),
            Self::Number(number, decimals) => write!(f, "{}", Self::rounded(*number, *decimals)),
            Self::Text(text) => f.write_str(text),
            Self::None => f.write_str("None"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_the_labs() {
        for (value, text) in [
            (Value::Flag(true), "True"),
            (Value::Number(1023.0, 0), "1023"),
            (Value::Number(21.46, 1), "21.5"),
            (Value::Number(21.04, 1), "21"),
            (Value::Number(-0.01, 1), "0"),
            (Value::None, "None"),
        ] {
            assert_eq!(value.payload(Payload::Text, Some("°C")), text);
        }
    }

    #[test]
    fn json_has_unit_and_time_and_is_read_back() {
        let json = Value::Number(21.46, 1).payload(Payload::Json, Some("°C"));
        assert!(
            json.starts_with(r#"{"time":"2"#) || json.starts_with(r#"{"value":21.5,"unit":"°C","time":"2"#),
            "{json}"
        );
        assert!(json.ends_with('}') && json.contains("Z\""), "{json}");
        assert_eq!(Value::of_payload(json.as_bytes(), Payload::Json), Ok(Value::Number(21.5, 9)));
        let whole = Value::Number(512.0, 0).payload(Payload::Json, None);
        assert!(
            whole.contains("\"value\":512") && !whole.contains("512.0") && !whole.contains("unit"),
            "{whole}"
        );
        assert_eq!(Value::of_payload(br#"{"value":null}"#, Payload::Json), Ok(Value::None));
        for wrong in ["", "21.5", "[1]", "{}", r#"{"value":[1]}"#, "\u{0}"] {
            assert!(Value::of_payload(wrong.as_bytes(), Payload::Json).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in any::<Vec<u8>>()) {
            drop(Value::of_payload(&payload, Payload::Json));
            prop_assert_eq!(Value::of_payload(&payload, Payload::Text).is_ok(), std::str::from_utf8(&payload).is_ok());
        }
    }
}
