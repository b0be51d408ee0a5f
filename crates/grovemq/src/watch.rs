//! What `pub`, `sub` and `rr` tell of their connection: the packets (`-d`), and why it failed.

use crate::exit::Exit;
use crate::flags::high::Session;
use grovemq_client::{
    Client, ConnAckInfo, Direction, Error, Event, Events, PacketNote, Qos, ReasonCode, Refusal,
    SubscribeOptions,
};
use std::io::{self, ErrorKind, Write};

/// Follows one client's connection.
#[derive(Debug)]
pub(crate) struct Watch {
    /// How the client calls itself; the original shows C's idea of nothing where the server is to choose.
    label: String,
    /// Messages without acknowledgement have no packet id; they are counted instead.
    messages: u16,
    was_online: bool,
    /// Show what SUBACK grants.
    shows_grants: bool,
    /// A CONNACK not shown yet: the id to show it with may be in it.
    connack: Option<u8>,
}

/// How the end of a connection concerns a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// There never was one.
    Unreachable,
    /// It broke, and another may do better.
    Broken,
    /// The server did not keep to the protocol.
    Garbled,
    /// The server said good-bye.
    Dismissed,
    /// We said good-bye.
    Closed,
}

impl Watch {
    pub(crate) fn new(session: &Session) -> Self {
        let mut watch = Self {
            label: "(null)".to_owned(),
            messages: 0,
            was_online: false,
            shows_grants: true,
            connack: None,
        };
        watch.set_label(&session.client_id);
        watch
    }

    /// As the original's `rr`, which does not show them.
    pub(crate) fn without_grants(self) -> Self {
        Self { shows_grants: false, ..self }
    }

    /// The server has taken us, by this client id.
    pub(crate) fn connected(&mut self, out: &mut dyn Write, client_id: &str) -> io::Result<()> {
        self.was_online = true;
        self.set_label(client_id);
        self.release(out)
    }

    /// Shows the CONNACK that was kept back.
    pub(crate) fn release(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.connack.take() {
            Some(code) => writeln!(out, "Client {} received CONNACK ({code})", self.label),
            None => Ok(()),
        }
    }

    /// Whether there has ever been a connection.
    pub(crate) fn was_online(&self) -> bool {
        self.was_online
    }

    fn set_label(&mut self, client_id: &str) {
        if !client_id.is_empty() {
            client_id.clone_into(&mut self.label);
        }
    }

