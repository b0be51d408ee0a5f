//! More event loops than one: what crosses from one to another keeps its order and goes where it should.

use std::collections::BTreeMap;

use crate::fairness::plain;
use crate::peer::Peer;

/// Enough clients for each of four shards to have some, whatever they hash to.
const CLIENTS: usize = 12;

#[test]
fn order_is_kept_from_each_publisher_to_each_subscriber() {
    for settings in ["shards 1", "shards 4", "shards 4\nbusy_poll 1000"] {
        let broker = plain(&format!("{settings}\nmax_queued_messages 0\n"));
        let port = broker.port();
        let subscribers: Vec<Peer> = (0..CLIENTS)
            .map(|i| {
                let mut peer = Peer::v5(port, &format!("s{i}"));
                peer.subscribe_v5("order/+", u8::try_from(i % 3).unwrap());
                peer
            })
            .collect();
        std::thread::scope(|scope| {
            for p in 0..CLIENTS {
                scope.spawn(move || {
                    let mut writer = Peer::v3(port, &format!("p{p}"));
                    for i in 1..=200_u16 {
                        writer.send(&format!("PUBLISH1{{\"order/{p:02}\" {i:04x} {i:04x}}}"));
                        writer.expect(&format!("PUBACK{{{i:04x}}}"));
                    }
                });
            }
            for mut peer in subscribers {
                scope.spawn(move || {
                    let mut last: BTreeMap<Vec<u8>, u16> = BTreeMap::new();
                    for _ in 0..CLIENTS * 200 {
                        let packet = peer.packet();
                        let topic = packet[4..12].to_vec();
                        let number = &packet[packet.len() - 2..];
                        let number = u16::from_be_bytes([number[0], number[1]]);
                        let before = last.insert(topic, number).unwrap_or(0);
                        assert_eq!(number, before + 1, "out of order, lost or twice");
                        if packet[0] & 6 == 2 {
                            peer.send_bytes(&[0x40, 2, packet[12], packet[13]]);
                        }
                    }
                    peer.ping();
                });
            }
        });
    }
}

#[test]
fn a_shared_group_over_all_shards_gets_each_message_once() {
    for shards in [1, 4] {
        let broker = plain(&format!("shards {shards}\n"));
        let port = broker.port();
        let mut members: Vec<Peer> = (0..CLIENTS)
            .map(|i| {
                let mut peer = Peer::v5(port, &format!("m{i}"));
                peer.subscribe_v5("$share/g/work", 0);
                peer
            })
            .collect();
        let mut writers: Vec<Peer> = (0..4).map(|i| Peer::v3(port, &format!("w{i}"))).collect();
        for i in 0..240_u16 {
            let writer = &mut writers[usize::from(i % 4)];
            writer.send(&format!("PUBLISH{{\"work\" {i:04x}}}"));
        }
        writers.iter_mut().for_each(Peer::ping);
        std::thread::sleep(crate::peer::QUIET);
        let mut seen = vec![0; 240];
        let mut idle = 0;
        for member in &mut members {
            member.send("PINGREQ{}");
            let mut count = 0;
            loop {
                let packet = member.packet();
                if packet[0] != 0x30 {
                    break;
                }
                let number = &packet[packet.len() - 2..];
                seen[usize::from(u16::from_be_bytes([number[0], number[1]]))] += 1;
                count += 1;
            }
            idle += usize::from(count == 0);
        }
        assert!(seen.iter().all(|&n| n == 1), "lost or twice: {seen:?}");
        assert_eq!(idle, 0, "members that got nothing");
    }
}

#[test]
fn sessions_wills_and_retained_messages_over_all_shards() {
    let broker = plain("shards 4\n");
    let port = broker.port();
    let mut watch = Peer::v3(port, "watch");
    watch.subscribe_v3("will/+", 1);
    let durable = |i: usize| format!("\"MQTT\" 04 04 003c \"d{i}\" \"will/{i:02}\" \"gone\"");
    for i in 0..CLIENTS {
        let mut peer = Peer::connect(port, &durable(i), "CONNACK{0000}");
        peer.subscribe_v3("queue", 1);
    }
    let wills: Vec<String> = (0..CLIENTS).map(|i| format!("PUBLISH{{\"will/{i:02}\" 'gone'}}")).collect();
    watch.expect_in_any_order(&wills.join(" "));
    let mut writer = Peer::v3(port, "writer");
    for i in 1..=5_u16 {
        writer.send(&format!("PUBLISH1+retain{{\"queue\" {i:04x} {i:04x}}}"));
        writer.expect(&format!("PUBACK{{{i:04x}}}"));
    }
    std::thread::sleep(crate::peer::QUIET);
    for i in 0..CLIENTS {
        let mut peer = Peer::connect(port, &durable(i), "CONNACK{0100}");
        for n in 1..=5_u16 {
            peer.expect(&format!("PUBLISH1{{\"queue\" {n:04x} {n:04x}}}"));
        }
        peer.send("SUBSCRIBE{0002 \"queue\" 00}");
        peer.expect("SUBACK{0002 00} PUBLISH+retain{\"queue\" 0005}");
        // the new connection takes the name over, on its own shard
        let mut again = Peer::connect(port, &durable(i), "CONNACK{0100}");
        peer.closed();
        again.expect("PUBLISH1+dup{\"queue\" 0001 0001}");
    }
}
