//! One connection to another broker, and what is exchanged over it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use grovemq_codec::{Qos, Version, topic};

use crate::diagnostic::{Place, shown};

/// A bridge, everything resolved and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own, with the directive's name"
)]
pub struct Bridge {
    /// As the `connection` line has it; unique.
    pub name: String,
    /// At least one.
    pub addresses: Vec<BridgeAddress>,
    /// At least one, each once.
    pub topics: Vec<BridgeTopic>,
    /// Spoken with the other broker.
    pub version: Version,
    /// Subscriptions that may be left over at the other broker are ended.
    pub attempt_unsubscribe: bool,
    /// Address to connect from.
    pub bind_address: Option<IpAddr>,
    /// Bytes of a packet sent to the other broker.
    pub max_packet_size: Option<u32>,
    /// Topic aliases the other broker may use (MQTT 5).
    pub max_topic_alias: u16,
    /// Messages sent out stay retained.
    pub outgoing_retain: bool,
    /// `QoS` 1 and 2 messages on their way to the bridge at a time (MQTT 5).
    pub receive_maximum: Option<u16>,
    /// Seconds the session at the other broker is kept (MQTT 5).
    pub session_expiry_interval: u32,
    /// Keep-alive of the TCP connection.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long sent data may stay unacknowledged.
    pub tcp_user_timeout: Option<Duration>,
    /// When a reload changes the bridge while it is connected.
    pub reload_type: BridgeReload,
    /// The session at the other broker is forgotten.
    pub cleansession: bool,
    /// The session at this broker is forgotten.
    pub local_cleansession: bool,
    /// Keep-alive of MQTT.
    pub keepalive_interval: Duration,
    /// A lazy bridge stops after so long without messages.
    pub idle_timeout: Duration,
    /// So many waiting messages start a lazy bridge.
    pub threshold: u16,
    /// When the bridge connects.
    pub start_type: BridgeStart,
    /// Delay before connecting again.
    pub restart: BridgeRestart,
    /// No address is preferred.
    pub round_robin: bool,
    /// Whether the bridge is up is published.
    pub notifications: bool,
    /// At this broker only.
    pub notifications_local_only: bool,
    /// Topic of that, if not the usual one.
    pub notification_topic: Option<String>,
    /// The other broker is told that this is a bridge (MQTT 3.x).
    pub try_private: bool,
    /// Client id at this broker, see [`Bridge::local_client_id`].
    pub local_clientid: Option<String>,
    /// User name at this broker.
    pub local_username: Option<String>,
    /// Password at this broker.
    pub local_password: Option<String>,
    /// Client id at the other broker, see [`Bridge::remote_client_id`].
    pub remote_clientid: Option<String>,
    /// User name at the other broker.
    pub remote_username: Option<String>,
    /// Password at the other broker.
    pub remote_password: Option<String>,
    /// Encryption.
    pub tls: BridgeTls,
    /// The `connection` line.
    pub place: Option<Place>,
}

/// Where another broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeAddress {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A set of topics that is exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeTopic {
    /// A filter; empty where the prefixes are whole topics.
    pub pattern: String,
    /// Which way messages go.
    pub direction: BridgeDirection,
    /// The highest `QoS` they have.
    pub qos: Qos,
    /// What stands before the pattern at this broker.
    pub local_prefix: String,
    /// What stands before it at the other.
    pub remote_prefix: String,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeDirection {
    /// To the other broker.
    Out,
    /// From it.
    In,
    /// Both ways.
    Both,
}

/// When a bridge connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeStart {
    /// At once, and again whenever the connection is lost.
    #[default]
    Automatic,
    /// When enough messages wait; it disconnects when it has nothing to do.
    Lazy,
    /// At once, and never again.
    Once,
}

/// When a reload changes a bridge that is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeReload {
    /// When it connects the next time.
    #[default]
    Lazy,
    /// At once.
    Immediate,
}

/// Delay before connecting again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeRestart {
    /// The shortest.
    pub base: Duration,
    /// The longest; `None`: it is always `base`.
    pub cap: Option<Duration>,
    /// A connection that has lasted so long begins anew with `base`.
    pub stable: Duration,
}

/// Keep-alive of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered probes that end the connection.
    pub counter: u32,
}

