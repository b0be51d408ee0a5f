//! What readings and messages mean, without any hardware or network.

use std::fmt;

use grovemq_grovepi::{ANALOG_MAX, AnalogPin, Pin, PwmPin};

use crate::config::{Input, Output};

/// A value read from the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Pressed(bool),
    /// 0 to [`ANALOG_MAX`].
    Position(u16),
}

/// Where a reading comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Level(Pin),
    Voltage(AnalogPin),
}

/// What a port is driven with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    Switch(Pin, bool),
    /// Duty cycle of 255.
    Dim(PwmPin, u8),
}

/// A payload that an actuator does not obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ignored {
    wanted: &'static str,
}

impl Input {
    /// Where it is read; a clock needs no board.
    pub(crate) fn probe(self) -> Option<Probe> {
        match self {
            Self::Button(pin) => Some(Probe::Level(pin)),
            Self::Potentiometer { pin, .. } => Some(Probe::Voltage(pin)),
            Self::Clock => None,
        }
    }

    /// Whether a reading is worth a message after `last` was published.
    pub(crate) fn differs(self, now: Reading, last: Option<Reading>) -> bool {
        match (self, now, last) {
            (
                Self::Potentiometer { dead_band, .. },
                Reading::Position(now),
                Some(Reading::Position(last)),
            ) => {
                // The ends are always reached: a lamp must go dark, not almost dark.
                let at_an_end = now == 0 || now == ANALOG_MAX;
                now.abs_diff(last) > dead_band || (at_an_end && now != last)
            }
            _ => last != Some(now),
        }
    }
}

impl Output {
    /// What the output shows before any message and after the last one.
    pub(crate) fn safe(self) -> Drive {
        match self {
            Self::Led(pin) => Drive::Switch(pin, false),
            Self::DimmedLed(pin) => Drive::Dim(pin, 0),
        }
    }

    /// The meaning of a message.
    pub(crate) fn obey(self, payload: &[u8]) -> Result<Drive, Ignored> {
        match (self, payload) {
            (Self::Led(pin), b"True") => Ok(Drive::Switch(pin, true)),
            (Self::Led(pin), b"False") => Ok(Drive::Switch(pin, false)),
            (Self::Led(_), _) => Err(Ignored { wanted: "`True` or `False`" }),
            (Self::DimmedLed(pin), payload) => match position(payload) {
                Some(position) => Ok(Drive::Dim(pin, duty(position))),
                None => Err(Ignored { wanted: "a number from 0 to 1023" }),
            },
        }
    }
}

impl Probe {
    pub(crate) fn pin(self) -> Pin {
        match self {
            Self::Level(pin) => pin,
            Self::Voltage(pin) => pin.pin(),
        }
    }
}

impl Drive {
    pub(crate) fn pin(self) -> Pin {
        match self {
            Self::Switch(pin, _) => pin,
            Self::Dim(pin, _) => pin.pin(),
        }
    }

    /// The same port, dark.
    pub(crate) fn dark(self) -> Self {
        match self {
            Self::Switch(pin, _) => Self::Switch(pin, false),
            Self::Dim(pin, _) => Self::Dim(pin, 0),
        }
    }
}

/// A decimal number from 0 to [`ANALOG_MAX`], digits only.
fn position(payload: &[u8]) -> Option<u16> {
    if !payload.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(payload).ok()?.parse().ok()?;
    (value <= ANALOG_MAX).then_some(value)
}

/// 0 to [`ANALOG_MAX`] as 0 to 255, to the nearest.
fn duty(position: u16) -> u8 {
    let top = u32::from(ANALOG_MAX);
    let duty = (u32::from(position.min(ANALOG_MAX)) * 255 + top / 2) / top;
    u8::try_from(duty).unwrap_or(u8::MAX)
}

/// The text that is published.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pressed(true) => f.write_str("True"),
            Self::Pressed(false) => f.write_str("False"),
            Self::Position(position) => write!(f, "{position}"),
        }
    }
}

