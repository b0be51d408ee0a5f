//! The core's events as the original's log lines.

use crate::log::Log;
use crate::reception::tls_on_plain;
use grovemq_codec::{Packet, Qos, Version};
use grovemq_config::LogType;
use grovemq_core::Time;
use grovemq_core::observe::{Cause, Connected, Event, Observe, Peer, UNEXPECTED_TLS};
use std::sync::{Arc, PoisonError, RwLock};

/// Writes events to the log.
#[derive(Clone, Debug)]
pub(crate) struct LogObserver {
    pub(crate) log: Log,
    pub(crate) ports: Ports,
}

/// Ports by the number of their listener.
pub(crate) type Ports = Arc<RwLock<Vec<u16>>>;

impl Observe for LogObserver {
    fn wants_packets(&self) -> bool {
        self.log.is_on(LogType::Debug)
    }

    fn on(&mut self, _: Time, event: Event<'_>) {
        match event {
            // the broker's own clients tell of themselves
            Event::Opened { peer }
            | Event::Connected(Connected { peer, .. })
            | Event::Disconnected { peer, .. }
                if peer == Peer::INSIDE => {}
            Event::Opened { peer } if self.log.connection_messages() => self.opened(peer),
            Event::Connected(c) => self.connected(&c),
            Event::Disconnected { peer, client_id, username, cause, dropped }
                if self.log.connection_messages() =>
            {
                self.disconnected(peer, client_id, username, cause, dropped);
            }
            Event::Opened { .. } | Event::Disconnected { .. } => {}
            Event::Received { client_id, packet } => self.received(client_id, packet),
            Event::SentPublish { client_id, dup, qos, retain, packet_id, topic, bytes } => {
                let (d, q, r) = (u8::from(dup), qos as u8, u8::from(retain));
                let text = format!(
                    "Sending PUBLISH to {client_id} (d{d}, q{q}, r{r}, m{packet_id}, '{topic}', ... ({bytes} bytes))"
                );
                self.log.event(LogType::Debug, "packet_sent", text, |f| {
                    f.text("packet", "PUBLISH").text("client", client_id).text("topic", topic);
                    f.number("qos", q).flag("retain", retain).number("bytes", bytes as u64);
                });
            }
            Event::Sent { client_id, name, packet_id, reason } => {
                let detail = match name {
                    "PINGRESP" | "SUBACK" | "UNSUBACK" => String::new(),
                    "CONNACK" => format!(" ({packet_id}, {reason})"),
                    "DISCONNECT" => format!(" (rc{reason})"),
                    _ => format!(" (m{packet_id}, rc{reason})"),
                };
                let text = format!("Sending {name} to {client_id}{detail}");
                self.log.event(LogType::Debug, "packet_sent", text, |f| {
                    f.text("packet", name).text("client", client_id).number("reason_code", reason);
                });
            }
            Event::Subscribed { .. } | Event::Unsubscribed { .. } if !self.tells_of_subscriptions() => {}
            Event::Subscribed { client_id, filter, granted, .. } if granted.is_error() => {
                self.log.event(LogType::Debug, "subscription_denied", format!("\t{filter} (denied)"), |f| {
                    f.text("client", client_id).text("filter", filter).number("reason_code", granted as u8);
                });
            }
            Event::Subscribed { client_id, filter, options, granted } => {
                self.log.line(LogType::Debug, format!("\t{filter} (QoS {})", options.qos as u8));
                let text = format!("{client_id} {} {filter}", granted as u8);
                self.log.event(LogType::Subscribe, "subscribed", text, |f| {
                    f.text("client", client_id).text("filter", filter).number("qos", granted as u8);
                });
            }
            Event::Unsubscribed { client_id, filter } => {
                self.log.line(LogType::Debug, format!("\t{filter}"));
                self.log.event(LogType::Unsubscribe, "unsubscribed", format!("{client_id} {filter}"), |f| {
                    f.text("client", client_id).text("filter", filter);
                });
            }
            Event::Denied { .. } => self.denied(event),
            Event::Slowed { client_id } => {
                let text =
                    format!("Client {client_id} publishes faster than it may: it is read from more slowly.");
                self.about(client_id, "client_slowed", text);
            }
            Event::Dropping { .. }
            | Event::Dropped { .. }
            | Event::RetainedFull { .. }
            | Event::RetainedRoom { .. } => self.shed(event),
            Event::SessionExpired { client_id } => {
                let text = format!("Expiring client {client_id} due to timeout.");
                self.about(client_id, "session_expired", text);
            }
        }
    }
}

