//! MQTT over WebSocket.

use std::io::Write;
use std::time::Duration;

use grovemq_tests::{Broker, Kind, Wire, free_port};

use crate::certificates::Authority;
use crate::frames::{BINARY, CLOSE, PING, PONG, REPLY, REQUEST, Socket, frame};
use crate::peers::{CONNECT, mqttjs_echo, paho_echo, tls_broker};
use crate::tls::stall;

fn broker(lines: &str) -> Broker {
    Broker::start(Kind::Ours, &format!("protocol websockets\n{lines}\nallow_anonymous true\n"))
}

/// A WebSocket whose client is connected.
#[track_caller]
fn client(port: u16) -> Socket {
    let mut socket = Socket::open(port);
    socket.send(BINARY, CONNECT);
    socket.expect(BINARY, b"\x20\x02\0\0");
    socket
}

#[test]
fn paho_messages_of_all_sizes_come_back() {
    paho_echo(broker("").port(), "websockets", None);
}

#[test]
fn mqttjs_messages_of_all_sizes_come_back() {
    mqttjs_echo(broker("").port(), "ws", None);
}

#[test]
fn paho_messages_of_all_sizes_come_back_through_tls() {
    let broker = tls_broker(&Authority::new("authority"), "protocol websockets", &[]);
    paho_echo(broker.port(), "websockets", Some(&broker.dir().join("ca.crt")));
    broker.wait_for_log("Client paho negotiated TLSv1.3");
}

#[test]
fn mqttjs_messages_of_all_sizes_come_back_through_tls() {
    let broker = tls_broker(&Authority::new("authority"), "protocol websockets", &[]);
    mqttjs_echo(broker.port(), "wss", Some(&broker.dir().join("ca.crt")));
}

#[test]
fn d08_frames_need_not_end_where_packets_end() {
    let broker = broker("");
    let mut socket = Socket::open(broker.port());
    // the parts of one message, an empty one among them, with a ping in between
    socket.send(0x02, &CONNECT[..1]);
    socket.send(0x00, b"");
    socket.send(PING, b"are you there?");
    socket.send(0x80, &CONNECT[1..9]);
    socket.expect(PONG, b"are you there?");
    // the rest, and two more packets, in one frame
    socket.send(BINARY, &[&CONNECT[9..], b"\xc0\0\xc0\0"].concat());
    let mut got = Vec::new();
    while got.len() < 8 {
        let (first, payload) = socket.receive();
        assert_eq!(first, BINARY);
        got.extend(payload);
    }
    assert_eq!(got, b"\x20\x02\0\0\xd0\0\xd0\0");
}

#[test]
fn frames_may_come_in_one_piece_with_the_request() {
    let broker = broker("");
    let mut socket = Socket::connect(broker.port());
    socket
        .0
        .write_all(&[REQUEST.as_bytes(), &frame(BINARY, CONNECT), &frame(BINARY, b"\xc0\0")].concat())
        .unwrap();
    let mut reply = vec![0; REPLY.len()];
    std::io::Read::read_exact(&mut socket.0, &mut reply).unwrap();
    let mut got = Vec::new();
    while got.len() < 6 {
        got.extend(socket.receive().1);
    }
    assert_eq!(got, b"\x20\x02\0\0\xd0\0");
}

#[test]
fn a_packet_that_claims_more_than_comes_waits() {
    let broker = broker("");
    let mut socket = client(broker.port());
    socket.send(BINARY, b"\x30\x7f\0\x01a");
    socket.send(PING, b"");
    socket.expect(PONG, b"");
}

#[test]
fn closing_is_answered() {
    let broker = broker("");
    let mut socket = client(broker.port());
    socket.send(CLOSE, b"\x03\xe9");
    socket.expect(CLOSE, b"\x03\xe9");
    assert_eq!(socket.rest(), "");
    broker.wait_for_log("disconnected: connection closed by client.");

    let mut socket = client(broker.port());
    socket.send(BINARY, b"\xe0\0");
    socket.expect(CLOSE, b"\x03\xe8");
    assert_eq!(socket.rest(), "");
    broker.wait_for_log("Received DISCONNECT from raw");
}