    /// A packet went by.
    pub(crate) fn packet(
        &mut self,
        out: &mut dyn Write,
        direction: Direction,
        note: &PacketNote,
    ) -> io::Result<()> {
        let (sent, verb) = match direction {
            Direction::Sent => (true, "sending"),
            Direction::Received => (false, "received"),
        };
        if let (PacketNote::Disconnect { reason }, false) = (note, sent) {
            return writeln!(out, "Received DISCONNECT ({})", *reason as u8);
        }
        let head = format!("Client {} {verb}", self.label);
        match note {
            PacketNote::Connect => writeln!(out, "{head} CONNECT"),
            PacketNote::ConnAck { code } => {
                self.connack = Some(*code);
                Ok(())
            }
            PacketNote::Publish { dup, qos, retain, packet_id, topic, payload_len } => {
                let (dup, retain) = (u8::from(*dup), u8::from(*retain));
                let id = if sent { self.message_id(*qos, *packet_id) } else { *packet_id };
                let qos = *qos as u8;
                writeln!(
                    out,
                    "{head} PUBLISH (d{dup}, q{qos}, r{retain}, m{id}, '{topic}', ... ({payload_len} bytes))"
                )
            }
            PacketNote::PubAck { packet_id, reason } => ack(out, &head, "PUBACK", *packet_id, *reason, sent),
            PacketNote::PubComp { packet_id, .. } if sent => writeln!(out, "{head} PUBCOMP (m{packet_id})"),
            PacketNote::PubComp { packet_id, reason } => {
                ack(out, &head, "PUBCOMP", *packet_id, *reason, sent)
            }
            PacketNote::PubRec { packet_id, reason } if sent => {
                ack(out, &head, "PUBREC", *packet_id, *reason, sent)
            }
            PacketNote::PubRec { packet_id, .. } => writeln!(out, "{head} PUBREC (Mid: {packet_id})"),
            PacketNote::PubRel { packet_id, .. } if sent => writeln!(out, "{head} PUBREL (m{packet_id})"),
            PacketNote::PubRel { packet_id, .. } => writeln!(out, "{head} PUBREL (Mid: {packet_id})"),
            PacketNote::Subscribe { packet_id, filters } => {
                self.messages = *packet_id;
                filters.iter().try_for_each(|(filter, options)| {
                    let qos = options.qos as u8;
                    let bits = option_bits(*options);
                    writeln!(
                        out,
                        "{head} SUBSCRIBE (Mid: {packet_id}, Topic: {filter}, QoS: {qos}, Options: {bits:#04x})"
                    )
                })
            }
            PacketNote::SubAck { packet_id, codes } => {
                if !self.shows_grants {
                    return writeln!(out, "{head} SUBACK");
                }
                let codes: Vec<String> = codes.iter().map(|code| (*code as u8).to_string()).collect();
                writeln!(out, "{head} SUBACK\nSubscribed (mid: {packet_id}): {}", codes.join(", "))
            }
            PacketNote::Unsubscribe { packet_id, filters } => {
                self.messages = *packet_id;
                filters.iter().try_for_each(|filter| {
                    writeln!(out, "{head} UNSUBSCRIBE (Mid: {packet_id}, Topic: {filter})")
                })
            }
            PacketNote::UnsubAck { .. } => writeln!(out, "{head} UNSUBACK"),
            PacketNote::PingReq => writeln!(out, "{head} PINGREQ"),
            PacketNote::PingResp => writeln!(out, "{head} PINGRESP"),
            PacketNote::Disconnect { .. } => writeln!(out, "{head} DISCONNECT"),
            PacketNote::Auth { .. } => writeln!(out, "{head} AUTH"),
        }
    }

    fn message_id(&mut self, qos: Qos, packet_id: u16) -> u16 {
        self.messages = if qos == Qos::AtMostOnce { self.messages.wrapping_add(1).max(1) } else { packet_id };
        self.messages
    }
}

fn ack(
    out: &mut dyn Write,
    head: &str,
    name: &str,
    id: u16,
    reason: ReasonCode,
    sent: bool,
) -> io::Result<()> {
    let code = reason as u8;
    if sent {
        writeln!(out, "{head} {name} (m{id}, rc{code})")
    } else {
        writeln!(out, "{head} {name} (Mid: {id}, RC:{code})")
    }
}

/// The subscription options as they travel, but for the quality of service.
fn option_bits(options: SubscribeOptions) -> u8 {
    u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

/// The words for a refused connection, and the exit code.
pub(crate) fn refused(refusal: &Refusal) -> (String, Exit) {
    let text = match refusal.v3_code {
        None => refusal.reason.to_string(),
        Some(1) => "Connection Refused: unacceptable protocol version.".to_owned(),
        Some(2) => "Connection Refused: identifier rejected.".to_owned(),
        Some(3) => "Connection Refused: broker unavailable.".to_owned(),
        Some(4) => "Connection Refused: bad user name or password.".to_owned(),
        Some(5) => "Connection Refused: not authorised.".to_owned(),
        Some(_) => "Connection Refused: unknown reason.".to_owned(),
    };
    let is_version = refusal.v3_code.is_none() && refusal.reason == ReasonCode::UnsupportedProtocolVersion;
    let hint = if is_version { ". Try connecting to an MQTT v5 broker, or use MQTT v3.x mode." } else { "" };
    (format!("Connection error: {text}{hint}"), Exit::refused(refusal.reason, refusal.v3_code))
}

/// Connects for a tool that is of no use otherwise: if it cannot, that is told, and this is how the tool ends.
pub(crate) async fn connect(session: &Session) -> Result<(Client, Events, ConnAckInfo), Exit> {
    let (client, mut events) = Client::start(session.options.clone());
    while let Some(event) = events.next().await {
        let (line, exit) = match event {
            Event::Connected(info) => return Ok((client, events, info)),
            Event::Refused(refusal) => refused(&refusal),
            Event::Disconnected(error) => {
                let (_, line, exit) = lost(&error);
                (line, exit)
            }
            _ => continue,
        };
        session.complain(&line);
        return Err(exit);
    }
    Err(Exit::FAILURE)
}

/// Whether the server may well take us later.
pub(crate) fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.reason, ReasonCode::ServerUnavailable | ReasonCode::ServerBusy)
}

