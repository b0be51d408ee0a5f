//! Faults that are too many or too slow for a dialogue: packets cut at every byte, lengths that lie, clients that drip,
//! time that passes.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use grovemq_tests::Broker;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::notation::bytes;
use crate::peer::{Peer, local};

/// One broker for the tests of this module that run at the same time.
fn shared() -> Arc<Broker> {
    static CURRENT: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut current = CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    current.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::ours());
        *current = Arc::downgrade(&broker);
        broker
    })
}

const FULL_V5: &str = "\"MQTT\" 05 ce 000a {1100000000 210014 26 \"k\" \"v\"} \"cut\" {1800000000 03 \"text\"} \
                       \"will\" \"gone\" \"user\" \"password\"";
const FULL_V3: &str = "\"MQTT\" 04 ce 000a \"cut\" \"will\" \"gone\" \"user\" \"password\"";

/// A06: CONNECT whose length is right for what is left of it.
#[test]
fn a06_connect_cut_at_every_byte_with_a_right_length() {
    let broker = shared();
    for (body, is_v5) in [(bytes(FULL_V5), true), (bytes(FULL_V3), false)] {
        for len in 0..body.len() {
            let mut peer = Peer::open(local(broker.port()));
            let mut packet = vec![0x10, u8::try_from(len).unwrap()];
            packet.extend_from_slice(&body[..len]);
            peer.send_bytes(&packet);
            // from the version's byte on MQTT 5 is told what is wrong
            if is_v5 && len > 6 {
                peer.expect("CONNACK{0081 *}");
            }
            peer.closed();
        }
    }
    Peer::v3(broker.port(), "after").ping();
}

/// A06: CONNECT that never goes on. Nothing is answered before it is whole, and its end is no harm.
#[test]
fn a06_connect_that_ends_at_every_byte() {
    let broker = shared();
    let whole = bytes(&format!("CONNECT{{{FULL_V5}}}"));
    for len in 0..whole.len() {
        let mut peer = Peer::open(local(broker.port()));
        peer.send_bytes(&whole[..len]);
        peer.end();
        peer.closed();
    }
    Peer::v3(broker.port(), "after").ping();
}

/// A07: each length inside a packet says more than there is.
#[test]
fn a07_inner_lengths_that_lie() {
    let broker = shared();
    for body in [
        "ffff 'MQTT' 04 02 003c \"a\"",
        "\"MQTT\" 04 02 003c ffff 'a'",
        "\"MQTT\" 04 06 003c \"a\" ffff 'will' \"m\"",
        "\"MQTT\" 04 06 003c \"a\" \"will\" ffff 'm'",
        "\"MQTT\" 04 c2 003c \"a\" ffff 'user' \"password\"",
        "\"MQTT\" 04 c2 003c \"a\" \"user\" ffff 'password'",
    ] {
        let mut peer = Peer::open(local(broker.port()));
        peer.send(&format!("CONNECT{{{body}}}"));
        peer.closed();
    }
    for packet in [
        "PUBLISH{ffff 'topic'}",
        "PUBLISH{0006 'topic'}",
        "PUBLISH{\"topic\" 7f 01}",
        "PUBLISH{\"topic\" ffffff7f}",
        "PUBLISH{\"topic\" {03ffff 'text'}}",
        "PUBLISH{\"topic\" {09ffff}}",
        "PUBLISH{\"topic\" {26 \"k\" ffff 'v'}}",
        "PUBLISH1{\"topic\" 00}",
        "SUBSCRIBE{0001 {} ffff 'a' 00}",
        "SUBSCRIBE{0001 {} \"a\" 00 0009 'b' 00}",
        "SUBSCRIBE{0001 7f \"a\" 00}",
        "SUBSCRIBE{00}",
        "UNSUBSCRIBE{0001 {} ffff 'a'}",
        "PUBACK{0001 00 7f}",
        "PUBACK{00}",
        "PUBREL{0001 00 {1fffff 'x'}}",
        "DISCONNECT{00 {1fffff 'x'}}",
        "DISCONNECT{00 7f}",
        "30 00",
        "40 00",
        "82 00",
        "a2 00",
    ] {
        let mut peer = Peer::v5(broker.port(), "");
        peer.send(packet);
        peer.closed_with(0x81);
    }
}