/// Encryption of a bridge; it is on when [`BridgeTls::is_on`] says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeTls {
    /// Certificates that sign the other broker's.
    pub cafile: Option<PathBuf>,
    /// Directory of such certificates.
    pub capath: Option<PathBuf>,
    /// Those the system trusts do, too.
    pub use_os_certs: bool,
    /// The bridge's certificate chain.
    pub certfile: Option<PathBuf>,
    /// The key of `certfile`.
    pub keyfile: Option<PathBuf>,
    /// Application protocol named in the handshake.
    pub alpn: Option<String>,
    /// Cipher suites up to TLS 1.2, `OpenSSL` names.
    pub ciphers: Option<String>,
    /// Cipher suites of TLS 1.3, `OpenSSL` names.
    pub ciphers_tls13: Option<String>,
    /// TLS 1.2 is not enough.
    pub tls13_only: bool,
    /// The host name is not compared with the certificate.
    pub insecure: bool,
}

impl BridgeTls {
    /// The bridge speaks TLS.
    pub fn is_on(&self) -> bool {
        self.cafile.is_some() || self.capath.is_some() || self.use_os_certs
    }
}

impl Bridge {
    pub(crate) fn new(name: &str, place: Option<Place>) -> Self {
        Self {
            name: name.to_owned(),
            addresses: Vec::new(),
            topics: Vec::new(),
            version: Version::V311,
            attempt_unsubscribe: true,
            bind_address: None,
            max_packet_size: None,
            max_topic_alias: 10,
            outgoing_retain: true,
            receive_maximum: None,
            session_expiry_interval: 0,
            tcp_keepalive: None,
            tcp_user_timeout: None,
            reload_type: BridgeReload::Lazy,
            cleansession: false,
            local_cleansession: false,
            keepalive_interval: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            threshold: 10,
            start_type: BridgeStart::Automatic,
            restart: BridgeRestart {
                base: Duration::from_secs(5),
                cap: Some(Duration::from_secs(30)),
                stable: Duration::ZERO,
            },
            round_robin: false,
            notifications: true,
            notifications_local_only: false,
            notification_topic: None,
            try_private: true,
            local_clientid: None,
            local_username: None,
            local_password: None,
            remote_clientid: None,
            remote_username: None,
            remote_password: None,
            tls: BridgeTls::default(),
            place,
        }
    }

    /// Client id at the other broker, on a machine of this name.
    pub fn remote_client_id(&self, host_name: &str) -> String {
        self.remote_clientid.clone().unwrap_or_else(|| format!("{host_name}.{}", self.name))
    }

    /// Client id at this broker, on a machine of this name.
    pub fn local_client_id(&self, host_name: &str) -> String {
        self.local_clientid.clone().unwrap_or_else(|| format!("local.{}", self.remote_client_id(host_name)))
    }

    /// What is wrong with the bridge as a whole.
    pub(crate) fn check(&self) -> Result<(), String> {
        let tls = &self.tls;
        if self.addresses.is_empty() {
            Err("Invalid bridge configuration: no remote addresses defined.".to_owned())
        } else if self.topics.is_empty() {
            Err("Invalid bridge configuration: no topics defined.".to_owned())
        } else if tls.certfile.is_some() != tls.keyfile.is_some() {
            Err("Both bridge_certfile and bridge_keyfile must be provided to use a certificate.".to_owned())
        } else if tls.certfile.is_some() && !tls.is_on() {
            Err("bridge_certfile specified without bridge_cafile, bridge_capath or bridge_tls_use_os_certs."
                .to_owned())
        } else {
            Ok(())
        }
    }
}

impl BridgeTopic {
    /// The filter at this broker.
    pub fn local_filter(&self) -> String {
        format!("{}{}", self.local_prefix, self.pattern)
    }

    /// The filter at the other broker.
    pub fn remote_filter(&self) -> String {
        format!("{}{}", self.remote_prefix, self.pattern)
    }

    /// Messages go to the other broker.
    pub fn is_out(&self) -> bool {
        self.direction != BridgeDirection::In
    }

    /// Messages come from the other broker.
    pub fn is_in(&self) -> bool {
        self.direction != BridgeDirection::Out
    }

    /// In the original's words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (local, remote) = (&self.local_prefix, &self.remote_prefix);
        for (which, prefix) in [("local", local), ("remote", remote)] {
            if prefix.contains(['+', '#']) {
                return Err(format!("Invalid bridge topic {which} prefix '{}'.", shown(prefix)));
            }
        }
        if self.pattern.is_empty() && (local.is_empty() || remote.is_empty()) {
            return Err("Invalid bridge remapping.".to_owned());
        }
        for (which, filter) in [("local", self.local_filter()), ("remote", self.remote_filter())] {
            if topic::validate_filter(&filter).is_err() {
                let filter = shown(&filter);
                return Err(format!(
                    "Invalid bridge topic {which} prefix and pattern combination '{filter}'."
                ));
            }
        }
        Ok(())
    }
}