/// What the end of a connection means, the words for it, and the exit code if it is the end of the tool.
pub(crate) fn lost(error: &Error) -> (Loss, String, Exit) {
    let lost = |loss, text: &str, exit| (loss, format!("Error: {text}"), exit);
    match error {
        Error::Closed => (Loss::Closed, String::new(), Exit::OK),
        Error::Resolve { .. } => {
            (Loss::Unreachable, "Unable to connect (Lookup error.).".to_owned(), Exit::FAILURE)
        }
        Error::ConnectTimeout => lost(Loss::Unreachable, "Connection timed out", Exit::FAILURE),
        Error::Io { kind, text } => match kind {
            ErrorKind::ConnectionRefused => lost(Loss::Unreachable, "Connection refused", Exit::FAILURE),
            ErrorKind::HostUnreachable => lost(Loss::Unreachable, "No route to host", Exit::FAILURE),
            ErrorKind::NotFound => lost(Loss::Unreachable, "No such file or directory", Exit::FAILURE),
            ErrorKind::PermissionDenied => lost(Loss::Unreachable, "Permission denied", Exit::FAILURE),
            ErrorKind::AddrNotAvailable => {
                lost(Loss::Unreachable, "Cannot assign requested address", Exit::FAILURE)
            }
            ErrorKind::NetworkUnreachable => lost(Loss::Unreachable, "Network is unreachable", Exit::FAILURE),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                lost(Loss::Broken, LOST, Exit::CONNECTION_LOST)
            }
            _ => lost(Loss::Unreachable, text, Exit::FAILURE),
        },
        Error::Tls(_) => lost(Loss::Garbled, &format!("A TLS error occurred.\n{error}"), Exit::TLS),
        Error::Proxy(_) => lost(Loss::Garbled, &format!("Proxy error.\n{error}"), Exit::PROXY),
        Error::TlsRefused(_) => lost(Loss::Garbled, &format!("{LOST}\n{error}"), Exit::CONNECTION_LOST),
        Error::ConnectionLost | Error::Timeout(_) => lost(Loss::Broken, LOST, Exit::CONNECTION_LOST),
        Error::Protocol(_) => lost(Loss::Garbled, PROTOCOL_ERROR, Exit::PROTOCOL),
        Error::ServerClosed { .. } => {
            lost(Loss::Dismissed, "The client is not currently connected.", Exit::NO_CONNECTION)
        }
        other => lost(Loss::Unreachable, &other.to_string(), Exit::FAILURE),
    }
}

const LOST: &str = "The connection was lost.";

