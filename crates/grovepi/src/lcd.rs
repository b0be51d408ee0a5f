//! The Grove LCD with RGB backlight: two I²C devices of their own, on the same bus as the board.
//!
//! The text half is a display of two lines of 16 characters: a transfer is a control byte, 0x80 before a command and 0x40
//! before a character, and one byte. The light half has a register for each colour.

use core::fmt;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::units::Color;

/// The address of the half that shows text.
pub const TEXT_ADDRESS: u8 = 0x3e;
/// The address of the half that lights it.
pub const LIGHT_ADDRESS: u8 = 0x62;

/// Lines of the display.
pub const LINES: usize = 2;
/// Characters of a line.
pub const COLUMNS: usize = 16;

pub(crate) const COMMAND: u8 = 0x80;
pub(crate) const CHARACTER: u8 = 0x40;
/// Two lines, small characters.
const TWO_LINES: u8 = 0x28;
/// Display on, no cursor.
const DISPLAY_ON: u8 = 0x0c;
pub(crate) const CLEAR: u8 = 0x01;
/// Where each line begins in the display's memory, as the command that goes there.
pub(crate) const LINE_STARTS: [u8; LINES] = [0x80, 0xc0];

/// A transfer is tried this often before its error is reported.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_US: u32 = 3_000;
/// Clearing takes 1.5 ms, all else less than 0.1 ms.
const CLEAR_US: u32 = 5_000;

/// Commands the display, through a bus and a delay that may be borrowed, see [`crate::Board::bus`].
#[derive(Debug)]
pub struct Lcd<I2C, DELAY> {
    i2c: I2C,
    delay: DELAY,
}

/// The display did not take a transfer, however often it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LcdError<E> {
    /// [`TEXT_ADDRESS`] or [`LIGHT_ADDRESS`].
    pub address: u8,
    pub source: E,
}

impl<I2C: I2c, DELAY: DelayNs> Lcd<I2C, DELAY> {
    /// Nothing is sent yet.
    pub fn new(i2c: I2C, delay: DELAY) -> Self {
        Self { i2c, delay }
    }

    /// Sets the display up: on, empty, without a cursor. The light stays as it is.
    pub fn init(&mut self) -> Result<(), LcdError<I2C::Error>> {
        self.command(TWO_LINES)?;
        self.command(DISPLAY_ON)?;
        self.clear()
    }

    /// Shows nothing.
    pub fn clear(&mut self) -> Result<(), LcdError<I2C::Error>> {
        self.command(CLEAR)?;
        self.delay.delay_us(CLEAR_US);
        Ok(())
    }

    /// Shows a text: a new line begins after a line feed or when one is full; what does not fit is left out. What the
    /// display has no character for is a question mark.
    pub fn text(&mut self, text: &str) -> Result<(), LcdError<I2C::Error>> {
        // Written over instead of cleared: nothing flickers.
        for (start, line) in LINE_STARTS.into_iter().zip(lines(text)) {
            self.command(start)?;
            for character in line {
                self.write(TEXT_ADDRESS, [CHARACTER, character])?;
            }
        }
        Ok(())
    }

    /// Lights the display.
    pub fn light(&mut self, color: Color) -> Result<(), LcdError<I2C::Error>> {
        let Color { red, green, blue } = color;
        // awake, no group dimming, each colour by its own register
        for block in [[0, 0], [1, 0], [8, 0xaa], [4, red], [3, green], [2, blue]] {
            self.write(LIGHT_ADDRESS, block)?;
        }
        Ok(())
    }

    fn command(&mut self, command: u8) -> Result<(), LcdError<I2C::Error>> {
        self.write(TEXT_ADDRESS, [COMMAND, command])
    }

    fn write(&mut self, address: u8, block: [u8; 2]) -> Result<(), LcdError<I2C::Error>> {
        let mut attempt = 1;
        loop {
            match self.i2c.write(address, &block) {
                Ok(()) => return Ok(()),
                Err(source) if attempt == ATTEMPTS_MAX => return Err(LcdError { address, source }),
                Err(_) => self.delay.delay_us(RETRY_US),
            }
            attempt += 1;
        }
    }
}

/// The text as the display's characters, filled up with spaces.
fn lines(text: &str) -> [[u8; COLUMNS]; LINES] {
    let mut lines = [[b' '; COLUMNS]; LINES];
    let (mut row, mut column) = (0, 0);
    for character in text.chars() {
        if character == '\n' {
            (row, column) = (row + 1, 0);
            continue;
        }
        if column == COLUMNS {
            (row, column) = (row + 1, 0);
        }
        match lines.get_mut(row).and_then(|line| line.get_mut(column)) {
            Some(place) => *place = character_code(character),
            None => break,
        }
        column += 1;
    }
    lines
}