/// Every packet may come in pieces of any size.
#[test]
fn one_byte_at_a_time() {
    let broker = shared();
    let mut peer = Peer::open(local(broker.port()));
    for byte in bytes(
        "CONNECT{\"MQTT\" 05 02 003c {} \"bytes\"} SUBSCRIBE{0001 {} \"bytes\" 02} PUBLISH2{\"bytes\" 0001 {03 \"t\"} 'x'} PUBREL{0001}",
    ) {
        peer.send_bytes(&[byte]);
        std::thread::sleep(Duration::from_micros(300));
    }
    peer.expect("CONNACK{0000 *} SUBACK{0001 {} 02}");
    peer.expect_in_any_order("PUBLISH2{\"bytes\" 0001 {03 \"t\"} 'x'} PUBREC{0001} PUBCOMP{0001}");
}

/// Many packets glued together, cut at odd places.
#[test]
fn packets_glued_and_cut() {
    let broker = shared();
    for size in [3, 7, 64, 1000, 65_537] {
        let mut peer = Peer::v5(broker.port(), &format!("glued{size}"));
        let topic = format!("glued/{size}");
        peer.subscribe_v5(&topic, 0);
        let all = bytes(&format!("300*(PUBLISH1{{\"{topic}\" 0001 {{}} 100*78}} PINGREQ{{}})"));
        for piece in all.chunks(size) {
            peer.send_bytes(piece);
        }
        let one = format!("PUBLISH{{\"{topic}\" {{}} 100*78}} PUBACK{{0001}} PINGRESP{{}}");
        let mut left = [300; 3];
        while left != [0; 3] {
            let packet = peer.packet();
            let which = match packet[0] {
                0x30 => 0,
                0x40 => 1,
                _ => 2,
            };
            let expected = &crate::notation::expected(&one)[which];
            assert!(expected.matches(&packet), "{packet:x?}");
            left[which] -= 1;
        }
    }
}

/// Messages near the size limit, both below and above the sizes at which buffers change hands.
#[test]
fn large_messages() {
    let broker = shared();
    let port = broker.port();
    let mut old = Peer::v3(port, "large-old");
    old.subscribe_v3("large", 2);
    let mut new = Peer::v5(port, "large-new");
    new.subscribe_v5("large", 1);
    let mut writer = Peer::v5(port, "large-writer");
    for (id, len) in [4_000, 70_000, 200_000, 300_000, 1_900_000].into_iter().enumerate() {
        let id = id + 1;
        writer.send(&format!("PUBLISH1{{\"large\" {id:04x} {{}} {len}*61}}"));
        writer.expect(&format!("PUBACK{{{id:04x}}}"));
        old.expect(&format!("PUBLISH1{{\"large\" {id:04x} {len}*61}}"));
        new.expect(&format!("PUBLISH1{{\"large\" {id:04x} {{}} {len}*61}}"));
        old.send(&format!("PUBACK{{{id:04x}}}"));
        new.send(&format!("PUBACK{{{id:04x}}}"));
    }
    // the limit is 2,000,000 bytes, header included
    writer.send_anyway("PUBLISH{\"large\" {} 2000000*61}");
    assert!(writer.time_to_close() < Duration::from_secs(10));
    old.ping();
}

/// A28: a client that never completes its CONNECT is closed after ten seconds, one that drips as one that is silent.
#[test]
fn a28_connect_must_be_whole_in_time() {
    let broker = shared();
    let mut silent = Peer::open(local(broker.port()));
    let mut drips = Peer::open(local(broker.port()));
    let start = Instant::now();
    drips.send("10 40");
    while start.elapsed() < Duration::from_secs(9) {
        drips.send("00");
        std::thread::sleep(Duration::from_millis(500));
    }
    silent.closed();
    drips.closed();
    let took = start.elapsed();
    assert!(took > Duration::from_millis(9_500) && took < Duration::from_secs(14), "{took:?}");
}