impl fmt::Display for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(_, true) => f.write_str("on"),
            Self::Switch(_, false) => f.write_str("off"),
            Self::Dim(_, duty) => write!(f, "{duty} of 255"),
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LED: Output = Output::Led(Pin::D4);
    const DIMMED: Output = Output::DimmedLed(PwmPin::D5);

    fn knob(dead_band: u16) -> Input {
        Input::Potentiometer { pin: AnalogPin::A0, dead_band }
    }

    /// The values published for these readings.
    fn published(dead_band: u16, readings: &[u16]) -> Vec<u16> {
        let mut last = None;
        readings
            .iter()
            .copied()
            .filter(|&value| {
                let reading = Reading::Position(value);
                let differs = knob(dead_band).differs(reading, last);
                if differs {
                    last = Some(reading);
                }
                differs
            })
            .collect()
    }

    #[test]
    fn a_button_tells_its_first_state_and_each_change() {
        let button = Input::Button(Pin::D3);
        let (pressed, released) = (Reading::Pressed(true), Reading::Pressed(false));
        assert!(button.differs(released, None));
        assert!(!button.differs(released, Some(released)));
        assert!(button.differs(pressed, Some(released)));
        assert_eq!((pressed.to_string(), released.to_string()), ("True".to_owned(), "False".to_owned()));
    }

    #[test]
    fn flicker_is_silent_but_a_slow_turn_and_the_ends_are_not() {
        assert_eq!(published(2, &[500, 502, 498, 501, 500]), [500]);
        assert_eq!(published(2, &[500, 501, 502, 503, 504, 505, 506]), [500, 503, 506]);
        assert_eq!(published(2, &[2, 1, 0, 1, 2, 0]), [2, 0]);
        assert_eq!(published(2, &[1022, 1023, 1022, 1021]), [1022, 1023]);
        assert_eq!(published(0, &[5, 6, 6, 5]), [5, 6, 5]);
    }

    #[test]
    fn an_led_takes_the_two_words_only() {
        assert_eq!(LED.obey(b"True"), Ok(Drive::Switch(Pin::D4, true)));
        assert_eq!(LED.obey(b"False"), Ok(Drive::Switch(Pin::D4, false)));
        for other in [&b"true"[..], b"TRUE", b" True", b"True\n", b"1", b"", b"Hello, World!", b"\xff\xfe"] {
            let ignored = LED.obey(other).unwrap_err();
            assert_eq!(ignored.to_string(), "not `True` or `False`", "{other:?}");
        }
    }

    #[test]
    fn a_dimmed_led_takes_positions_only() {
        for (payload, expected) in [
            (&b"0"[..], 0),
            (b"1", 0),
            (b"2", 0),
            (b"3", 1),
            (b"511", 127),
            (b"512", 128),
            (b"1022", 255),
            (b"1023", 255),
            (b"0007", 2),
        ] {
            assert_eq!(DIMMED.obey(payload), Ok(Drive::Dim(PwmPin::D5, expected)), "{payload:?}");
        }
        for other in [&b"1024"[..], b"-1", b"+1", b"", b"1.0", b"True", b"99999999999999999999", b"\xff"] {
            assert!(DIMMED.obey(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_safe_state_is_dark() {
        assert_eq!(LED.safe(), Drive::Switch(Pin::D4, false));
        assert_eq!(DIMMED.safe(), Drive::Dim(PwmPin::D5, 0));
        assert_eq!(Drive::Dim(PwmPin::D5, 7).dark(), DIMMED.safe());
    }

    proptest! {
        #[test]
        fn brighter_positions_are_never_darker(a in 0..=ANALOG_MAX, b in 0..=ANALOG_MAX) {
            prop_assert!(duty(a.min(b)) <= duty(a.max(b)));
        }

        #[test]
        fn any_payload_is_survived(payload in any::<Vec<u8>>()) {
            prop_assert!(LED.obey(&payload).is_ok() == (payload == b"True" || payload == b"False"));
            if let Ok(Drive::Dim(..)) = DIMMED.obey(&payload) {
                prop_assert!(payload.iter().all(u8::is_ascii_digit));
            }
        }

        /// What was published last is never further from the truth than the dead band.
        #[test]
        fn the_published_value_follows(readings in prop::collection::vec(0..=ANALOG_MAX, 1..50), dead_band in 0u16..20) {
            for end in 1..=readings.len() {
                let sent = published(dead_band, &readings[..end]);
                prop_assert!(sent.last().unwrap().abs_diff(readings[end - 1]) <= dead_band);
            }
        }
    }
}