pub(crate) const PROTOCOL_ERROR: &str =
    "A network protocol error occurred when communicating with the broker.";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(client_id: &str, packets: &[(Direction, PacketNote)]) -> String {
        let mut watch = Watch {
            label: "(null)".to_owned(),
            messages: 0,
            was_online: false,
            shows_grants: true,
            connack: None,
        };
        let mut out = Vec::new();
        for (direction, note) in packets {
            watch.packet(&mut out, *direction, note).unwrap();
            if matches!(note, PacketNote::ConnAck { .. }) {
                watch.connected(&mut out, client_id).unwrap();
            }
        }
        String::from_utf8(out).unwrap()
    }

    fn publish(qos: Qos, packet_id: u16) -> PacketNote {
        PacketNote::Publish {
            dup: false,
            qos,
            retain: true,
            packet_id,
            topic: "a".to_owned(),
            payload_len: 5,
        }
    }

    /// As Debian's tools show them.
    #[test]
    fn packets() {
        use Direction::{Received, Sent};
        let success = ReasonCode::Success;
        let options = SubscribeOptions { retain_as_published: true, ..SubscribeOptions::default() };
        let lines = shown(
            "x",
            &[
                (Sent, PacketNote::Connect),
                (Received, PacketNote::ConnAck { code: 0 }),
                (Sent, PacketNote::Subscribe { packet_id: 1, filters: vec![("a".to_owned(), options)] }),
                (
                    Received,
                    PacketNote::SubAck { packet_id: 1, codes: vec![success, ReasonCode::UnspecifiedError] },
                ),
                (Sent, publish(Qos::AtMostOnce, 0)),
                (Sent, publish(Qos::AtMostOnce, 0)),
                (Received, publish(Qos::AtLeastOnce, 9)),
                (Sent, PacketNote::PubAck { packet_id: 9, reason: success }),
                (Received, PacketNote::PubRec { packet_id: 4, reason: success }),
                (Sent, PacketNote::PubRel { packet_id: 4, reason: success }),
                (Received, PacketNote::PubComp { packet_id: 4, reason: success }),
                (Received, PacketNote::Disconnect { reason: ReasonCode::ServerShuttingDown }),
            ],
        );
        let expected = "Client (null) sending CONNECT\n\
            Client x received CONNACK (0)\n\
            Client x sending SUBSCRIBE (Mid: 1, Topic: a, QoS: 0, Options: 0x08)\n\
            Client x received SUBACK\n\
            Subscribed (mid: 1): 0, 128\n\
            Client x sending PUBLISH (d0, q0, r1, m2, 'a', ... (5 bytes))\n\
            Client x sending PUBLISH (d0, q0, r1, m3, 'a', ... (5 bytes))\n\
            Client x received PUBLISH (d0, q1, r1, m9, 'a', ... (5 bytes))\n\
            Client x sending PUBACK (m9, rc0)\n\
            Client x received PUBREC (Mid: 4)\n\
            Client x sending PUBREL (m4)\n\
            Client x received PUBCOMP (Mid: 4, RC:0)\n\
            Received DISCONNECT (139)\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn refusals_keep_their_codes() {
        let refusal = |reason, v3_code| Refusal {
            reason,
            v3_code,
            reason_string: None,
            server_reference: None,
            user: Vec::new(),
        };
        let (line, exit) = refused(&refusal(ReasonCode::NotAuthorized, Some(5)));
        assert_eq!(line, "Connection error: Connection Refused: not authorised.");
        assert_eq!(exit, Exit::from_code(5));
        let (line, exit) = refused(&refusal(ReasonCode::NotAuthorized, None));
        assert_eq!(line, "Connection error: Not authorized");
        assert_eq!(exit, Exit::from_code(135));
        let (line, _) = refused(&refusal(ReasonCode::UnsupportedProtocolVersion, None));
        assert!(line.ends_with("Try connecting to an MQTT v5 broker, or use MQTT v3.x mode."), "{line}");
    }

    #[test]
    fn ends_of_connections() {
        let io = |kind| Error::Io { kind, text: "127.0.0.1:1: it (os error 1)".to_owned() };
        for (error, loss, line) in [
            (io(ErrorKind::ConnectionRefused), Loss::Unreachable, "Error: Connection refused"),
            (io(ErrorKind::ConnectionReset), Loss::Broken, "Error: The connection was lost."),
            (Error::ConnectionLost, Loss::Broken, "Error: The connection was lost."),
            (Error::Closed, Loss::Closed, ""),
        ] {
            let (is, text, _) = lost(&error);
            assert_eq!((is, &*text), (loss, line), "{error:?}");
        }
    }
}
