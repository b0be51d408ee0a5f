//! Directives whose value is more than a number, a text or a choice.

use std::path::PathBuf;
use std::time::Duration;

use grovemq_codec::{Qos, topic};

use crate::bridge::{BridgeAddress, BridgeDirection, BridgeRestart, BridgeTopic, TcpKeepalive};
use crate::build::{Draft, first_word, invalid, read_bool, read_int, read_text};
use crate::config::{LogDest, LogType, LogTypes};
use crate::diagnostic::{Severity, shown};
use crate::limits::{AUTO_ID_PREFIX_BYTES_MAX, BRIDGE_ADDRESSES_MAX, BRIDGE_TOPICS_MAX};
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
    d.config.limits.memory_limit = bytes("memory_limit", line)?;
    Ok(())
}

pub(crate) fn max_retained_bytes(d: &mut Draft, line: &Line) -> Outcome {
    d.config.limits.max_retained_bytes = bytes("max_retained_bytes", line)?;
    Ok(())
}

/// A number of bytes; 0 is none.
fn bytes(name: &'static str, line: &Line) -> Result<Option<u64>, Problem> {
    let word = first_word(name, line)?;
    let bytes = word.parse::<u64>().map_err(|_| invalid(name, word, None))?;
    Ok(Some(bytes).filter(|&bytes| bytes > 0))
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
    // The lines below a wrong one are still about a bridge, not about the one above it.
    let outcome = first_word("connection", line).and_then(|name| {
        if d.has_bridge(name) {
            return Err(Problem::new(format!("Duplicate bridge name '{}'.", shown(name))));
        }
        Ok(name)
    });
    d.open_bridge(outcome.as_ref().unwrap_or(&""))?;
    outcome.map(drop)
}

pub(crate) fn bridge_address(d: &mut Draft, line: &Line) -> Outcome {
    let mut addresses = Vec::new();
    for word in line.words().take_while(|word| !word.starts_with('#')) {
        if addresses.len() == BRIDGE_ADDRESSES_MAX {
            return Err(Problem::new(format!("More than {BRIDGE_ADDRESSES_MAX} addresses of a bridge.")));
        }
        // An IPv6 address is followed by a port.
        let (host, port) = match word.rsplit_once(':') {
            None => (word, 1883),
            Some((host, port)) => {
                let port = port.parse::<i64>().unwrap_or(0);
                let valid = u16::try_from(port).ok().filter(|&port| port > 0);
                let valid =
                    valid.ok_or_else(|| Problem::new(format!("Invalid bridge port value ({port}).")))?;
                (host, valid)
            }
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        addresses.push(BridgeAddress { host, port });
    }
    if addresses.is_empty() {
        return Err(Problem::new("Empty address value in configuration."));
    }
    if d.bridge().addresses.is_empty() {
        d.bridge().addresses = addresses;
    }
    Ok(())
}

pub(crate) fn bridge_topic(d: &mut Draft, line: &Line) -> Outcome {
    let topic = read_bridge_topic(line)?;
    topic.check().map_err(Problem::new)?;
    let topics = &mut d.bridge().topics;
    if topics.len() == BRIDGE_TOPICS_MAX {
        return Err(Problem::new(format!("More than {BRIDGE_TOPICS_MAX} topics of a bridge.")));
    }
    if topics.contains(&topic) {
        let message = format!("Duplicate bridge topic '{}', skipping.", shown(&topic.pattern));
        d.remark(Severity::Warning, message);
    } else {
        topics.push(topic);
    }
    Ok(())
}

fn read_bridge_topic(line: &Line) -> Result<BridgeTopic, Problem> {
    first_word("topic", line)?;
    // A topic with spaces is quoted; `""` is the empty one.
    let (pattern, rest) = match line.value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or_else(|| {
            Problem::new(format!("Missing closing quote in topic value ({}).", shown(quoted)))
        })?,
        _ => line.value.split_once(' ').unwrap_or((&line.value, "")),
    };
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let direction = match words.next() {
        None => BridgeDirection::Out,
        Some(word) if word.eq_ignore_ascii_case("out") => BridgeDirection::Out,
        Some(word) if word.eq_ignore_ascii_case("in") => BridgeDirection::In,
        Some(word) if word.eq_ignore_ascii_case("both") => BridgeDirection::Both,
        Some(word) => {
            return Err(Problem::new(format!("Invalid bridge topic direction '{}'.", shown(word))));
        }
    };
    let mut words = words.take_while(|word| !word.starts_with('#'));
    let qos = match words.next() {
        None | Some("0") => Qos::AtMostOnce,
        Some("1") => Qos::AtLeastOnce,
        Some("2") => Qos::ExactlyOnce,
        Some(word) => return Err(Problem::new(format!("Invalid bridge QoS level '{}'.", shown(word)))),
    };
    let mut prefix = || words.next().filter(|word| *word != "\"\"").unwrap_or_default().to_owned();
    let (local_prefix, remote_prefix) = (prefix(), prefix());
    Ok(BridgeTopic { pattern: pattern.to_owned(), direction, qos, local_prefix, remote_prefix })
}

