//! Grove LED bar, four-digit display, and chainable RGB LEDs.
//!
//! Each takes two lines of its port and therefore a [`WidePin`]; nothing else may be on the next port. A display shows
//! nothing before its `…_init`, and has to be told again after the board has lost its power.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::board::{Board, Error};
use crate::command::Command;
use crate::pin::WidePin;
use crate::units::Color;

/// LEDs of an LED bar.
pub const LED_BAR_LEDS: u8 = 10;
/// The brightest of the four-digit display.
pub const BRIGHTNESS_MAX: u8 = 7;
/// LEDs of a chain that the board serves in time.
pub const CHAIN_LEDS_MAX: u8 = 10;

/// Which end of an LED bar is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    #[default]
    RedToGreen,
    GreenToRed,
}

/// Which LEDs of a chain get a colour; 0 is the one next to the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    One(u8),
    AllBut(u8),
    /// This one and those nearer to the board.
    Inwards(u8),
    /// This one and those further out.
    Outwards(u8),
}

/// The seven segments of a digit and what they show: bit 0 is A, on top, then clockwise; bit 6 is G, in the middle.
///
/// ```text
///      A
///    F   B
///      G
///    E   C
///      D
/// ```
pub mod segments {
    /// The minus sign.
    pub const MINUS: u8 = 0b0100_0000;
    /// The colon, on the second digit only.
    pub const COLON: u8 = 0b1000_0000;

    const DIGITS: [u8; 16] = [
        0b0011_1111,
        0b0000_0110,
        0b0101_1011,
        0b0100_1111,
        0b0110_0110,
        0b0110_1101,
        0b0111_1101,
        0b0000_0111,
        0b0111_1111,
        0b0110_1111,
        0b0111_0111,
        0b0111_1100,
        0b0011_1001,
        0b0101_1110,
        0b0111_1001,
        0b0111_0001,
    ];

    /// A hexadecimal digit; of greater numbers the last one.
    pub fn digit(value: u8) -> u8 {
        let [zero, ..] = DIGITS;
        DIGITS.get(usize::from(value & 0x0f)).copied().unwrap_or(zero)
    }

    /// An integer, right-aligned; below −999 and above 9999 it is that.
    pub fn integer(value: i16) -> [u8; 4] {
        let value = value.clamp(-999, 9999);
        let mut rest = value.unsigned_abs();
        let mut shown = [0; 4];
        let mut signed = value >= 0;
        for (index, place) in shown.iter_mut().rev().enumerate() {
            if rest > 0 || index == 0 {
                *place = digit(u8::try_from(rest % 10).unwrap_or_default());
                rest /= 10;
            } else if !signed {
                *place = MINUS;
                signed = true;
            }
        }
        shown
    }
}

impl<I2C: I2c, DELAY: DelayNs> Board<I2C, DELAY> {
    /// Sets an LED bar up; it is dark then.
    pub fn led_bar_init(&mut self, pin: WidePin, orientation: Orientation) -> Result<(), Error<I2C::Error>> {
        self.order(Command::LedBarInit, [pin.number(), u8::from(orientation == Orientation::GreenToRed), 0])
    }

    /// Turns an LED bar around.
    pub fn led_bar_orientation(
        &mut self,
        pin: WidePin,
        orientation: Orientation,
    ) -> Result<(), Error<I2C::Error>> {
        let turned = u8::from(orientation == Orientation::GreenToRed);
        self.order(Command::LedBarOrientation, [pin.number(), turned, 0])
    }

