//! The text of `thing.toml` and what it means. Everything that is wrong with it is told at once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grovemq_client::{Qos, Version};
use toml::de::{DeTable, DeValue};

use super::fields::{At, Check, Fields, flag, integer, parsed, position, some_text, text, word};
use super::{BoardSetting, Broker, Config, HomeAssistant, Problem, Secret, Tls, actuators, sensors};
use crate::topic::Template;

const FILE_BYTES_MAX: u64 = 1 << 20;
const SECRET_BYTES_MAX: u64 = 65_536;
const RESOURCES_MAX: usize = 64;

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
    read_toml(text, config)
}

/// Takes the tables of a file. Everything that is wrong with it, as TOML or by its meaning, is told at once.
pub(super) fn read_toml<T>(
    text: &str,
    meaning: impl FnOnce(&mut Check<'_>, Fields<'_>) -> T,
) -> Result<T, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken: Vec<Problem> = Vec::new();
    for error in errors {
        let position = error.span().map(|span| position(text, span.start));
        // what comes of a mistake in the same line is none
        if broken.last().is_none_or(|last| line(last) != position.map(|(line, _)| line)) {
            broken.push(Problem { position, message: error.message().to_owned() });
        }
    }
    let mut check = Check::new(text);
    let meant = meaning(&mut check, Fields::of_file(table));
    let mut problems = check.problems;
    if !broken.is_empty() {
        // nor is what is missing because of it
        problems.retain(|problem| {
            let follows = problem.position == Some((1, 1)) || problem.message.starts_with("missing field");
            !follows && broken.iter().all(|mistake| line(mistake) != line(problem))
        });
        problems.append(&mut broken);
    }
    if problems.is_empty() {
        return Ok(meant);
    }
    problems.sort_by_key(|problem| problem.position);
    Err(problems)
}

fn line(problem: &Problem) -> Option<usize> {
    problem.position.map(|(line, _)| line)
}

fn config(check: &mut Check<'_>, mut file: Fields<'_>) -> Config {
    let mut config = Config::default();
    if let Some(fields) = section(check, &mut file, "broker") {
        config.broker = broker(check, fields);
    }
    if let Some(fields) = section(check, &mut file, "thing") {
        thing(check, fields, &mut config);
    }
    if let Some(fields) = section(check, &mut file, "home_assistant") {
        config.home_assistant = home_assistant(check, fields);
    }
    let sensors = sections(check, &mut file, "sensor");
    let actuators = sections(check, &mut file, "actuator");
    file.finish(check, None);
    let count = sensors.len() + actuators.len();
    if count > RESOURCES_MAX {
        check.problem(&(0..0), format!("more than {RESOURCES_MAX} sensors and actuators"));
    } else if count > 0 {
        config.sensors = sensors.into_iter().filter_map(|fields| sensors::read(check, fields)).collect();
        config.actuators =
            actuators.into_iter().filter_map(|fields| actuators::read(check, fields)).collect();
    }
    config
}

fn section<'a>(check: &mut Check<'_>, file: &mut Fields<'a>, name: &'static str) -> Option<Fields<'a>> {
    let value = file.value(name)?;
    let span = value.span();
    let fields = Fields::of(value);
    if fields.is_none() {
        check.problem(&span, format!("{name} has to be a table, such as [{name}]"));
    }
    fields
}

pub(super) fn sections<'a>(
    check: &mut Check<'_>,
    file: &mut Fields<'a>,
    name: &'static str,
) -> Vec<Fields<'a>> {
    let Some(value) = file.value(name) else { return Vec::new() };
    let span = value.span();
    let mut tables = Vec::new();
    if let DeValue::Array(array) = value.into_inner() {
        let count = array.len();
        tables.extend(array.into_iter().filter_map(Fields::of));
        if tables.len() == count {
            return tables;
        }
    }
    check.problem(&span, format!("{name} has to be tables, each below [[{name}]]"));
    tables
}

