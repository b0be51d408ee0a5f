//! The options, one after the other, in the order in which help shows them.

use super::{ALL, Action, CLIENTS, Flag, Low, ORIGINALS, Source, Tool, Value};
use crate::format::Format;
use grovemq_client::{Qos, RetainHandling, Version, topic};
use std::time::Duration;

/// The tools of the original.
const EVERY: &[Tool] = &[Tool::Pub, Tool::Sub, Tool::Rr, Tool::Ctrl];
const CTRL: &[Tool] = &[Tool::Ctrl];
const PUB: &[Tool] = &[Tool::Pub];
const SUB: &[Tool] = &[Tool::Sub];
const RR: &[Tool] = &[Tool::Rr];
const SENDING: &[Tool] = &[Tool::Pub, Tool::Rr];
const RECEIVING: &[Tool] = &[Tool::Sub, Tool::Rr];

/// Options of the original that there are not, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub names: &'static [&'static str],
    pub tools: &'static [Tool],
    pub why: &'static str,
}

pub(crate) const REFUSED: &[Refused] = &[
    Refused {
        names: &["--psk", "--psk-identity"],
        tools: EVERY,
        why: "TLS has no pre-shared keys here: use certificates.",
    },
    Refused {
        names: &["--tls-engine", "--tls-engine-kpass-sha1"],
        tools: EVERY,
        why: "TLS has no engines here: use a key in a PEM file.",
    },
];