pub(crate) fn bridge_bind_address(d: &mut Draft, line: &Line) -> Outcome {
    let word = first_word("bridge_bind_address", line)?;
    let address = word.parse().map_err(|_| invalid("bridge_bind_address", word, None))?;
    d.bridge().bind_address = Some(address);
    Ok(())
}

pub(crate) fn notification_topic(d: &mut Draft, line: &Line) -> Outcome {
    let text = read_text("notification_topic", line)?;
    topic::validate_name(text).map_err(|_| invalid("notification_topic", text, None))?;
    d.bridge().notification_topic = Some(text.to_owned());
    Ok(())
}

pub(crate) fn bridge_cleansession(d: &mut Draft, clean: bool) {
    d.bridge().cleansession = clean;
    if !d.here_bridge().local_given {
        d.bridge().local_cleansession = clean;
    }
}

pub(crate) fn bridge_local_cleansession(d: &mut Draft, clean: bool) {
    d.here_bridge().local_given = true;
    d.bridge().local_cleansession = clean;
}

pub(crate) fn bridge_keepalive(d: &mut Draft, seconds: i32) {
    if seconds < 5 {
        d.remark(Severity::Notice, "keepalive interval too low, using 5 seconds.".to_owned());
    }
    d.bridge().keepalive_interval = Duration::from_secs(u64::from(seconds.max(5).unsigned_abs()));
}

pub(crate) fn bridge_idle_timeout(d: &mut Draft, seconds: i32) {
    if seconds < 1 {
        d.remark(Severity::Notice, "idle_timeout interval too low, using 1 second.".to_owned());
    }
    d.bridge().idle_timeout = Duration::from_secs(u64::from(seconds.max(1).unsigned_abs()));
}

pub(crate) fn bridge_threshold(d: &mut Draft, messages: i32) {
    if messages < 1 {
        d.remark(Severity::Notice, "threshold too low, using 1 message.".to_owned());
    }
    d.bridge().threshold = u16::try_from(messages.max(1)).unwrap_or(u16::MAX);
}

pub(crate) fn bridge_tcp_keepalive(d: &mut Draft, line: &Line) -> Outcome {
    let mut words = line.words();
    let mut values = [0; 3];
    for (part, value) in ["idle", "interval", "counter"].into_iter().zip(&mut values) {
        let Some(word) = words.next() else {
            return Err(Problem::new(format!("Empty 'bridge_tcp_keepalive_{part}' value in configuration.")));
        };
        *value = int(word)
            .ok()
            .and_then(positive)
            .ok_or_else(|| Problem::new(format!("invalid TCP keepalive {part} value.")))?;
    }
    let [idle, interval, counter] = values;
    let seconds = |n: u32| Duration::from_secs(n.into());
    d.bridge().tcp_keepalive =
        Some(TcpKeepalive { idle: seconds(idle), interval: seconds(interval), counter });
    Ok(())
}

pub(crate) fn bridge_restart_timeout(d: &mut Draft, line: &Line) -> Outcome {
    first_word("restart_timeout", line)?;
    let mut words = line.words().map(|word| int(word).map_err(|_| invalid("restart_timeout", word, None)));
    let base = words.next().transpose()?.unwrap_or(1).clamp(1, 3600);
    let cap = words.next().transpose()?.map(|cap| cap.min(7200));
    let stable = words.next().transpose()?.unwrap_or(0);
    if cap.is_some_and(|cap| cap < base) {
        return Err(Problem::new("backoff cap is lower than the base in restart_timeout."));
    }
    if stable < 0 {
        return Err(Problem::new("stable connection period cannot be negative."));
    }
    let seconds = |n: i32| Duration::from_secs(n.unsigned_abs().into());
    d.bridge().restart =
        BridgeRestart { base: seconds(base), cap: cap.map(seconds), stable: seconds(stable) };
    Ok(())
}
