//! A thing: sensors that publish their changes, actuators that obey messages, on a GrovePi board or a simulated one.
//!
//! ```no_run
//! use grovemq_thing::{BoardChoice, Config, Log};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load("thing.toml".as_ref())?;
//! let board = BoardChoice::from_setting(&config.board);
//! let end = async { std::future::pending().await };
//! grovemq_thing::run(config, board, Log::stderr(true), end).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: no byte of the I²C protocol is known here; that is `grovemq-grovepi`'s matter, as MQTT is the client's.
#![forbid(unsafe_code)]

mod actuator;
mod availability;
mod board;
pub mod config;
mod connection;
mod discovery;
mod face;
mod gpio;
mod log;
mod plan;
pub mod playground;
mod program;
pub mod remote;
mod resource;
mod rule;
mod run;
pub mod script;
mod sensor;
mod signal;
mod source;
mod system;
mod topic;
mod value;

pub use board::{BoardChoice, OpenError};
pub use config::{Config, ConfigError};
pub use face::OpenError as CoapError;
pub use grovemq_grovepi::simulated::{Firmware, SimulatedBoard};
pub use grovemq_grovepi::{AnalogPin, Pin, PwmPin};
pub use log::Log;
pub use run::{Error, run};
pub use topic::{Place, PlaceError, Template, TemplateError};
