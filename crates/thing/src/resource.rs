//! What is asked of the board, without any hardware.

use std::fmt;

use grovemq_grovepi::{AnalogPin, Color, DhtModel, Orientation, Pin, PwmPin, Thermistor, WidePin};

use crate::config::{Analog, Input, Measure};

/// Where a reading comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Probe {
    Level(Pin),
    Voltage(AnalogPin),
    Angle(AnalogPin),
    Temperature(AnalogPin, Thermistor),
    Climate(Pin, DhtModel, Measure),
    Distance(Pin),
}

/// What an output of the board shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Drive {
    Switch(Pin, bool),
    /// Duty cycle of 255.
    Dim(PwmPin, u8),
    Bar(WidePin, Orientation, u8),
    /// Brightness and segments.
    Digits(WidePin, u8, [u8; 4]),
    /// As many LEDs as are chained; those beyond the given colours have the last one.
    Colors(WidePin, u8, Vec<Color>),
    Text(String),
    Light(Color),
}

/// Which output of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Port(Pin),
    LcdText,
    LcdLight,
}

impl Input {
    /// Where it is read; `None` if the board has nothing to do with it.
    pub(crate) fn probe(&self) -> Option<Probe> {
        Some(match *self {
            Self::Digital { pin, .. } => Probe::Level(pin),
            Self::Analog { pin, sense: Analog::Angle } => Probe::Angle(pin),
            Self::Analog { pin, .. } => Probe::Voltage(pin),
            Self::Temperature { pin, model } => Probe::Temperature(pin, model),
            Self::Dht { pin, model, measure } => Probe::Climate(pin, model, measure),
            Self::Distance(pin) => Probe::Distance(pin),
            Self::Clock | Self::System(_) | Self::Command(_) | Self::Gpio(_) => return None,
        })
    }
}

impl Probe {
    /// The port that has to be made an input; the firmware does so by itself for the others.
    pub(crate) fn input_pin(self) -> Option<Pin> {
        match self {
            Self::Level(pin) => Some(pin),
            Self::Voltage(pin) | Self::Angle(pin) | Self::Temperature(pin, _) => Some(pin.pin()),
            Self::Climate(..) | Self::Distance(_) => None,
        }
    }
}

impl Drive {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Switch(pin, _) => Place::Port(*pin),
            Self::Dim(pin, _) => Place::Port(pin.pin()),
            Self::Bar(pin, ..) | Self::Digits(pin, ..) | Self::Colors(pin, ..) => Place::Port(pin.pin()),
            Self::Text(_) => Place::LcdText,
            Self::Light(_) => Place::LcdLight,
        }
    }
}

impl fmt::Display for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(_, true) => f.write_str("on"),
            Self::Switch(_, false) => f.write_str("off"),
            Self::Dim(_, duty) => write!(f, "{duty} of 255"),
            Self::Bar(_, _, level) => write!(f, "{level} of 10"),
            Self::Digits(..) => f.write_str("shown"),
            Self::Colors(_, _, colors) => {
                let colors: Vec<_> = colors.iter().map(Color::to_string).collect();
                f.write_str(&colors.join(" "))
            }
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Light(color) => color.fmt(f),
        }
    }
}