fn broker(check: &mut Check<'_>, mut fields: Fields<'_>) -> Broker {
    const PROTOCOLS: &[(&str, Option<Version>)] =
        &[("auto", None), ("5", Some(Version::V5)), ("3.1.1", Some(Version::V311))];
    let mut broker = Broker::default();
    let host = fields.take(check, "host", some_text);
    let port = fields.take(check, "port", integer(1..=65_535));
    broker.username = fields.take(check, "username", text).map(|at| at.value);
    let password = fields.take(check, "password", text);
    let password_file = fields.take(check, "password_file", some_text);
    broker.client_id = fields.take(check, "client_id", parsed::<Template>).map(|at| at.value);
    broker.bind_address = fields.take(check, "bind_address", parsed).map(|at| at.value);
    let keep_alive = fields.take(check, "keep_alive_s", integer(5..=65_535));
    broker.version = fields.take(check, "protocol", word(PROTOCOLS)).and_then(|at| at.value);
    broker.websocket = fields.take(check, "websocket", some_text).map(|at| at.value);
    if let Some(path) = section(check, &mut fields, "tls") {
        broker.tls = Some(tls(check, path));
    }
    fields.finish(check, None);
    if let Some(host) = host {
        broker.host = host.value;
    }
    let port = port.and_then(|at| u16::try_from(at.value).ok());
    broker.port = port.unwrap_or(if broker.tls.is_some() { 8883 } else { broker.port });
    if let Some(seconds) = keep_alive {
        broker.keep_alive = Duration::from_secs(seconds.value);
    }
    broker.password = secret(check, password, password_file, broker.username.is_some());
    broker
}

fn secret(
    check: &mut Check<'_>,
    password: Option<At<String>>,
    file: Option<At<String>>,
    has_username: bool,
) -> Option<Secret> {
    if let (Some(_), Some(file)) = (&password, &file) {
        check.problem(&file.span, "password and password_file exclude each other");
    }
    let at = password.as_ref().or(file.as_ref())?;
    if !has_username {
        check.problem(&at.span, "a password needs a username beside it");
    }
    if let Some(password) = password {
        return Some(Secret(password.value));
    }
    let At { span, value: path } = file?;
    let mut text = String::new();
    let read =
        std::fs::File::open(&path).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    if let Err(error) = read {
        check.problem(&span, format!("{path}: {error}"));
        return None;
    }
    Some(Secret(text.lines().next().unwrap_or_default().to_owned()))
}

fn tls(check: &mut Check<'_>, mut fields: Fields<'_>) -> Tls {
    let path = |at: At<String>| PathBuf::from(at.value);
    let ca_file = fields.take(check, "ca_file", some_text).map(path);
    let certificate = fields.take(check, "certificate", some_text);
    let key = fields.take(check, "key", some_text);
    let server_name = fields.take(check, "server_name", some_text).map(|at| at.value);
    let any_name = fields.take(check, "any_name", flag).is_some_and(|at| at.value);
    let span = fields.span.clone();
    fields.finish(check, None);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((path(certificate), path(key))),
        (None, None) => None,
        _ => {
            check.problem(&span, "certificate and key belong together");
            None
        }
    };
    Tls { ca_file, certificate, server_name, any_name }
}

fn thing(check: &mut Check<'_>, mut fields: Fields<'_>, config: &mut Config) {
    config.interface = fields.take(check, "interface", some_text).map(|at| at.value);
    config.address = fields.take(check, "address", parsed).map(|at| at.value);
    config.coap = fields.take(check, "coap", parsed).map(|at| at.value);
    if let Some(board) = fields.take(check, "board", |_, value| board(&text("board", value)?)) {
        config.board = board.value;
    }
    if let Some(topic) = fields.take(check, "availability", parsed) {
        config.availability = topic.value;
    }
    fields.finish(check, None);
}

fn home_assistant(check: &mut Check<'_>, mut fields: Fields<'_>) -> Option<HomeAssistant> {
    let enabled = fields.take(check, "discovery", flag).is_none_or(|at| at.value);
    let prefix = fields.take(check, "prefix", parsed).map(|at| at.value);
    fields.finish(check, None);
    enabled.then(|| HomeAssistant { prefix: prefix.unwrap_or_else(|| Template::plain("homeassistant")) })
}

fn board(setting: &str) -> Result<BoardSetting, String> {
    match setting {
        "auto" => Ok(BoardSetting::Auto),
        "simulated" => Ok(BoardSetting::Simulated),
        path if path.starts_with('/') => Ok(BoardSetting::I2c(path.into())),
        other => match other.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(BoardSetting::Remote(path.into())),
            _ => Err(format!(
                "unknown board `{other}`; it is \"auto\", \"simulated\", the path of an I2C bus such as \"{}\", or \
                 \"unix:\" and the path of the socket of `grovemq board`",
                BoardSetting::DEFAULT_BUS
            )),
        },
    }
}

pub(super) fn qos(name: &'static str, value: &DeValue<'_>) -> Result<Qos, String> {
    let wrong = |_| "qos is 0, 1 or 2".to_owned();
    match integer(0..=2)(name, value).map_err(wrong)? {
        0 => Ok(Qos::AtMostOnce),
        1 => Ok(Qos::AtLeastOnce),
        _ => Ok(Qos::ExactlyOnce),
    }
}

#[cfg(test)]
mod tests;
