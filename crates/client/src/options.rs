//! What a client is to be.

use crate::scram::Login;
use crate::{SessionStore, Transport, Version, Will};
use grovemq_core::client::{Config, Credentials};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// What to do when there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// The first failure or loss is the end.
    Never,
    /// Try again after a delay that doubles from `min` to `max` with each failure and is shortened by a random part
    /// of up to one half, so that many clients do not come back in step.
    Backoff { min: Duration, max: Duration },
}

/// Everything a client has to know, built in one go.
///
/// The defaults: MQTT 5, an id the server assigns, clean start, keep-alive 60 s, reconnecting after 1 s to 60 s.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) transport: Transport,
    pub(crate) protocol: Config,
    pub(crate) scram: Option<Login>,
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) disconnect_timeout: Duration,
    pub(crate) bind_address: Option<IpAddr>,
    pub(crate) tcp_nodelay: bool,
    pub(crate) events_bytes_max: usize,
    pub(crate) response_topic: Option<String>,
    pub(crate) store: Option<Arc<dyn SessionStore>>,
}

impl Options {
    /// Over TCP. `host` is a name or an IPv4 or IPv6 address (without brackets).
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self::over(Transport::tcp(host, port))
    }

    pub fn over(transport: Transport) -> Self {
        Self {
            transport,
            protocol: Config::default(),
            scram: None,
            reconnect: Reconnect::Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) },
            connect_timeout: Duration::from_secs(10),
            disconnect_timeout: Duration::from_secs(5),
            bind_address: None,
            tcp_nodelay: true,
            events_bytes_max: 16 << 20,
            response_topic: None,
            store: None,
        }
    }

    /// Another way to the server.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.protocol.version = version;
        self
    }

    /// Empty (the default): the server assigns one; with 3.1, which cannot, the client makes one up.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.protocol.client_id = id.into();
        self
    }

    /// Begin without an old session. In MQTT 5 this holds for the first connection; reconnections resume the
    /// session where [`Self::session_expiry`] lets it live.
    #[must_use]
    pub fn clean_start(mut self, clean: bool) -> Self {
        self.protocol.clean_start = clean;
        self
    }

    /// Whole seconds up to 65,535; zero is off.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.protocol.keep_alive = interval;
        self
    }

    /// How long silence may last after a PINGREQ before the connection counts as dead; 20 s by default.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.protocol.ping_timeout = timeout;
        self
    }

    /// How long the server keeps the session after the connection, in seconds; `u32::MAX` is for ever (MQTT 5).
    #[must_use]
    pub fn session_expiry(mut self, seconds: u32) -> Self {
        self.protocol.session_expiry = Some(seconds);
        self
    }

    /// Keep the session for the next run of the program: messages of `QoS` 1 and 2 that the server has not acknowledged are
    /// sent again, and those of `QoS` 2 that came from it are not delivered twice. Needs a client id. The server is asked
    /// to keep its half: there is no clean start, and unless [`Self::session_expiry`] says when, no end to the session.
    ///
    /// A message is kept before it is sent; one handed over less than a moment before a crash may not have been. Expiry
    /// times stand still while the program does not run. Options may be cloned, but a store is for one client at a time.
    #[must_use]
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: Option<Vec<u8>>) -> Self {
        self.protocol.credentials = Some(Credentials { username: Some(username.into()), password });
        self
    }

    /// A password without a user name (MQTT 5).
    #[must_use]
    pub fn password(mut self, password: Vec<u8>) -> Self {
        let username = self.protocol.credentials.take().and_then(|c| c.username);
        self.protocol.credentials = Some(Credentials { username, password: Some(password) });
        self
    }

    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.protocol.will = Some(will);
        self
    }

    /// Unacknowledged `QoS` 1 and 2 messages the server may have under way to us (MQTT 5).
    #[must_use]
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.protocol.receive_maximum = Some(messages);
        self
    }

    /// How many above that are taken nevertheless, for servers that miscount after a connection was lost.
    #[must_use]
    pub fn receive_tolerance(mut self, messages: u16) -> Self {
        self.protocol.receive_tolerance = messages;
        self
    }

    /// The largest packet we take, in bytes: announced in MQTT 5, enforced in all versions.
    #[must_use]
    pub fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.protocol.maximum_packet_size = Some(bytes);
        self
    }

    /// The largest packet we send, in bytes, even if the server takes larger ones.
    #[must_use]
    pub fn outgoing_packet_max(mut self, bytes: u32) -> Self {
        self.protocol.outgoing_packet_max = Some(bytes);
        self
    }

    /// Send with a lower `QoS`, or not retained, what the server does not take otherwise, instead of failing.
    #[must_use]
    pub fn adapt(mut self, on: bool) -> Self {
        self.protocol.adapt = on;
        self
    }

    /// How many topic aliases the server may use (MQTT 5); 0 by default.
    #[must_use]
    pub fn topic_alias_maximum(mut self, aliases: u16) -> Self {
        self.protocol.topic_alias_maximum = aliases;
        self
    }

    #[must_use]
    pub fn request_response_information(mut self, on: bool) -> Self {
        self.protocol.request_response_information = Some(on);
        self
    }

    #[must_use]
    pub fn request_problem_information(mut self, on: bool) -> Self {
        self.protocol.request_problem_information = Some(on);
        self
    }

    /// Extended authentication (MQTT 5); the server's challenges come as [`Event::Auth`](crate::Event::Auth).
    #[must_use]
    pub fn authentication(mut self, method: impl Into<String>, data: Option<Vec<u8>>) -> Self {
        self.protocol.authentication_method = Some(method.into());
        self.protocol.authentication_data = data;
        self
    }

    /// Log in with SCRAM-SHA-256 (MQTT 5): the password is never sent, and a server that does not know it, too, is not taken
    /// for the right one. A name given with [`Self::credentials`] must be the same; most need none.
    #[must_use]
    pub fn scram(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.scram = Some(Login { username: username.into(), password: password.into() });
        self
    }

    /// A user property of CONNECT (MQTT 5); may be called many times.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.protocol.user.push((name.into(), value.into()));
        self
    }

    /// From the first look at the name to the transport, all addresses and handshakes together (10 s by default); the
    /// same again for CONNACK.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.protocol.connack_timeout = timeout;
        self
    }

    /// How long to wait for CONNACK, if not as long as for the transport; after [`Self::connect_timeout`].
    #[must_use]
    pub fn connack_timeout(mut self, timeout: Duration) -> Self {
        self.protocol.connack_timeout = timeout;
        self
    }

    /// How long [`Client::disconnect`](crate::Client::disconnect) may wait for acknowledgements; 5 s by default.
    #[must_use]
    pub fn disconnect_timeout(mut self, timeout: Duration) -> Self {
        self.disconnect_timeout = timeout;
        self
    }

    #[must_use]
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = policy;
        self
    }

    /// The local address to connect from (TCP).
    #[must_use]
    pub fn bind_address(mut self, address: IpAddr) -> Self {
        self.bind_address = Some(address);
        self
    }

    /// On by default: output is gathered before it is written anyway.
    #[must_use]
    pub fn tcp_nodelay(mut self, on: bool) -> Self {
        self.tcp_nodelay = on;
        self
    }

    /// Our own bound on unacknowledged `QoS` 1 and 2 messages under way to the server, whatever it allows; by default
    /// 1000 in MQTT 5 and 20 in 3.x, whose servers cannot say what they allow.
    #[must_use]
    pub fn inflight_max(mut self, messages: u16) -> Self {
        self.protocol.inflight_max = Some(messages);
        self
    }

    /// What may wait while offline, in messages and bytes; more gets [`Error::QueueFull`](crate::Error::QueueFull).
    #[must_use]
    pub fn queue_max(mut self, messages: usize, bytes: usize) -> Self {
        self.protocol.queue_len_max = messages;
        self.protocol.queue_bytes_max = bytes;
        self
    }

    /// Where the answers to [`Client::request`](crate::Client::request) are to come (MQTT 5): a topic nobody else uses.
    /// By default `reply/` and the client id or, where the server is to assign that, a random name.
    #[must_use]
    pub fn response_topic(mut self, topic: impl Into<String>) -> Self {
        self.response_topic = Some(topic.into());
        self
    }

    /// Received messages that may wait for [`Events::next`](crate::Events::next), and as much again in each stream of
    /// [`Client::subscribe_stream`](crate::Client::subscribe_stream), in bytes; above it the socket is not read.
    #[must_use]
    pub fn events_bytes_max(mut self, bytes: usize) -> Self {
        self.events_bytes_max = bytes;
        self
    }

    /// Acknowledge `QoS` 1 and 2 messages by [`Client::ack`](crate::Client::ack) instead of at once.
    #[must_use]
    pub fn manual_ack(mut self, on: bool) -> Self {
        self.protocol.manual_ack = on;
        self
    }

    /// Announce as a bridge, in the way Mosquitto does (3.x).
    #[must_use]
    pub fn bridge(mut self, on: bool) -> Self {
        self.protocol.bridge = on;
        self
    }

    /// Report every packet as [`Event::Packet`](crate::Event::Packet).
    #[must_use]
    pub fn trace(mut self, on: bool) -> Self {
        self.protocol.trace = on;
        self
    }
}