impl LogObserver {
    /// Something worth noticing of one client.
    fn about(&self, client_id: &str, event: &'static str, text: String) {
        self.log.event(LogType::Notice, event, text, |f| {
            f.text("client", client_id);
        });
    }

    fn tells_of_subscriptions(&self) -> bool {
        [LogType::Debug, LogType::Subscribe, LogType::Unsubscribe]
            .into_iter()
            .any(|kind| self.log.is_on(kind))
    }

    fn opened(&self, peer: Peer) {
        let ports = self.ports.read().unwrap_or_else(PoisonError::into_inner);
        let port = ports.get(usize::from(peer.listener)).copied().unwrap_or(0);
        drop(ports);
        let address = address(peer);
        let text = format!("New connection from {address} on port {port}.");
        self.log.event(LogType::Notice, "connection", text, |f| {
            f.text("address", &address).number("port", port);
        });
    }

    fn disconnected(
        &self,
        peer: Peer,
        client_id: Option<&str>,
        username: Option<&str>,
        cause: Cause,
        dropped: u32,
    ) {
        let address = address(peer);
        if cause == Cause::Protocol(UNEXPECTED_TLS) {
            self.log.notice(tls_on_plain(&address));
        }
        let who = client_id.unwrap_or(&address);
        let place = if client_id.is_some() { format!(" [{address}]") } else { String::new() };
        let reason = reason_text(cause);
        let because = reason.map(|r| format!(": {r}")).unwrap_or_default();
        let text = format!("Client {who}{place} disconnected{because}.");
        self.log.event(LogType::Notice, "client_disconnected", text, |f| {
            f.maybe("client", client_id).text("address", &address).maybe("user", username);
            f.text("reason", reason.unwrap_or("disconnected by client"));
            if dropped > 0 {
                f.number("dropped", dropped);
            }
        });
    }

    /// Beginning and end of what is dropped or refused for want of room.
    fn shed(&self, event: Event<'_>) {
        match event {
            Event::Dropping { client_id } => {
                let text = format!("Outgoing messages are being dropped for client {client_id}.");
                self.log.event(LogType::Notice, "messages_dropped", text, |f| {
                    f.text("client", client_id);
                });
            }
            Event::Dropped { client_id, count } => {
                let text = format!(
                    "Outgoing messages are no longer dropped for client {client_id}: it was {count}."
                );
                self.log.event(LogType::Notice, "messages_dropped_over", text, |f| {
                    f.text("client", client_id).number("count", count);
                });
            }
            Event::RetainedRoom { count } => {
                let text = format!("There is room for retained messages again; {count} were refused.");
                self.log.event(LogType::Notice, "retained_room", text, |f| {
                    f.number("count", count);
                });
            }
            Event::RetainedFull { client_id, topic } => self.retained_full(client_id, topic),
            _ => {}
        }
    }

    fn retained_full(&self, client_id: &str, topic: &str) {
        let text = format!(
            "There is no room for more retained messages: they are refused, as that of \
             client {client_id} on '{topic}'."
        );
        self.log.event(LogType::Warning, "retained_full", text, |f| {
            f.text("client", client_id).text("topic", topic);
        });
    }

    fn denied(&self, event: Event<'_>) {
        let Event::Denied { client_id, username, topic, qos, retain, packet_id, bytes, reason } = event
        else {
            return;
        };
        let (q, r) = (qos as u8, u8::from(retain));
        let user = username.map(|u| format!(" (user '{u}')")).unwrap_or_default();
        let text = format!(
            "Denied PUBLISH from {client_id}{user} (d0, q{q}, r{r}, m{packet_id}, '{topic}', ... \
             ({bytes} bytes)): {reason}"
        );
        self.log.event(LogType::Notice, "publish_denied", text, |f| {
            f.text("client", client_id).maybe("user", username).text("topic", topic);
            f.number("qos", q).flag("retain", retain).number("bytes", bytes as u64).text("reason", reason);
        });
    }

