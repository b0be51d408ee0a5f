//! The host's side of the protocol.
//!
//! A command is one block of four bytes (code, port, two data bytes) written to register 1. The firmware takes it in an
//! interrupt, carries it out in its main loop, and drops any further command until it has. So each command here ends
//! only when a read shows that the board is done:
//!
//! | first byte of the answer | meaning |
//! |---|---|
//! | 23 | not done yet: ask again |
//! | 255 | nobody drove the bus: the answer is worthless |
//! | the command's code | done; firmware 1.3 and later, on commands with a reply |
//! | anything else | done; firmware before 1.3, or a command without a reply |

use core::fmt;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::command::Command;
use crate::pin::{AnalogPin, Pin, PwmPin};

/// The board's address on the bus.
pub const ADDRESS: u8 = 0x04;

/// The greatest value of the 10-bit converter.
pub const ANALOG_MAX: u16 = 1023;

const REGISTER: u8 = 1;
const NOT_READY: u8 = 23;
const NOBODY: u8 = 255;
const REPLY_BYTES_MAX: usize = 9;

/// Pause between two looks at an answer, and after a bus error.
const RETRY_US: u32 = 3_000;

/// A GrovePi board behind an I²C bus.
///
/// Creating one does not touch the bus. The style of the replies differs between firmware versions; it is found out
/// before the first command that has a reply, and again after replies that made no sense (the board was exchanged).
#[derive(Debug)]
pub struct Board<I2C, DELAY> {
    i2c: I2C,
    delay: DELAY,
    style: Option<ReplyStyle>,
    /// A command was sent whose end was not seen: the board would drop the next one.
    busy: bool,
}

/// Direction of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinMode {
    Input,
    Output,
}

/// What the board says it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    pub major: u8,
    pub minor: u8,
    pub patch: u8,
}

/// Why a command failed, after all retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The bus itself reported an error, for instance that no board acknowledged.
    Bus { command: Command, source: E },
    /// The board answers, but only that it is not done.
    Timeout { command: Command },
    /// The board answered what cannot be true: a foreign reply, a value out of range.
    Implausible { command: Command, reply: Reply },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyStyle {
    /// Firmware before 1.3: a digital reply is the value alone, others follow a byte without meaning.
    Plain,
    /// Firmware from 1.3 on: every reply follows the code of its command.
    Echo,
}

/// The bytes of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Those not asked for are 255.
    bytes: [u8; REPLY_BYTES_MAX],
    len: u8,
}

impl<I2C: I2c, DELAY: DelayNs> Board<I2C, DELAY> {
    /// Takes the bus; nothing is sent yet.
    pub fn new(i2c: I2C, delay: DELAY) -> Self {
        Self { i2c, delay, style: None, busy: false }
    }

    /// Gives the bus and the delay back.
    pub fn release(self) -> (I2C, DELAY) {
        (self.i2c, self.delay)
    }

    /// The bus and the delay, for what else is on the same bus, such as the LCD.
    pub fn bus(&mut self) -> (&mut I2C, &mut DELAY) {
        (&mut self.i2c, &mut self.delay)
    }

    /// Asks the board for its firmware version, and learns the style of its replies from the answer.
    pub fn firmware_version(&mut self) -> Result<FirmwareVersion, Error<I2C::Error>> {
        let reply_bytes = Command::FirmwareVersion.row().reply_bytes.echo;
        let (version, style) = self.command(Command::FirmwareVersion, [0; 3], reply_bytes, |reply| {
            let [status, major, minor, patch, ..] = *reply.all();
            let version = FirmwareVersion { major, minor, patch };
            let style =
                if status == Command::FirmwareVersion.code() { ReplyStyle::Echo } else { ReplyStyle::Plain };
            (major != 0 && major != NOBODY && patch != NOBODY).then_some((version, style))
        })?;
        self.style = Some(style);
        Ok(version)
    }

    /// Makes a port an input or an output. Ports are inputs after power-on.
    pub fn pin_mode(&mut self, pin: Pin, mode: PinMode) -> Result<(), Error<I2C::Error>> {
        self.order(Command::PinMode, [pin.number(), u8::from(mode == PinMode::Output), 0])
    }

    /// Reads the level of a port.
    pub fn digital_read(&mut self, pin: Pin) -> Result<bool, Error<I2C::Error>> {
        self.query(Command::DigitalRead, [pin.number(), 0, 0], |style, reply| {
            let [first, second, ..] = *reply.all();
            let level = match style {
                ReplyStyle::Plain => first,
                ReplyStyle::Echo => second,
            };
            (level <= 1).then_some(level == 1)
        })
    }

    /// Sets the level of a port that was made an output.
    pub fn digital_write(&mut self, pin: Pin, high: bool) -> Result<(), Error<I2C::Error>> {
        self.order(Command::DigitalWrite, [pin.number(), u8::from(high), 0])
    }

    /// Reads the voltage of an analog port, 0 to [`ANALOG_MAX`] for 0 V to the board's supply.
    pub fn analog_read(&mut self, pin: AnalogPin) -> Result<u16, Error<I2C::Error>> {
        self.analog(pin, Some)
    }

