//! What the firmware does with commands, and what it answers.

use std::vec::Vec;

use super::devices::{Chain, FourDigit, LedBar};
use super::{Firmware, Port};
use crate::board::ANALOG_MAX;
use crate::command::Command;

const NOT_READY: u8 = 23;
const PORTS: usize = 20;
/// Displays are kept for the ports 2 to 7; the firmware counts them from 0.
const DISPLAYS: usize = 6;

/// The microcontroller and what is plugged into it.
#[derive(Debug)]
pub(super) struct State {
    firmware: Firmware,
    pub(super) ports: [Port; PORTS],
    pub(super) analog: [u16; 8],
    pub(super) led_bars: [Option<LedBar>; DISPLAYS],
    pub(super) four_digits: [Option<FourDigit>; DISPLAYS],
    pub(super) chains: [Chain; DISPLAYS],
    /// The colour that waits for the next command to a chain.
    color: [u8; 3],
    /// The firmware's command buffer and write position; only a position of exactly 4 is carried out.
    command: [u8; 5],
    position: usize,
    reply: [u8; 4],
    /// A DHT sensor's reply is kept apart.
    climate: [u8; 9],
    /// Reads that still find the board at work on the command; `None` when it is done.
    busy: Option<u32>,
    busy_reads: u32,
}

impl State {
    pub(super) fn new(firmware: Firmware) -> Self {
        let mut state = Self {
            firmware,
            ports: [Port::default(); PORTS],
            analog: [0; 8],
            led_bars: [None; DISPLAYS],
            four_digits: [None; DISPLAYS],
            chains: Default::default(),
            color: [0; 3],
            command: [0; 5],
            position: 0,
            reply: [0; 4],
            climate: [0; 9],
            busy: None,
            busy_reads: 0,
        };
        state.reset();
        state
    }

    /// Power goes and comes: what was plugged in stays, what was set is lost.
    pub(super) fn reset(&mut self) {
        for port in &mut self.ports {
            port.output = false;
            port.driven = 0;
        }
        if self.firmware != Firmware::V1_2_7 {
            self.port(4).output = true;
        }
        self.led_bars = [None; DISPLAYS];
        self.four_digits = [None; DISPLAYS];
        self.chains = Default::default();
        (self.color, self.command, self.position) = ([0; 3], [0; 5], 0);
        (self.reply, self.climate, self.busy) = ([0; 4], [0; 9], None);
    }

    /// Any number is a port, as on the microcontroller; those that the board has not lead nowhere.
    pub(super) fn port(&mut self, number: u8) -> &mut Port {
        let [ports @ .., nowhere] = &mut self.ports;
        ports.get_mut(usize::from(number)).unwrap_or(nowhere)
    }

    pub(super) fn set_busy_reads(&mut self, reads: u32) {
        if self.busy.take().is_some() {
            self.carry_out();
        }
        self.busy_reads = reads;
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if self.busy.is_some() {
            return;
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if bytes.len() - at == 4 {
                self.position = 0;
            }
            if let Some(slot) = self.command.get_mut(self.position) {
                *slot = byte;
            }
            self.position = self.position.saturating_add(1);
        }
        if self.busy_reads == 0 {
            self.carry_out();
        } else {
            self.busy = Some(self.busy_reads);
        }
    }

    pub(super) fn send(&mut self, buffer: &mut [u8]) {
        let answer = match self.busy {
            Some(reads) => {
                // `u32::MAX` never counts down: the board hangs.
                let left = if reads == u32::MAX { reads } else { reads - 1 };
                self.busy = (left > 0).then_some(left);
                if left == 0 {
                    self.carry_out();
                }
                Vec::from([NOT_READY])
            }
            None => self.answer(),
        };
        buffer.fill(255);
        for (to, from) in buffer.iter_mut().zip(answer) {
            *to = from;
        }
    }

    /// The reply to the last command; a command without one is answered with a zero byte by the two-wire hardware.
    fn answer(&self) -> Vec<u8> {
        let [code, ..] = self.command;
        let [first, second, third, fourth] = self.reply;
        match Command::of_code(code) {
            Some(Command::DigitalRead) if self.firmware == Firmware::V1_2_7 => Vec::from([second]),
            Some(Command::DigitalRead) => Vec::from([first, second]),
            Some(Command::AnalogRead | Command::Ultrasonic | Command::LedBarRead) => {
                Vec::from([first, second, third])
            }
            Some(Command::FirmwareVersion) => Vec::from([first, second, third, fourth]),
            Some(Command::Dht) => Vec::from(self.climate),
            _ => Vec::from([0]),
        }
    }