    fn connected(&self, c: &Connected<'_>) {
        if self.log.connection_messages() {
            let what = if c.bridge { "bridge" } else { "client" };
            let version: u8 = match c.version {
                Version::V31 => 3,
                Version::V311 => 4,
                Version::V5 => 5,
            };
            let user = c.username.map(|u| format!(", u'{u}'")).unwrap_or_default();
            let address = address(c.peer);
            let text = format!(
                "New {what} connected from {address} as {} (p{version}, c{}, k{}{user}).",
                c.client_id,
                u8::from(c.clean_start),
                c.keep_alive
            );
            self.log.event(LogType::Notice, "client_connected", text, |f| {
                f.text("client", c.client_id).text("address", &address).maybe("user", c.username);
                f.number("protocol", version).flag("clean_start", c.clean_start);
                f.number("keep_alive", c.keep_alive).flag("bridge", c.bridge);
                f.flag("session_present", c.session_present).maybe("tls", c.peer.secured);
            });
            if let Some(secured) = c.peer.secured {
                self.log.notice(format!("Client {} negotiated {secured}", c.client_id));
            }
        }
        if !self.log.is_on(LogType::Debug) {
            return;
        }
        match c.will {
            None => self.log.line(LogType::Debug, "No will message specified.".into()),
            Some(w) => {
                let (r, q) = (u8::from(w.retain), w.qos as u8);
                let text = format!("Will message specified ({} bytes) (r{r}, q{q}).", w.bytes);
                self.log.line(LogType::Debug, text);
                self.log.line(LogType::Debug, format!("\t{}", w.topic));
            }
        }
        let present = u8::from(c.session_present);
        self.log.line(LogType::Debug, format!("Sending CONNACK to {} ({present}, 0)", c.client_id));
    }

    fn received(&self, client_id: &str, packet: &Packet<'_>) {
        let text = match packet {
            Packet::Publish(p) => {
                let (d, q, r) = (u8::from(p.dup), p.qos as u8, u8::from(p.retain));
                let id = if p.qos == Qos::AtMostOnce {
                    0
                } else {
                    p.packet_id.map_or(0, core::num::NonZeroU16::get)
                };
                let (topic, bytes) = (p.topic, p.payload.len());
                format!(
                    "Received PUBLISH from {client_id} (d{d}, q{q}, r{r}, m{id}, '{topic}', ... ({bytes} bytes))"
                )
            }
            Packet::PubAck(p) => {
                format!("Received PUBACK from {client_id} (Mid: {}, RC:{})", p.packet_id, p.reason as u8)
            }
            Packet::PubRec(p) => format!("Received PUBREC from {client_id} (Mid: {})", p.packet_id),
            Packet::PubRel(p) => format!("Received PUBREL from {client_id} (Mid: {})", p.packet_id),
            Packet::PubComp(p) => {
                format!("Received PUBCOMP from {client_id} (Mid: {}, RC:{})", p.packet_id, p.reason as u8)
            }
            Packet::Subscribe(_) => format!("Received SUBSCRIBE from {client_id}"),
            Packet::Unsubscribe(_) => format!("Received UNSUBSCRIBE from {client_id}"),
            Packet::PingReq => format!("Received PINGREQ from {client_id}"),
            Packet::Disconnect(_) => format!("Received DISCONNECT from {client_id}"),
            Packet::Auth(p) => format!("Received AUTH from {client_id} (rc{})", p.reason as u8),
            _ => return,
        };
        self.log.event(LogType::Debug, "packet_received", text, |f| {
            f.text("client", client_id);
        });
    }
}

pub(crate) fn address(peer: Peer) -> String {
    peer.address.map_or_else(|| "local".into(), |a| format!("{}:{}", a.ip().to_canonical(), a.port()))
}

/// `None` for a client that said goodbye.
fn reason_text(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::Disconnect(_) => return None,
        Cause::StreamEnded => "connection closed by client",
        Cause::StreamError => "bad socket read/write",
        Cause::Malformed(_) | Cause::TopicNameInvalid => "malformed packet",
        Cause::Protocol(_) | Cause::UnsupportedVersion => "protocol error",
        Cause::PacketTooLarge => "oversize packet",
        Cause::PayloadTooLarge => "oversize payload",
        Cause::NotAuthorized => "not authorised",
        Cause::BadCredentials => "bad username or password",
        Cause::ServerUnavailable => "server unavailable",
        Cause::ClientIdInvalid => "client identifier not valid",
        Cause::TopicAliasInvalid => "topic alias invalid",
        Cause::BadAuthenticationMethod => "bad authentication method",
        Cause::KeepAliveTimeout | Cause::ConnectTimeout => "exceeded timeout",
        Cause::TakenOver => "session taken over",
        Cause::ReceiveMaximumExceeded => "receive maximum exceeded",
        Cause::QosNotSupported | Cause::RetainNotSupported => "used disallowed feature",
        Cause::QuotaExceeded => "quota exceeded",
        Cause::Administrative => "administrative action",
        Cause::Shutdown => "server shutting down",
    })
}
