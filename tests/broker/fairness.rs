//! One connection cannot starve the rest, however much it sends or however little it reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Kind, SOON};

use crate::notation::bytes;
use crate::peer::Peer;

/// A broker without debug lines, for tests with many messages.
#[track_caller]
pub(crate) fn plain(lines: &str) -> Broker {
    Broker::start_quietly(Kind::Ours, &format!("allow_anonymous true\n{lines}"))
}

/// The resident memory of a broker, in bytes.
pub(crate) fn memory(broker: &Broker) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", broker.program().pid())).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A publisher as fast as it can be to more than a hundred subscribers; meanwhile somebody else is answered, and every
/// subscriber gets everything in order.
#[test]
fn a_flood_to_many_subscribers_leaves_others_their_turn() {
    const SUBSCRIBERS: usize = 120;
    const MESSAGES: usize = 1_500;
    let broker = plain("");
    let port = broker.port();
    let subscribers: Vec<Peer> = (0..SUBSCRIBERS)
        .map(|i| {
            let mut peer = Peer::v3(port, &format!("s{i}"));
            peer.subscribe_v3("flood", 0);
            peer
        })
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Peer::v3(port, "writer");
            let all: Vec<u8> =
                (0..MESSAGES).flat_map(|i| bytes(&format!("PUBLISH{{\"flood\" {i:08x}}}"))).collect();
            writer.send_bytes(&all);
            writer.ping();
        });
        let readers: Vec<_> = subscribers
            .into_iter()
            .map(|mut peer| {
                scope.spawn(move || {
                    for i in 0..MESSAGES {
                        let packet = peer.packet();
                        assert_eq!(packet[9..], u32::try_from(i).unwrap().to_be_bytes(), "out of order");
                    }
                })
            })
            .collect();
        let pinger = scope.spawn(|| {
            let mut peers = [Peer::v3(port, "ping1"), Peer::v5(port, "ping2"), Peer::v5(port, "ping3")];
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                peers.iter_mut().for_each(Peer::ping);
                count += 1;
            }
            count
        });
        for reader in readers {
            reader.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        assert!(pinger.join().unwrap() > 0);
    });
}

/// C05: a subscriber that reads nothing costs a bounded amount of memory; others go on, and the log says so once.
#[test]
fn c05_a_subscriber_that_stops_reading() {
    let broker = plain("");
    let port = broker.port();
    let mut stuck = Peer::v3(port, "stuck");
    stuck.subscribe_v3("burst", 0);
    let mut other = Peer::v3(port, "other");
    other.subscribe_v3("burst", 0);
    let mut writer = Peer::v3(port, "writer");
    let message = bytes("PUBLISH{\"burst\" 10000*78}");
    let before = memory(&broker);
    // 60 MB, in steps that the other subscriber keeps up with
    for _ in 0..60 {
        writer.send_bytes(&message.repeat(100));
        for _ in 0..100 {
            assert_eq!(other.packet().len(), message.len());
        }
    }
    writer.ping();
    let grown = memory(&broker).saturating_sub(before);
    assert!(grown < 48 << 20, "the broker has grown by {grown} bytes");
    broker.wait_for_log("Outgoing messages are being dropped for client stuck.");
    let dropped = |broker: &Broker| {
        broker.program().stderr_lines().iter().filter(|line| line.contains("being dropped")).count()
    };
    assert_eq!(dropped(&broker), 1, "one line for one burst");
    // it reads again: what was kept comes whole, then new messages do
    writer.send("PUBLISH{\"burst\" 'end'}");
    other.expect("PUBLISH{\"burst\" 'end'}");
    stuck.send("PINGREQ{}");
    while stuck.packet() != bytes("PINGRESP{}") {}
    writer.send("PUBLISH{\"burst\" 'again'}");
    while stuck.packet() != bytes("PUBLISH{\"burst\" 'again'}") {}
    assert_eq!(dropped(&broker), 1);
}