    /// Lights the first LEDs: none to [`LED_BAR_LEDS`], more count as that.
    pub fn led_bar_level(&mut self, pin: WidePin, level: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::LedBarLevel, [pin.number(), level.min(LED_BAR_LEDS), 0])
    }

    /// Switches one LED, 0 to 9.
    pub fn led_bar_led(&mut self, pin: WidePin, led: u8, on: bool) -> Result<(), Error<I2C::Error>> {
        let led = led.min(LED_BAR_LEDS - 1) + 1;
        self.order(Command::LedBarLed, [pin.number(), led, u8::from(on)])
    }

    /// Switches one LED, 0 to 9, to what it is not. Not repeated after a failure half-way, so that it toggles once.
    pub fn led_bar_toggle(&mut self, pin: WidePin, led: u8) -> Result<(), Error<I2C::Error>> {
        let led = led.min(LED_BAR_LEDS - 1) + 1;
        self.order_once(Command::LedBarToggle, [pin.number(), led, 0])
    }

    /// One bit for each LED, bit 0 for the first.
    pub fn led_bar_bits(&mut self, pin: WidePin, bits: u16) -> Result<(), Error<I2C::Error>> {
        let [low, high] = (bits & 0x3ff).to_le_bytes();
        self.order(Command::LedBarBits, [pin.number(), low, high])
    }

    /// What an LED bar shows, one bit for each LED.
    pub fn led_bar_state(&mut self, pin: WidePin) -> Result<u16, Error<I2C::Error>> {
        self.query(Command::LedBarRead, [pin.number(), 0, 0], |_, reply| {
            let [_, low, high, ..] = *reply.all();
            let bits = u16::from_le_bytes([low, high]);
            (bits <= 0x3ff).then_some(bits)
        })
    }

    /// Sets a four-digit display up.
    pub fn four_digit_init(&mut self, pin: WidePin) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitInit, [pin.number(), 0, 0])
    }

    /// 0 to [`BRIGHTNESS_MAX`]; seen from the next thing on that is shown.
    pub fn four_digit_brightness(&mut self, pin: WidePin, brightness: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitBrightness, [pin.number(), brightness.min(BRIGHTNESS_MAX), 0])
    }

    /// Shows a number up to 9999, more counts as that; `padded` with leading zeros.
    pub fn four_digit_number(
        &mut self,
        pin: WidePin,
        number: u16,
        padded: bool,
    ) -> Result<(), Error<I2C::Error>> {
        let [low, high] = number.min(9999).to_le_bytes();
        let command = if padded { Command::FourDigitPadded } else { Command::FourDigitNumber };
        self.order(command, [pin.number(), low, high])
    }

    /// Shows a hexadecimal digit at one of the places 0 to 3, from the left.
    pub fn four_digit_digit(&mut self, pin: WidePin, place: u8, digit: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitDigit, [pin.number(), place.min(3), digit & 0x0f])
    }

    /// Lights the [`segments`] of one of the places 0 to 3, from the left.
    pub fn four_digit_segments(
        &mut self,
        pin: WidePin,
        place: u8,
        bits: u8,
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitSegments, [pin.number(), place.min(3), bits])
    }

    /// Lights the [`segments`] of all four places. A command each: the display changes from left to right.
    pub fn four_digit_show(&mut self, pin: WidePin, shown: [u8; 4]) -> Result<(), Error<I2C::Error>> {
        (0..).zip(shown).try_for_each(|(place, bits)| self.four_digit_segments(pin, place, bits))
    }

    /// Shows two numbers from 0 to 99 with a colon between them, as a clock does.
    pub fn four_digit_score(&mut self, pin: WidePin, left: u8, right: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitScore, [pin.number(), left.min(99), right.min(99)])
    }

    /// Lights all segments.
    pub fn four_digit_on(&mut self, pin: WidePin) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitOn, [pin.number(), 0, 0])
    }

    /// Shows nothing.
    pub fn four_digit_off(&mut self, pin: WidePin) -> Result<(), Error<I2C::Error>> {
        self.order(Command::FourDigitOff, [pin.number(), 0, 0])
    }

    /// Tells how many LEDs a chain has, at most [`CHAIN_LEDS_MAX`]. What they show stays.
    pub fn chain_init(&mut self, pin: WidePin, leds: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::ChainInit, [pin.number(), leds.min(CHAIN_LEDS_MAX), 0])
    }

    /// Sets a chain up and all its LEDs to a colour of which each part is full or nothing.
    pub fn chain_test(
        &mut self,
        pin: WidePin,
        leds: u8,
        [red, green, blue]: [bool; 3],
    ) -> Result<(), Error<I2C::Error>> {
        let code = u8::from(red) << 2 | u8::from(green) << 1 | u8::from(blue);
        self.order(Command::ChainTest, [pin.number(), leds.min(CHAIN_LEDS_MAX), code])
    }

    /// Gives some LEDs of a chain a colour.
    pub fn chain_color(
        &mut self,
        pin: WidePin,
        pattern: Pattern,
        color: Color,
    ) -> Result<(), Error<I2C::Error>> {
        let (number, led) = match pattern {
            Pattern::One(led) => (0, led),
            Pattern::AllBut(led) => (1, led),
            Pattern::Inwards(led) => (2, led),
            Pattern::Outwards(led) => (3, led),
        };
        self.chain_store(color)?;
        self.order(Command::ChainPattern, [pin.number(), number, led])
    }

    /// Gives every `divisor`-th LED a colour, from `first` on.
    pub fn chain_modulo(
        &mut self,
        pin: WidePin,
        first: u8,
        divisor: u8,
        color: Color,
    ) -> Result<(), Error<I2C::Error>> {
        self.chain_store(color)?;
        self.order(Command::ChainModulo, [pin.number(), first, divisor.max(1)])
    }

    /// Gives the first `level` LEDs a colour and makes the others dark.
    pub fn chain_level(&mut self, pin: WidePin, level: u8, color: Color) -> Result<(), Error<I2C::Error>> {
        self.chain_store(color)?;
        self.order(Command::ChainLevel, [pin.number(), level.min(CHAIN_LEDS_MAX), 0])
    }

    /// The colour for the next command to any chain.
    fn chain_store(&mut self, color: Color) -> Result<(), Error<I2C::Error>> {
        self.order(Command::ChainColor, [color.red, color.green, color.blue])
    }
}

#[cfg(test)]
mod tests {
    use super::segments::{MINUS, digit, integer};

    #[test]
    fn integers_fill_the_display_from_the_right() {
        assert_eq!(integer(0), [0, 0, 0, digit(0)]);
        assert_eq!(integer(42), [0, 0, digit(4), digit(2)]);
        assert_eq!(integer(-5), [0, 0, MINUS, digit(5)]);
        assert_eq!(integer(1000), [digit(1), digit(0), digit(0), digit(0)]);
        assert_eq!(integer(i16::MAX), [digit(9); 4]);
        assert_eq!(integer(i16::MIN), [MINUS, digit(9), digit(9), digit(9)]);
    }
}
