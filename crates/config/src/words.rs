//! Directives whose value is more than a number, a text or a choice.

use std::path::PathBuf;
use std::time::Duration;

use crate::build::{Draft, first_word, invalid, read_bool, read_int, read_text};
use crate::config::{LogDest, LogType, LogTypes};
use crate::diagnostic::{Severity, shown};
use crate::limits::{AUTO_ID_PREFIX_BYTES_MAX, BRIDGES_MAX};
use crate::listener::{Listener, SocketDomain, Versions};
use crate::number::{int, positive};
use crate::parse::Line;
use crate::suggest;
use crate::table::{LOG_DESTS, Range};

/// Why a line cannot be obeyed.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// What part of the line it is about.
    pub(crate) about: About,
}

/// A part of a line.
#[derive(Debug, Default)]
pub(crate) enum About {
    #[default]
    Name,
    Value,
    /// This word of the value.
    Word(String),
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, about: About::Name }
    }

    /// It is about the value, or about the word of it that is already known.
    pub(crate) fn about_value(mut self) -> Self {
        if matches!(self.about, About::Name) {
            self.about = About::Value;
        }
        self
    }

    pub(crate) fn about_word(mut self, word: &str) -> Self {
        self.about = About::Word(word.to_owned());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

type Outcome = Result<(), Problem>;

pub(crate) fn include_dir(d: &mut Draft, line: &Line) -> Outcome {
    if d.is_included() {
        return Err(Problem::new("The include_dir option is only valid in the main configuration file."));
    }
    read_text("include_dir", line).map(drop)
}

pub(crate) fn listener(d: &mut Draft, line: &Line) -> Outcome {
    d.config.local_only = false;
    let result = read_listener(line);
    // The lines below a wrong one are still about a listener, not about the one above it.
    let (listener, outcome) = match result {
        Ok(listener) => (listener, Ok(())),
        Err(problem) => (Listener::default(), Err(problem)),
    };
    d.open_listener(listener)?;
    outcome
}

fn read_listener(line: &Line) -> Result<Listener, Problem> {
    const PORT: Range = Range { min: 0, max: 65535, message: "Invalid 'port' value ({})." };
    let port = read_int("listener port", PORT, line)?;
    let address = line.words().nth(1).filter(|word| !word.starts_with('#'));
    let mut listener = Listener { port: u16::try_from(port).unwrap_or_default(), ..Listener::default() };
    match address {
        None if port == 0 => {
            return Err(Problem::new("A listener with port 0 must provide a Unix socket path."));
        }
        Some(path) if port == 0 => listener.unix_path = Some(PathBuf::from(path)),
        host => listener.host = host.map(ToOwned::to_owned),
    }
    Ok(listener)
}

pub(crate) fn port(d: &mut Draft, line: &Line) -> Outcome {
    const PORT: Range = Range { min: 1, max: 65535, message: "Invalid 'port' value ({})." };
    d.config.local_only = false;
    d.name_default_listener()?;
    d.here().port = u16::try_from(read_int("port", PORT, line)?).unwrap_or_default();
    Ok(())
}

pub(crate) fn bind_address(d: &mut Draft, line: &Line) -> Outcome {
    d.config.local_only = false;
    d.name_default_listener()?;
    d.here().host = Some(read_text("default listener bind_address", line)?.to_owned());
    Ok(())
}

pub(crate) fn socket_domain(d: &mut Draft, line: &Line) -> Outcome {
    d.here().socket_domain = match first_word("socket_domain", line)? {
        "ipv4" => SocketDomain::Ipv4,
        "ipv6" => SocketDomain::Ipv6,
        word => {
            let word = shown(word);
            return Err(Problem::new(format!("Invalid 'socket_domain' value '{word}' in configuration.")));
        }
    };
    Ok(())
}

pub(crate) fn accept_protocol_versions(d: &mut Draft, line: &Line) -> Outcome {
    const NAME: &str = "accept_protocol_versions";
    first_word(NAME, line)?;
    let mut versions = Versions { v31: false, v311: false, v5: false };
    for word in line.value.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        match word {
            "3" => versions.v31 = true,
            "4" => versions.v311 = true,
            "5" => versions.v5 = true,
            word => {
                return Err(invalid(NAME, word, None).hint("3 is MQTT 3.1, 4 is MQTT 3.1.1, 5 is MQTT 5."));
            }
        }
    }
    d.here().versions = versions;
    Ok(())
}