/// C05 with QoS 1: what does not fit into the queue is dropped, and what fits is delivered in order.
#[test]
fn c05_a_subscriber_that_does_not_answer() {
    let broker = plain("max_queued_messages 50\n");
    let port = broker.port();
    let mut stuck = Peer::v3(port, "stuck");
    stuck.subscribe_v3("burst", 1);
    let mut writer = Peer::v3(port, "writer");
    for i in 1..=200_u16 {
        writer.send(&format!("PUBLISH1{{\"burst\" {i:04x} {i:04x}}}"));
        writer.expect(&format!("PUBACK{{{i:04x}}}"));
    }
    broker.wait_for_log("Outgoing messages are being dropped for client stuck.");
    // the last ones may still be on their way from one event loop to the other
    std::thread::sleep(crate::peer::QUIET);
    // 20 in flight, 50 in the queue
    for i in 1..=70_u16 {
        stuck.expect(&format!("PUBLISH1{{\"burst\" {i:04x} {i:04x}}}"));
        stuck.send(&format!("PUBACK{{{i:04x}}}"));
    }
    stuck.silent();
    writer.send("PUBLISH1{\"burst\" 0001 'end'}");
    stuck.expect("PUBLISH1{\"burst\" 0047 'end'}");
    let lines = broker.program().stderr_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("being dropped")).count(), 1, "{lines:#?}");
}