    fn carry_out(&mut self) {
        if self.position != 4 {
            return;
        }
        let [code, port, data1, data2, _] = self.command;
        let Some(command) = Command::of_code(code) else { return };
        match command {
            Command::DigitalRead => {
                let port = *self.port(port);
                // An output reads back what it drives.
                let level = if port.output { port.driven >= 128 } else { port.input };
                self.set_reply(code, [u8::from(level), self.reply[2], self.reply[3]]);
            }
            Command::DigitalWrite => self.port(port).driven = if data1 == 0 { 0 } else { 255 },
            Command::AnalogRead => {
                let value = self.analog.get(usize::from(port)).copied().unwrap_or_default();
                self.set_reply_word(code, value.min(ANALOG_MAX));
            }
            Command::AnalogWrite => {
                let port = self.port(port);
                (port.output, port.driven) = (true, data1);
            }
            Command::PinMode => self.port(port).output = data1 != 0,
            Command::Ultrasonic => {
                let port = self.port(port);
                (port.output, port.driven) = (false, 0);
                let distance = port.distance;
                self.set_reply_word(code, distance);
            }
            Command::FirmwareVersion => {
                let (minor, patch) = match self.firmware {
                    Firmware::V1_2_7 => (2, 7),
                    Firmware::V1_3_0 => (3, 0),
                    Firmware::V1_4_0 => (4, 0),
                };
                self.set_reply(code, [1, minor, patch]);
            }
            Command::Dht => self.ask_dht(code, port, data1),
            _ => self.display(command, port, data1, data2),
        }
    }

    /// Old firmware leaves what happens to lie in the first byte: nothing, for these commands.
    fn status(&self, code: u8) -> u8 {
        if self.firmware == Firmware::V1_2_7 { 0 } else { code }
    }

    fn set_reply(&mut self, code: u8, [second, third, fourth]: [u8; 3]) {
        self.reply = [self.status(code), second, third, fourth];
    }

    fn set_reply_word(&mut self, code: u8, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.set_reply(code, [high, low, self.reply[3]]);
    }

    fn ask_dht(&mut self, code: u8, port: u8, model: u8) {
        let (celsius, percent) = match self.port(port).climate {
            // the DHT11 measures in whole units
            Some((celsius, percent)) if model == 0 => (celsius.trunc(), percent.trunc()),
            Some((celsius, percent)) => ((celsius * 10.0).round() / 10.0, (percent * 10.0).round() / 10.0),
            None => (f32::NAN, f32::NAN),
        };
        let ([t0, t1, t2, t3], [h0, h1, h2, h3]) = (celsius.to_le_bytes(), percent.to_le_bytes());
        self.climate = [self.status(code), t0, t1, t2, t3, h0, h1, h2, h3];
    }

    /// Commands to what is not set up are passed over, and so are those to ports that take no display.
    fn display(&mut self, command: Command, port: u8, data1: u8, data2: u8) {
        if command == Command::ChainColor {
            self.color = [port, data1, data2];
            return;
        }
        let index = usize::from(port.wrapping_sub(2));
        let (Some(bar), Some(digits), Some(chain)) =
            (self.led_bars.get_mut(index), self.four_digits.get_mut(index), self.chains.get_mut(index))
        else {
            return;
        };
        match command {
            Command::LedBarInit => *bar = Some(LedBar { bits: 0, turned: data1 != 0 }),
            Command::FourDigitInit => *digits = Some(FourDigit::default()),
            Command::LedBarRead => {
                if let Some([low, high]) = bar.map(|bar| bar.bits.to_le_bytes()) {
                    self.set_reply(command.code(), [low, high, self.reply[3]]);
                }
            }
            _ => {
                if let Some(bar) = bar {
                    bar.obey(command, data1, data2);
                }
                if let Some(digits) = digits {
                    digits.obey(command, data1, data2);
                }
                chain.obey(command, data1, data2, self.color);
            }
        }
    }
}