pub(crate) fn allow_anonymous(d: &mut Draft, allow: bool) {
    d.security().allow_anonymous = Some(allow);
    if d.config.per_listener_settings {
        let message = "You are using the 'allow_anonymous' option with 'per_listener_settings true'. Please replace this with 'listener_allow_anonymous'.";
        d.remark_once(Severity::Notice, "allow_anonymous", message.to_owned());
    }
}

pub(crate) fn per_listener_settings(d: &mut Draft, line: &Line) -> Outcome {
    let on = read_bool("per_listener_settings", line)?;
    if d.config.per_listener_settings {
        // Once true, it stays so.
        return Ok(());
    }
    if on && d.security_seen {
        return Err(Problem::new("per_listener_settings must be set before any other security settings."));
    }
    d.config.per_listener_settings = on;
    Ok(())
}

pub(crate) fn auto_id_prefix(d: &mut Draft, line: &Line) -> Outcome {
    let prefix = read_text("auto_id_prefix", line)?;
    if prefix.len() > AUTO_ID_PREFIX_BYTES_MAX {
        return Err(Problem::new("auto_id_prefix length must be <= 50."));
    }
    d.security().auto_id_prefix = Some(prefix.to_owned());
    Ok(())
}

pub(crate) fn listener_auto_id_prefix(d: &mut Draft, line: &Line) -> Outcome {
    let prefix = read_text("listener_auto_id_prefix", line)?;
    if prefix.len() > AUTO_ID_PREFIX_BYTES_MAX {
        return Err(Problem::new("'listener_auto_id_prefix' length must be <= 50."));
    }
    d.here_security().auto_id_prefix = Some(prefix.to_owned());
    Ok(())
}

pub(crate) fn mount_point(d: &mut Draft, line: &Line) -> Outcome {
    let prefix = read_text("mount_point", line)?;
    if prefix.contains(['+', '#']) {
        return Err(Problem::new(format!(
            "Invalid 'mount_point' value ({}). Does it contain a wildcard character?",
            shown(prefix)
        )));
    }
    d.here().mount_point = Some(prefix.to_owned());
    Ok(())
}

pub(crate) fn log_dest(d: &mut Draft, line: &Line) -> Outcome {
    let word = first_word("log_dest", line)?;
    let Some((_, support)) = LOG_DESTS.iter().find(|(known, _)| *known == word) else {
        let close = suggest::closest(word, LOG_DESTS.iter().map(|(known, _)| *known));
        return Err(invalid("log_dest", word, close));
    };
    let mut dest = d.log_dest.take().unwrap_or_default();
    let added = match word {
        "none" => {
            dest.clear();
            None
        }
        "stdout" => Some(LogDest::Stdout),
        "topic" => Some(LogDest::Topic),
        "syslog" => Some(LogDest::Syslog),
        "file" => Some(LogDest::File(log_file(&dest, line)?)),
        // Lines for a sink that is missing must not get lost; service managers collect standard error.
        _ => Some(LogDest::Stderr),
    };
    dest.extend(added.filter(|added| !dest.contains(added)));
    d.log_dest = Some(dest);
    d.check_support(*support, &format!("log_dest {word}"))
}

