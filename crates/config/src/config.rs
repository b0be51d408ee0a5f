//! The effective configuration: plain data, every default filled in.

use std::path::PathBuf;
use std::time::Duration;

use crate::bridge::Bridge;
use crate::listener::Listener;

/// All a broker needs to know to start.
///
/// [`Config::default`] is the *local-only mode*: 127.0.0.1 and `::1`, port 1883, anonymous clients allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// At least one.
    pub listeners: Vec<Listener>,
    /// No listener is configured: the listeners are those of this machine only.
    pub local_only: bool,
    /// Connections to other brokers.
    pub bridges: Vec<Bridge>,
    /// Security settings belong to the listener they follow.
    pub per_listener_settings: bool,
    /// Only client ids that begin with this may connect.
    pub clientid_prefixes: Option<String>,
    /// Sizes, counts, times.
    pub limits: Limits,
    /// How messages are queued and delivered.
    pub delivery: Delivery,
    /// What is logged, and where.
    pub log: Log,
    /// What survives a restart.
    pub persistence: Persistence,
    /// User and pid file.
    pub process: Process,
    /// Period of the `$SYS` topics; `None` is off.
    pub sys_interval: Option<Duration>,
    /// `$CONTROL/broker` is answered.
    pub enable_control_api: bool,
    /// Event loops; `None` is one per core.
    pub shards: Option<u16>,
    /// An event loop looks for work so long before it sleeps.
    pub busy_poll: Duration,
}

/// Sizes, counts and times. `None` is "no limit" throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `QoS` 1 and 2 messages on their way to one client.
    pub max_inflight_messages: Option<u16>,
    /// Their bytes.
    pub max_inflight_bytes: Option<u32>,
    /// Messages waiting for one client beyond those.
    pub max_queued_messages: Option<u32>,
    /// Their bytes.
    pub max_queued_bytes: Option<u32>,
    /// Bytes of a PUBLISH payload.
    pub message_size_limit: Option<u32>,
    /// Bytes of a whole packet.
    pub max_packet_size: u32,
    /// Longest keep-alive, in seconds.
    pub max_keepalive: Option<u16>,
    /// Sessions, connected or not.
    pub global_max_clients: Option<u32>,
    /// Connected clients.
    pub global_max_connections: Option<u32>,
    /// How long a durable session outlives its connection.
    pub persistent_client_expiration: Option<Duration>,
    /// Period of the sweep for expired retained messages.
    pub retain_expiry_interval: Option<Duration>,
    /// Subscriptions of one client.
    pub max_subscriptions_per_client: Option<u32>,
    /// Retained messages of clients.
    pub max_retained_messages: Option<u32>,
    /// Bytes of their topics, properties and payloads.
    pub max_retained_bytes: Option<u64>,
    /// Bytes in use above which nothing new is kept in memory.
    pub memory_limit: Option<u64>,
    /// Longest delay of a login from an address where many have failed; `None` is no delay.
    pub login_delay: Option<Duration>,
}

/// How messages are queued and delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own, with the directive's name"
)]
pub struct Delivery {
    /// `QoS` 0 messages wait for clients that are away, too.
    pub queue_qos0_messages: bool,
    /// What happens to messages for a client whose queue is full.
    pub queue_policy: QueuePolicy,
    /// Retained messages exist.
    pub retain_available: bool,
    /// The subscription's `QoS` counts, not the lower of both.
    pub upgrade_outgoing_qos: bool,
    /// One copy for each overlapping subscription.
    pub allow_duplicate_messages: bool,
    /// The right of a retained message's publisher is checked again when it is given out.
    pub check_retain_source: bool,
}

/// What happens to messages for a client whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The new one is dropped.
    #[default]
    DropNew,
    /// The one that has waited longest is dropped.
    DropOldest,
    /// The new one is dropped and the client disconnected.
    Disconnect,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where to; empty is nowhere.
    pub dest: Vec<LogDest>,
    /// Which lines.
    pub types: LogTypes,
    /// Each line begins with the time.
    pub timestamp: bool,
    /// `strftime` format of it; `None` is seconds since 1970.
    pub timestamp_format: Option<String>,
    /// Coming and going of clients is logged.
    pub connection_messages: bool,
    /// What a line looks like.
    pub format: LogFormat,
    /// Facility of syslog lines: `local0` to `local7`; `None` is `daemon`.
    pub facility: Option<u8>,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// The original's sentences.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// A place log lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDest {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// `$SYS/broker/log/…`
    Topic,
    /// The system's log, through `/dev/log`.
    Syslog,
    /// A file, appended to.
    File(PathBuf),
}

