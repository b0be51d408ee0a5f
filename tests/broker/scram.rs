//! Enhanced authentication with SCRAM-SHA-256, over real sockets. The client's part of SCRAM is our own; an independent one
//! is in `tests/interop`.

use grovemq_auth::scram::Client;
use grovemq_client::{Client as Mqtt, Disconnect, Error, Message, Options, Qos, Reconnect};
use grovemq_codec::{AuthProperties, Packet, ReasonCode, Version, decode_frame};
use grovemq_tests::{Broker, Kind, Program, SOON, peers};

use crate::peer::{Peer, local};

/// `user` with the password `pencil`, which is the example of RFC 7677, `plain` with `iotlab` in a kind of Mosquitto's.
const PASSWORDS: &str = "\
user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
plain:$7$101$D9nJggqKYFc144CS$iM+9U9hY/0RVmmq1Id/ad3AJjBwZCG8WoICSO310x3oz4B5r6Vw8c41n9f2kRVF7A32C19ZbWF4AhJ5BJqXmHA==
";
const RULES: &str = "user user\ntopic readwrite shared\npattern readwrite mine/%u/#\n";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

#[track_caller]
fn guarded(passwords: &str) -> Broker {
    let files = [("passwords", passwords), ("rules", RULES)];
    let lines = "password_file {dir}/passwords\nacl_file {dir}/rules\nallow_anonymous false\n";
    Broker::start_with_files(Kind::Ours, lines, &files)
}

/// A connection that has sent CONNECT with these words.
fn connecting(broker: &Broker, id: &str, flags: &str, method: &str, first: &str, login: &str) -> Peer {
    let mut peer = Peer::open(local(broker.port()));
    let properties = format!("{{15 \"{method}\" 16 \"{first}\"}}");
    peer.send(&format!("CONNECT{{\"MQTT\" 05 {flags} 003c {properties} \"{id}\" {login}}}"));
    peer
}

fn scram(user: &str, password: &str) -> Client {
    Client::new(user, password, NONCE).unwrap()
}