/// One and a half times the keep-alive, then the end, with the will.
#[test]
fn c08_keep_alive() {
    let broker = shared();
    let port = broker.port();
    let mut watch = Peer::v3(port, "keep-watch");
    watch.subscribe_v3("keep/#", 0);
    let mut old =
        Peer::connect(port, "\"MQTT\" 04 06 0001 \"keep-old\" \"keep/old\" \"gone\"", "CONNACK{0000}");
    let mut new = Peer::connect(
        port,
        "\"MQTT\" 05 06 0001 {} \"keep-new\" {} \"keep/new\" \"gone\"",
        "CONNACK{0000 *}",
    );
    let mut forever = Peer::connect(port, "\"MQTT\" 05 02 0000 {} \"keep-forever\"", "CONNACK{0000 *}");
    // any packet counts, not only PINGREQ
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        old.ping();
        new.send("PUBACK{0063}");
    }
    let start = Instant::now();
    watch.expect_in_any_order("PUBLISH{\"keep/old\" 'gone'} PUBLISH{\"keep/new\" 'gone'}");
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1_300), "closed after {took:?}");
    assert!(took < Duration::from_secs(6), "closed after {took:?}");
    old.closed();
    new.closed_with(0x8d);
    forever.ping();
    broker.wait_for_log("Client keep-old [");
}

/// B18: all 65,535 packet identifiers are in use, then more messages come.
#[test]
fn b18_all_packet_identifiers_in_use() {
    let broker = crate::fairness::plain("max_inflight_messages 0\nmax_queued_messages 0\n");
    let port = broker.port();
    let mut slow = Peer::v3(port, "slow");
    slow.subscribe_v3("t", 1);
    let mut writer = Peer::v3(port, "writer");
    let message = bytes("PUBLISH1{\"t\" 0001 'x'}");
    let batch = message.repeat(1_000);
    for _ in 0..66 {
        writer.send_bytes(&batch);
        for _ in 0..1_000 {
            writer.packet();
        }
    }
    let mut ids = vec![false; 65_536];
    for _ in 0..65_535 {
        let packet = slow.packet();
        let id = usize::from(u16::from_be_bytes([packet[5], packet[6]]));
        assert!(!std::mem::replace(&mut ids[id], true) && id > 0, "{id} twice or 0");
    }
    slow.silent();
    slow.send("PUBACK{0001}");
    slow.expect("PUBLISH1{\"t\" 0001 'x'}");
    writer.ping();
}

/// C01: many sockets fight for one name; there is one owner at the end, and nobody is left behind.
#[test]
fn c01_a_fight_for_one_client_id() {
    let broker = crate::fairness::plain("");
    let port = broker.port();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut peer = Peer::open(local(port));
                    peer.send("CONNECT{\"MQTT\" 05 02 003c {} \"hero\"}");
                    peer.expect("CONNACK{0000 *}");
                    peer.send_anyway("SUBSCRIBE{0001 {} \"t\" 00} PUBLISH{\"t\" {} 'x'}");
                }
            });
        }
    });
    let mut last = Peer::v5(port, "hero");
    last.subscribe_v5("t", 0);
    let mut writer = Peer::v3(port, "writer");
    writer.send("PUBLISH{\"t\" 'end'}");
    last.expect("PUBLISH{\"t\" {} 'end'}");
    last.silent();
}

/// B06, in small: many topics, deep and wide, subscribed and retained; all of it can be taken back.
#[test]
fn b06_many_topics() {
    let broker = crate::fairness::plain("");
    let port = broker.port();
    let mut peer = Peer::v5(port, "many");
    let deep = "x/".repeat(190);
    for i in 0..100_u16 {
        let filters: Vec<String> = (0..100).map(|j| format!("\"{i}/{j}/{deep}{j}\" 00")).collect();
        peer.send(&format!("SUBSCRIBE{{{:04x} {{}} {}}}", i + 1, filters.join(" ")));
        peer.expect(&format!("SUBACK{{{:04x} {{}} 100*00}}", i + 1));
    }
    peer.send(&format!("PUBLISH{{\"57/31/{deep}31\" {{}} 'x'}}"));
    peer.expect(&format!("PUBLISH{{\"57/31/{deep}31\" {{}} 'x'}}"));
    let mut writer = Peer::v3(port, "writer");
    for i in 0..10_000_u32 {
        writer.send(&format!("PUBLISH+retain{{\"kept/{}/{i}\" 'x'}}", i % 100));
    }
    writer.ping();
    let mut reader = Peer::v3(port, "reader");
    reader.subscribe_v3("kept/#", 0);
    let mut seen = vec![false; 10_000];
    for _ in 0..10_000 {
        let packet = reader.packet();
        let topic = String::from_utf8_lossy(&packet[4..packet.len() - 1]).into_owned();
        let i: usize = topic.rsplit('/').next().unwrap().parse().unwrap();
        assert!(!std::mem::replace(&mut seen[i], true), "{topic} twice");
    }
    reader.ping();
}

