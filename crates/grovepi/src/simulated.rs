//! The firmware as a bus: a board that exists in memory only.
//!
//! [`SimulatedBoard`] takes the bytes the driver writes and answers as the real firmware does, with its habits: one
//! command at a time, further ones dropped until the first is done, "not ready" in between, a digital write to an input
//! moves the pull-up and lights nothing. Clones are handles to the same board, so that a test or a keyboard can press
//! buttons and look at lamps while another thread drives it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource, Operation};

use crate::board::{ADDRESS, ANALOG_MAX, Command};
use crate::pin::{AnalogPin, Pin};

/// A handle to a simulated board; also the bus that the driver takes.
#[derive(Clone, Debug)]
pub struct SimulatedBoard {
    state: Arc<Mutex<State>>,
}

/// Whose habits the simulated board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// Replies without the command's code.
    V1_2_7,
    /// Replies begin with the command's code; D4 is an output from the start.
    V1_3_0,
    /// As 1.3.0.
    V1_4_0,
}

/// What goes wrong on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody acknowledges; the transfer fails.
    Nack,
    /// The read succeeds but nobody drives the bus: all bytes are 255.
    Blank,
}

/// A transfer that nobody acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack;

/// A delay that returns at once: a simulated board needs no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDelay;

const NOT_READY: u8 = 23;
const PORTS: usize = 20;

#[derive(Debug)]
struct State {
    firmware: Firmware,
    ports: [Port; PORTS],
    analog: [u16; 8],
    /// The firmware's command buffer and write position; only a position of exactly 4 is carried out.
    command: [u8; 5],
    position: usize,
    reply: [u8; 4],
    /// Reads that still find the board at work on the command; `None` when it is done.
    busy: Option<u32>,
    busy_reads: u32,
    faults: VecDeque<Fault>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    output: bool,
    /// 0 low, 255 high, between: duty cycle.
    driven: u8,
    /// Level applied from outside.
    input: bool,
}

impl Default for SimulatedBoard {
    /// A board with the latest firmware.
    fn default() -> Self {
        Self::new(Firmware::V1_4_0)
    }
}

