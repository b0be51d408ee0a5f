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
//! All kinds and fields are in [`schema`]. A file without any `[[sensor]]` and `[[actuator]]` means the resources of [`Config::default`].

mod actuators;
mod fields;
mod file;
mod schema;
mod sensors;
pub(crate) mod stimuli;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use grovemq_client::{Qos, Version};
use grovemq_grovepi::{AnalogPin, DhtModel, Orientation, Pin, PwmPin, Thermistor, WidePin};

pub use self::schema::schema;
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
    /// Serve the resources over CoAP at this address, too.
    pub coap: Option<SocketAddr>,
    /// Topic of the availability messages, see [`crate::run`].
    pub availability: Template,
    /// Introduce the resources to Home Assistant.
    pub home_assistant: Option<HomeAssistant>,
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
    /// The address of this machine that the connection comes from; `None` leaves it to the system.
    pub bind_address: Option<IpAddr>,
    pub keep_alive: Duration,
    /// `None` begins with MQTT 5 and falls back to 3.1.1 where the broker does not know that.
    pub version: Option<Version>,
    pub tls: Option<Tls>,
    /// Speak MQTT inside of WebSocket, at this path.
    pub websocket: Option<String>,
}

/// An encrypted connection. Files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whom to trust; `None` is whom the operating system trusts.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name in the broker's certificate, if it is not the host's.
    pub server_name: Option<String>,
    /// Take any name.
    pub any_name: bool,
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
    /// The board that `grovemq board` simulates, behind this socket.
    Remote(PathBuf),
}

/// How Home Assistant is to find the thing.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeAssistant {
    /// The first levels of its discovery topics.
    pub prefix: Template,
}

/// A resource that publishes what it sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    pub name: String,
    pub input: Input,
    pub topic: Template,
    /// How often it looks.
    pub interval: Duration,
    pub tuning: Tuning,
    /// Publish what has changed.
    pub on_change: bool,
    /// Publish at least this often, changed or not.
    pub every: Option<Duration>,
    pub payload: Payload,
    pub unit: Option<String>,
    pub qos: Qos,
    pub retain: bool,
}

/// What is done to a reading before it is published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    pub filter: Filter,
    /// Numbers are multiplied by this …
    pub scale: f64,
    /// … and then this is added.
    pub offset: f64,
    /// Digits after the point.
    pub decimals: u8,
    /// A change by no more than this counts as flicker, save at the two ends of a converter.
    pub dead_band: f64,
    /// `True` for `False` and the other way round.
    pub invert: bool,
}

/// How several readings become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    #[default]
    None,
    /// The middle one of the last so many.
    Median(u8),
    /// The mean of the last so many.
    Average(u8),
}

/// The form of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// The value alone, as the lab's.
    #[default]
    Text,
    /// `{"value":21.5,"unit":"°C","time":"2026-01-31T22:59:58.123Z"}`
    Json,
}

/// What a sensor looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// `True` while pressed, touched or moved before, else `False`.
    Digital { pin: Pin, sense: Digital },
    /// 0 to 1023; an angle in degrees.
    Analog { pin: AnalogPin, sense: Analog },
    /// °C
    Temperature { pin: AnalogPin, model: Thermistor },
    /// °C or percent.
    Dht { pin: Pin, model: DhtModel, measure: Measure },
    /// Centimetres, or `None` if nothing is in reach.
    Distance(Pin),
    /// Local time, `2026-01-31 23:59:58`.
    Clock,
    /// The machine itself.
    System(System),
    /// What a program prints.
    Command(Program),
    /// A line of a GPIO chip.
    Gpio(GpioLine),
}

/// What a digital input is; all are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digital {
    Button,
    Touch,
    Motion,
    Other,
}

/// What an analog input is; all but the angle are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Analog {
    Potentiometer,
    Angle,
    Light,
    Sound,
    Moisture,
    Other,
}

/// What of a DHT sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Temperature,
    Humidity,
}

/// What of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    /// °C
    CpuTemperature,
    /// Percent of all processors since the last look.
    CpuLoad,
    /// Percent in use.
    Memory,
    /// Seconds.
    Uptime,
    /// Percent in use of the file system with this path.
    Disk(PathBuf),
}

/// A program to run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; of an actuator, `{value}` in them is the message.
    pub arguments: Vec<String>,
    /// It is ended after this time.
    pub timeout: Duration,
}

/// A line of a GPIO chip, by Linux's character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioLine {
    pub chip: PathBuf,
    pub line: u32,
    pub bias: Bias,
}

/// The resistor inside of a GPIO chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bias {
    #[default]
    AsIs,
    Off,
    PullUp,
    PullDown,
}

/// A resource that obeys messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Actuator {
    pub name: String,
    pub output: Output,
    /// Filters of the topics to obey; at least one.
    pub subscribe: Vec<Template>,
    pub qos: Qos,
    pub payload: Payload,
    pub rule: Rule,
    /// The message that it obeys before any other and after the last; `None` is dark.
    pub safe: Option<String>,
    /// Go to the safe state when the connection to the broker is lost.
    pub safe_when_offline: bool,
    /// Go to the safe state when nothing was heard for this long.
    pub timeout: Option<Duration>,
}

/// How messages become what an actuator does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    pub combine: Combine,
    /// A number from here …
    pub from: Option<(f64, f64)>,
    /// … is moved to there.
    pub to: Option<(f64, f64)>,
    /// A number becomes `True` when it goes above or below.
    pub threshold: Option<Threshold>,
    pub invert: bool,
    /// A text with `{1}` for the newest message of the first filter, and so on.
    pub format: Option<String>,
}