/// C15: many clients subscribe to the same new topics at once, and all of them have them.
#[test]
fn c15_clients_that_subscribe_at_the_same_time() {
    const TOPICS: u16 = 40;
    let broker = crate::fairness::plain("");
    let port = broker.port();
    let start = std::sync::Barrier::new(8);
    let subscribe = |n: usize| {
        let mut peer = Peer::v3(port, &format!("c{n}"));
        start.wait();
        for i in 1..=TOPICS {
            peer.send(&format!("SUBSCRIBE{{{i:04x} \"new/{i}/topic\" 00}}"));
        }
        for i in 1..=TOPICS {
            peer.expect(&format!("SUBACK{{{i:04x} 00}}"));
        }
        peer
    };
    let peers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || subscribe(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    let mut writer = Peer::v3(port, "writer");
    for i in 1..=TOPICS {
        writer.send(&format!("PUBLISH{{\"new/{i}/topic\" 'x'}}"));
    }
    for mut peer in peers {
        for i in 1..=TOPICS {
            peer.expect(&format!("PUBLISH{{\"new/{i}/topic\" 'x'}}"));
        }
    }
}

/// E14: streams that end without a farewell, orderly or with a reset, at any moment: the wills of those who were in go out
/// once each, and nobody else notices.
#[test]
fn e14_streams_that_just_end() {
    let broker = crate::fairness::plain("");
    let port = broker.port();
    let mut watch = Peer::v3(port, "watch");
    watch.subscribe_v3("gone/#", 0);
    for reset in [false, true] {
        for beginning in ["", "10 40", "10 0f \"MQTT\""] {
            let mut peer = Peer::open(local(port));
            peer.send(beginning);
            if reset { peer.reset() } else { drop(peer) }
        }
        for last in ["", "c0", "30 7f 0001", "PUBLISH1{\"t\" 0001 'x'}", "PUBLISH2{\"t\" 0001 'x'}"] {
            let body = "\"MQTT\" 04 06 003c \"goes\" \"gone/goes\" \"x\"";
            let mut peer = Peer::connect(port, body, "CONNACK{0000}");
            peer.send(last);
            if reset {
                peer.reset();
            } else {
                drop(peer);
            }
            watch.expect("PUBLISH{\"gone/goes\" 'x'}");
        }
    }
    watch.silent();
    Peer::v3(port, "goes").ping();
}

/// E09: who is inside goes on, nothing spins, and new clients get in as soon as others have left.
#[test]
fn e09_without_descriptors_the_clients_inside_go_on() {
    // whoever runs the test: the limits of others are not ours to set
    let broker = crate::fairness::plain("user root");
    let (port, pid) = (broker.port(), broker.program().pid());
    let mut inside = Peer::v3(port, "inside");
    inside.subscribe_v3("t", 0);
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 5), maximum: Some(open + 5) };
    prlimit(Pid::from_raw(pid.cast_signed()), Resource::Nofile, limit).unwrap();
    let crowd: Vec<Peer> = (0..30).map(|_| Peer::open(local(port))).collect();
    broker.wait_for_log("Unable to accept connections");
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_secs(1));
    let spent = cpu_ticks(pid) - before;
    assert!(spent < 30, "{spent} hundredths of a second of work to accept nobody");
    inside.send("PUBLISH{\"t\" 'x'}");
    inside.expect("PUBLISH{\"t\" 'x'}");
    drop(crowd);
    Peer::v3(port, "late").ping();
}

/// Hundredths of a second that a process has worked.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