/// The kinds of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum LogType {
    /// What does not work.
    Error = 1,
    /// What probably is a mistake.
    Warning = 1 << 1,
    /// Clients come and go.
    Notice = 1 << 2,
    /// What the broker does.
    Information = 1 << 3,
    /// Each packet.
    Debug = 1 << 4,
    /// Each subscription.
    Subscribe = 1 << 5,
    /// Each end of one.
    Unsubscribe = 1 << 6,
    /// Events of WebSocket connections.
    Websockets = 1 << 7,
    /// For developers; not part of `all`.
    Internal = 1 << 8,
}

/// A set of [`LogType`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogTypes(u16);

impl LogTypes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `log_type all`.
    pub const ALL: Self = Self(0xff);
    /// `-v`: all, [`LogType::Internal`] too.
    pub const VERBOSE: Self = Self(0x1ff);
    /// Error, warning, notice, information.
    pub const DEFAULT: Self = Self(0x0f);

    /// Adds one.
    #[must_use]
    pub const fn with(self, kind: LogType) -> Self {
        Self(self.0 | kind as u16)
    }

    /// The set as a number.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set that [`LogTypes::bits`] was asked of.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Lines of this kind are logged.
    pub const fn contains(self, kind: LogType) -> bool {
        self.0 & kind as u16 != 0
    }
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Sessions and retained messages are kept on disk.
    pub on: bool,
    /// Directory; `None` is the working directory.
    pub location: Option<PathBuf>,
    /// File name in it.
    pub file: String,
    /// What an acknowledgement waits for.
    pub mode: PersistenceMode,
    /// How long a commit waits for more to be committed with it.
    pub commit_delay: Duration,
    /// Bytes on disk above which nothing more is stored; `None` is as much as the disk holds.
    pub size_max: Option<u64>,
    /// Period of saving; `None` is only at exit.
    pub autosave_interval: Option<Duration>,
    /// The interval counts changes instead of seconds.
    pub autosave_on_changes: bool,
}

/// What an acknowledgement of a message that has to be kept waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersistenceMode {
    /// The disk has it: neither the end of the process nor a power cut loses it.
    #[default]
    Durable,
    /// The system has it: the end of the process does not lose it.
    Written,
    /// Nothing: all is lost with the process.
    Memory,
}

impl Persistence {
    /// Something is stored at all.
    pub fn is_stored(&self) -> bool {
        self.on && self.mode != PersistenceMode::Memory
    }
}

/// What concerns the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// User to become when started as root; `None` is `mosquitto`, or `nobody` if there is no such user.
    pub user: Option<String>,
    /// File for the process id.
    pub pid_file: Option<PathBuf>,
    /// File for the secrets of TLS connections; only the command line asks for it.
    pub tls_keylog: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Self::local_listeners(
                &[1883],
                &Listener { allow_anonymous: true, ..Listener::default() },
            ),
            local_only: true,
            bridges: Vec::new(),
            per_listener_settings: false,
            clientid_prefixes: None,
            limits: Limits::default(),
            delivery: Delivery::default(),
            log: Log::default(),
            persistence: Persistence::default(),
            process: Process::default(),
            sys_interval: Some(Duration::from_secs(10)),
            enable_control_api: false,
            shards: None,
            busy_poll: Duration::ZERO,
        }
    }
}

impl Config {
    /// Both loopback addresses for each port, otherwise like `model`.
    pub(crate) fn local_listeners(ports: &[u16], model: &Listener) -> Vec<Listener> {
        let local = |port, host: &str| Listener {
            port,
            host: Some(host.to_owned()),
            local_only: true,
            place: None,
            ..model.clone()
        };
        ports.iter().flat_map(|&port| [local(port, "127.0.0.1"), local(port, "::1")]).collect()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inflight_messages: Some(20),
            max_inflight_bytes: None,
            max_queued_messages: Some(1000),
            max_queued_bytes: None,
            message_size_limit: None,
            max_packet_size: 2_000_000,
            max_keepalive: None,
            global_max_clients: None,
            global_max_connections: None,
            persistent_client_expiration: None,
            retain_expiry_interval: None,
            max_subscriptions_per_client: None,
            max_retained_messages: None,
            max_retained_bytes: None,
            memory_limit: None,
            login_delay: Some(Duration::from_secs(8)),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            queue_qos0_messages: false,
            queue_policy: QueuePolicy::DropNew,
            retain_available: true,
            upgrade_outgoing_qos: false,
            allow_duplicate_messages: false,
            check_retain_source: true,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            dest: vec![LogDest::Stderr],
            types: LogTypes::DEFAULT,
            timestamp: true,
            timestamp_format: None,
            connection_messages: true,
            format: LogFormat::Text,
            facility: None,
        }
    }
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            on: false,
            location: None,
            file: "mosquitto.db".to_owned(),
            mode: PersistenceMode::default(),
            commit_delay: Duration::ZERO,
            size_max: None,
            autosave_interval: Some(Duration::from_secs(1800)),
            autosave_on_changes: false,
        }
    }
}
