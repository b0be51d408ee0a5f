//! Driver for the GrovePi board, generic over `embedded-hal` 1.0.
//!
//! The board is an I²C slave at address 4 whose microcontroller reads and drives the Grove ports on behalf of the host.
//! [`Board`] speaks its protocol over any [`embedded_hal::i2c::I2c`] bus; who opens the bus is not this crate's matter.
//! Replies are never trusted before they are complete and plausible, and every wait and retry is bounded.
//!
//! With the feature `simulated`, [`simulated::SimulatedBoard`] is a model of the board's firmware that takes the place of
//! the bus: tests and machines without hardware run the same driver, byte for byte.
//!
//! ```
//! # #[cfg(feature = "simulated")] {
//! use grovemq_grovepi::{Board, Pin, PinMode, simulated::{Firmware, NoDelay, SimulatedBoard}};
//!
//! let hardware = SimulatedBoard::new(Firmware::V1_4_0);
//! let mut board = Board::new(hardware.clone(), NoDelay);
//! board.pin_mode(Pin::D3, PinMode::Input)?;
//! hardware.set_digital(Pin::D3, true);
//! assert!(board.digital_read(Pin::D3)?);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "simulated"))]
extern crate std;

mod board;
mod command;
mod displays;
pub mod lcd;
mod pin;
mod sensors;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
mod units;

pub use board::{ADDRESS, ANALOG_MAX, Board, Error, FirmwareVersion, PinMode, Reply};
pub use command::Command;
pub use displays::{BRIGHTNESS_MAX, CHAIN_LEDS_MAX, LED_BAR_LEDS, Orientation, Pattern, segments};
pub use lcd::{Lcd, LcdError};
pub use pin::{AnalogPin, Capability, ParsePinError, Pin, PwmPin, WidePin, WrongPort};
pub use sensors::{Climate, DISTANCE_MAX, DhtModel, Thermistor};
pub use units::{Celsius, Centimetres, Color, Degrees, Humidity, Level};
