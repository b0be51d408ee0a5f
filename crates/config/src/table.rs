//! The one table of directives: what each is called, takes, means, belongs to, and whether this broker obeys it.
//!
//! To start or stop obeying a directive, change its `.refused(…)` or `.no_effect(…)`: nothing else decides it.

use std::time::Duration;

use Need::{Defined, NotDefault, OrDefault};

use grovemq_codec::Version;

use crate::bridge::{BridgeReload, BridgeStart};
use crate::build::Draft;
use crate::config::{LogFormat, PersistenceMode, QueuePolicy};
use crate::limits::{BUSY_POLL_MAX, SHARDS_MAX};
use crate::listener::{Protocol, ProxyProtocol};
use crate::number::{positive, positive_u16};
use crate::parse::Line;
use crate::words::{self, Problem};

/// One directive.
#[derive(Debug)]
pub struct Opt {
    /// As it is written in the file; `…_*` stands for any ending.
    pub name: &'static str,
    /// Other names of the same directive.
    pub aliases: &'static [&'static str],
    /// The value that holds without the directive, in the file's own form; empty if there is none.
    pub default: &'static str,
    /// What a line of it belongs to.
    pub scope: Scope,
    /// What a second line of it does.
    pub repeat: Repeat,
    /// Taken over when the configuration is reloaded; else by the next start.
    pub reload: bool,
    /// What to use instead, if the original calls it deprecated.
    pub deprecated: Option<&'static str>,
    /// Whether this broker obeys it.
    pub support: Support,
    /// Its value must not be shown.
    pub secret: bool,
    /// Its meaning in one sentence.
    pub help: &'static str,
    /// Its name in messages about the value, where the original uses another one.
    pub(crate) label: Option<&'static str>,
    pub(crate) set: Set,
}

/// Whether the broker obeys a directive or one of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Yes.
    Supported,
    /// Accepted without effect, for the reason given; warned about once.
    NoEffect(&'static str),
    /// An error, because leaving it out silently would be dangerous; the text says what to do instead.
    Refused(&'static str),
}

/// What a directive belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The broker.
    Global,
    /// The listener above it.
    Listener(Need),
    /// The broker, or the listener above it with `per_listener_settings true`.
    Security,
    /// The `connection` above it.
    Bridge,
    /// The plugin above it.
    Plugin,
}

/// What a directive of a listener does when no listener stands above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It makes the default listener, port 1883.
    OrDefault,
    /// It is an error.
    Defined,
    /// It is an error, even below directives that have made the default listener.
    NotDefault,
}

/// What a second line of a directive does in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The last one counts.
    Last,
    /// The last one counts, which is worth a warning.
    LastWarned,
    /// It is an error.
    Error,
    /// It adds to the first.
    Adds,
}

/// What a directive takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything; it is not looked at.
    Anything,
    /// `true` or `false`, also `1` or `0`.
    Bool,
    /// A whole number within these bounds.
    Int {
        /// The lowest.
        min: i32,
        /// The highest.
        max: i32,
    },
    /// The rest of the line.
    Text,
    /// One of these words.
    Choice(Vec<&'static str>),
    /// Words in the form given.
    Words(&'static str),
}

impl Opt {
    /// What it takes.
    pub fn kind(&self) -> Kind {
        match &self.set {
            Set::Ignored => Kind::Anything,
            Set::Bool(_) => Kind::Bool,
            Set::Int(range, _) => Kind::Int { min: range.min, max: range.max },
            Set::Text(_) => Kind::Text,
            Set::Choice(words, _) => Kind::Choice(words.iter().map(|(word, _)| *word).collect()),
            Set::Words(form, _) => Kind::Words(form),
        }
    }

    /// All its names, the usual one first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.name].into_iter().chain(self.aliases.iter().copied())
    }

    fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| match own.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == own,
        })
    }
}

/// The directive called `name`, by whichever of its names.
pub fn find(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.is_called(name))
}

/// How the value of a directive is read and where it goes. Setters see only values of the right form.
pub(crate) enum Set {
    Ignored,
    Bool(fn(&mut Draft, bool)),
    Int(Range, fn(&mut Draft, i32)),
    Text(fn(&mut Draft, &str)),
    Choice(&'static [(&'static str, Support)], fn(&mut Draft, &str)),
    Words(&'static str, fn(&mut Draft, &Line) -> Result<(), Problem>),
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ignored => "Ignored",
            Self::Bool(_) => "Bool",
            Self::Int(..) => "Int",
            Self::Text(_) => "Text",
            Self::Choice(..) => "Choice",
            Self::Words(..) => "Words",
        })
    }
}

/// Bounds of a number; `{}` in the message of a number outside them stands for the number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) message: &'static str,
}

/// Any number; setters take negative ones as "no limit".
const ANY: Range = Range { min: i32::MIN, max: i32::MAX, message: "" };

