//! What is plugged into the simulated board and shows something.

use std::string::String;
use std::vec::Vec;

use crate::command::Command;
use crate::displays::segments;
use crate::lcd::{
    CHARACTER, CLEAR, COLUMNS, COMMAND, LIGHT_ADDRESS, LINE_STARTS, LINES, TEXT_ADDRESS, character,
};
use crate::units::Color;

/// An LED bar that was set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedBar {
    /// One bit for each LED, bit 0 for the first.
    pub bits: u16,
    /// The first one is at the green end.
    pub turned: bool,
}

/// A four-digit display that was set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FourDigit {
    /// The lit segments of each place, from the left; see [`segments`].
    pub shown: [u8; 4],
    /// 0 to 7.
    pub brightness: u8,
}

/// Chained RGB LEDs, from the board outwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// As many as the board was told of.
    pub(super) leds: Vec<Color>,
}

/// What the LCD shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LcdView {
    pub lines: [String; LINES],
    pub light: Color,
    pub on: bool,
}

/// The two halves of the LCD.
#[derive(Debug)]
pub(super) struct LcdHardware {
    memory: [[u8; COLUMNS]; LINES],
    /// Line and column of the next character.
    cursor: (usize, usize),
    on: bool,
    registers: [u8; 16],
}

impl LedBar {
    pub(super) fn obey(&mut self, command: Command, data1: u8, data2: u8) {
        let bit = 1 << (data1.clamp(1, 10) - 1);
        match command {
            Command::LedBarOrientation => self.turned = data1 != 0,
            Command::LedBarLevel => self.bits = (1 << data1.min(10)) - 1,
            Command::LedBarLed if data2 == 0 => self.bits &= !bit,
            Command::LedBarLed => self.bits |= bit,
            Command::LedBarToggle => self.bits ^= bit,
            Command::LedBarBits => self.bits = u16::from_le_bytes([data1, data2]) & 0x3ff,
            _ => {}
        }
    }
}

impl FourDigit {
    /// What a person reads: a digit, a minus or a space for each place, a colon in the middle, `?` for other patterns.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (place, &bits) in self.shown.iter().enumerate() {
            let pattern = bits & !segments::COLON;
            let digit = (0..16).find(|&digit| segments::digit(digit) == pattern);
            text.push(match (pattern, digit) {
                (0, _) => ' ',
                (segments::MINUS, _) => '-',
                (_, Some(digit)) => char::from_digit(u32::from(digit), 16).unwrap_or('?'),
                (_, None) => '?',
            });
            if place == 1 && bits & segments::COLON != 0 {
                text.push(':');
            }
        }
        text
    }

    pub(super) fn obey(&mut self, command: Command, data1: u8, data2: u8) {
        match command {
            Command::FourDigitBrightness => self.brightness = data1.min(7),
            Command::FourDigitNumber => self.number(u16::from_le_bytes([data1, data2]), false),
            Command::FourDigitPadded => self.number(u16::from_le_bytes([data1, data2]), true),
            Command::FourDigitDigit => self.set(data1, segments::digit(data2)),
            Command::FourDigitSegments => self.set(data1, data2),
            Command::FourDigitScore => {
                let [first, second] = [data1 / 10, data1 % 10].map(segments::digit);
                let [third, fourth] = [data2 / 10, data2 % 10].map(segments::digit);
                self.shown = [first, second | segments::COLON, third, fourth];
            }
            Command::FourDigitOn => self.shown = [255; 4],
            Command::FourDigitOff => self.shown = [0; 4],
            _ => {}
        }
    }

    fn set(&mut self, place: u8, bits: u8) {
        if let Some(shown) = self.shown.get_mut(usize::from(place & 3)) {
            *shown = bits;
        }
    }

    /// The thousands of a number beyond four digits are one hexadecimal digit.
    fn number(&mut self, mut number: u16, padded: bool) {
        let mut leading = !padded;
        for (place, divisor) in [1000, 100, 10, 1].into_iter().enumerate() {
            let digit = number / divisor;
            number %= divisor;
            leading &= digit == 0 && divisor > 1;
            if let Some(shown) = self.shown.get_mut(place) {
                let [low, _] = digit.to_le_bytes();
                *shown = if leading { 0 } else { segments::digit(low) };
            }
        }
    }
}

impl Chain {
    pub(super) fn obey(&mut self, command: Command, data1: u8, data2: u8, [red, green, blue]: [u8; 3]) {
        let color = Color::new(red, green, blue);
        let (first, second) = (usize::from(data1), usize::from(data2));
        match command {
            Command::ChainInit => self.leds.resize(first, Color::BLACK),
            Command::ChainTest => {
                let full = |bit: u8| if data2 & bit == 0 { 0 } else { 255 };
                self.leds = std::vec![Color::new(full(4), full(2), full(1)); first];
            }
            Command::ChainPattern => self.paint(color, |led| match data1 {
                0 => led == second,
                1 => led != second,
                2 => led <= second,
                3 => led >= second,
                _ => false,
            }),
            Command::ChainModulo => {
                let divisor = second.max(1);
                self.paint(color, |led| led >= first && (led - first).is_multiple_of(divisor));
            }
            Command::ChainLevel => {
                let len = self.leds.len();
                // inwards the firmware counts from one beyond the end and leaves out the first
                let lit = |led: usize| if data2 == 0 { led < first } else { led > 0 && led + first >= len };
                let dark = |led: usize| !lit(led) && (data2 == 0 || led > 0);
                self.paint(color, lit);
                self.paint(Color::BLACK, dark);
            }
            _ => {}
        }
    }

    fn paint(&mut self, color: Color, which: impl Fn(usize) -> bool) {
        for (_, led) in self.leds.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            *led = color;
        }
    }
}

impl Default for LcdHardware {
    fn default() -> Self {
        Self { memory: [[b' '; COLUMNS]; LINES], cursor: (0, 0), on: false, registers: [0; 16] }
    }
}

impl LcdHardware {
    pub(super) fn view(&self) -> LcdView {
        let [_, _, blue, green, red, ..] = self.registers;
        LcdView {
            lines: self.memory.map(|line| line.into_iter().map(character).collect()),
            light: Color::new(red, green, blue),
            on: self.on,
        }
    }

    /// Takes a transfer to one of the two addresses; others are nobody's.
    pub(super) fn receive(&mut self, address: u8, bytes: &[u8]) {
        match (address, bytes) {
            (LIGHT_ADDRESS, &[register, value]) => {
                if let Some(place) = self.registers.get_mut(usize::from(register)) {
                    *place = value;
                }
            }
            (TEXT_ADDRESS, &[COMMAND, command]) => self.command(command),
            (TEXT_ADDRESS, &[CHARACTER, code]) => {
                let (line, column) = self.cursor;
                if let Some(place) = self.memory.get_mut(line).and_then(|line| line.get_mut(column)) {
                    *place = code;
                }
                self.cursor = (line, column + 1);
            }
            _ => {}
        }
    }

    fn command(&mut self, command: u8) {
        match command {
            CLEAR => (self.memory, self.cursor) = ([[b' '; COLUMNS]; LINES], (0, 0)),
            0x02 | 0x03 => self.cursor = (0, 0),
            0x08..=0x0f => self.on = command & 0x04 != 0,
            0x80.. => {
                let line = usize::from(command >= LINE_STARTS[1]);
                self.cursor = (line, usize::from(command - LINE_STARTS[line]));
            }
            _ => {}
        }
    }
}