/// A client that asks and asks and never reads the answers is closed, or no longer read; its answers do not pile up.
#[test]
fn answers_to_one_that_does_not_read_are_bounded() {
    let broker = plain("");
    let port = broker.port();
    let before = memory(&broker);
    let mut rude = Peer::v3(port, "rude");
    let mut others = [Peer::v3(port, "other1"), Peer::v5(port, "other2")];
    let pings = bytes("PINGREQ{}").repeat(1 << 20);
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let done = over.clone();
    // it may be left waiting for ever: nobody joins it
    std::thread::spawn(move || {
        for _ in 0..64 {
            if !rude.try_send_bytes(&pings) {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let start = Instant::now();
    let mut most = 0;
    while start.elapsed() < Duration::from_secs(2) && !over.load(Ordering::Relaxed) {
        others.iter_mut().for_each(Peer::ping);
        most = most.max(memory(&broker).saturating_sub(before));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(most < 96 << 20, "the broker has grown by {most} bytes");
}

/// B27: many retained messages at once leave others their turn and are all delivered, at every QoS.
#[test]
fn b27_many_retained_messages() {
    let broker = plain("");
    let port = broker.port();
    let mut writer = Peer::v3(port, "writer");
    for i in 0..20_000_u32 {
        writer.send(&format!("PUBLISH+retain{{\"kept/{i}\" 100*78}}"));
    }
    writer.ping();
    std::thread::scope(|scope| {
        for qos in 0..3_u8 {
            scope.spawn(move || {
                let mut reader = Peer::v3(port, &format!("reader{qos}"));
                reader.subscribe_v3("kept/#", qos);
                for _ in 0..20_000 {
                    assert_eq!(reader.packet()[0] & 0x0f, 1);
                }
                reader.ping();
            });
        }
        let mut other = Peer::v3(port, "other");
        for _ in 0..50 {
            other.ping();
        }
    });
}

/// Half a large packet keeps nobody else waiting, and is completed at leisure.
#[test]
fn an_unfinished_packet_waits_alone() {
    let broker = plain("");
    let port = broker.port();
    let mut slow = Peer::v3(port, "slow");
    slow.subscribe_v3("t", 0);
    let packet = bytes("PUBLISH{\"t\" 200000*79}");
    let (head, tail) = packet.split_at(150_000);
    slow.send_bytes(head);
    let mut others: Vec<Peer> = (0..4).map(|i| Peer::v5(port, &format!("other{i}"))).collect();
    others.iter_mut().for_each(Peer::ping);
    slow.send_bytes(tail);
    assert_eq!(slow.packet(), packet);
}

/// D14. Hashing is slow on purpose: clients that guess passwords do not slow down those who are in.
#[test]
fn d14_logins_do_not_hold_the_loops_up() {
    let hash = grovemq_tests::peers::repository().join("examples/lab/passwords");
    let passwords = std::fs::read_to_string(hash).unwrap();
    let files = [("passwords", &*passwords)];
    let broker = Broker::start_with_files(
        Kind::Ours,
        "allow_anonymous true\nlogin_delay 0\npassword_file {dir}/passwords\n",
        &files,
    );
    let port = broker.port();
    let mut other = Peer::v3(port, "other");
    let deadline = Instant::now() + SOON;
    std::thread::scope(|scope| {
        for t in 0..4 {
            scope.spawn(move || {
                for i in 0..25 {
                    let body = format!("\"MQTT\" 05 c2 003c {{}} \"g{t}-{i}\" \"user1\" \"guess{i}\"");
                    Peer::connect(port, &body, "CONNACK{0087 *}").closed();
                }
            });
        }
        for _ in 0..100 {
            other.ping();
        }
    });
    assert!(Instant::now() < deadline);
}

/// Whoever publishes faster than `max_publish_rate` is slowed down, at QoS 0 too; nothing is lost, and it is said once.
#[test]
fn who_publishes_too_fast_is_slowed_down() {
    let broker = plain("max_publish_rate 100\n");
    let port = broker.port();
    let mut reader = Peer::v3(port, "reader");
    reader.subscribe_v3("t", 0);
    let (mut fast, mut other) = (Peer::v3(port, "fast"), Peer::v3(port, "other"));
    let start = Instant::now();
    for i in 0..200_u16 {
        fast.send(&format!("PUBLISH{{\"t\" {i:04x}}}"));
    }
    other.ping();
    fast.ping();
    // a hundred may come at once
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    for i in 0..200_u16 {
        reader.expect(&format!("PUBLISH{{\"t\" {i:04x}}}"));
    }
    broker.wait_for_log("Client fast publishes faster than it may");
    let lines = broker.program().stderr_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("faster than it may")).count(), 1, "{lines:#?}");
}

/// Connections above `max_connection_rate` wait in front of the door; none is refused, and who is inside notices nothing.
#[test]
fn too_many_connections_at_once_wait() {
    let broker = plain("max_connection_rate 5\n");
    let port = broker.port();
    let mut inside = Peer::v3(port, "inside");
    let start = Instant::now();
    let crowd: Vec<Peer> = (0..12).map(|_| Peer::open(crate::peer::local(port))).collect();
    inside.ping();
    for (i, mut peer) in crowd.into_iter().enumerate() {
        peer.send(&format!("CONNECT{{\"MQTT\" 04 02 003c \"c{i}\"}}"));
        peer.expect("CONNACK{0000}");
    }
    // so many need three seconds of five, of which the first may have begun before
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    broker.wait_for_log("More than 5 connections to 127.0.0.1:");
    let lines = broker.program().stderr_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("More than 5")).count(), 1, "{lines:#?}");
}

/// Clients with SUBSCRIBE packets of very many filters, and their ends, while others are answered: each
/// answer comes in its place, and who goes in the middle is gone.
#[test]
fn whoever_subscribes_in_bulk_leaves_others_their_turn() {
    const FILTERS: usize = 10_000;
    let broker = plain("");
    let port = broker.port();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pinger = scope.spawn(|| {
            let mut peers = [Peer::v3(port, "ping1"), Peer::v5(port, "ping2"), Peer::v5(port, "ping3")];
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                peers.iter_mut().for_each(Peer::ping);
                count += 1;
            }
            count
        });
        let clients: Vec<_> = (0..4)
            .map(|i| {
                scope.spawn(move || {
                    let bulk = many_filters(i, FILTERS);
                    let mut peer = Peer::v3(port, &format!("bulk{i}"));
                    for _ in 0..2 {
                        peer.send_bytes(&bulk);
                        peer.send(&format!("PUBLISH1{{\"nobody/{i}\" 0001 'x'}}"));
                        assert_eq!(peer.packet().len(), 3 + 2 + FILTERS);
                        peer.expect("PUBACK{0001}");
                    }
                    // of this nobody hears any more
                    peer.send_bytes(&bulk);
                    peer.reset();
                    let mut peer = Peer::v3(port, &format!("bulk{i}"));
                    peer.send(&format!("PUBLISH1{{\"f/{i}/0\" 0002 'x'}}"));
                    peer.expect("PUBACK{0002}");
                    peer.silent();
                })
            })
            .collect();
        let ends: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        ends.into_iter().for_each(Result::unwrap);
        assert!(pinger.join().unwrap() > 0);
    });
}

/// SUBSCRIBE of a 3.1.1 client.
fn many_filters(client: usize, count: usize) -> Vec<u8> {
    let mut body = vec![0, 1];
    for n in 0..count {
        let filter = format!("f/{client}/{n}");
        body.extend(u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(0);
    }
    let mut packet = vec![0x82];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    packet.push(u8::try_from(len).unwrap());
    packet.append(&mut body);
    packet
}