const fn range(min: i32, max: i32, message: &'static str) -> Range {
    Range { min, max, message }
}

const fn option(name: &'static str, default: &'static str, set: Set, help: &'static str) -> Opt {
    let repeat = if matches!(set, Set::Text(_)) { Repeat::Error } else { Repeat::Last };
    Opt {
        name,
        aliases: &[],
        default,
        scope: Scope::Global,
        repeat,
        reload: false,
        deprecated: None,
        support: Support::Supported,
        secret: false,
        help,
        label: None,
        set,
    }
}

impl Opt {
    const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    const fn listener(self, need: Need) -> Self {
        self.scope(Scope::Listener(need)).reload()
    }

    const fn security(self) -> Self {
        self.scope(Scope::Security)
    }

    const fn reload(mut self) -> Self {
        self.reload = true;
        self
    }

    const fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn label(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn deprecated(mut self, instead: &'static str) -> Self {
        self.deprecated = Some(instead);
        self
    }

    const fn no_effect(mut self, reason: &'static str) -> Self {
        self.support = Support::NoEffect(reason);
        self
    }

    const fn refused(mut self, instead: &'static str) -> Self {
        self.support = Support::Refused(instead);
        self
    }

    /// An option of the bridge above it.
    const fn bridge(self) -> Self {
        self.scope(Scope::Bridge).reload()
    }

    /// An option of a TLS listener.
    const fn tls(self, need: Need) -> Self {
        self.listener(need)
    }
}

const fn flag(
    name: &'static str,
    default: &'static str,
    set: fn(&mut Draft, bool),
    help: &'static str,
) -> Opt {
    option(name, default, Set::Bool(set), help)
}

const fn text(
    name: &'static str,
    default: &'static str,
    set: fn(&mut Draft, &str),
    help: &'static str,
) -> Opt {
    option(name, default, Set::Text(set), help)
}

const fn int(
    name: &'static str,
    default: &'static str,
    range: Range,
    set: fn(&mut Draft, i32),
    help: &'static str,
) -> Opt {
    option(name, default, Set::Int(range, set), help)
}

const fn special(
    name: &'static str,
    form: &'static str,
    set: fn(&mut Draft, &Line) -> Result<(), Problem>,
    help: &'static str,
) -> Opt {
    option(name, "", Set::Words(form, set), help)
}

/// For values that are checked and go nowhere yet.
fn unused_flag(_: &mut Draft, _: bool) {}
fn unused_int(_: &mut Draft, _: i32) {}
fn unused_text(_: &mut Draft, _: &str) {}

const NO_PLUGIN: &str = "Plugins cannot be loaded: use 'password_file' and 'acl_file'.";
const NO_ENGINE: &str = "OpenSSL engines are not supported: give the key in 'keyfile'.";
const NO_PSK: &str =
    "Pre-shared keys are not supported yet: put a TLS proxy in front of a listener bound to 127.0.0.1.";
const NO_BRIDGE_PSK: &str = "Pre-shared keys are not supported yet: give certificates in 'bridge_cafile'.";
const NO_OCSP: &str = "Stapled proofs are not looked at: leave it 'false'.";
const NO_HTTP: &str = "The HTTP interface is not supported yet: remove this listener.";
const SAVED: &str = "every change is saved at once.";
const NEED_NOTHING: &str = "nothing here needs it.";

/// Words of `log_dest`.
pub(crate) const LOG_DESTS: &[(&str, Support)] = &[
    ("stdout", Support::Supported),
    ("stderr", Support::Supported),
    ("topic", Support::Supported),
    ("file", Support::Supported),
    ("none", Support::Supported),
    ("syslog", Support::Supported),
    ("dlt", Support::NoEffect("there is no DLT daemon; log lines go to standard error instead.")),
];

/// All directives, in the order of the manual: general, security, limits, persistence, listeners, bridges.
#[rustfmt::skip]
pub static OPTIONS: &[Opt] = &[
    // General, logging, process
    special("include_dir", "DIRECTORY", words::include_dir, "Reads every *.conf file of a directory, in the order of their names.")
        .repeat(Repeat::Adds).reload(),
    text("pid_file", "", |d, v| d.config.process.pid_file = Some(v.into()), "Writes the process id to this file."),
    text("user", "mosquitto", |d, v| d.config.process.user = Some(v.into()), "Becomes this user when started as root.")
        .repeat(Repeat::LastWarned),
    special("log_dest", "stdout|stderr|syslog|topic|none|file PATH", words::log_dest, "Where log lines go; several lines add up.")
        .repeat(Repeat::Adds).reload(),
    int("log_facility", "", range(0, 7, "Invalid 'log_facility' value ({})."), |d, v| d.config.log.facility = u8::try_from(v).ok(),
        "Facility local0 to local7 of syslog lines; without it they have the facility daemon.").reload(),
    option("log_format", "text", Set::Choice(&words_of(["text", "json"]),
        |d, v| d.config.log.format = if v == "json" { LogFormat::Json } else { LogFormat::Text }),
        "Writes log lines as sentences, or as JSON objects with fields.").reload(),
    flag("log_timestamp", "true", |d, v| d.config.log.timestamp = v, "Begins each log line with the time.").reload(),
    text("log_timestamp_format", "", |d, v| d.config.log.timestamp_format = Some(v.into()), "Form of that time, as for strftime.").reload(),
    special("log_type", "error|warning|notice|information|debug|subscribe|unsubscribe|websockets|internal|all|none", words::log_type, "Which log lines are written; several lines add up.")
        .repeat(Repeat::Adds).reload(),
    flag("connection_messages", "true", |d, v| d.config.log.connection_messages = v, "Logs when clients come and go.").reload(),
    int("sys_interval", "10", range(0, 65535, "Invalid 'sys_interval' value ({})."),
        |d, v| d.config.sys_interval = positive(v).map(|s| Duration::from_secs(s.into())), "Seconds between updates of the $SYS topics; 0 turns them off.").reload(),
    flag("enable_control_api", "false", |d, v| d.config.enable_control_api = v, "Answers requests on $CONTROL/broker/v1.").reload(),
    special("memory_limit", "BYTES", words::memory_limit, "Bytes of memory in use above which messages that would have to wait, messages to be retained and new sessions are refused, and slow readers get less; until a tenth less is in use. 0 is no limit.").reload(),
    flag("set_tcp_nodelay", "false", unused_flag, "Sends small packets to clients without delay.").reload()
        .no_effect("they always go without delay: all that is due to a client is written at once, and holding it back costs milliseconds."),
    int("websockets_log_level", "0", ANY, unused_int, "Log mask of the original's WebSocket library.").no_effect(NEED_NOTHING),
    int("shards", "0", range(0, SHARDS_MAX, "Invalid 'shards' value ({})."), |d, v| d.config.shards = positive_u16(v),
        "Event loops to run; 0 is one for each core."),
    int("busy_poll", "0", range(0, BUSY_POLL_MAX, "Invalid 'busy_poll' value ({})."), |d, v| d.config.busy_poll = Duration::from_micros(v.unsigned_abs().into()),
        "Microseconds for which an event loop goes on looking for work before it sleeps. Where processors are to spare, the median latency is that much less of what waking a thread takes; one with nothing to do costs nothing all the same. Where other programs want the processor it only takes it from them."),

    // Security
    flag("allow_anonymous", "false", words::allow_anonymous, "Lets clients in that give no user name.").security().reload(),
    text("password_file", "", |d, v| d.security().password_file = Some(v.into()), "Users and their password hashes. As soon as one of them was written by 'grovemq passwd -H scram-sha-256', MQTT 5 clients may log in with SCRAM-SHA-256.")
        .security().reload().repeat(Repeat::LastWarned),
    text("acl_file", "", |d, v| d.security().acl_file = Some(v.into()), "Rules on who may read and write which topics.")
        .security().reload().repeat(Repeat::LastWarned),
    text("psk_file", "", |d, v| d.security().psk_file = Some(v.into()), "Identities and their pre-shared TLS keys.")
        .security().reload().repeat(Repeat::LastWarned).refused(NO_PSK),
    special("per_listener_settings", "true|false", words::per_listener_settings, "Security settings belong to the listener above them.")
        .reload().deprecated("Settings of one listener can be written as 'listener_allow_anonymous' and 'listener_auto_id_prefix'."),
    flag("allow_zero_length_clientid", "true", |d, v| d.security().allow_zero_length_clientid = Some(v), "Gives a generated id to clients that send none.")
        .security().reload(),
    special("auto_id_prefix", "TEXT", words::auto_id_prefix, "Beginning of generated client ids.")
        .security().reload().repeat(Repeat::Error).deprecated("Please use 'listener_auto_id_prefix' instead."),
    text("clientid_prefixes", "", |d, v| d.config.clientid_prefixes = Some(v.into()), "Lets in only clients whose id begins with this.")
        .reload().repeat(Repeat::LastWarned).deprecated(""),
    flag("check_retain_source", "true", |d, v| d.config.delivery.check_retain_source = v, "Asks again whether the publisher of a retained message may write its topic before giving it out.").reload(),
    int("login_delay", "8", range(0, 8, "login_delay must be 0 to 8."), |d, v| d.config.limits.login_delay = positive(v).map(|s| Duration::from_secs(s.into())),
        "Seconds a login has to wait at most after many from the same address have failed: the sixth within a minute waits a quarter of a second, and each further failure doubles it. 0 turns it off.").reload(),
    special("plugin", "PATH", words::plugin, "Loads a plugin.").aliases(&["auth_plugin"]).security().repeat(Repeat::Adds).refused(NO_PLUGIN),
    special("global_plugin", "PATH", words::plugin, "Loads a plugin for all listeners.").repeat(Repeat::Adds).refused(NO_PLUGIN),
    special("plugin_load", "NAME PATH", words::plugin, "Loads a plugin for later use by listeners.").repeat(Repeat::Adds).refused(NO_PLUGIN),
    special("plugin_use", "NAME", words::plugin, "Uses a loaded plugin for this listener.").listener(NotDefault).repeat(Repeat::Adds).refused(NO_PLUGIN),
    special("plugin_opt_*", "VALUE", words::plugin_option, "An option of the plugin above it.").aliases(&["auth_opt_*"]).secret()
        .scope(Scope::Plugin).repeat(Repeat::Adds).refused(NO_PLUGIN),
    flag("auth_plugin_deny_special_chars", "true", unused_flag, "Refuses + and # in user names and client ids before the plugin sees them.")
        .scope(Scope::Plugin).refused(NO_PLUGIN),

    // Limits, queues, protocol
    int("max_inflight_messages", "20", range(i32::MIN, 65535, "'max_inflight_messages' must be <= 65535."),
        |d, v| d.config.limits.max_inflight_messages = positive_u16(v).filter(|&n| n < u16::MAX), "QoS 1 and 2 messages on their way to one client at a time; 0 is no limit.").reload(),
    int("max_inflight_bytes", "0", ANY, |d, v| d.config.limits.max_inflight_bytes = positive(v), "Bytes of those messages; 0 is no limit.").reload(),
    int("max_queued_messages", "1000", ANY, |d, v| d.config.limits.max_queued_messages = positive(v), "Messages that wait for one client beyond those; 0 is no limit.").reload(),
    int("max_queued_bytes", "0", ANY, |d, v| d.config.limits.max_queued_bytes = positive(v), "Bytes of the messages that wait; 0 is no limit.").reload(),
    option("queue_policy", "drop_new", Set::Choice(&words_of(["drop_new", "drop_oldest", "disconnect"]), |d, v| d.config.delivery.queue_policy = match v {
        "drop_oldest" => QueuePolicy::DropOldest,
        "disconnect" => QueuePolicy::Disconnect,
        _ => QueuePolicy::DropNew,
    }), "What happens to a message for a client whose queue is full: it is dropped, or those that have waited longest are dropped for it, or it is dropped and the client, if connected, is disconnected while its session stays.").reload(),
    flag("queue_qos0_messages", "false", |d, v| d.config.delivery.queue_qos0_messages = v, "Keeps QoS 0 messages, too, for clients that are away.").reload(),
    int("message_size_limit", "0", range(0, 268_435_455, "Invalid 'message_size_limit' value ({})."),
        words::message_size_limit, "Bytes of a published payload; 0 is no limit.").reload(),
    int("max_packet_size", "2000000", range(20, i32::MAX, "'max_packet_size' must be >= 20."),
        |d, v| d.config.limits.max_packet_size = v.unsigned_abs(), "Bytes of a whole packet.").reload(),
    int("max_keepalive", "0", range(0, 65535, "Invalid 'max_keepalive' value ({})."),
        |d, v| d.config.limits.max_keepalive = positive_u16(v), "Longest keep-alive in seconds; 0 is no limit.").reload(),
    int("global_max_clients", "-1", ANY, |d, v| d.config.limits.global_max_clients = positive(v), "Sessions, connected or not; -1 is no limit.").reload(),
    int("global_max_connections", "-1", ANY, |d, v| d.config.limits.global_max_connections = positive(v), "Connected clients; -1 is no limit.").reload(),
    int("max_subscriptions_per_client", "0", ANY, |d, v| d.config.limits.max_subscriptions_per_client = positive(v), "Subscriptions of one client, further ones are refused; 0 is 1048576.").reload(),
    int("max_retained_messages", "0", ANY, |d, v| d.config.limits.max_retained_messages = positive(v), "Retained messages of all clients, further ones are refused; 0 is ten million.").reload(),
    special("max_retained_bytes", "BYTES", words::max_retained_bytes, "Bytes of their topics, properties and payloads; 0 is no limit.").reload(),
    special("persistent_client_expiration", "NUMBER s|h|d|w|m|y, in one word", words::persistent_client_expiration, "How long the session of a client that is away is kept.").reload(),
    flag("retain_available", "true", |d, v| d.config.delivery.retain_available = v, "Takes retained messages.").reload(),
    int("retain_expiry_interval", "", range(1, i32::MAX, "retain_expiry_interval must be >= 1."),
        words::retain_expiry_interval, "Minutes between looks for retained messages that have expired; 5 without it.").reload(),
    flag("upgrade_outgoing_qos", "false", |d, v| d.config.delivery.upgrade_outgoing_qos = v, "Delivers with the subscription's QoS even if the message was published with a lower one.").reload(),
    flag("allow_duplicate_messages", "false", |d, v| d.config.delivery.allow_duplicate_messages = v, "Sends one copy for each subscription of a client that matches.")
        .reload().deprecated("The behaviour will default to true."),
    option("retry_interval", "", Set::Ignored, "Seconds after which unanswered messages were sent again.").no_effect("messages are sent again when the client reconnects."),

    // Persistence
    flag("persistence", "false", |d, v| d.config.persistence.on = v, "Keeps sessions, their messages and retained messages over a restart.")
        .aliases(&["retained_persistence"]),
    text("persistence_location", "", |d, v| d.config.persistence.location = Some(v.into()), "Directory they are kept in."),
    text("persistence_file", "mosquitto.db", |d, v| v.clone_into(&mut d.config.persistence.file), "Name of a file of the original there, taken over at the first start."),
    option("persistence_mode", "durable", Set::Choice(&words_of(["durable", "written", "memory"]), |d, v| d.config.persistence.mode = match v {
        "written" => PersistenceMode::Written,
        "memory" => PersistenceMode::Memory,
        _ => PersistenceMode::Durable,
    }), "What the acknowledgement of a message that has to be kept waits for: the disk, the system, or nothing."),
    int("persistence_commit_delay", "0", range(0, 10_000, "persistence_commit_delay must be 0 to 10000."), |d, v| d.config.persistence.commit_delay = Duration::from_millis(v.unsigned_abs().into()),
        "Milliseconds a commit waits for more to be committed with it; spares SD cards."),
    int("persistence_size_limit", "0", ANY, |d, v| d.config.persistence.size_max = positive(v).map(|mb| u64::from(mb) << 20),
        "Megabytes on disk above which nothing more is stored, and so not acknowledged; 0 is as much as the disk holds."),
    int("autosave_interval", "1800", ANY, |d, v| d.config.persistence.autosave_interval = positive(v).map(|s| Duration::from_secs(s.into())),
        "Seconds between savings; 0 saves only at exit.").reload().no_effect(SAVED),
    flag("autosave_on_changes", "false", |d, v| d.config.persistence.autosave_on_changes = v, "Counts changes instead of seconds for that.").reload().no_effect(SAVED),

    // Listeners
    special("listener", "PORT [ADDRESS|HOST], or 0 PATH", words::listener, "Opens a port, or a Unix socket; the options below belong to it.")
        .repeat(Repeat::Adds).label("listener port").reload(),
    special("bind_address", "ADDRESS|HOST", words::bind_address, "Address or host name of the default listener.")
        .repeat(Repeat::Error).reload().label("default listener bind_address").deprecated("Please use 'listener PORT ADDRESS' instead."),
    special("port", "PORT", words::port, "Port of the default listener.")
        .repeat(Repeat::LastWarned).reload().deprecated("Please use 'listener' instead."),
    text("bind_interface", "", |d, v| d.here().bind_interface = Some(v.into()), "Opens the listener on this network interface only.")
        .listener(OrDefault),
    option("protocol", "mqtt", Set::Choice(
        &[("mqtt", Support::Supported), ("websockets", Support::Supported), ("coap", Support::Supported), ("http_api", Support::Refused(NO_HTTP))],
        |d, v| d.here().protocol = match v {
            "coap" => Protocol::Coap,
            "websockets" => Protocol::Websockets,
            "http_api" => Protocol::HttpApi,
            _ => Protocol::Mqtt,
        }), "What the listener speaks. `coap` is CoAP over UDP at `/ps/TOPIC`, without encryption.").listener(OrDefault),
    special("accept_protocol_versions", "3,4,5", words::accept_protocol_versions, "MQTT versions clients may use: 3 is 3.1, 4 is 3.1.1.")
        .listener(NotDefault).reload(),
    flag("listener_allow_anonymous", "", |d, v| d.here_security().allow_anonymous = Some(v), "Like allow_anonymous, for this listener.").listener(Defined).reload(),
    special("listener_auto_id_prefix", "TEXT", words::listener_auto_id_prefix, "Beginning of the client ids this listener generates.")
        .listener(Defined).repeat(Repeat::Error).reload(),
    int("max_connections", "-1", ANY, |d, v| d.here().max_connections = positive(v), "Connections of this listener at a time; -1 is no limit.").listener(OrDefault),
    int("max_connection_rate", "0", ANY, |d, v| d.here().max_connection_rate = positive(v), "Connections of this listener accepted within a second; further ones wait. 0 is no limit.")
        .listener(OrDefault),
    int("max_publish_rate", "0", ANY, |d, v| d.here().max_publish_rate = positive(v), "Messages one client of this listener may publish in a second, in the long run: whoever is faster is read from more slowly, and nothing is dropped. Counts for connections made from now on; 0 is no limit.")
        .listener(OrDefault),
    int("max_publish_bytes_rate", "0", ANY, |d, v| d.here().max_publish_bytes_rate = positive(v), "The same in bytes of PUBLISH packets. A client is not heard while it waits: it should be possible to send the largest packet within a keep-alive.")
        .listener(OrDefault),
    int("max_qos", "2", range(0, 2, "'max_qos' must be between 0 and 2 inclusive."), |d, v| d.here().max_qos = u8::try_from(v).unwrap_or(2),
        "Highest QoS this listener's clients can use.").aliases(&["maximum_qos"]).label("max_qos").listener(OrDefault),
    int("max_topic_alias", "10", range(0, 65535, "Invalid 'max_topic_alias' value in configuration."),
        |d, v| d.here().max_topic_alias = positive_u16(v).unwrap_or(0), "Topic aliases a client may use.").listener(Defined),
    int("max_topic_alias_broker", "10", range(0, 65535, "Invalid 'max_topic_alias_broker' value in configuration."),
        |d, v| d.here().max_topic_alias_broker = positive_u16(v).unwrap_or(0), "Topic aliases the broker may use towards a client.").listener(Defined),
    special("mount_point", "TOPIC PREFIX", words::mount_point, "Puts this before all topics of the listener's clients.").listener(Defined)
        .repeat(Repeat::LastWarned),
    special("socket_domain", "ipv4|ipv6", words::socket_domain, "Opens the listener for one address family only.").listener(OrDefault),
    flag("use_username_as_clientid", "false", |d, v| d.here().use_username_as_clientid = v, "Replaces client ids by user names.").listener(OrDefault),
    int("enable_proxy_protocol", "", range(1, 2, "enable_proxy_protocol must be 1 or 2."),
        |d, v| d.here().proxy = Some(if v == 1 { ProxyProtocol::V1 } else { ProxyProtocol::V2 }), "Expects the PROXY protocol's header, version 1 or 2.")
        .listener(Defined),
    flag("proxy_protocol_v2_require_tls", "false", |d, v| d.here().proxy_require_tls = v, "Lets in only clients that the proxy says use TLS.")
        .listener(Defined),
    text("http_dir", "", |d, v| d.here().http_dir = Some(v.into()), "Files an http_api listener gives out.").listener(Defined).refused(NO_HTTP),
    int("packet_buffer_size", "4096", range(0, 65535, "Packet buffer size must be between 0 and 65535 inclusive."), unused_int, "Bytes of the first read buffer of a connection.")
        .aliases(&["websockets_headers_size"]).no_effect("an idle connection has no buffer, and a busy one has what it needs."),
    text("websockets_origin", "", |d, v| d.here().websockets_origins.push(v.to_owned()), "Lets in only web pages of this origin; several lines add up.")
        .listener(Defined).repeat(Repeat::Adds),
    text("cafile", "", |d, v| d.here().tls.cafile = Some(v.into()), "Certificates that may sign those of clients.").tls(Defined).repeat(Repeat::LastWarned),
    text("capath", "", |d, v| d.here().tls.capath = Some(v.into()), "Directory of such certificates.").tls(OrDefault).repeat(Repeat::LastWarned),
    text("certfile", "", |d, v| d.here().tls.certfile = Some(v.into()), "The listener's certificate chain.").tls(OrDefault).repeat(Repeat::LastWarned).reload(),
    text("keyfile", "", |d, v| d.here().tls.keyfile = Some(v.into()), "The key of that certificate.").tls(OrDefault).repeat(Repeat::LastWarned).reload(),
    text("crlfile", "", |d, v| d.here().tls.crlfile = Some(v.into()), "Certificates that are no longer valid.").tls(OrDefault).repeat(Repeat::LastWarned),
    option("dhparamfile", "", Set::Ignored, "Parameters of an old key exchange.").no_effect("it is no longer required."),
    text("ciphers", "", |d, v| d.here().tls.ciphers = Some(v.into()), "Cipher suites up to TLS 1.2, in OpenSSL's names.").tls(OrDefault).repeat(Repeat::LastWarned),
    text("ciphers_tls1.3", "", |d, v| d.here().tls.ciphers_tls13 = Some(v.into()), "Cipher suites of TLS 1.3, in OpenSSL's names.").tls(OrDefault).repeat(Repeat::LastWarned),
    text("tls_version", "tlsv1.2", |d, v| d.here().tls.version = Some(v.into()), "Lowest version of TLS: tlsv1.2 or tlsv1.3.").tls(Defined),
    flag("require_certificate", "false", |d, v| d.here().tls.require_certificate = v, "Lets in only clients with a certificate.").tls(OrDefault),
    flag("use_identity_as_username", "false", |d, v| d.here().tls.use_identity_as_username = v, "Takes the certificate's common name as user name.").tls(OrDefault),
    flag("use_subject_as_username", "false", |d, v| d.here().tls.use_subject_as_username = v, "Takes the certificate's whole subject as user name.").tls(OrDefault),
    flag("disable_client_cert_date_checks", "false", |d, v| d.here().tls.disable_client_cert_date_checks = v, "Accepts client certificates that have expired.").tls(Defined),
    text("tls_engine", "", unused_text, "Hardware that holds the key.").tls(OrDefault).refused(NO_ENGINE),
    text("tls_engine_kpass_sha1", "", unused_text, "Hash of the password of that hardware.").tls(OrDefault).refused(NO_ENGINE).repeat(Repeat::LastWarned).secret(),
    text("tls_keyform", "pem", unused_text, "Where the key is: pem or engine.").tls(OrDefault).refused(NO_ENGINE).repeat(Repeat::Last),
    text("psk_hint", "", |d, v| d.here().tls.psk_hint = Some(v.into()), "Turns pre-shared keys on, with this hint to clients.").listener(OrDefault).refused(NO_PSK),

    // Bridges
    special("connection", "NAME", words::connection, "Begins a bridge to another broker; the options below belong to it.")
        .repeat(Repeat::Adds).reload(),
    special("address", "HOST[:PORT] …", words::bridge_address, "The broker to connect to, with others to try after it.").aliases(&["addresses"]).bridge().repeat(Repeat::Error),
    special("topic", "PATTERN [out|in|both [QOS [LOCAL-PREFIX [REMOTE-PREFIX]]]]", words::bridge_topic, "Topics to exchange, and how they are renamed.")
        .bridge().repeat(Repeat::Adds),
    option("bridge_protocol_version", "mqttv311", Set::Choice(&words_of(["mqttv31", "mqttv311", "mqttv50"]), |d, v| d.bridge().version = match v {
        "mqttv31" => Version::V31,
        "mqttv50" => Version::V5,
        _ => Version::V311,
    }), "MQTT version of the bridge.").bridge(),
    flag("bridge_attempt_unsubscribe", "true", |d, v| d.bridge().attempt_unsubscribe = v, "Ends subscriptions left over at the other broker.").bridge(),
    special("bridge_bind_address", "ADDRESS", words::bridge_bind_address, "Address to connect from.").bridge(),
    int("bridge_max_packet_size", "0", ANY, |d, v| d.bridge().max_packet_size = positive(v), "Bytes of a packet sent to the other broker; larger messages stay here. 0 is no limit but the other broker's own.").bridge(),
    int("bridge_max_topic_alias", "10", range(0, 65535, "bridge_max_topic_alias must be > 0 and <= 65535."), |d, v| d.bridge().max_topic_alias = positive_u16(v).unwrap_or(0), "Topic aliases the other broker may use.").bridge(),
    flag("bridge_outgoing_retain", "true", |d, v| d.bridge().outgoing_retain = v, "Messages sent out stay retained.").bridge(),
    int("bridge_receive_maximum", "", range(1, 65535, "bridge_receive_maximum must be greater than 0 and lower than 65536."), |d, v| d.bridge().receive_maximum = positive_u16(v), "QoS 1 and 2 messages on their way to the bridge at a time; without it max_inflight_messages.").bridge(),
    int("bridge_session_expiry_interval", "0", range(0, i32::MAX, "bridge_session_expiry_interval must not be negative."), |d, v| d.bridge().session_expiry_interval = v.unsigned_abs(), "Seconds the session at the other broker is kept.").bridge(),
    special("bridge_tcp_keepalive", "IDLE INTERVAL COUNTER", words::bridge_tcp_keepalive, "Keep-alive of the TCP connection.").bridge(),
    int("bridge_tcp_user_timeout", "", range(0, i32::MAX, "invalid TCP user timeout value."), |d, v| d.bridge().tcp_user_timeout = positive(v).map(|ms| Duration::from_millis(ms.into())), "Milliseconds sent data may stay without an acknowledgement.").bridge(),
    option("bridge_reload_type", "lazy", Set::Choice(&words_of(["lazy", "immediate"]),
        |d, v| d.bridge().reload_type = if v == "lazy" { BridgeReload::Lazy } else { BridgeReload::Immediate }),
        "When a reload changes a connected bridge: when it connects the next time, or at once.").bridge(),
    flag("cleansession", "false", words::bridge_cleansession, "Forgets the session at the other broker when the connection ends.").bridge(),
    flag("local_cleansession", "", words::bridge_local_cleansession, "Forgets the session at this broker, and what waits in it, when the connection ends; without it as 'cleansession'.").bridge(),
    int("keepalive_interval", "60", range(i32::MIN, 65535, "Bridge keepalive value too high."), words::bridge_keepalive, "Keep-alive in seconds, at least 5.").bridge(),
    int("idle_timeout", "60", ANY, words::bridge_idle_timeout, "Seconds without messages after which a lazy bridge stops.").bridge(),
    int("threshold", "10", ANY, words::bridge_threshold, "Waiting messages that start a lazy bridge.").bridge(),
    option("start_type", "automatic", Set::Choice(
        &[("automatic", Support::Supported), ("lazy", Support::Supported), ("once", Support::Supported), ("manual", Support::Refused("Use 'lazy' or 'once'."))],
        |d, v| d.bridge().start_type = match v {
            "lazy" => BridgeStart::Lazy,
            "once" => BridgeStart::Once,
            _ => BridgeStart::Automatic,
        }), "When the bridge connects.").bridge(),
    special("restart_timeout", "SECONDS | BASE CAP [STABLE]", words::bridge_restart_timeout, "Seconds to wait before connecting again.").bridge(),
    flag("round_robin", "false", |d, v| d.bridge().round_robin = v, "Treats all addresses alike instead of preferring the first.").bridge(),
    flag("notifications", "true", |d, v| d.bridge().notifications = v, "Publishes whether the bridge is up.").bridge(),
    flag("notifications_local_only", "false", |d, v| d.bridge().notifications_local_only = v, "Publishes that at this broker only.").bridge(),
    special("notification_topic", "TOPIC", words::notification_topic, "Topic of that; without it $SYS/broker/connection/CLIENT-ID/state.").bridge().repeat(Repeat::Error),
    flag("try_private", "true", |d, v| d.bridge().try_private = v, "Tells the other broker that this is a bridge.").bridge(),
    text("local_clientid", "", |d, v| d.bridge().local_clientid = Some(v.into()), "Client id at this broker.").bridge().label("bridge local clientid"),
    text("local_username", "", |d, v| d.bridge().local_username = Some(v.into()), "User name at this broker.").bridge().label("bridge local_username"),
    text("local_password", "", |d, v| d.bridge().local_password = Some(v.into()), "Password at this broker.").bridge().label("bridge local_password").secret(),
    text("remote_clientid", "", |d, v| d.bridge().remote_clientid = Some(v.into()), "Client id at the other broker.").aliases(&["clientid"]).bridge().label("bridge remote clientid"),
    text("remote_username", "", |d, v| d.bridge().remote_username = Some(v.into()), "User name at the other broker.").aliases(&["username"]).bridge().label("bridge remote_username"),
    text("remote_password", "", |d, v| d.bridge().remote_password = Some(v.into()), "Password at the other broker.").aliases(&["password"]).bridge().label("bridge remote_password").secret(),
    text("bridge_cafile", "", |d, v| d.bridge().tls.cafile = Some(v.into()), "Certificates that may sign the other broker's.").bridge(),
    text("bridge_capath", "", |d, v| d.bridge().tls.capath = Some(v.into()), "Directory of such certificates.").bridge(),
    flag("bridge_tls_use_os_certs", "false", |d, v| d.bridge().tls.use_os_certs = v, "Trusts the certificates the system trusts.").bridge(),
    text("bridge_certfile", "", |d, v| d.bridge().tls.certfile = Some(v.into()), "The bridge's certificate chain.").bridge(),
    text("bridge_keyfile", "", |d, v| d.bridge().tls.keyfile = Some(v.into()), "The key of that certificate.").bridge().repeat(Repeat::LastWarned),
    text("bridge_alpn", "", |d, v| d.bridge().tls.alpn = Some(v.into()), "Application protocol named in the TLS handshake.").bridge(),
    text("bridge_ciphers", "", |d, v| d.bridge().tls.ciphers = Some(v.into()), "Cipher suites up to TLS 1.2, in OpenSSL's names.").bridge(),
    text("bridge_ciphers_tls1.3", "", |d, v| d.bridge().tls.ciphers_tls13 = Some(v.into()), "Cipher suites of TLS 1.3, in OpenSSL's names.").bridge(),
    option("bridge_tls_version", "tlsv1.2", Set::Choice(&words_of(["tlsv1.2", "tlsv1.3"]), |d, v| d.bridge().tls.tls13_only = v == "tlsv1.3"),
        "Lowest version of TLS.").bridge(),
    flag("bridge_insecure", "false", |d, v| d.bridge().tls.insecure = v, "Does not compare the host name with the certificate.").bridge(),
    flag("bridge_require_ocsp", "false", unused_flag, "Requires a stapled proof that the certificate is not revoked.").bridge().refused(NO_OCSP),
    text("bridge_identity", "", unused_text, "Identity of the pre-shared key.").bridge().refused(NO_BRIDGE_PSK),
    text("bridge_psk", "", unused_text, "Pre-shared key in hexadecimal.").bridge().refused(NO_BRIDGE_PSK).secret(),
];

/// Words that are all supported.
const fn words_of<const N: usize>(words: [&'static str; N]) -> [(&'static str, Support); N] {
    let mut list = [("", Support::Supported); N];
    let mut i = 0;
    while i < N {
        list[i].0 = words[i];
        i += 1;
    }
    list
}
