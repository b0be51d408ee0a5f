//! One listening socket and who may come in through it.

use std::path::PathBuf;

use crate::diagnostic::Place;

/// A listener, everything resolved: global settings and per-listener ones are already merged.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own, with the directive's name"
)]
pub struct Listener {
    /// TCP port; 0 when `unix_path` is set.
    pub port: u16,
    /// Address or host name to bind; `None` is every address.
    pub host: Option<String>,
    /// Path of a Unix socket, instead of port and host.
    pub unix_path: Option<PathBuf>,
    /// Reachable from this machine only, because no listener is configured.
    pub local_only: bool,
    /// Which address families to bind.
    pub socket_domain: SocketDomain,
    /// Network interface to bind to.
    pub bind_interface: Option<String>,
    /// What is spoken here.
    pub protocol: Protocol,
    /// Accepted MQTT versions.
    pub versions: Versions,
    /// Connections at the same time; `None` is no limit.
    pub max_connections: Option<u32>,
    /// Connections accepted within a second; `None` is no limit.
    pub max_connection_rate: Option<u32>,
    /// Messages one client may publish in a second; `None` is no limit.
    pub max_publish_rate: Option<u32>,
    /// The same in bytes of PUBLISH packets.
    pub max_publish_bytes_rate: Option<u32>,
    /// Highest `QoS` granted and accepted, 0 to 2.
    pub max_qos: u8,
    /// Topic aliases a client may use towards the broker.
    pub max_topic_alias: u16,
    /// Topic aliases the broker may use towards a client.
    pub max_topic_alias_broker: u16,
    /// Clients without a user name are let in.
    pub allow_anonymous: bool,
    /// The client id is replaced by the user name.
    pub use_username_as_clientid: bool,
    /// Prefix put before the topics of this listener's clients.
    pub mount_point: Option<String>,
    /// The PROXY protocol's header is expected.
    pub proxy: Option<ProxyProtocol>,
    /// A PROXY header must say that the client used TLS.
    pub proxy_require_tls: bool,
    /// `Origin` headers accepted from WebSocket clients; empty is any.
    pub websockets_origins: Vec<String>,
    /// Static files of an HTTP listener.
    pub http_dir: Option<PathBuf>,
    /// Credentials and rules.
    pub auth: Security,
    /// Encryption.
    pub tls: Tls,
    /// The `listener` line, or the one that made the default listener; `None` for local-only listeners.
    pub place: Option<Place>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            port: 1883,
            host: None,
            unix_path: None,
            local_only: false,
            socket_domain: SocketDomain::Any,
            bind_interface: None,
            protocol: Protocol::Mqtt,
            versions: Versions::default(),
            max_connections: None,
            max_connection_rate: None,
            max_publish_rate: None,
            max_publish_bytes_rate: None,
            max_qos: 2,
            max_topic_alias: 10,
            max_topic_alias_broker: 10,
            allow_anonymous: false,
            use_username_as_clientid: false,
            mount_point: None,
            proxy: None,
            proxy_require_tls: false,
            websockets_origins: Vec::new(),
            http_dir: None,
            auth: Security::default(),
            tls: Tls::default(),
            place: None,
        }
    }
}

/// Where credentials and rules of a listener come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Users and password hashes.
    pub password_file: Option<PathBuf>,
    /// Who may read and write which topics.
    pub acl_file: Option<PathBuf>,
    /// Pre-shared TLS keys.
    pub psk_file: Option<PathBuf>,
    /// An empty client id is answered with a generated one.
    pub allow_zero_length_clientid: bool,
    /// What a generated client id begins with.
    pub auto_id_prefix: String,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            password_file: None,
            acl_file: None,
            psk_file: None,
            allow_zero_length_clientid: true,
            auto_id_prefix: "auto-".to_owned(),
        }
    }
}

/// Address families of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketDomain {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT over a byte stream.
    #[default]
    Mqtt,
    /// MQTT over WebSocket.
    Websockets,
    /// The HTTP interface.
    HttpApi,
    /// CoAP over UDP.
    Coap,
}

/// Version of the PROXY protocol's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The text form.
    V1,
    /// The binary form.
    V2,
}

/// MQTT versions a listener accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// MQTT 3.1, level 3.
    pub v31: bool,
    /// MQTT 3.1.1, level 4.
    pub v311: bool,
    /// MQTT 5, level 5.
    pub v5: bool,
}

impl Default for Versions {
    /// All of them.
    fn default() -> Self {
        Self { v31: true, v311: true, v5: true }
    }
}

/// Encryption of a listener; it is on when [`Tls::is_on`] says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own, with the directive's name"
)]
pub struct Tls {
    /// Certificates that sign clients' certificates.
    pub cafile: Option<PathBuf>,
    /// Directory of such certificates.
    pub capath: Option<PathBuf>,
    /// The broker's certificate chain.
    pub certfile: Option<PathBuf>,
    /// The key of `certfile`.
    pub keyfile: Option<PathBuf>,
    /// Revoked certificates.
    pub crlfile: Option<PathBuf>,
    /// Cipher suites up to TLS 1.2, `OpenSSL` names.
    pub ciphers: Option<String>,
    /// Cipher suites of TLS 1.3, `OpenSSL` names.
    pub ciphers_tls13: Option<String>,
    /// Lowest version: `tlsv1.2` or `tlsv1.3`.
    pub version: Option<String>,
    /// Clients must present a certificate.
    pub require_certificate: bool,
    /// The common name of the client's certificate is the user name.
    pub use_identity_as_username: bool,
    /// The whole subject of the client's certificate is the user name.
    pub use_subject_as_username: bool,
    /// Expired client certificates are accepted.
    pub disable_client_cert_date_checks: bool,
    /// Hint shown to clients; turns pre-shared keys on.
    pub psk_hint: Option<String>,
}

impl Tls {
    /// The listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.certfile.is_some() || self.psk_hint.is_some()
    }
}