/// The display's own set of characters: ASCII with two exceptions, and some more.
fn character_code(character: char) -> u8 {
    match character {
        '\\' | '~' => b'?',
        ' '..='}' => u8::try_from(character).unwrap_or(b'?'),
        '°' => 0xdf,
        'ä' => 0xe1,
        'ß' => 0xe2,
        'µ' | 'μ' => 0xe4,
        'ö' => 0xef,
        'Ω' | '\u{2126}' => 0xf4,
        'ü' => 0xf5,
        '→' => 0x7e,
        '←' => 0x7f,
        _ => b'?',
    }
}

/// What the display shows for one of its characters.
#[cfg(any(test, feature = "simulated"))]
pub(crate) fn character(code: u8) -> char {
    match code {
        0xdf => '°',
        0xe1 => 'ä',
        0xe2 => 'ß',
        0xe4 => 'µ',
        0xef => 'ö',
        0xf4 => 'Ω',
        0xf5 => 'ü',
        0x7e => '→',
        0x7f => '←',
        b' '..=b'}' => char::from(code),
        _ => '�',
    }
}

impl<E: fmt::Debug> fmt::Display for LcdError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = if self.address == LIGHT_ADDRESS { "light" } else { "text" };
        write!(f, "LCD {half}: I2C bus error: {:?}", self.source)
    }
}

impl<E: fmt::Debug> core::error::Error for LcdError<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    fn shown(text: &str) -> [std::string::String; 2] {
        lines(text).map(|line| line.into_iter().map(character).collect())
    }

    #[test]
    fn lines_are_filled_broken_and_cut() {
        assert_eq!(shown("Hi"), ["Hi              ", "                "]);
        assert_eq!(shown("a\nb\nc"), ["a               ", "b               "]);
        assert_eq!(shown("0123456789abcdefghij"), ["0123456789abcdef", "ghij            "]);
        assert_eq!(shown("0123456789abcdef\nx"), ["0123456789abcdef", "x               "]);
        assert_eq!(shown("21.5 °C ~ \u{1f600}"), ["21.5 °C ? ?     ", "                "]);
    }

    #[test]
    fn the_bytes_are_those_of_the_display() {
        let mut expected = vec![
            Transaction::write(TEXT_ADDRESS, vec![0x80, 0x28]),
            Transaction::write(TEXT_ADDRESS, vec![0x80, 0x0c]),
            Transaction::write(TEXT_ADDRESS, vec![0x80, 0x01]),
            Transaction::write(TEXT_ADDRESS, vec![0x80, 0x80]),
            Transaction::write(TEXT_ADDRESS, vec![0x40, b'A']),
        ];
        expected.extend((0..15).map(|_| Transaction::write(TEXT_ADDRESS, vec![0x40, b' '])));
        expected.push(Transaction::write(TEXT_ADDRESS, vec![0x80, 0xc0]));
        expected.extend((0..16).map(|_| Transaction::write(TEXT_ADDRESS, vec![0x40, b' '])));
        let light = [[0, 0], [1, 0], [8, 0xaa], [4, 1], [3, 2], [2, 3]];
        expected.extend(light.map(|block| Transaction::write(LIGHT_ADDRESS, block.to_vec())));
        let mut lcd = Lcd::new(Mock::new(&expected), NoopDelay);
        lcd.init().unwrap();
        lcd.text("A").unwrap();
        lcd.light(Color::new(1, 2, 3)).unwrap();
        lcd.i2c.done();
    }

    #[test]
    fn a_display_that_does_not_answer_is_named() {
        let nack = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        let clear = || Transaction::write(TEXT_ADDRESS, vec![0x80, 0x01]);
        let mut expected = vec![clear().with_error(nack), clear()];
        expected.extend((0..ATTEMPTS_MAX).map(|_| clear().with_error(nack)).collect::<Vec<_>>());
        let mut lcd = Lcd::new(Mock::new(&expected), NoopDelay);
        assert_eq!(lcd.clear(), Ok(()));
        let error = lcd.clear().unwrap_err();
        assert!(error.to_string().starts_with("LCD text: I2C bus error: NoAcknowledge"), "{error}");
        lcd.i2c.done();
    }
}