#[test]
fn d07_violations_are_answered_with_their_code() {
    let broker = broker("");
    let table: &[(&str, Vec<u8>, u16)] = &[
        ("RSV1", frame(0xc2, b"x"), 1002),
        ("no mask", vec![0x82, 1, 0xc0], 1002),
        ("text", frame(0x81, b"x"), 1003),
        ("2^63 bytes", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
        ("ping in parts", frame(0x09, b"x"), 1002),
        ("long ping", frame(PING, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
    ];
    for (name, bytes, code) in table {
        let mut socket = client(broker.port());
        socket.0.write_all(bytes).unwrap();
        assert_eq!(socket.receive(), (CLOSE, code.to_be_bytes().to_vec()), "{name}");
        assert_eq!(socket.rest(), "", "{name}");
    }
    broker.wait_for_log("disconnected: protocol error.");
}

#[test]
fn d10_a_flood_of_pings_that_nobody_reads_the_answers_of_grows_nothing() {
    let port = free_port();
    let broker = broker(&format!("listener {port} 127.0.0.1"));
    let mut flood = client(broker.port());
    let before = resident_kib(broker.program().pid());
    let pings = frame(PING, &[7; 125]).repeat(1000);
    flood.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    for _ in 0..200 {
        if flood.0.write_all(&pings).is_err() {
            break;
        }
    }
    let grown = resident_kib(broker.program().pid()).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB for unread pongs");
    let mut wire = Wire::introduce(port, 4, "other");
    wire.send("c000");
    wire.expect("d000");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_pauses_gets_every_byte_in_order_and_pongs_between_frames() {
    let plain = free_port();
    let broker = broker(&format!("listener {plain} 127.0.0.1"));
    let mut slow = client(broker.port());
    slow.send(BINARY, b"\x82\x06\0\x01\0\x01t\0");
    slow.expect(BINARY, b"\x90\x03\0\x01\0");
    let mut publisher = Wire::introduce(plain, 4, "publisher");
    let payload = vec![b'p'; 1_000_000];
    let mut packet = vec![0x30, 0xc3, 0x84, 0x3d, 0, 1, b't'];
    packet.extend(&payload);
    for _ in 0..12 {
        publisher.send_bytes(&packet);
    }
    publisher.send("c000");
    publisher.expect("d000");
    slow.send(PING, b"still there");
    std::thread::sleep(Duration::from_millis(300));
    let (mut got, mut pongs) = (Vec::new(), 0);
    while got.len() < 12 * packet.len() || pongs == 0 {
        let (first, payload) = slow.receive();
        if first == BINARY {
            got.extend(payload);
        } else {
            assert_eq!((first, &*payload), (PONG, &b"still there"[..]));
            pongs += 1;
        }
    }
    assert!(got == packet.repeat(12));
}

/// D12: anybody can write these headers, so nobody is believed: what counts is where the connection comes from.
#[test]
fn d12_forged_addresses_are_not_looked_at() {
    let broker = broker("");
    let mut socket = Socket::connect(broker.port());
    let forged =
        "X-Forwarded-For: 203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n\r\n";
    socket.0.write_all(REQUEST.replace("\r\n\r\n", &format!("\r\n{forged}")).as_bytes()).unwrap();
    let mut reply = vec![0; REPLY.len()];
    std::io::Read::read_exact(&mut socket.0, &mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), REPLY);
    socket.send(BINARY, CONNECT);
    socket.expect(BINARY, b"\x20\x02\0\0");
    broker.wait_for_log("New client connected from 127.0.0.1:");
    let lines = broker.program().stderr_lines();
    assert!(!lines.iter().any(|line| line.contains("203.0.113.7")), "{lines:#?}");
}

#[test]
fn d06_requests_that_are_refused() {
    let broker = broker("websockets_origin http://good");
    let with_origin = |origin: &str| REQUEST.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
    let table = [
        ("no origin", REQUEST.to_owned(), "HTTP/1.1 403 "),
        ("foreign origin", with_origin("http://evil"), "HTTP/1.1 403 "),
        (
            "no subprotocol",
            with_origin("http://good").replace("Protocol: mqtt", "Protocol: chat"),
            "HTTP/1.1 400 ",
        ),
        ("a megabyte", with_origin(&"x".repeat(1 << 20)), "HTTP/1.1 431 "),
        ("plain HTTP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "HTTP/1.1 426 "),
        ("no HTTP", String::from_utf8(CONNECT.to_vec()).unwrap(), "HTTP/1.1 400 "),
    ];
    for (name, request, expected) in table {
        let mut socket = Socket::connect(broker.port());
        // the broker may close before it has read a megabyte
        socket.0.write_all(request.as_bytes()).ok();
        let reply = socket.rest();
        assert!(
            reply.starts_with(expected) || (name == "a megabyte" && reply.is_empty()),
            "{name}: {reply:?}"
        );
    }
    broker.wait_for_log("disconnected: non-matching http origin.");
    let mut socket = Socket::connect(broker.port());
    socket.0.write_all(with_origin("http://good").as_bytes()).unwrap();
    let mut reply = [0; 12];
    std::io::Read::read_exact(&mut socket.0, &mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 101");
}

#[test]
fn a_request_in_pieces_has_the_same_bound() {
    let broker = broker("");
    let mut socket = Socket::connect(broker.port());
    let (head, _) = REQUEST.rsplit_once("\r\n\r\n").unwrap();
    socket.0.write_all(head.as_bytes()).unwrap();
    socket.0.write_all(b"\r\nX-Long: ").unwrap();
    for piece in 0..9 {
        std::thread::sleep(Duration::from_millis(20));
        // the last of these the broker may not read any more
        assert!(socket.0.write_all(&[b'x'; 1000]).is_ok() || piece > 7);
    }
    let reply = socket.rest();
    assert!(reply.starts_with("HTTP/1.1 431 ") || reply.is_empty(), "{reply:?}");
    broker.wait_for_log("disconnected: request header too large.");
}

#[test]
fn stalled_requests_cost_nothing_and_end_at_their_deadline() {
    let plain = free_port();
    let broker = broker(&format!("listener {plain} 127.0.0.1"));
    stall(&broker, plain, REQUEST.as_bytes());
}

#[test]
fn requests_that_stall_count_as_connections() {
    let broker = broker("max_connections 3");
    let mut stalled: Vec<Socket> = (0..3).map(|_| Socket::connect(broker.port())).collect();
    for socket in &mut stalled {
        socket.0.write_all(b"GET /mqtt HTTP/1.1\r\n").unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(Socket::connect(broker.port()).rest(), "", "nobody else gets in");
    broker.wait_for_log("denied: max_connections exceeded.");
    // who is not stalled after all gets in, and who goes leaves a place
    let (_, rest) = REQUEST.split_once("\r\n").unwrap();
    stalled[0].0.write_all(rest.as_bytes()).unwrap();
    let mut reply = vec![0; REPLY.len()];
    std::io::Read::read_exact(&mut stalled[0].0, &mut reply).unwrap();
    drop(stalled.pop());
    broker.wait_for_log("disconnected: connection closed by client.");
    client(broker.port());
}
