//! tshark listens to a talk in which every packet type occurs, and finds none malformed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Program, SOON, Wire, peers, scratch};

/// What the dissector calls malformed, or an error of the protocol.
const MALFORMED: &str = "_ws.malformed || (mqtt && _ws.expert.severity == 8388608)";

/// The names of the packet types, by number.
const TYPES: [&str; 16] = [
    "",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// Captures what passes over this port while `talk` talks.
fn capture(port: u16, file: &Path, talk: impl FnOnce()) {
    let mut tshark = peers::debian("tshark");
    tshark.args(["-q", "-i", "lo", "-f", &format!("tcp port {port}"), "-w"]).arg(file);
    let capturing = Program::start(&mut tshark);
    // it says when it begins, and really begins a moment later
    capturing.wait_for_stderr("Capturing on", SOON);
    let heard = |file: &Path| std::fs::metadata(file).is_ok_and(|m| m.len() > 1000);
    let deadline = Instant::now() + SOON;
    while !heard(file) {
        assert!(Instant::now() < deadline, "tshark captures nothing\n{}", capturing.transcript());
        // any connection gives it something to hear
        for _ in 0..5 {
            drop(std::net::TcpStream::connect(("127.0.0.1", port)));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    talk();
    // the kernel hands packets over in batches
    std::thread::sleep(Duration::from_millis(1500));
    capturing.interrupt();
    capturing.finish(SOON);
}

/// One line per frame of the file that this filter lets pass, with the wanted fields.
fn decoded(port: u16, file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut tshark = peers::debian("tshark");
    tshark.args(["-d", &format!("tcp.port=={port},mqtt"), "-Y", filter, "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let end = Program::run(tshark.arg("-r").arg(file), b"", SOON * 4).success();
    end.text().lines().map(str::to_owned).collect()
}

#[track_caller]
fn check(talk: impl FnOnce(u16), expected: &[u8]) {
    let broker = Broker::ours();
    let dir = scratch();
    let file = dir.path().join("talk.pcapng");
    capture(broker.port(), &file, || talk(broker.port()));
    let malformed = decoded(broker.port(), &file, MALFORMED, &["frame.number", "_ws.col.Info"]);
    assert!(malformed.is_empty(), "malformed: {malformed:#?}");
    let lines = decoded(broker.port(), &file, "mqtt", &["mqtt.msgtype"]);
    let seen: BTreeSet<u8> =
        lines.iter().flat_map(|line| line.split(',')).filter_map(|n| n.trim().parse().ok()).collect();
    let missing: Vec<&str> =
        expected.iter().filter(|n| !seen.contains(n)).map(|n| TYPES[usize::from(*n)]).collect();
    assert!(missing.is_empty(), "not in the capture: {missing:?}, but {seen:?}");
}

/// All three qualities both ways, a ping, and a good-bye. `properties` stands where version 5 has an empty list of them.
fn talk(port: u16, level: u8, properties: &str) {
    let mut client = Wire::introduce(port, level, "captured");
    // version 5 adds a byte for the properties of each
    let long = |short: u8| short + u8::from(level == 5);
    client.send(&format!("82 {:02x} 0001 {properties} \"t/+\" 02", long(8)));
    assert_eq!(client.packet()[0], 0x90);
    for (first, id) in [("30", ""), ("32", "0002"), ("34", "0003"), ("31", "")] {
        let body = 5 + id.len() / 2 + 2 + usize::from(level == 5);
        client.send(&format!("{first} {body:02x} \"t/a\" {id} {properties} 'hi'"));
    }
    let mut quiet = 0;
    let (mut acknowledged, mut delivered) = (0, 0);
    while (acknowledged < 2 || delivered < 4) && quiet < 50 {
        let packet = client.packet();
        let id = |at: usize| format!("{:02x}{:02x}", packet[at], packet[at + 1]);
        match packet[0] >> 4 {
            3 => match packet[0] >> 1 & 3 {
                0 => delivered += 1,
                1 => {
                    client.send(&format!("40 02 {}", id(7)));
                    delivered += 1;
                }
                _ => client.send(&format!("50 02 {}", id(7))),
            },
            4 | 7 => acknowledged += 1,
            5 => client.send(&format!("62 02 {}", id(2))),
            6 => {
                client.send(&format!("70 02 {}", id(2)));
                delivered += 1;
            }
            other => panic!("unexpected packet type {other}"),
        }
        quiet += 1;
    }
    client.send(&format!("a2 {:02x} 0004 {properties} \"t/+\"", long(7)));
    assert_eq!(client.packet()[0], 0xb0);
    client.send("c0 00");
    client.expect("d0 00");
    client.send("e0 00");
    client.expect_closed();
}

#[test]
fn version_3_1_1_is_well_formed() {
    check(|port| talk(port, 4, ""), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn version_3_1_is_well_formed() {
    check(|port| talk(port, 3, ""), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn version_5_is_well_formed() {
    let all = |port| {
        talk(port, 5, "00");
        // an authentication method that nobody offers
        let mut unknown = Wire::connect(port);
        unknown.send("10 1a \"MQTT\" 05 02 003c 09 15 \"method\" \"auth\"");
        assert_eq!(unknown.packet()[0], 0x20);
        // AUTH out of turn: the broker may say why it closes
        let mut unasked = Wire::introduce(port, 5, "unasked");
        unasked.send("f0 0b 18 09 15 \"method\"");
        assert!(unasked.try_packet().is_none_or(|packet| packet[0] == 0xe0));
        unasked.expect_closed();
    };
    check(all, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
}
