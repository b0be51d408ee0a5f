//! The firmware as a bus: a board that exists in memory only.
//!
//! [`SimulatedBoard`] takes the bytes the driver writes and answers as the real firmware does, with its habits: one
//! command at a time, further ones dropped until the first is done, "not ready" in between, a digital write to an input
//! moves the pull-up and lights nothing, displays show nothing before they are set up. An LCD is on the same bus. Clones
//! are handles to the same board, so that a test or a keyboard can press buttons and look at lamps while another thread
//! drives it.

mod devices;
mod firmware;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource, Operation};

use self::devices::LcdHardware;
pub use self::devices::{FourDigit, LcdView, LedBar};
use self::firmware::State;
use crate::board::{ADDRESS, ANALOG_MAX};
use crate::lcd::{LIGHT_ADDRESS, TEXT_ADDRESS};
use crate::pin::{AnalogPin, Pin, WidePin};
use crate::units::{Celsius, Centimetres, Color, Humidity};

/// A handle to a simulated board; also the bus that the driver takes.
#[derive(Clone, Debug)]
pub struct SimulatedBoard {
    bus: Arc<Mutex<Bus>>,
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

/// The bus with all that is on it.
#[derive(Debug)]
struct Bus {
    state: State,
    lcd: LcdHardware,
    faults: VecDeque<Fault>,
    /// Unplugged: nobody answers.
    absent: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    output: bool,
    /// 0 low, 255 high, between: duty cycle.
    driven: u8,
    /// Level applied from outside.
    input: bool,
    /// What the ultrasonic ranger would measure, in centimetres; 0: no echo.
    distance: u16,
    /// What a DHT sensor would measure: °C and percent.
    climate: Option<(f32, f32)>,
}

/// Faults that wait; more are forgotten.
const FAULTS_MAX: usize = 1 << 20;

impl Default for SimulatedBoard {
    /// A board with the latest firmware.
    fn default() -> Self {
        Self::new(Firmware::V1_4_0)
    }
}

impl SimulatedBoard {
    pub fn new(firmware: Firmware) -> Self {
        let bus = Bus {
            state: State::new(firmware),
            lcd: LcdHardware::default(),
            faults: VecDeque::new(),
            absent: false,
        };
        Self { bus: Arc::new(Mutex::new(bus)) }
    }

    /// Applies a level to a port from outside: `true` is a pressed button.
    pub fn set_digital(&self, pin: Pin, high: bool) {
        self.lock().state.port(pin.number()).input = high;
    }

    /// Applies a voltage to an analog port; values above [`ANALOG_MAX`] count as that.
    pub fn set_analog(&self, pin: AnalogPin, value: u16) {
        if let Some(channel) = self.lock().state.analog.get_mut(usize::from(pin.channel())) {
            *channel = value.min(ANALOG_MAX);
        }
    }

    /// Puts something before the ultrasonic ranger on this port, or takes it away.
    pub fn set_distance(&self, pin: Pin, distance: Option<Centimetres>) {
        self.lock().state.port(pin.number()).distance = distance.map_or(0, |Centimetres(cm)| cm);
    }

    /// Makes the weather for a DHT sensor on this port; `None` unplugs the sensor.
    pub fn set_climate(&self, pin: Pin, climate: Option<(Celsius, Humidity)>) {
        let climate = climate.map(|(Celsius(celsius), Humidity(percent))| (celsius, percent));
        self.lock().state.port(pin.number()).climate = climate;
    }

    /// The level applied to a port from outside.
    pub fn digital(&self, pin: Pin) -> bool {
        self.lock().state.port(pin.number()).input
    }

    /// The voltage applied to an analog port, 0 to [`ANALOG_MAX`].
    pub fn analog(&self, pin: AnalogPin) -> u16 {
        self.lock().state.analog.get(usize::from(pin.channel())).copied().unwrap_or_default()
    }

    /// How far away the next thing is, for an ultrasonic ranger on this port.
    pub fn distance(&self, pin: Pin) -> Option<Centimetres> {
        let distance = self.lock().state.port(pin.number()).distance;
        (distance > 0).then_some(Centimetres(distance))
    }

