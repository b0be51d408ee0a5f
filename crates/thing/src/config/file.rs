//! The text of `thing.toml`: first the literal tables, then their meaning. All errors of meaning are reported at once.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use grovemq_client::{Qos, Version};
use grovemq_grovepi::{ANALOG_MAX, AnalogPin, ParsePinError, Pin, PwmPin, WrongPort};
use serde::Deserialize;
use toml::Spanned;

use super::{Actuator, BoardSetting, Broker, Config, Input, Output, Problem, Secret, Sensor};
use crate::topic::Template;

const FILE_BYTES_MAX: u64 = 1 << 20;
const RESOURCES_MAX: usize = 64;
const SUBSCRIBE_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;
const INTERVAL_MS: RangeInclusive<u64> = 10..=86_400_000;
const KEEP_ALIVE_S: RangeInclusive<u16> = 5..=u16::MAX;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTable {
    broker: BrokerTable,
    thing: ThingTable,
    sensor: Vec<SensorTable>,
    actuator: Vec<ActuatorTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BrokerTable {
    host: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    username: Option<String>,
    password: Option<Spanned<String>>,
    client_id: Option<Template>,
    keep_alive_s: Option<Spanned<u16>>,
    protocol: Protocol,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum Protocol {
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V311,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ThingTable {
    interface: Option<String>,
    address: Option<IpAddr>,
    board: Option<Spanned<String>>,
    availability: Option<Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SensorTable {
    kind: SensorKind,
    name: Spanned<String>,
    pin: Option<Spanned<Port>>,
    topic: Option<Template>,
    interval_ms: Option<Spanned<u64>>,
    dead_band: Option<Spanned<u16>>,
    #[serde(default)]
    qos: QosNumber,
    #[serde(default)]
    retain: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SensorKind {
    Button,
    Potentiometer,
    Clock,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActuatorTable {
    kind: ActuatorKind,
    name: Spanned<String>,
    pin: Spanned<Port>,
    subscribe: Option<Spanned<Vec<Template>>>,
    #[serde(default)]
    qos: QosNumber,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActuatorKind {
    Led,
    DimmedLed,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Port(Pin);

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u8")]
struct QosNumber(Qos);

/// Reads the text, up to a limit.
pub(super) fn read(path: &Path) -> Result<String, Vec<Problem>> {
    let whole = |message: String| vec![Problem { position: None, message }];
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| whole(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(whole(format!("more than {FILE_BYTES_MAX} bytes are no configuration")));
    }
    Ok(text)
}

pub(super) fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let file: FileTable = toml::from_str(text).map_err(|error| {
        vec![Problem {
            position: error.span().map(|span| position(text, span.start)),
            message: error.message().to_owned(),
        }]
    })?;
    let mut check = Check { text, problems: Vec::new(), names: HashMap::new(), pins: HashMap::new() };
    let config = check.config(file);
    if check.problems.is_empty() {
        return Ok(config);
    }
    check.problems.sort_by_key(|problem| problem.position);
    Err(check.problems)
}

/// Line and column of a byte, both from 1; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Gives the tables their meaning and notes what is wrong with it.
struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    names: HashMap<String, usize>,
    pins: HashMap<Pin, String>,
}

impl Check<'_> {
    fn config(&mut self, file: FileTable) -> Config {
        let default = Config::default();
        let broker = self.broker(file.broker);
        let board = self.board(file.thing.board);
        let (mut sensors, mut actuators) = (default.sensors, default.actuators);
        if !(file.sensor.is_empty() && file.actuator.is_empty()) {
            if file.sensor.len() + file.actuator.len() > RESOURCES_MAX {
                self.problem(0..0, format!("more than {RESOURCES_MAX} sensors and actuators"));
            }
            sensors = file.sensor.into_iter().filter_map(|table| self.sensor(table)).collect();
            actuators = file.actuator.into_iter().filter_map(|table| self.actuator(table)).collect();
        }
        Config {
            broker,
            interface: file.thing.interface,
            address: file.thing.address,
            board,
            availability: file.thing.availability.unwrap_or(default.availability),
            sensors,
            actuators,
        }
    }

    fn broker(&mut self, table: BrokerTable) -> Broker {
        let mut broker = Broker {
            username: table.username,
            client_id: table.client_id,
            version: match table.protocol {
                Protocol::Auto => None,
                Protocol::V5 => Some(Version::V5),
                Protocol::V311 => Some(Version::V311),
            },
            ..Broker::default()
        };
        if let Some(host) = table.host {
            if host.get_ref().is_empty() {
                self.problem(host.span(), "host must not be empty".to_owned());
            }
            broker.host = host.into_inner();
        }
        if let Some(port) = table.port {
            if *port.get_ref() == 0 {
                self.problem(port.span(), "port must be 1 to 65535".to_owned());
            }
            broker.port = port.into_inner();
        }
        if let Some(seconds) = table.keep_alive_s {
            if !KEEP_ALIVE_S.contains(seconds.get_ref()) {
                let (low, high) = (KEEP_ALIVE_S.start(), KEEP_ALIVE_S.end());
                self.problem(seconds.span(), format!("keep_alive_s must be {low} to {high}"));
            }
            broker.keep_alive = Duration::from_secs(u64::from(seconds.into_inner()));
        }
        if let Some(password) = table.password {
            if broker.username.is_none() {
                self.problem(password.span(), "a password needs a username beside it".to_owned());
            }
            broker.password = Some(Secret(password.into_inner()));
        }
        broker
    }

    fn board(&mut self, setting: Option<Spanned<String>>) -> BoardSetting {
        let Some(setting) = setting else { return BoardSetting::Auto };
        match setting.get_ref().as_str() {
            "auto" => BoardSetting::Auto,
            "simulated" => BoardSetting::Simulated,
            path if path.starts_with('/') => BoardSetting::I2c(path.into()),
            other => {
                let message = format!(
                    "unknown board `{other}`; it is \"auto\", \"simulated\" or the path of an I2C bus such as \"{}\"",
                    BoardSetting::DEFAULT_BUS
                );
                self.problem(setting.span(), message);
                BoardSetting::Auto
            }
        }
    }

    fn sensor(&mut self, table: SensorTable) -> Option<Sensor> {
        let SensorTable { kind, name, pin, topic, interval_ms, dead_band, qos, retain } = table;
        self.name(&name);
        if let Some(pin) = &pin {
            self.pin(pin, name.get_ref());
        }
        let dead_band = self.dead_band(kind, dead_band);
        let input = match (kind, pin) {
            (SensorKind::Clock, None) => Input::Clock,
            (SensorKind::Clock, Some(pin)) => {
                self.problem(pin.span(), "a clock is on no pin".to_owned());
                return None;
            }
            (SensorKind::Button | SensorKind::Potentiometer, None) => {
                self.problem(name.span(), format!("`{}` needs a pin", name.get_ref()));
                return None;
            }
            (SensorKind::Button, Some(pin)) => Input::Button(pin.get_ref().0),
            (SensorKind::Potentiometer, Some(pin)) => {
                Input::Potentiometer { pin: self.capable::<AnalogPin>(&pin)?, dead_band }
            }
        };
        Some(Sensor {
            input,
            topic: topic.unwrap_or_else(|| input.default_topic()),
            interval: self.interval(interval_ms).unwrap_or_else(|| input.default_interval()),
            name: name.into_inner(),
            qos: qos.0,
            retain,
        })
    }

    fn actuator(&mut self, table: ActuatorTable) -> Option<Actuator> {
        self.name(&table.name);
        self.pin(&table.pin, table.name.get_ref());
        let output = match table.kind {
            ActuatorKind::Led => Output::Led(table.pin.get_ref().0),
            ActuatorKind::DimmedLed => Output::DimmedLed(self.capable::<PwmPin>(&table.pin)?),
        };
        let subscribe = match table.subscribe {
            None => vec![output.default_filter()],
            Some(filters) => {
                if !(1..=SUBSCRIBE_MAX).contains(&filters.get_ref().len()) {
                    self.problem(filters.span(), format!("subscribe takes 1 to {SUBSCRIBE_MAX} topics"));
                }
                filters.into_inner()
            }
        };
        Some(Actuator { name: table.name.into_inner(), output, subscribe, qos: table.qos.0 })
    }

    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(plain) {
            let message = format!("a name is 1 to {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`");
            self.problem(name.span(), message);
        }
        let line = position(self.text, name.span().start).0;
        if let Some(earlier) = self.names.insert(text.clone(), line) {
            self.problem(name.span(), format!("the name `{text}` is taken already, in line {earlier}"));
        }
    }

    fn pin(&mut self, pin: &Spanned<Port>, name: &str) {
        let Port(port) = *pin.get_ref();
        if let Some(earlier) = self.pins.insert(port, name.to_owned()) {
            self.problem(pin.span(), format!("{port} is taken already, by `{earlier}`"));
        }
    }

    fn capable<P: TryFrom<Pin, Error = WrongPort>>(&mut self, pin: &Spanned<Port>) -> Option<P> {
        P::try_from(pin.get_ref().0).map_err(|wrong| self.problem(pin.span(), wrong.to_string())).ok()
    }

    fn dead_band(&mut self, kind: SensorKind, dead_band: Option<Spanned<u16>>) -> u16 {
        let Some(dead_band) = dead_band else { return Input::DEAD_BAND_DEFAULT };
        if !matches!(kind, SensorKind::Potentiometer) {
            self.problem(dead_band.span(), "only a potentiometer has a dead_band".to_owned());
        } else if *dead_band.get_ref() >= ANALOG_MAX {
            self.problem(dead_band.span(), format!("dead_band must be below {ANALOG_MAX}"));
        }
        dead_band.into_inner()
    }

    fn interval(&mut self, interval_ms: Option<Spanned<u64>>) -> Option<Duration> {
        let interval_ms = interval_ms?;
        if !INTERVAL_MS.contains(interval_ms.get_ref()) {
            let (low, high) = (INTERVAL_MS.start(), INTERVAL_MS.end());
            self.problem(interval_ms.span(), format!("interval_ms must be {low} to {high}"));
        }
        Some(Duration::from_millis(interval_ms.into_inner()))
    }

    fn problem(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem { position: Some(position(self.text, span.start)), message });
    }
}

impl TryFrom<String> for Port {
    type Error = ParsePinError;

    fn try_from(text: String) -> Result<Self, ParsePinError> {
        text.parse().map(Self)
    }
}

impl TryFrom<u8> for QosNumber {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, &'static str> {
        match number {
            0 => Ok(Self(Qos::AtMostOnce)),
            1 => Ok(Self(Qos::AtLeastOnce)),
            2 => Ok(Self(Qos::ExactlyOnce)),
            _ => Err("qos is 0, 1 or 2"),
        }
    }
}

#[cfg(test)]
mod tests;
