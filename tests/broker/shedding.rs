//! No memory left: what is shed, who goes on, and how it ends.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fairness::{memory, plain};
use crate::notation::bytes;
use crate::peer::Peer;

const READERS: usize = 1000;
const LIMIT: usize = 48 << 20;
/// Messages sent before their answers are read.
const GROUP: usize = 20;

/// A subscriber of its own topic that reads its first answers and then nothing. Its session outlives it a little, so that what is
/// sent to it must be kept.
fn deaf(port: u16, number: usize) -> Peer {
    let connect = format!("\"MQTT\" 05 02 0000 {{1100000001}} \"deaf{number:04}\"");
    let mut peer = Peer::connect(port, &connect, "CONNACK{0000 *}");
    peer.subscribe_v5(&format!("deaf/{number:04}"), 1);
    peer
}

/// A PUBLISH of QoS 1 and twenty kilobytes to one of them.
fn large(number: usize, v5: bool) -> Vec<u8> {
    const PAYLOAD: usize = 20_000;
    let topic = format!("deaf/{number:04}");
    let rest = 2 + topic.len() + 2 + usize::from(v5) + PAYLOAD;
    let length = [rest & 0x7f | 0x80, rest >> 7 & 0x7f | 0x80, rest >> 14].map(|n| u8::try_from(n).unwrap());
    let mut packet = vec![0x32, length[0], length[1], length[2], 0, u8::try_from(topic.len()).unwrap()];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(if v5 { &[0, 1, 0] } else { &[0, 1] });
    packet.resize(packet.len() + PAYLOAD, b'x');
    packet
}

/// A client sends messages to itself, and pings.
fn rounds(canary: &mut Peer) {
    for _ in 0..20 {
        canary.send("PUBLISH1{\"canary\" 0001 {} 'song'}");
        for _ in 0..2 {
            let packet = canary.packet();
            match packet[0] {
                0x32 => canary.send_bytes(&[0x40, 2, packet[10], packet[11]]),
                _ => assert_eq!(packet, bytes("PUBACK{0001}")),
            }
        }
        canary.ping();
    }
}

/// C06, E12: a thousand readers that do not read, at once: the broker stays below a bound, refuses what would have to wait,
/// serves who needs nothing kept, says so once, and goes on when they are gone.
#[test]
fn c06_a_thousand_slow_readers_at_once() {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }).unwrap();
    let broker = plain(&format!("memory_limit {LIMIT}\n"));
    let port = broker.port();
    let readers: Vec<Peer> = (0..READERS).map(|n| deaf(port, n)).collect();
    let mut writer = Peer::v5(port, "writer");
    let mut old = Peer::v3(port, "old");
    let before = memory(&broker);
    let (mut refused, mut most) = (0, 0);
    // to each reader four times
    for n in 0..4 * READERS / GROUP {
        let topics = (0..GROUP).map(|i| (n * GROUP + i) % READERS);
        writer.send_bytes(&topics.flat_map(|i| large(i, true)).collect::<Vec<_>>());
        for _ in 0..GROUP {
            let answer = writer.packet();
            assert_eq!(answer[0], 0x40);
            refused += usize::from(answer.get(4) == Some(&0x97));
        }
        most = most.max(memory(&broker));
    }
    assert!(refused > 0, "nothing was refused");
    broker.wait_for_log("Memory is short");
    // one that cannot be told is taken, and dropped
    for i in 0..100 {
        old.send_bytes(&large(i, false));
        old.expect("PUBACK{0001}");
    }
    most = most.max(memory(&broker));
    old.ping();
    assert!(before < LIMIT && most < LIMIT + LIMIT / 2, "{before} bytes before, {most} at most");
    writer.subscribe_v5("canary", 1);
    rounds(&mut writer);
    Peer::connect(port, "\"MQTT\" 05 02 003c {} \"late\"", "CONNACK{0097 *}").closed();
    drop(readers);
    broker.wait_for_log("Memory is no longer short");
    Peer::v5(port, "late").ping();
    rounds(&mut writer);
    let lines = broker.program().stderr_lines();
    assert_eq!(lines.iter().filter(|l| l.contains("Memory is")).count(), 2, "{lines:#?}");
}