    /// The weather for a DHT sensor on this port.
    pub fn climate(&self, pin: Pin) -> Option<(Celsius, Humidity)> {
        let climate = self.lock().state.port(pin.number()).climate;
        climate.map(|(celsius, percent)| (Celsius(celsius), Humidity(percent)))
    }

    /// What a lamp on the port shows: 0 dark to 255 bright; dark while the port is an input.
    pub fn brightness(&self, pin: Pin) -> u8 {
        let port = *self.lock().state.port(pin.number());
        if port.output { port.driven } else { 0 }
    }

    /// Whether the port is an output.
    pub fn is_output(&self, pin: Pin) -> bool {
        self.lock().state.port(pin.number()).output
    }

    /// What an LED bar shows; `None` before it is set up.
    pub fn led_bar(&self, pin: WidePin) -> Option<LedBar> {
        self.lock().state.led_bars.get(display_index(pin)).copied().flatten()
    }

    /// What a four-digit display shows; `None` before it is set up.
    pub fn four_digit(&self, pin: WidePin) -> Option<FourDigit> {
        self.lock().state.four_digits.get(display_index(pin)).copied().flatten()
    }

    /// The colours of chained LEDs, from the board outwards: as many as the board was told of.
    pub fn chain(&self, pin: WidePin) -> Vec<Color> {
        self.lock().state.chains.get(display_index(pin)).map(|chain| chain.leds.clone()).unwrap_or_default()
    }

    /// What the LCD shows.
    pub fn lcd(&self) -> LcdView {
        self.lock().lcd.view()
    }

    /// Makes the next `transfers` transfers that can suffer it fail this way, after the faults already waiting.
    pub fn inject(&self, fault: Fault, transfers: usize) {
        let faults = &mut self.lock().faults;
        let room = FAULTS_MAX.saturating_sub(faults.len());
        faults.extend(std::iter::repeat_n(fault, transfers.min(room)));
    }

    /// From now on each command keeps the board busy for this many reads; `u32::MAX` is a board that hangs.
    /// A command that is being carried out ends now.
    pub fn set_busy_reads(&self, reads: u32) {
        self.lock().state.set_busy_reads(reads);
    }

    /// Forgets the faults that still wait.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Takes the board and the LCD off the bus, or puts them back; then they have forgotten all that was set.
    pub fn set_present(&self, present: bool) {
        let mut bus = self.lock();
        if present && bus.absent {
            bus.state.reset();
            bus.lcd = LcdHardware::default();
        }
        bus.absent = !present;
    }

    /// Whether the board is on the bus.
    pub fn is_present(&self) -> bool {
        !self.lock().absent
    }

    fn lock(&self) -> MutexGuard<'_, Bus> {
        self.bus.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn display_index(pin: WidePin) -> usize {
    usize::from(pin.number().saturating_sub(2))
}

impl Bus {
    fn transfer(&mut self, address: u8, operation: &mut Operation<'_>) -> Result<(), Nack> {
        if self.absent || ![ADDRESS, TEXT_ADDRESS, LIGHT_ADDRESS].contains(&address) {
            return Err(Nack);
        }
        match (self.faults.front(), operation) {
            (Some(Fault::Nack), _) => {
                self.faults.pop_front();
                return Err(Nack);
            }
            (Some(Fault::Blank), Operation::Read(buffer)) => {
                self.faults.pop_front();
                buffer.fill(255);
            }
            (_, Operation::Read(buffer)) if address == ADDRESS => self.state.send(buffer),
            // the LCD cannot be read
            (_, Operation::Read(_)) => return Err(Nack),
            (_, Operation::Write(bytes)) if address == ADDRESS => self.state.receive(bytes),
            (_, Operation::Write(bytes)) => self.lcd.receive(address, bytes),
        }
        Ok(())
    }
}

impl i2c::ErrorType for SimulatedBoard {
    type Error = Nack;
}

impl I2c for SimulatedBoard {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Nack> {
        let mut bus = self.lock();
        operations.iter_mut().try_for_each(|operation| bus.transfer(address, operation))
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