    /// Drives a port with a duty cycle of `duty`/255. The firmware makes the port an output by itself.
    pub fn pwm(&mut self, pin: PwmPin, duty: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::AnalogWrite, [pin.pin().number(), duty, 0])
    }

    /// Reads an analog port; `parse` gives `None` for a reading that its sensor cannot cause.
    pub(crate) fn analog<T>(
        &mut self,
        pin: AnalogPin,
        parse: impl Fn(u16) -> Option<T>,
    ) -> Result<T, Error<I2C::Error>> {
        self.query(Command::AnalogRead, [pin.channel(), 0, 0], |_, reply| {
            let [_, high, low, ..] = *reply.all();
            let value = u16::from_be_bytes([high, low]);
            if value <= ANALOG_MAX { parse(value) } else { None }
        })
    }

    /// A command whose answer carries no value.
    pub(crate) fn order(&mut self, command: Command, data: [u8; 3]) -> Result<(), Error<I2C::Error>> {
        let reply_bytes = command.row().reply_bytes.plain;
        self.command(command, data, reply_bytes, Reply::done)
    }

    /// As [`Self::order`], for a command that must not be carried out twice.
    pub(crate) fn order_once(&mut self, command: Command, data: [u8; 3]) -> Result<(), Error<I2C::Error>> {
        let reply = self.attempt(command, data, command.row().reply_bytes.plain)?;
        reply.done().ok_or(Error::Implausible { command, reply })
    }

    /// A command that asks for a value; `parse` gives `None` for a value that cannot be.
    pub(crate) fn query<T>(
        &mut self,
        command: Command,
        data: [u8; 3],
        parse: impl Fn(ReplyStyle, &Reply) -> Option<T>,
    ) -> Result<T, Error<I2C::Error>> {
        let style = self.reply_style()?;
        let row = command.row();
        let reply_bytes = match style {
            ReplyStyle::Plain => row.reply_bytes.plain,
            ReplyStyle::Echo => row.reply_bytes.echo,
        };
        let outcome = self.command(command, data, reply_bytes, |reply| {
            let of_this_command = match style {
                ReplyStyle::Plain => reply.first() != NOBODY,
                ReplyStyle::Echo => reply.first() == row.code,
            };
            if of_this_command { parse(style, reply) } else { None }
        });
        if matches!(outcome, Err(Error::Implausible { .. })) {
            self.style = None;
        }
        outcome
    }

    fn reply_style(&mut self) -> Result<ReplyStyle, Error<I2C::Error>> {
        if self.style.is_none() {
            self.firmware_version()?;
        }
        Ok(self.style.unwrap_or(ReplyStyle::Plain))
    }

    /// Sends a command until `parse` accepts its reply or the attempts are used up.
    fn command<T>(
        &mut self,
        command: Command,
        data: [u8; 3],
        reply_bytes: u8,
        parse: impl Fn(&Reply) -> Option<T>,
    ) -> Result<T, Error<I2C::Error>> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(command, data, reply_bytes) {
                Ok(reply) => match parse(&reply) {
                    Some(value) => return Ok(value),
                    None => Error::Implausible { command, reply },
                },
                // To send again would be no use: a board that is not done drops commands.
                Err(error @ Error::Timeout { .. }) => return Err(error),
                Err(error) => error,
            };
            if attempt == command.row().patience.attempts {
                return Err(error);
            }
            attempt += 1;
            self.delay.delay_us(RETRY_US);
        }
    }

    fn attempt(
        &mut self,
        command: Command,
        [port, data1, data2]: [u8; 3],
        reply_bytes: u8,
    ) -> Result<Reply, Error<I2C::Error>> {
        if self.busy {
            // The end of an earlier command is outstanding; its reply is of no interest any more.
            self.reply(command, 1)?;
        }
        let block = [REGISTER, command.code(), port, data1, data2];
        self.i2c.write(ADDRESS, &block).map_err(|source| Error::Bus { command, source })?;
        self.busy = true;
        self.delay.delay_us(command.row().patience.settle_us);
        self.reply(command, reply_bytes)
    }

    /// Reads until the board is done.
    fn reply(&mut self, command: Command, reply_bytes: u8) -> Result<Reply, Error<I2C::Error>> {
        let mut poll = 1;
        loop {
            let mut reply = Reply { bytes: [NOBODY; REPLY_BYTES_MAX], len: reply_bytes };
            let wanted = reply.bytes.get_mut(..usize::from(reply_bytes)).unwrap_or_default();
            let error = match self.i2c.read(ADDRESS, wanted) {
                Ok(()) if reply.first() == NOT_READY => Error::Timeout { command },
                Ok(()) => {
                    self.busy = false;
                    return Ok(reply);
                }
                Err(source) => Error::Bus { command, source },
            };
            if poll == command.row().patience.polls {
                return Err(error);
            }
            poll += 1;
            self.delay.delay_us(RETRY_US);
        }
    }
}

impl Reply {
    /// Those that were read.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> &[u8; REPLY_BYTES_MAX] {
        &self.bytes
    }

    fn first(&self) -> u8 {
        let [first, ..] = self.bytes;
        first
    }

    fn done(&self) -> Option<()> {
        (self.first() != NOBODY).then_some(())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus { command, source } => write!(f, "{command}: I2C bus error: {source:?}"),
            Self::Timeout { command } => write!(f, "{command}: the board does not get ready"),
            Self::Implausible { command, reply } => write!(f, "{command}: implausible reply {reply:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

#[cfg(test)]
mod tests;