/// Of several topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// The newest message counts.
    #[default]
    Latest,
    /// `True` if any topic's newest message is.
    Any,
    /// `True` if every topic's newest message is.
    All,
    Minimum,
    Maximum,
    Average,
}

/// When a number is `True`. Between the two bounds it stays what it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    Above { on: f64, off: f64 },
    Below { on: f64, off: f64 },
}

/// What an actuator drives.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// On by `True`, off by `False`: an LED, a relay, a buzzer.
    Switch(Pin),
    /// As bright as a value from 0 to 1023 says.
    DimmedLed(PwmPin),
    /// As many LEDs as a value from 0 to 10 says.
    LedBar { pin: WidePin, orientation: Orientation },
    /// An integer, or a time such as `23:59`.
    FourDigit { pin: WidePin, brightness: u8 },
    /// A colour such as `#ff8000` for all LEDs, or one for each.
    Chain { pin: WidePin, leds: u8 },
    /// A text on the LCD.
    Lcd,
    /// The colour of the LCD's backlight.
    LcdLight,
    /// A program that is run with each message.
    Command(Program),
    /// A line of a GPIO chip.
    Gpio(GpioLine),
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
        Self {
            broker: Broker::default(),
            interface: None,
            address: None,
            coap: None,
            board: BoardSetting::Auto,
            availability: Template::beside_ip("availability"),
            home_assistant: None,
            sensors: vec![
                Sensor::new("button0", Input::Digital { pin: Pin::D3, sense: Digital::Button }),
                Sensor::new(
                    "potentiometer0",
                    Input::Analog { pin: AnalogPin::A0, sense: Analog::Potentiometer },
                ),
                Sensor::new("clock0", Input::Clock),
            ],
            actuators: vec![
                Actuator::new("led0", Output::Switch(Pin::D4)),
                Actuator::new("led1", Output::DimmedLed(PwmPin::D5)),
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
            bind_address: None,
            keep_alive: Duration::from_secs(60),
            version: None,
            tls: None,
            websocket: None,
        }
    }
}

impl Sensor {
    /// A sensor with the defaults of its kind.
    pub fn new(name: impl Into<String>, input: Input) -> Self {
        Self {
            name: name.into(),
            topic: Template::of_resource(if input == Input::Clock { "stuff" } else { "sensors" }),
            interval: input.default_interval(),
            tuning: input.default_tuning(),
            on_change: true,
            every: None,
            payload: Payload::Text,
            unit: input.unit().map(str::to_owned),
            qos: Qos::AtMostOnce,
            retain: false,
            input,
        }
    }
}

impl Actuator {
    /// An actuator with the defaults of its kind.
    pub fn new(name: impl Into<String>, output: Output) -> Self {
        Self {
            name: name.into(),
            subscribe: vec![output.default_filter()],
            output,
            qos: Qos::AtMostOnce,
            payload: Payload::Text,
            rule: Rule::default(),
            safe: None,
            safe_when_offline: false,
            timeout: None,
        }
    }
}

impl BoardSetting {
    /// The bus on the header of a Raspberry Pi.
    pub const DEFAULT_BUS: &str = "/dev/i2c-1";
}

impl Input {
    fn default_interval(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Gpio(_) => 50,
            Self::Digital { .. } => 150,
            Self::Analog { sense: Analog::Potentiometer | Analog::Angle, .. } => 400,
            Self::Distance(_) => 500,
            Self::Analog { .. } => 1000,
            Self::Clock => 2000,
            Self::System(System::Uptime | System::Disk(_)) => 60_000,
            Self::Temperature { .. } | Self::Dht { .. } | Self::System(_) => 5000,
            Self::Command(_) => 10_000,
        })
    }

    fn default_tuning(&self) -> Tuning {
        let decimals = match self {
            Self::System(System::Uptime) => 0,
            Self::Temperature { .. } | Self::Dht { .. } | Self::System(_) => 1,
            Self::Command(_) => 3,
            _ => 0,
        };
        let dead_band = match self {
            Self::Analog { sense: Analog::Angle, .. } => 1.0,
            // the converter flickers by a step or two
            Self::Analog { .. } => 2.0,
            _ => 0.0,
        };
        Tuning { filter: Filter::None, scale: 1.0, offset: 0.0, decimals, dead_band, invert: false }
    }

    /// The unit of the numbers.
    fn unit(&self) -> Option<&'static str> {
        Some(match self {
            Self::Analog { sense: Analog::Angle, .. } => "°",
            Self::Temperature { .. }
            | Self::Dht { measure: Measure::Temperature, .. }
            | Self::System(System::CpuTemperature) => "°C",
            Self::Dht { measure: Measure::Humidity, .. }
            | Self::System(System::CpuLoad | System::Memory | System::Disk(_)) => "%",
            Self::Distance(_) => "cm",
            Self::System(System::Uptime) => "s",
            _ => return None,
        })
    }

    /// Whether the values are numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        !matches!(self, Self::Digital { .. } | Self::Gpio(_) | Self::Clock)
    }
}

impl Output {
    fn default_filter(&self) -> Template {
        Template::beside_ip(match self {
            Self::Switch(_) | Self::Gpio(_) => "sensors/button0",
            Self::DimmedLed(_) => "sensors/potentiometer0",
            Self::LedBar { .. } => "actuators/led_bar0",
            Self::FourDigit { .. } => "actuators/display0",
            Self::Chain { .. } => "actuators/rgb0",
            Self::Lcd => "actuators/lcd0",
            Self::LcdLight => "actuators/lcd0/light",
            Self::Command(_) => "actuators/command0",
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
