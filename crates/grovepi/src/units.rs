//! Values with their units.

use core::fmt;

use crate::board::ANALOG_MAX;

/// A temperature in degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Celsius(pub f32);

/// Relative humidity in percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Humidity(pub f32);

/// A distance in centimetres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Centimetres(pub u16);

/// An angle in degrees, from the left stop.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Degrees(pub f32);

/// What the converter says of a sensor that measures without a scale, such as brightness: 0 to [`ANALOG_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u16);

/// The colour of an LED or of a backlight, 0 to 255 each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Color {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
}

impl Level {
    /// `None` for a value that the converter does not have.
    pub const fn new(value: u16) -> Option<Self> {
        if value <= ANALOG_MAX { Some(Self(value)) } else { None }
    }

    /// 0 to [`ANALOG_MAX`].
    pub const fn value(self) -> u16 {
        self.0
    }

    /// The part of the whole range, 0 to 100.
    pub fn percent(self) -> f32 {
        f32::from(self.0) * 100.0 / f32::from(ANALOG_MAX)
    }
}

impl Color {
    pub const BLACK: Self = Self::new(0, 0, 0);
    pub const WHITE: Self = Self::new(255, 255, 255);

    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }
}

impl fmt::Display for Celsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} °C", self.0)
    }
}

impl fmt::Display for Humidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0)
    }
}

impl fmt::Display for Centimetres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cm", self.0)
    }
}

impl fmt::Display for Degrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}°", self.0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {ANALOG_MAX}", self.0)
    }
}

/// As on the web: `#ff8000`.
impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn values_are_shown_with_their_units() {
        assert_eq!(Celsius(21.46).to_string(), "21.5 °C");
        assert_eq!(Humidity(40.0).to_string(), "40.0 %");
        assert_eq!(Centimetres(7).to_string(), "7 cm");
        assert_eq!(Degrees(150.2).to_string(), "150°");
        assert_eq!(Level::new(1023).unwrap().to_string(), "1023 of 1023");
        assert_eq!(Level::new(1024), None);
        assert_eq!(Color::new(255, 128, 0).to_string(), "#ff8000");
    }
}
