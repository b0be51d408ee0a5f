//! Brokers at the other end of a bridge that do what no broker may do, and behave the next time.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use grovemq_tests::notation::bytes;
use grovemq_tests::peer::Peer;
use grovemq_tests::{Broker, Kind, SOON};

const CONNACK: &[u8] = &[0x20, 2, 0, 0];
const GOOD: &str = "PUBLISH{\"far/good\" 'x'}";

/// The body of the next packet, which has to be a short one.
fn packet(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn behave(stream: &mut TcpStream) -> std::io::Result<()> {
    packet(stream)?;
    stream.write_all(CONNACK)?;
    let subscribe = packet(stream)?;
    stream.write_all(&[0x90, 3, subscribe[0], subscribe[1], 0])?;
    stream.write_all(&bytes(GOOD))
}

/// Answers the first CONNECT with these bytes and waits for the bridge to go; then it is a good broker. Gives its port.
fn hostile(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut answer = Some(answer);
        for mut stream in listener.incoming().map_while(Result::ok) {
            if let Some(answer) = answer.take() {
                // it may go in the middle
                packet(&mut stream).and_then(|_| stream.write_all(&answer)).ok();
            } else {
                behave(&mut stream).ok();
            }
            stream.read_to_end(&mut Vec::new()).ok();
        }
    });
    port
}

/// E16: whatever the other broker sends, the bridge ends that connection and tries again; the broker and its clients
/// notice nothing, and nothing of it reaches them.
#[test]
fn e16_hostile_brokers_at_the_other_end() {
    let connected = |more: &[u8]| [CONNACK, more].concat();
    let cases: [(&str, Vec<u8>); 11] = [
        ("not MQTT", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("reserved flags in CONNACK", vec![0x20, 2, 0xfe, 0]),
        ("an unknown code in CONNACK", vec![0x20, 2, 0, 0x77]),
        ("half a CONNACK", vec![0x20, 1, 0]),
        ("a length of five bytes", vec![0x20, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("another packet than CONNACK", bytes("PUBLISH{\"far/x\" 'x'}")),
        ("a packet of 256 megabytes", connected(&[0x30, 0xff, 0xff, 0xff, 0x7f])),
        ("a second CONNACK", connected(CONNACK)),
        ("what only clients send", connected(&[0x82, 6, 0, 1, 0, 1, b'#', 0])),
        ("a wildcard in a topic", connected(&bytes("PUBLISH{\"far/#\" 'x'}"))),
        ("an empty topic", connected(&bytes("PUBLISH{\"\" 'x'}"))),
    ];
    let bridges = cases.iter().enumerate().map(|(i, (_, answer))| {
        let port = hostile(answer.clone());
        format!(
            "connection b{i}\naddress 127.0.0.1:{port}\nremote_clientid b{i}\nrestart_timeout 1\nnotifications false\n\
             topic # in 0 b{i}/ far/\n"
        )
    });
    let lines: String = bridges.collect();
    let here = Broker::start(Kind::Ours, "allow_anonymous true\n");
    let mut watch = Peer::v3(here.port(), "watch").with_patience(SOON * 2);
    watch.subscribe_v3("#", 0);
    // the bridges come when everything is watched
    let file = here.dir().join("mosquitto.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{before}\n{lines}")).unwrap();
    here.program().hang_up();
    let mut waiting: BTreeMap<Vec<u8>, &str> = cases
        .iter()
        .enumerate()
        .map(|(i, (name, _))| (bytes(&format!("PUBLISH{{\"b{i}/good\" 'x'}}")), *name))
        .collect();
    while !waiting.is_empty() {
        let packet = watch.try_packet().unwrap_or_else(|| panic!("no new try after {waiting:?}"));
        assert!(waiting.remove(&packet).is_some(), "{packet:x?}");
    }
    watch.silent();
    watch.ping();
}

/// E16: what it sends beside what it was asked for is dropped, and so is what has no name here.
#[test]
fn e16_topics_that_have_no_place_here() {
    let uninvited = [
        "PUBLISH{\"secret\" 'x'}",
        "PUBLISH{\"far/\" 'x'}",
        "PUBLISH+retain{\"$SYS/broker/version\" 'x'}",
        GOOD,
    ];
    let answer: Vec<u8> = uninvited.iter().flat_map(|packet| bytes(packet)).collect();
    let port = hostile([CONNACK, &answer].concat());
    let lines = format!(
        "allow_anonymous true\nsys_interval 0\nconnection b\naddress 127.0.0.1:{port}\nremote_clientid b\nnotifications false\n\
         start_type automatic\ntopic # in 0 \"\" far/\n"
    );
    let here = Broker::start(Kind::Ours, "allow_anonymous true\nsys_interval 0\n");
    let mut watch = Peer::v3(here.port(), "watch");
    watch.subscribe_v3("#", 0);
    watch.send("SUBSCRIBE{0002 \"$SYS/#\" 00}");
    watch.expect("SUBACK{0002 00}");
    let file = here.dir().join("mosquitto.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before.replace("allow_anonymous true\nsys_interval 0\n", &lines)).unwrap();
    here.program().hang_up();
    watch.expect("PUBLISH{\"good\" 'x'}");
    watch.silent();
}

/// E16: retained messages without end cost neither the others their turn nor the broker its memory.
#[test]
fn e16_a_flood_of_retained_messages() {
    const MESSAGES: u32 = 20_000;
    let mut flood = CONNACK.to_vec();
    for i in 0..MESSAGES {
        flood.extend(bytes(&format!("PUBLISH+retain{{\"far/{i}\" 100*78}}")));
    }
    flood.extend(bytes("PUBLISH+retain{\"far/good\" 'x'}"));
    let here = crate::bridge(Kind::Ours, hostile(flood), "notifications false\ntopic # in 0 b/ far/");
    let mut watch = Peer::v3(here.port(), "watch").with_patience(SOON * 2);
    watch.subscribe_v3("b/good", 0);
    let mut other = Peer::v3(here.port(), "other");
    for _ in 0..50 {
        other.ping();
    }
    // as it passes, or kept
    assert!(watch.packet().ends_with(b"b/goodx"));
}