pub(crate) const FLAGS: &[Flag] = &[
    Flag {
        short: Some('h'),
        long: Some("host"),
        tools: CLIENTS,
        help: "The server, by name or address; localhost if not given.",
        action: value!("host", "no host", "-h", |low, v| set_text(&mut low.host, v, "-h")),
    },
    Flag {
        short: Some('p'),
        long: Some("port"),
        tools: CLIENTS,
        help: "The server's port; 1883 if not given, with TLS 8883.",
        action: value!("port", "no port", "-p", |low, v| {
            let port = number(v).and_then(|n| u16::try_from(n).ok()).filter(|&port| port != 0);
            low.port = Some(port.ok_or_else(|| format!("Invalid port given: {}", v.text.display()))?);
            Ok(())
        }),
    },
    Flag {
        short: Some('t'),
        long: Some("topic"),
        tools: &[Tool::Pub, Tool::Sub, Tool::Rr, Tool::Record, Tool::Bench, Tool::Top],
        help: "The topic to publish to; to subscribe: a filter, and the option may be repeated.",
        action: value!("topic", "no topic", "-t", set_topic),
    },
    Flag {
        short: Some('q'),
        long: Some("qos"),
        tools: &[Tool::Pub, Tool::Sub, Tool::Rr, Tool::Record, Tool::Bench, Tool::Top],
        help: "Quality of service: 0 (if not given), 1 or 2.",
        action: value!("qos", "no QoS", "-q", set_qos),
    },
    Flag {
        short: Some('q'),
        long: Some("qos"),
        tools: CTRL,
        help: "Quality of service of requests and answers: 0, 1 (if not given) or 2.",
        action: value!("qos", "no QoS", "-q", set_qos),
    },
    Flag {
        short: Some('m'),
        long: Some("message"),
        tools: SENDING,
        help: "The message.",
        action: value!("message", "no message", "-m", |low, v| {
            let payload = v.text.as_encoded_bytes();
            if payload.len() > crate::payload::BYTES_MAX {
                return Err(crate::payload::too_long("Message length"));
            }
            set_source(low, Source::Message(payload.to_vec()))
        }),
    },
    Flag {
        short: Some('f'),
        long: Some("file"),
        tools: SENDING,
        help: "Send what this file holds as one message.",
        action: value!("file", "no file", "-f", |low, v| set_source(low, Source::File(v.text.clone()))),
    },
    Flag {
        short: Some('l'),
        long: Some("stdin-line"),
        tools: PUB,
        help: "Send each line of standard input as a message.",
        action: Action::Source(Source::Lines),
    },
    Flag {
        short: Some('n'),
        long: Some("null-message"),
        tools: SENDING,
        help: "Send an empty message.",
        action: Action::Source(Source::Null),
    },
    Flag {
        short: Some('s'),
        long: Some("stdin-file"),
        tools: SENDING,
        help: "Send the whole of standard input as one message.",
        action: Action::Source(Source::Stdin),
    },
    Flag {
        short: Some('r'),
        long: Some("retain"),
        tools: PUB,
        help: "Have the server keep the message for later subscribers.",
        action: Action::Switch(|low| low.retain = true),
    },
    Flag {
        short: None,
        long: Some("repeat"),
        tools: PUB,
        help: "With -m, -f, -n or -s: send the message so many times.",
        action: value!("count", "no count", "--repeat", |low, v| {
            let count = number(v).and_then(|n| u32::try_from(n).ok()).filter(|&count| count > 0);
            low.repeat = Some(count.ok_or("--repeat argument must be >0.")?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("repeat-delay"),
        tools: PUB,
        help: "With --repeat: wait so many seconds in between; 0 if not given.",
        action: value!("seconds", "no time", "--repeat-delay", |low, v| {
            let seconds = v.text.to_str().and_then(|text| text.trim().parse().ok());
            low.repeat_delay = seconds
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or("--repeat-delay argument must be >=0.0.")?;
            Ok(())
        }),
    },
    Flag {
        short: Some('e'),
        long: None,
        tools: RR,
        help: "The topic on which the response is expected.",
        action: value!("topic", "no response topic", "-e", |low, v| {
            let topic = text(v, "-e")?;
            check_name(&topic, "response topic")?;
            low.response_topic = Some(topic);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("latency"),
        tools: RR,
        help: "Tell how long the response took, in milliseconds, on standard error.",
        action: Action::Switch(|low| low.latency = true),
    },
    Flag {
        short: Some('v'),
        long: Some("verbose"),
        tools: RECEIVING,
        help: "Print the topic before each message.",
        action: Action::Switch(|low| low.verbose = true),
    },
    Flag {
        short: Some('v'),
        long: Some("verbose"),
        tools: CTRL,
        help: "Show each request and answer as it is on the wire, on standard error.",
        action: Action::Switch(|low| low.verbose = true),
    },
    Flag {
        short: Some('f'),
        long: Some("file"),
        tools: CTRL,
        help: "Change this file of dynamic security itself, while no broker uses it; for setClientPassword.",
        action: value!("file", "no file", "-f", |low, v| set_source(low, Source::File(v.text.clone()))),
    },
    Flag {
        short: Some('F'),
        long: None,
        tools: RECEIVING,
        help: "Print each message in this format; see below.",
        action: value!("format", "no format", "-F", |low, v| {
            low.format = Some(Format::parse(&v.text.to_string_lossy()).map_err(|error| error.to_string())?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("pretty"),
        tools: RECEIVING,
        help: "Print JSON (%j, %J) over several lines.",
        action: Action::Switch(|low| low.pretty = true),
    },
    Flag {
        short: Some('N'),
        long: None,
        tools: RECEIVING,
        help: "Print no line end after a message.",
        action: Action::Switch(|low| low.no_line_end = true),
    },
    Flag {
        short: Some('C'),
        long: None,
        tools: &[Tool::Sub, Tool::Record],
        help: "End after so many messages.",
        action: value!("count", "no count", "-C", |low, v| {
            low.count = Some(positive(v).map_err(|shown| format!("Invalid message count \"{shown}\"."))?);
            Ok(())
        }),
    },
    Flag {
        short: Some('W'),
        long: None,
        tools: RECEIVING,
        help: "End after so many seconds, with exit code 27.",
        action: value!("seconds", "no timeout", "-W", |low, v| {
            low.wait = Some(positive(v).map_err(|shown| format!("Invalid timeout \"{shown}\"."))?);
            Ok(())
        }),
    },
    Flag {
        short: Some('E'),
        long: None,
        tools: SUB,
        help: "End once the server has answered all subscriptions.",
        action: Action::Switch(|low| low.exit_after_suback = true),
    },
    Flag {
        short: Some('T'),
        long: Some("filter-out"),
        tools: &[Tool::Sub, Tool::Record],
        help: "Leave out messages whose topic matches this filter; may be repeated.",
        action: value!("filter", "no topic filter", "-T", |low, v| {
            push_filter(&mut low.filter_out, v, "-T", "filter topic")
        }),
    },
    Flag {
        short: Some('U'),
        long: Some("unsubscribe"),
        tools: SUB,
        help: "Unsubscribe from this filter, after subscribing; may be repeated.",
        action: value!("filter", "no unsubscribe topic", "-U", |low, v| {
            push_filter(&mut low.unsubscribe, v, "-U", "unsubscribe topic")
        }),
    },
    Flag {
        short: Some('R'),
        long: None,
        tools: &[Tool::Sub, Tool::Rr, Tool::Record],
        help: "Leave out retained messages.",
        action: Action::Switch(|low| low.no_retained = true),
    },
    Flag {
        short: None,
        long: Some("retained-only"),
        tools: SUB,
        help: "Print retained messages only, and end at the first other one.",
        action: Action::Switch(|low| low.retained_only = true),
    },
    Flag {
        short: None,
        long: Some("remove-retained"),
        tools: SUB,
        help: "Have the server forget each retained message that comes. -T spares what it names.",
        action: Action::Switch(|low| low.remove_retained = true),
    },
    Flag {
        short: None,
        long: Some("message-rate"),
        tools: SUB,
        help: "Print no messages, but each second how many came.",
        action: Action::Switch(|low| low.message_rate = true),
    },
    Flag {
        short: None,
        long: Some("random-filter"),
        tools: SUB,
        help: "Print so many percent of the messages, chosen at random: 0.1 to 100.",
        action: value!("percent", "no chance", "--random-filter", |low, v| {
            let percent = v.text.to_str().and_then(|text| text.trim().parse::<f64>().ok());
            let percent = percent.filter(|percent| (0.1..=100.0).contains(percent));
            let percent = percent.ok_or("--random-filter chance must be between 0.1 and 100.0")?;
            low.random_filter = (1..=1000).find(|&n| f64::from(n) >= (percent * 10.0).floor());
            Ok(())
        }),
    },
    Flag {
        short: Some('w'),
        long: Some("watch"),
        tools: SUB,
        help: "Print each topic's latest message in a row of its own, which it keeps.",
        action: Action::Switch(|low| low.watch = true),
    },
    Flag {
        short: None,
        long: Some("retain-as-published"),
        tools: RECEIVING,
        help: "Get messages with the retain flag that their publisher gave them (MQTT 5).",
        action: Action::Switch(|low| low.retain_as_published = true),
    },
    Flag {
        short: None,
        long: Some("retain-handling"),
        tools: RECEIVING,
        help: "Which retained messages to get: always, new (only for a new subscription) or never (MQTT 5).",
        action: value!("when", "no option", "--retain-handling", |low, v| {
            low.retain_handling = Some(match v.text.to_str() {
                Some("always") => RetainHandling::Always,
                Some("new") => RetainHandling::IfNew,
                Some("never") => RetainHandling::Never,
                _ => return Err(format!("Unknown value '{}' for --retain-handling.", v.text.display())),
            });
            Ok(())
        }),
    },
    Flag {
        short: Some('u'),
        long: Some("username"),
        tools: CLIENTS,
        help: "Log in with this user name.",
        action: value!("name", "no username", "-u", |low, v| set_text(&mut low.username, v, "-u")),
    },
    Flag {
        short: Some('P'),
        long: Some("pw"),
        tools: CLIENTS,
        help: "Log in with this password.",
        action: value!("password", "no password", "-P", |low, v| {
            low.password = Some(v.text.as_encoded_bytes().to_vec());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("scram"),
        tools: CLIENTS,
        help: "Log in with SCRAM-SHA-256: prove to know the password of -P without sending it, and have the server prove \
               that it knows it, too. Implies -V 5.",
        action: Action::Switch(|low| low.scram = true),
    },
    Flag {
        short: Some('i'),
        long: Some("id"),
        tools: CLIENTS,
        help: "The client's id; if not given, the server assigns one.",
        action: value!("id", "no id", "-i", |low, v| {
            set_text(&mut low.client_id, v, "-i")?;
            check_ids(low)
        }),
    },
    Flag {
        short: Some('I'),
        long: Some("id-prefix"),
        tools: CLIENTS,
        help: "Make the client's id of this prefix and the process's number.",
        action: value!("prefix", "no id prefix", "-I", |low, v| {
            set_text(&mut low.id_prefix, v, "-I")?;
            check_ids(low)
        }),
    },
    Flag {
        short: Some('c'),
        long: Some("disable-clean-session"),
        tools: ORIGINALS,
        help: "Resume the session of this client id, and leave it at the server in the end. Needs -i.",
        action: Action::Switch(|low| low.persistent = true),
    },
    Flag {
        short: Some('x'),
        long: Some("session-expiry-interval"),
        tools: ORIGINALS,
        help: "How many seconds the server keeps the session after the end; -1 or ∞ for ever (MQTT 5).",
        action: value!("seconds", "no session expiry interval", "-x", set_session_expiry),
    },
    Flag {
        short: Some('k'),
        long: Some("keepalive"),
        tools: CLIENTS,
        help: "Seconds of silence after which the server is asked for a sign of life; 60 if not given.",
        action: value!("seconds", "no keepalive", "-k", |low, v| {
            let seconds = number(v).and_then(|n| u16::try_from(n).ok()).filter(|&seconds| seconds >= 5);
            let wrong = "Invalid keepalive given, it must be between 5 and 65535 inclusive.";
            low.keep_alive = Some(seconds.ok_or(wrong)?);
            Ok(())
        }),
    },
    Flag {
        short: Some('V'),
        long: Some("protocol-version"),
        tools: CLIENTS,
        help: "The version of MQTT: 31, 311 or 5, also as mqttv31, mqttv311, mqttv5.",
        action: value!("version", "no version", "--protocol-version", |low, v| {
            low.version = Some(match v.text.to_str() {
                Some("31" | "mqttv31") => Version::V31,
                Some("311" | "mqttv311") => Version::V311,
                Some("5" | "mqttv5") => Version::V5,
                _ => return Err("Invalid protocol version argument given.".to_owned()),
            });
            Ok(())
        }),
    },
    Flag {
        short: Some('D'),
        long: Some("property"),
        tools: &[Tool::Pub, Tool::Sub, Tool::Rr, Tool::Bench],
        help: "Give this command (connect, publish, subscribe, unsubscribe, disconnect, will) a property by its \
               name, such as: -D publish content-type text/plain. A user-property takes a key and a value. \
               Implies -V 5.",
        action: Action::Property,
    },
    Flag {
        short: None,
        long: Some("will-topic"),
        tools: ORIGINALS,
        help: "The topic of the message that the server sends when this client is lost.",
        action: value!("topic", "no will topic", "--will-topic", |low, v| {
            let topic = text(v, "--will-topic")?;
            check_name(&topic, "will topic")?;
            low.will.topic = Some(topic);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("will-payload"),
        tools: ORIGINALS,
        help: "The message itself; empty if not given.",
        action: value!("message", "no will payload", "--will-payload", |low, v| {
            low.will.payload = Some(v.text.as_encoded_bytes().to_vec());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("will-qos"),
        tools: ORIGINALS,
        help: "Its quality of service; 0 if not given.",
        action: value!("qos", "no will QoS", "--will-qos", |low, v| {
            low.will.qos = qos(v).ok_or_else(|| format!("Invalid will QoS {}.", v.text.display()))?;
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("will-retain"),
        tools: ORIGINALS,
        help: "Have the server keep it for later subscribers.",
        action: Action::Switch(|low| low.will.retain = true),
    },
    Flag {
        short: Some('M'),
        long: None,
        tools: CLIENTS,
        help: "How many messages of QoS 1 and 2 may be under way at once; 20 if not given.",
        action: value!("count", "max_inflight not", "-M", |low, v| {
            let count = number(v).and_then(|n| u16::try_from(n).ok()).filter(|&count| count > 0);
            low.inflight_max = Some(count.ok_or("Maximum inflight messages must be greater than 0.")?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("nodelay"),
        tools: CLIENTS,
        help: "Send small packets at once instead of gathering them.",
        action: Action::Switch(|low| low.nodelay = true),
    },
    Flag {
        short: Some('o'),
        long: None,
        tools: CLIENTS,
        help: "Read options from this file first, one per line, instead of those in \
               ~/.config/mosquitto_pub, _sub, _rr or _ctrl.",
        action: Action::OptionsFile,
    },
    Flag {
        short: Some('d'),
        long: Some("debug"),
        tools: EVERY,
        help: "Print each packet that comes or goes.",
        action: Action::Switch(|low| low.debug = true),
    },
    Flag {
        short: None,
        long: Some("quiet"),
        tools: ALL,
        help: "Print no error messages, except for wrong options.",
        action: Action::Switch(|low| low.quiet = true),
    },
    Flag { short: None, long: Some("help"), tools: ALL, help: "Print this help.", action: Action::Help },
    Flag {
        short: None,
        long: Some("version"),
        tools: ALL,
        help: "Print the version.",
        action: Action::Version,
    },
];

/// The text of a value that must be one.
pub(super) fn text(value: Value<'_>, flag: &str) -> Result<String, String> {
    value.text.to_str().map(str::to_owned).ok_or_else(|| format!("Malformed UTF-8 in {flag} argument."))
}

pub(super) fn set_text(slot: &mut Option<String>, value: Value<'_>, flag: &str) -> Result<(), String> {
    *slot = Some(text(value, flag)?);
    Ok(())
}

fn number(value: Value<'_>) -> Option<i64> {
    value.text.to_str()?.trim().parse().ok()
}

/// A count above zero; the error is what to show of it: the number, and zero for what is none.
fn positive(value: Value<'_>) -> Result<u32, i64> {
    let number = number(value).unwrap_or(0);
    u32::try_from(number).ok().filter(|&count| count > 0).ok_or(number)
}

fn qos(value: Value<'_>) -> Option<Qos> {
    match number(value)? {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

fn set_qos(low: &mut Low, value: Value<'_>) -> Result<(), String> {
    low.qos = qos(value).ok_or_else(|| format!("Invalid QoS given: {}", value.text.display()))?;
    Ok(())
}

pub(super) fn set_topic(low: &mut Low, value: Value<'_>) -> Result<(), String> {
    match value.tool {
        Tool::Sub | Tool::Record | Tool::Top => {
            push_filter(&mut low.topics, value, "-t", "subscription topic")
        }
        // a URL has one, and nothing is done with it
        Tool::Ctrl => Ok(()),
        _ => {
            let topic = text(value, "-t")?;
            // An empty one is found out after connecting, as in the original.
            if !topic.is_empty() {
                check_name(&topic, "publish topic")?;
            }
            low.topics.push(topic);
            Ok(())
        }
    }
}

/// `what` is the role of the topic, as the complaint names it.
fn check_name(name: &str, what: &str) -> Result<(), String> {
    topic::validate_name(name).map_err(|_| format!("Invalid {what} '{name}', does it contain '+' or '#'?"))
}

fn push_filter(filters: &mut Vec<String>, value: Value<'_>, flag: &str, what: &str) -> Result<(), String> {
    let filter = text(value, flag)?;
    if topic::validate_filter(&filter).is_err() {
        return Err(format!("Invalid {what} '{filter}', are all '+' and '#' wildcards correct?"));
    }
    filters.push(filter);
    Ok(())
}

const ONE_SOURCE: &str = "Only one type of message can be sent at once.";

pub(super) fn set_source(low: &mut Low, source: Source) -> Result<(), String> {
    if low.source.is_some() {
        return Err(ONE_SOURCE.to_owned());
    }
    low.source = Some(source);
    Ok(())
}

fn check_ids(low: &Low) -> Result<(), String> {
    if low.client_id.is_some() && low.id_prefix.is_some() {
        return Err("-i and -I argument cannot be used together.".to_owned());
    }
    Ok(())
}

fn set_session_expiry(low: &mut Low, value: Value<'_>) -> Result<(), String> {
    low.session_expiry = Some(match value.text.to_str() {
        Some("∞") => u32::MAX,
        _ => match number(value).ok_or("session-expiry-interval not a number.")? {
            -1 => u32::MAX,
            seconds => u32::try_from(seconds).map_err(|_| "session-expiry-interval out of range.")?,
        },
    });
    Ok(())
}
