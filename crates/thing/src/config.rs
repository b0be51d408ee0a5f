//! What a thing is to be: `thing.toml`, checked and with its defaults filled in.
//!
//! ```toml
//! [broker]                            # where to; all optional
//! host = "172.16.32.5"                # default 127.0.0.1
//! port = 1883
//! username = "user1"
//! password = "secret"
//! client_id = "thing-{hostname}-{interface}" # the default; with an `address` it is thing-{hostname}-{ip}
//! keep_alive_s = 60
//! protocol = "auto"                   # or "5", "3.1.1"; auto falls back to 3.1.1 where 5 is refused
//!
//! [thing]                             # all optional
//! interface = "eth0"                  # whose address is {ip}
//! address = "127.0.0.2"               # what {ip} is instead
//! board = "auto"                      # or "simulated", or the path of an I2C bus such as "/dev/i2c-1"
//! availability = "{ip}/availability"
//!
//! [[sensor]]
//! kind = "button"                     # or "potentiometer", "clock"
//! name = "button0"
//! pin = "D3"
//! topic = "{ip}/sensors/{name}"       # default; of a clock {ip}/stuff/{name}
//! interval_ms = 150                   # default; of a potentiometer 400, of a clock 2000
//! qos = 0
//! retain = false
//!
//! [[sensor]]
//! kind = "potentiometer"
//! name = "potentiometer0"
//! pin = "A0"
//! dead_band = 2                       # steps of 1023 that are not worth a message
//!
//! [[actuator]]
//! kind = "led"                        # or "dimmed_led", on D3, D5 or D6
//! name = "led0"
//! pin = "D4"
//! subscribe = ["{ip}/sensors/button0"] # default; of a dimmed LED {ip}/sensors/potentiometer0
//! qos = 0
//! ```
//!
//! A file without any `[[sensor]]` and `[[actuator]]` means the resources of [`Config::default`].

mod file;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grovemq_client::{Qos, Version};
use grovemq_grovepi::{AnalogPin, Pin, PwmPin};

use crate::topic::Template;

/// The configuration of a thing. The fields are open so that command-line options can go before the file's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub broker: Broker,
    /// The network interface whose address is `{ip}`; `None` picks one.
    pub interface: Option<String>,
    /// What `{ip}` is instead of an interface's address.
    pub address: Option<IpAddr>,
    pub board: BoardSetting,
    /// Topic of the availability messages, see [`crate::run`].
    pub availability: Template,
    pub sensors: Vec<Sensor>,
    pub actuators: Vec<Actuator>,
}

/// Where the broker is and how to introduce oneself.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// `None` makes one that is unique by machine and interface, or by machine and configured address.
    pub client_id: Option<Template>,
    pub keep_alive: Duration,
    /// `None` begins with MQTT 5 and falls back to 3.1.1 where the broker does not know that.
    pub version: Option<Version>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// Which board to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardSetting {
    /// The board behind [`BoardSetting::DEFAULT_BUS`], or a simulated one where there is no such bus.
    Auto,
    Simulated,
    /// The board behind this I²C bus.
    I2c(PathBuf),
}

/// A resource that publishes its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    pub name: String,
    pub input: Input,
    pub topic: Template,
    pub interval: Duration,
    pub qos: Qos,
    pub retain: bool,
}

/// What a sensor looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `True` while pressed, else `False`.
    Button(Pin),
    /// 0 to 1023. A change by no more than `dead_band` counts as flicker, save at the two ends.
    Potentiometer { pin: AnalogPin, dead_band: u16 },
    /// Local time, `2026-01-31 23:59:58`.
    Clock,
}

/// A resource that obeys messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Actuator {
    pub name: String,
    pub output: Output,
    /// Filters of the topics to obey; at least one.
    pub subscribe: Vec<Template>,
    pub qos: Qos,
}

/// What an actuator drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// On by `True`, off by `False`.
    Led(Pin),
    /// As bright as a value from 0 to 1023 says.
    DimmedLed(PwmPin),
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, both from 1; `None` if the problem is the file itself.
    pub position: Option<(usize, usize)>,
    pub message: String,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        file::read(path)
            .and_then(|text| file::parse(&text))
            .map_err(|problems| ConfigError { file: path.to_owned(), problems })
    }

    /// Checks a text; `name` stands for the file in errors.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        file::parse(text).map_err(|problems| ConfigError { file: name.into(), problems })
    }
}

impl Default for Config {
    /// The lab's thing: `button0` on D3, `potentiometer0` on A0, `clock0`, `led0` on D4, and the dimmed `led1` on D5,
    /// with a broker on this machine.
    fn default() -> Self {
        let sensor = |name: &str, input: Input| Sensor {
            name: name.to_owned(),
            input,
            topic: input.default_topic(),
            interval: input.default_interval(),
            qos: Qos::AtMostOnce,
            retain: false,
        };
        let actuator = |name: &str, output: Output| Actuator {
            name: name.to_owned(),
            output,
            subscribe: vec![output.default_filter()],
            qos: Qos::AtMostOnce,
        };
        Self {
            broker: Broker::default(),
            interface: None,
            address: None,
            board: BoardSetting::Auto,
            availability: Template::beside_ip("availability"),
            sensors: vec![
                sensor("button0", Input::Button(Pin::D3)),
                sensor(
                    "potentiometer0",
                    Input::Potentiometer { pin: AnalogPin::A0, dead_band: Input::DEAD_BAND_DEFAULT },
                ),
                sensor("clock0", Input::Clock),
            ],
            actuators: vec![
                actuator("led0", Output::Led(Pin::D4)),
                actuator("led1", Output::DimmedLed(PwmPin::D5)),
            ],
        }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            username: None,
            password: None,
            client_id: None,
            keep_alive: Duration::from_secs(60),
            version: None,
        }
    }
}

impl BoardSetting {
    /// The bus on the header of a Raspberry Pi.
    pub const DEFAULT_BUS: &str = "/dev/i2c-1";
}

impl Input {
    const DEAD_BAND_DEFAULT: u16 = 2;

    fn default_topic(self) -> Template {
        Template::of_resource(if self == Self::Clock { "stuff" } else { "sensors" })
    }

    fn default_interval(self) -> Duration {
        Duration::from_millis(match self {
            Self::Button(_) => 150,
            Self::Potentiometer { .. } => 400,
            Self::Clock => 2000,
        })
    }
}

impl Output {
    fn default_filter(self) -> Template {
        Template::beside_ip(match self {
            Self::Led(_) => "sensors/button0",
            Self::DimmedLed(_) => "sensors/potentiometer0",
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some((line, column)) = problem.position {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// The problems in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