impl SimulatedBoard {
    pub fn new(firmware: Firmware) -> Self {
        let mut state = State {
            firmware,
            ports: [Port::default(); PORTS],
            analog: [0; 8],
            command: [0; 5],
            position: 0,
            reply: [0; 4],
            busy: None,
            busy_reads: 0,
            faults: VecDeque::new(),
        };
        if firmware != Firmware::V1_2_7 {
            state.port(Pin::D4.number()).output = true;
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Applies a level to a port from outside: `true` is a pressed button.
    pub fn set_digital(&self, pin: Pin, high: bool) {
        self.lock().port(pin.number()).input = high;
    }

    /// Applies a voltage to an analog port; values above [`ANALOG_MAX`] count as that.
    pub fn set_analog(&self, pin: AnalogPin, value: u16) {
        if let Some(channel) = self.lock().analog.get_mut(usize::from(pin.channel())) {
            *channel = value.min(ANALOG_MAX);
        }
    }

    /// The level applied to a port from outside.
    pub fn digital(&self, pin: Pin) -> bool {
        self.lock().port(pin.number()).input
    }

    /// The voltage applied to an analog port, 0 to [`ANALOG_MAX`].
    pub fn analog(&self, pin: AnalogPin) -> u16 {
        self.lock().analog.get(usize::from(pin.channel())).copied().unwrap_or_default()
    }

    /// What a lamp on the port shows: 0 dark to 255 bright; dark while the port is an input.
    pub fn brightness(&self, pin: Pin) -> u8 {
        let port = *self.lock().port(pin.number());
        if port.output { port.driven } else { 0 }
    }

    /// Whether the port is an output.
    pub fn is_output(&self, pin: Pin) -> bool {
        self.lock().port(pin.number()).output
    }

    /// Makes the next `transfers` transfers that can suffer it fail this way, after the faults already waiting.
    pub fn inject(&self, fault: Fault, transfers: usize) {
        self.lock().faults.extend(std::iter::repeat_n(fault, transfers));
    }

    /// From now on each command keeps the board busy for this many reads; `u32::MAX` is a board that hangs.
    /// A command that is being carried out ends now.
    pub fn set_busy_reads(&self, reads: u32) {
        let mut state = self.lock();
        if state.busy.take().is_some() {
            state.carry_out();
        }
        state.busy_reads = reads;
    }

    /// Forgets the faults that still wait.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Any number is a port, as on the microcontroller; those that the board has not lead nowhere.
    fn port(&mut self, number: u8) -> &mut Port {
        let [ports @ .., nowhere] = &mut self.ports;
        ports.get_mut(usize::from(number)).unwrap_or(nowhere)
    }

    fn receive(&mut self, bytes: &[u8]) {
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

    fn send(&mut self, buffer: &mut [u8]) {
        buffer.fill(255);
        let mut answer = [NOT_READY, 255, 255, 255];
        match self.busy {
            Some(reads) => {
                // `u32::MAX` never counts down: the board hangs.
                let left = if reads == u32::MAX { reads } else { reads - 1 };
                self.busy = (left > 0).then_some(left);
                if left == 0 {
                    self.carry_out();
                }
            }
            None => answer = self.answer(),
        }
        for (to, from) in buffer.iter_mut().zip(answer) {
            *to = from;
        }
    }

    /// The reply to the last command; a command without one is answered with a zero byte by the two-wire hardware.
    fn answer(&self) -> [u8; 4] {
        let [first, second, third, fourth] = self.reply;
        let code = self.command[0];
        if code == Command::DigitalRead.code() {
            match self.firmware {
                Firmware::V1_2_7 => [second, 255, 255, 255],
                Firmware::V1_3_0 | Firmware::V1_4_0 => [first, second, 255, 255],
            }
        } else if code == Command::AnalogRead.code() {
            [first, second, third, 255]
        } else if code == Command::FirmwareVersion.code() {
            [first, second, third, fourth]
        } else {
            [0, 255, 255, 255]
        }
    }

    fn carry_out(&mut self) {
        if self.position != 4 {
            return;
        }
        let [code, port, data, ..] = self.command;
        // Old firmware leaves what happens to lie in the first byte: nothing, for these commands.
        let status = if self.firmware == Firmware::V1_2_7 { 0 } else { code };
        if code == Command::DigitalRead.code() {
            let port = *self.port(port);
            // An output reads back what it drives.
            let level = if port.output { port.driven >= 128 } else { port.input };
            self.reply = [status, u8::from(level), self.reply[2], self.reply[3]];
        } else if code == Command::DigitalWrite.code() {
            self.port(port).driven = if data == 0 { 0 } else { 255 };
        } else if code == Command::AnalogRead.code() {
            let value = self.analog.get(usize::from(port)).copied().unwrap_or_default();
            let [high, low] = value.to_be_bytes();
            self.reply = [status, high, low, self.reply[3]];
        } else if code == Command::AnalogWrite.code() {
            *self.port(port) = Port { output: true, driven: data, input: self.port(port).input };
        } else if code == Command::PinMode.code() {
            self.port(port).output = data != 0;
        } else if code == Command::FirmwareVersion.code() {
            let (minor, patch) = match self.firmware {
                Firmware::V1_2_7 => (2, 7),
                Firmware::V1_3_0 => (3, 0),
                Firmware::V1_4_0 => (4, 0),
            };
            self.reply = [status, 1, minor, patch];
        }
    }

    fn transfer(&mut self, operation: &mut Operation<'_>) -> Result<(), Nack> {
        match (self.faults.front(), operation) {
            (Some(Fault::Nack), _) => {
                self.faults.pop_front();
                Err(Nack)
            }
            (Some(Fault::Blank), Operation::Read(buffer)) => {
                self.faults.pop_front();
                buffer.fill(255);
                Ok(())
            }
            (_, Operation::Read(buffer)) => {
                self.send(buffer);
                Ok(())
            }
            (_, Operation::Write(bytes)) => {
                self.receive(bytes);
                Ok(())
            }
        }
    }
}

impl i2c::ErrorType for SimulatedBoard {
    type Error = Nack;
}

impl I2c for SimulatedBoard {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Nack> {
        if address != ADDRESS {
            return Err(Nack);
        }
        let mut state = self.lock();
        operations.iter_mut().try_for_each(|operation| state.transfer(operation))
    }
}

impl i2c::Error for Nack {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}