/// The method and the data of the AUTH or CONNACK with this code that comes next.
#[track_caller]
fn words(peer: &mut Peer, code: ReasonCode) -> (Option<String>, String) {
    let bytes = peer.packet();
    let frame = decode_frame(&bytes, u32::MAX).unwrap().unwrap();
    let (reason, properties) = match Packet::parse(&frame, Version::V5).unwrap() {
        Packet::Auth(auth) => (auth.reason, auth.properties),
        Packet::ConnAck(ack) => (
            ack.reason,
            AuthProperties {
                authentication_method: ack.properties.authentication_method,
                authentication_data: ack.properties.authentication_data,
                ..AuthProperties::default()
            },
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(reason, code);
    // [MQTT-3.15.2-2] [MQTT-3.15.2-3]
    assert!(properties.reason_string.is_none() && properties.user.iter().next().is_none());
    let data = properties.authentication_data.unwrap_or_default();
    (properties.authentication_method.map(Into::into), String::from_utf8(data.into()).unwrap())
}

#[track_caller]
fn challenge(peer: &mut Peer) -> String {
    let (method, data) = words(peer, ReasonCode::ContinueAuthentication);
    assert_eq!(method.as_deref(), Some("SCRAM-SHA-256"));
    data
}

fn auth(code: &str, data: &str) -> String {
    format!("AUTH{{{code} {{15 \"SCRAM-SHA-256\" 16 \"{data}\"}}}}")
}

/// Answers the challenge; gives what the server has to say last.
#[track_caller]
fn answer(peer: &mut Peer, client: &Client) -> String {
    let challenge = challenge(peer);
    assert!(challenge.starts_with(&format!("r={NONCE}")), "{challenge}");
    let answer = client.answer(challenge.as_bytes()).unwrap();
    peer.send(&auth("18", &answer.message));
    answer.expected
}

/// A client that is in.
#[track_caller]
fn connected(broker: &Broker, id: &str) -> Peer {
    let client = scram("user", "pencil");
    let mut peer = connecting(broker, id, "02", "SCRAM-SHA-256", &client.first(), "");
    let expected = answer(&mut peer, &client);
    let (method, signature) = words(&mut peer, ReasonCode::Success);
    assert_eq!(method.as_deref(), Some("SCRAM-SHA-256"));
    assert_eq!(signature, expected, "the server proves itself, too");
    peer
}

#[test]
fn a_client_proves_itself_and_so_does_the_server() {
    let broker = guarded(PASSWORDS);
    let mut peer = connected(&broker, "a");
    // the rules see the user
    peer.subscribe_v5("mine/user/#", 1);
    peer.send("PUBLISH1{\"mine/user/x\" 0001 {} 'x'}");
    peer.expect_in_any_order("PUBLISH1{\"mine/user/x\" 0001 {} 'x'} PUBACK{0001}");
    peer.send("PUBLISH1{\"mine/plain/x\" 0002 {} 'x'}");
    peer.expect("PUBACK{0002 87 *}");
    broker.wait_for_log("u'user'");
}

#[test]
fn the_same_line_serves_a_plain_password() {
    let broker = guarded(PASSWORDS);
    for (version, password, answer) in [
        ("04", "pencil", "CONNACK{0000}"),
        ("04", "Pencil", "CONNACK{0005}"),
        ("05", "pencil", "CONNACK{0000 *}"),
        ("05", "", "CONNACK{0087 *}"),
    ] {
        let properties = if version == "05" { "{}" } else { "" };
        let body = format!("\"MQTT\" {version} c2 003c {properties} \"p\" \"user\" \"{password}\"");
        Peer::connect(broker.port(), &body, answer);
    }
}

#[test]
fn unknown_users_and_those_without_an_entry_look_like_a_wrong_password() {
    let broker = guarded(PASSWORDS);
    let mut told = Vec::new();
    for round in 0..2 {
        for (user, password) in [("user", "Pencil"), ("plain", "iotlab"), ("nobody", "pencil")] {
            let client = scram(user, password);
            let mut peer =
                connecting(&broker, &format!("{user}{round}"), "02", "SCRAM-SHA-256", &client.first(), "");
            let challenge = challenge(&mut peer);
            let (nonce, rest) = challenge.split_once(',').unwrap();
            assert!(nonce.len() > NONCE.len() + 20, "{challenge}");
            let salt = rest.strip_prefix("s=").and_then(|rest| rest.strip_suffix(",i=4096"));
            assert_eq!(salt.unwrap_or_else(|| panic!("{challenge}")).len(), 24);
            told.push((user, rest.to_owned()));
            peer.send(&auth("18", &client.answer(challenge.as_bytes()).unwrap().message));
            peer.expect("CONNACK{0087 {}}");
            peer.closed();
        }
    }
    let (first, second) = told.split_at(3);
    assert_eq!(first, second, "what is made up does not change");
    assert!(first[0].1 != first[1].1 && first[1].1 != first[2].1, "{first:?}");
}

#[test]
fn methods_that_are_not_offered() {
    let broker = guarded(PASSWORDS);
    for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", ""] {
        let mut peer = connecting(&broker, "a", "02", method, "n,,n=user,r=abc", "");
        peer.expect("CONNACK{008c {}}");
        peer.closed();
    }
    let (_, plain) = PASSWORDS.split_once('\n').unwrap();
    let broker = guarded(plain);
    let mut peer = connecting(&broker, "a", "02", "SCRAM-SHA-256", "n,,n=user,r=abc", "");
    peer.expect("CONNACK{008c {}}");
    peer.closed();
}

#[test]
fn messages_that_are_none() {
    let broker = guarded(PASSWORDS);
    for first in ["", "x", "n,,n=user", "p=tls-exporter,,n=user,r=abc", "n,a=plain,n=user,r=abc"] {
        let mut peer = connecting(&broker, "a", "02", "SCRAM-SHA-256", first, "");
        peer.expect("CONNACK{0087 {}}");
        peer.closed();
    }
    for last in ["", "c=biws", "c=biws,r=abc,p=AAAA"] {
        let mut peer = connecting(&broker, "a", "02", "SCRAM-SHA-256", "n,,n=user,r=abc", "");
        challenge(&mut peer);
        peer.send(&auth("18", last));
        peer.expect("CONNACK{0087 {}}");
        peer.closed();
    }
}

#[test]
fn between_connect_and_connack_only_the_exchange_goes_on() {
    let broker = guarded(PASSWORDS);
    let other = auth("18", "x").replace("SHA-256", "SHA-512");
    let table = ["PINGREQ{}", "PUBLISH{\"t\" {} 'x'}", "AUTH{}", &auth("19", "n,,n=user,r=abc"), &other];
    for packet in table {
        let mut peer = connecting(&broker, "a", "02", "SCRAM-SHA-256", "n,,n=user,r=abc", "");
        challenge(&mut peer);
        peer.send(packet);
        peer.expect("CONNACK{0082 *}");
        peer.closed();
    }
    let mut peer = connecting(&broker, "a", "02", "SCRAM-SHA-256", "n,,n=user,r=abc", "");
    challenge(&mut peer);
    peer.send("DISCONNECT{}");
    peer.closed();
}

#[test]
fn a_name_in_connect_must_be_the_same() {
    let broker = guarded(PASSWORDS);
    for (name, code) in [("user", ReasonCode::Success), ("plain", ReasonCode::NotAuthorized)] {
        let client = scram("user", "pencil");
        let login = format!("\"{name}\"");
        let mut peer = connecting(&broker, "a", "82", "SCRAM-SHA-256", &client.first(), &login);
        answer(&mut peer, &client);
        words(&mut peer, code);
    }
}

#[test]
fn a_client_authenticates_anew_and_messages_go_on() {
    let broker = guarded(PASSWORDS);
    let mut peer = connected(&broker, "a");
    peer.subscribe_v5("shared", 0);
    for _ in 0..2 {
        let client = scram("user", "pencil");
        peer.send(&format!("{} PUBLISH{{\"shared\" {{}} '1'}}", auth("19", &client.first())));
        // the message needs no thread of its own to be passed on, so it may come first
        let mut expected = None;
        for _ in 0..2 {
            let packet = peer.packet();
            if packet[0] == 0x30 {
                continue;
            }
            let frame = decode_frame(&packet, u32::MAX).unwrap().unwrap();
            let Ok(Packet::Auth(auth)) = Packet::parse(&frame, Version::V5) else { panic!("{packet:?}") };
            expected = Some(client.answer(auth.properties.authentication_data.unwrap()).unwrap());
        }
        let answer = expected.unwrap();
        peer.send("PUBLISH{\"shared\" {} '2'}");
        peer.expect("PUBLISH{\"shared\" {} '2'}");
        peer.send(&auth("18", &answer.message));
        let (method, signature) = words(&mut peer, ReasonCode::Success);
        assert_eq!((method.as_deref(), signature), (Some("SCRAM-SHA-256"), answer.expected));
    }
    peer.ping();
}

#[test]
fn who_fails_to_authenticate_anew_is_cut_off() {
    let broker =
        guarded(&format!("{PASSWORDS}{}", PASSWORDS.replace("user", "user2").replace("plain", "plain2")));
    for (user, password) in [("user", "Pencil"), ("user2", "pencil")] {
        let mut peer = connected(&broker, "a");
        let client = scram(user, password);
        peer.send(&auth("19", &client.first()));
        answer(&mut peer, &client);
        peer.closed_with(0x87);
    }
}

#[test]
fn auth_out_of_place_while_connected() {
    let broker = guarded(PASSWORDS);
    let other = auth("19", "n,,n=user,r=abc").replace("SHA-256", "SHA-512");
    for packet in ["AUTH{}", &auth("00", ""), &auth("18", "x"), &other] {
        let mut peer = connected(&broker, "a");
        peer.send(packet);
        peer.closed_with(0x82);
    }
}

/// [MQTT-4.12.0-6] [MQTT-4.12.0-7]
#[test]
fn who_named_no_method_may_not_begin_an_exchange() {
    let broker = guarded(PASSWORDS);
    let mut peer =
        Peer::connect(broker.port(), "\"MQTT\" 05 c2 003c {} \"a\" \"user\" \"pencil\"", "CONNACK{0000 *}");
    peer.send(&auth("19", "n,,n=user,r=abc"));
    peer.closed_with(0x82);
}

fn options(broker: &Broker, user: &str, password: &str) -> Options {
    Options::new("127.0.0.1", broker.port()).scram(user, password).reconnect(Reconnect::Never)
}

#[tokio::test]
async fn our_client_logs_in_and_authenticates_anew() {
    let broker = guarded(PASSWORDS);
    let (client, _events, _) = Mqtt::connect(options(&broker, "user", "pencil")).await.unwrap();
    for _ in 0..2 {
        client.authenticate_anew().await.unwrap();
        let message = Message::new("shared", "x").qos(Qos::AtLeastOnce);
        client.publish(message).await.unwrap().await.unwrap();
    }
    client.disconnect(Disconnect::default()).await.unwrap();
    for (user, password) in [("user", "Pencil"), ("plain", "iotlab"), ("nobody", "x")] {
        let refused = Mqtt::connect(options(&broker, user, password)).await.unwrap_err();
        assert!(
            matches!(refused, Error::Refused { reason: ReasonCode::NotAuthorized, .. }),
            "{user}: {refused:?}"
        );
    }
    let unusable = Mqtt::connect(options(&broker, "user", "\u{7}")).await.unwrap_err();
    assert!(matches!(unusable, Error::Invalid(_)), "{unusable:?}");
}

/// A server that lets everybody in has not proved that it knows the password, and gets to see nothing.
#[tokio::test]
async fn our_client_does_not_take_a_server_without_the_password() {
    let broker = Broker::ours();
    let refused = Mqtt::connect(options(&broker, "user", "pencil")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { reason: ReasonCode::BadAuthenticationMethod, .. }));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let impostor = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"\x20\x03\0\0\0").unwrap();
        let mut seen = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut seen).unwrap();
        seen
    });
    let options = Options::new("127.0.0.1", port).scram("user", "pencil").reconnect(Reconnect::Never);
    let (client, mut events) = Mqtt::start(options);
    let publication = client.publish(Message::new("secret", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    assert!(publication.await.is_err());
    let event = events.next().await.unwrap();
    assert_eq!(event, grovemq_client::Event::Disconnected(Error::Unproven));
    let seen = impostor.join().unwrap();
    assert!(
        !seen.windows(6).any(|w| w == b"secret") && !seen.windows(6).any(|w| w == b"pencil"),
        "{seen:x?}"
    );
}

#[test]
fn our_tools_log_in() {
    let broker = guarded(PASSWORDS);
    let port = broker.port().to_string();
    let publish = |password: &str| {
        let mut command = peers::ours("pub");
        command.args([
            "-p", &port, "-t", "shared", "-m", "x", "-r", "-q", "1", "-u", "user", "-P", password, "--scram",
        ]);
        Program::run(&mut command, b"", SOON)
    };
    assert_eq!(publish("pencil").code, 0);
    let refused = publish("Pencil");
    assert!(
        refused.code != 0 && refused.stderr.contains("ot authorized"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    let mut command = peers::ours("sub");
    command.args(["-p", &port, "-t", "shared", "-C", "1", "-u", "user", "-P", "pencil", "--scram"]);
    assert_eq!(Program::run(&mut command, b"", SOON).text(), "x\n");
}