fn log_file(dest: &[LogDest], line: &Line) -> Result<PathBuf, Problem> {
    if dest.iter().any(|dest| matches!(dest, LogDest::File(_))) {
        return Err(Problem::new("Duplicate \"log_dest file\" value."));
    }
    match line.value.split_once(' ').map(|(_, path)| path.trim()) {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(Problem::new("Empty \"log_dest file\" value in configuration.")),
    }
}

pub(crate) fn log_type(d: &mut Draft, line: &Line) -> Outcome {
    const TYPES: [(&str, LogType); 9] = [
        ("error", LogType::Error),
        ("warning", LogType::Warning),
        ("notice", LogType::Notice),
        ("information", LogType::Information),
        ("debug", LogType::Debug),
        ("subscribe", LogType::Subscribe),
        ("unsubscribe", LogType::Unsubscribe),
        ("websockets", LogType::Websockets),
        ("internal", LogType::Internal),
    ];
    let word = first_word("log_type", line)?;
    let types = d.log_types.unwrap_or(LogTypes::NONE);
    d.log_types = Some(match (word, TYPES.iter().find(|(known, _)| *known == word)) {
        (_, Some(&(_, kind))) => types.with(kind),
        ("all", None) => LogTypes::ALL,
        ("none", None) => LogTypes::NONE,
        _ => {
            let close = suggest::closest(word, TYPES.iter().map(|(known, _)| *known));
            return Err(invalid("log_type", word, close));
        }
    });
    if line.words().nth(1).is_some_and(|word| !word.starts_with('#')) {
        let message = "Only the first word of a 'log_type' line counts: write a line for each.";
        d.remark_once(Severity::Warning, message, message.to_owned());
    }
    Ok(())
}

pub(crate) fn memory_limit(d: &mut Draft, line: &Line) -> Outcome {
    let word = first_word("memory_limit", line)?;
    let limit = word.parse::<u64>().map_err(|_| invalid("memory_limit", word, None))?;
    d.config.limits.memory_limit = Some(limit).filter(|&limit| limit > 0);
    Ok(())
}

pub(crate) fn message_size_limit(d: &mut Draft, bytes: i32) {
    d.config.limits.message_size_limit = positive(bytes);
    let message = "Note: It is recommended to replace `message_size_limit` with `max_packet_size`.";
    d.remark_once(Severity::Notice, message, message.to_owned());
}

pub(crate) fn retain_expiry_interval(d: &mut Draft, minutes: i32) {
    const MINUTES_MAX: u32 = 10_000_000;
    let minutes = minutes.unsigned_abs();
    if minutes > MINUTES_MAX {
        let message = "retain_expiry_interval being capped at 19 years.";
        d.remark_once(Severity::Warning, message, message.to_owned());
    }
    let seconds = u64::from(minutes.min(MINUTES_MAX)) * 60;
    d.config.limits.retain_expiry_interval = Some(Duration::from_secs(seconds));
}

pub(crate) fn persistent_client_expiration(d: &mut Draft, line: &Line) -> Outcome {
    const DAY: u64 = 86_400;
    let word = first_word("persistent_client_expiration", line)?;
    let seconds = [('s', 1), ('h', 3600), ('d', DAY), ('w', 7 * DAY), ('m', 30 * DAY), ('y', 365 * DAY)]
        .into_iter()
        .find_map(|(unit, seconds)| word.strip_suffix(unit).map(|number| (number, seconds)))
        .and_then(|(number, seconds)| Some(u64::from(positive(number.parse().ok()?)?) * seconds))
        .ok_or_else(|| {
            Problem::new("Invalid 'persistent_client_expiration' duration in configuration.")
                .hint("Write a number with its unit, as in '14d': s, h, d, w, m (30 days) or y.")
        })?;
    d.config.limits.persistent_client_expiration = Some(Duration::from_secs(seconds));
    Ok(())
}

pub(crate) fn plugin(d: &mut Draft, line: &Line) -> Outcome {
    d.open_plugin();
    d.security_seen |= line.name != "plugin_load";
    first_word(&line.name, line).map(drop)
}

pub(crate) fn plugin_option(_: &mut Draft, line: &Line) -> Outcome {
    let key = line.name.strip_prefix("plugin_opt_").or_else(|| line.name.strip_prefix("auth_opt_"));
    match key {
        Some(key) if key.len() >= 3 => read_text(key, line).map(drop),
        _ => Err(Problem::new("Invalid 'plugin_opt_' config option.")),
    }
}

pub(crate) fn connection(d: &mut Draft, line: &Line) -> Outcome {
    let name = first_word("connection", line);
    d.open_bridge();
    let name = name?;
    if d.bridges.iter().any(|known| known == name) {
        return Err(Problem::new(format!("Duplicate bridge name '{}'.", shown(name))));
    }
    if d.bridges.len() == BRIDGES_MAX {
        return Err(Problem::new(format!("More than {BRIDGES_MAX} bridges.")));
    }
    d.bridges.push(name.to_owned());
    Ok(())
}

pub(crate) fn bridge_address(_: &mut Draft, line: &Line) -> Outcome {
    let mut addresses = line.words().take_while(|word| !word.starts_with('#')).peekable();
    if addresses.peek().is_none() {
        return Err(Problem::new("Empty address value in configuration."));
    }
    for port in addresses.filter_map(|address| address.rsplit_once(':')).map(|(_, port)| port) {
        let port = port.parse::<i64>().unwrap_or(0);
        if !(1..=65535).contains(&port) {
            return Err(Problem::new(format!("Invalid bridge port value ({port}).")));
        }
    }
    Ok(())
}

pub(crate) fn bridge_topic(_: &mut Draft, line: &Line) -> Outcome {
    first_word("topic", line)?;
    // A topic with spaces is quoted; `""` is the empty one.
    let rest = match line.value.strip_prefix('"') {
        Some(quoted) if !quoted.starts_with('"') => {
            let (_, rest) = quoted.split_once('"').ok_or_else(|| {
                Problem::new(format!("Missing closing quote in topic value ({}).", shown(quoted)))
            })?;
            rest
        }
        _ => line.value.split_once(' ').map_or("", |(_, rest)| rest),
    };
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    if let Some(direction) = words.next()
        && !["out", "in", "both"].iter().any(|known| known.eq_ignore_ascii_case(direction))
    {
        return Err(Problem::new(format!("Invalid bridge topic direction '{}'.", shown(direction))));
    }
    match words.next() {
        Some(qos) if !qos.starts_with('#') && !["0", "1", "2"].contains(&qos) => {
            Err(Problem::new(format!("Invalid bridge QoS level '{}'.", shown(qos))))
        }
        _ => Ok(()),
    }
}

pub(crate) fn bridge_tcp_keepalive(_: &mut Draft, line: &Line) -> Outcome {
    let mut words = line.words();
    for part in ["idle", "interval", "counter"] {
        let Some(word) = words.next() else {
            return Err(Problem::new(format!("Empty 'bridge_tcp_keepalive_{part}' value in configuration.")));
        };
        if !int(word).is_ok_and(|value| value > 0) {
            return Err(Problem::new(format!("invalid TCP keepalive {part} value.")));
        }
    }
    Ok(())
}

pub(crate) fn bridge_restart_timeout(_: &mut Draft, line: &Line) -> Outcome {
    first_word("restart_timeout", line)?;
    let mut words = line.words().map(|word| int(word).map_err(|_| invalid("restart_timeout", word, None)));
    let base = words.next().transpose()?.unwrap_or(1).clamp(1, 3600);
    if words.next().transpose()?.is_some_and(|cap| cap < base) {
        return Err(Problem::new("backoff cap is lower than the base in restart_timeout."));
    }
    if words.next().transpose()?.is_some_and(|stable| stable < 0) {
        return Err(Problem::new("stable connection period cannot be negative."));
    }
    Ok(())
}
