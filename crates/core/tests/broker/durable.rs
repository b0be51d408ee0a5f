//! What survives a restart, and what waits for the disk.

use crate::bench::*;
use crate::disk::Disk;
use grovemq_codec::{PacketType, Publish, ReasonCode};

fn stored() -> Bench {
    Bench::with_disk(settings(), 1, Disk::default())
}

/// An absent durable session `s` with a subscription to `t`, and a publisher `p`.
fn absent(bench: &mut Bench, qos: u8) {
    bench.connect("s", durable("s", 1000));
    bench.feed("s", &subscribe(&[("t", options(qos))]));
    bench.cut("s");
    bench.connect("p", durable("p", 1000));
}

#[test]
fn what_is_acknowledged_is_there_after_a_kill() {
    let mut bench = stored();
    absent(&mut bench, 2);
    assert_eq!(bench.feed("p", &publish(1, 1, "t", "one")), ["PUBACK #1"]);
    assert_eq!(bench.feed("p", &publish(2, 2, "t", "two")), ["PUBREC #2"]);
    let kept = Publish { retain: true, ..message(1, 3, "r", "kept") };
    bench.feed("p", &grovemq_codec::Packet::Publish(kept));
    let mut bench = bench.kill(settings());
    assert_eq!(bench.connect("p", durable("p", 1000)), ["CONNACK Success present"]);
    let again = Publish { dup: true, ..message(2, 2, "t", "two") };
    assert_eq!(bench.feed("p", &grovemq_codec::Packet::Publish(again)), ["PUBREC #2"], "known, not new");
    assert_eq!(bench.feed("p", &ack(PacketType::PubRel, 2)), ["PUBCOMP #2"]);
    let expected = ["CONNACK Success present", "PUBLISH t q1 #1 dup one", "PUBLISH t q2 #2 dup two"];
    assert_eq!(bench.connect("s", durable("s", 1000)), expected);
    assert_eq!(bench.feed("s", &subscribe(&[("r", options(0))])).len(), 2, "SUBACK and the retained message");
}

#[test]
fn without_the_disk_there_is_no_acknowledgement() {
    for count in [1, 3] {
        let mut bench = Bench::with_disk(settings(), count, Disk::default());
        absent(&mut bench, 1);
        bench.disk.as_mut().unwrap().stalled = true;
        assert_eq!(bench.feed("p", &publish(1, 1, "t", "x")), [""; 0]);
        assert_eq!(bench.feed("p", &publish(2, 2, "other", "x")), [""; 0]);
        // not for anyone who is stored, but no acknowledgement may overtake another
        assert_eq!(bench.feed("p", &publish(1, 3, "nobody", "x")), [""; 0]);
        assert_eq!(bench.feed("p", &grovemq_codec::Packet::PingReq), ["PINGRESP"], "nothing else waits");
        bench.connect("q", v5("q"));
        assert_eq!(bench.feed("q", &publish(1, 1, "nobody", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
        bench.sync();
        bench.sync();
        let expected = ["PUBACK #1", "PUBREC #2 NoMatchingSubscribers", "PUBACK #3 NoMatchingSubscribers"];
        assert_eq!(bench.take("p"), expected);
    }
}

/// Two shards that wait for each other's word.
#[test]
fn shards_that_wait_for_each_other_come_free() {
    let mut bench = Bench::with_disk(settings(), 2, Disk::default());
    let names = |shard: u16, bench: &Bench| {
        (0..).map(|n| format!("c{n}")).filter(|id| bench.shard(id) == shard).take(2).collect::<Vec<_>>()
    };
    let (zero, one) = (names(0, &bench), names(1, &bench));
    for (name, topic) in [(&zero[0], "to0"), (&one[0], "to1")] {
        bench.connect(name, durable(name, 100));
        bench.feed(name, &subscribe(&[(topic, options(1))]));
        bench.cut(name);
    }
    bench.connect(&zero[1], v5(&zero[1]));
    bench.connect(&one[1], v5(&one[1]));
    bench.disk.as_mut().unwrap().stalled = true;
    for n in 1..5 {
        assert_eq!(bench.feed(&zero[1], &publish(1, n, "to1", "x")), [""; 0]);
        assert_eq!(bench.feed(&one[1], &publish(1, n, "to0", "x")), [""; 0]);
    }
    bench.sync();
    let acks: Vec<String> = (1..5).map(|n| format!("PUBACK #{n}")).collect();
    assert_eq!(bench.take(&zero[1]), acks);
    assert_eq!(bench.take(&one[1]), acks);
}

#[test]
fn subscriptions_wait_for_the_disk_and_survive() {
    let mut bench = stored();
    bench.connect("s", durable("s", 1000));
    bench.disk.as_mut().unwrap().stalled = true;
    let filters = [("a/+", options(1)), ("$share/g/b", options(1)), ("c", options(0))];
    assert_eq!(bench.feed("s", &subscribe_id(&filters, Some(7))), [""; 0]);
    bench.sync();
    assert_eq!(bench.take("s").len(), 1);
    assert_eq!(bench.feed("s", &unsubscribe(&["c"])), [""; 0]);
    bench.sync();
    assert_eq!(bench.take("s").len(), 1);
    let mut bench = bench.kill(settings());
    assert_eq!(bench.router.subscription_counts(), (1, 1));
    bench.connect("p", v5("p"));
    for (n, topic) in [(1, "a/x"), (2, "b"), (3, "c")] {
        bench.feed("p", &publish(1, n, topic, "m"));
    }
    let expected = ["CONNACK Success present", "PUBLISH a/x q1 #1 ids[7] m", "PUBLISH b q1 #2 ids[7] m"];
    assert_eq!(bench.connect("s", durable("s", 1000)), expected);
}

/// QoS 2 to a client, killed at each step: it gets the message once and the exchange comes to its end.
#[test]
fn e01_exactly_once_to_a_receiver_whatever_the_moment_of_the_kill() {
    for step in 0..5 {
        let mut bench = stored();
        bench.connect("s", durable("s", 1000));
        bench.feed("s", &subscribe(&[("t", options(2))]));
        bench.connect("p", v5("p"));
        assert_eq!(bench.feed("p", &publish(2, 1, "t", "x")), ["PUBREC #1"]);
        if step > 0 {
            assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x"]);
        }
        if step == 2 {
            bench.disk.as_mut().unwrap().stalled = true;
            assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 1)), [""; 0], "PUBREL waits for the disk");
        } else if step > 2 {
            assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 1)), ["PUBREL #1"]);
        }
        if step == 4 {
            bench.feed("s", &ack(PacketType::PubComp, 1));
        }
        let mut bench = bench.kill(settings());
        let mut lines = bench.connect("s", durable("s", 1000));
        lines.remove(0);
        match step {
            0..=2 => assert_eq!(lines, ["PUBLISH t q2 #1 dup x"], "with the id it had, step {step}"),
            3 => assert_eq!(lines, ["PUBREL #1"]),
            _ => assert_eq!(lines, [""; 0]),
        }
        if step < 3 {
            assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 1)), ["PUBREL #1"]);
        }
        if step < 4 {
            bench.feed("s", &ack(PacketType::PubComp, 1));
        }
        assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 0 0"]);
    }
}

/// The packet id of a QoS 2 message is safe before the message goes out; those behind it keep their order.
#[test]
fn a_message_of_qos_2_waits_for_its_packet_id() {
    let mut bench = stored();
    bench.connect("s", durable("s", 1000));
    bench.feed("s", &subscribe(&[("t", options(2))]));
    bench.connect("p", v5("p"));
    bench.disk.as_mut().unwrap().stalled = true;
    bench.feed("p", &publish(2, 1, "t", "two"));
    bench.feed("p", &publish(1, 2, "t", "one"));
    assert_eq!(bench.take("s"), [""; 0]);
    bench.sync();
    assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 two", "PUBLISH t q1 #2 one"]);
    assert_eq!(bench.take("p"), ["PUBREC #1", "PUBACK #2"]);
}

#[test]
fn order_is_kept_across_kills() {
    let mut bench = stored();
    absent(&mut bench, 1);
    for n in 1..=50u16 {
        bench.feed("p", &publish(1 + (n % 2) as u8, n, "t", &n.to_string()));
    }
    let mut bench = bench.kill(settings());
    for n in 1..=10 {
        let first = &bench.connect("s", durable("s", 1000))[1];
        assert!(first.ends_with(&n.to_string()) && first.contains(&format!("#{n} ")), "the same id: {first}");
        bench.feed("s", &ack(PacketType::PubAck, n));
        bench = bench.kill(settings());
    }
    let lines = bench.connect("s", durable("s", 1000));
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[1], "PUBLISH t q1 #11 dup 11");
    assert_eq!(lines[20], "PUBLISH t q1 #30 dup 30");
}

#[test]
fn sessions_end_on_disk_as_well() {
    let mut bench = stored();
    absent(&mut bench, 1);
    bench.connect("clean", v5("clean"));
    bench.feed("clean", &subscribe(&[("t", options(1))]));
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 0 0", "p 0 0 0"]);
    bench.connect("s", v5("s"));
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["p 0 0 0"], "a clean start ends the stored session");
    bench.feed("p", &disconnect(ReasonCode::NormalDisconnection, Some(0)));
    assert!(bench.disk.as_ref().unwrap().sessions().is_empty());
}

#[test]
fn expiry_goes_on_across_a_restart() {
    let mut bench = stored();
    absent(&mut bench, 1);
    bench.cut("p");
    bench.wait(600_000);
    let mut bench = bench.kill(settings());
    bench.wait(390_000);
    assert_eq!(bench.len().0, 2);
    bench.wait(20_000);
    assert_eq!(bench.len().0, 0);
    assert!(bench.disk.as_ref().unwrap().sessions().is_empty());
    // a client that was connected has its whole time from the restart on
    bench.connect("s", durable("s", 1000));
    bench.wait(2_000_000);
    let mut bench = bench.kill(settings());
    bench.wait(990_000);
    assert_eq!(bench.len().0, 1);
    bench.wait(20_000);
    assert_eq!(bench.len().0, 0);
}

#[test]
fn a_delayed_will_goes_out_after_the_restart() {
    let mut bench = stored();
    absent(&mut bench, 1);
    let connect = grovemq_codec::Connect { will: Some(will("t", 60)), ..durable("w", 1000) };
    bench.connect("w", connect);
    bench.cut("w");
    let mut bench = bench.kill(settings());
    bench.connect("s", durable("s", 1000));
    bench.wait(50_000);
    assert_eq!(bench.take("s"), [""; 0]);
    bench.wait(11_000);
    assert_eq!(bench.take("s"), ["PUBLISH t q0 gone"]);
    let mut bench = bench.kill(settings());
    bench.connect("s", durable("s", 1000));
    bench.wait(100_000);
    assert_eq!(bench.take("s"), [""; 0], "once");
}

const TEN_YEARS: u64 = 10 * 365 * 86_400_000;

/// Fault C09: the machine starts with another date than it ended with, as boards without a clock do. What was to end in the
/// time between has ended; nothing lives longer than it was given.
#[test]
fn c09_stored_deadlines_stay_sane_when_the_wall_clock_has_moved() {
    for (moved_back, left) in [(true, 2), (false, 0)] {
        let mut bench = stored();
        bench.disk.as_mut().unwrap().wall = 2 * TEN_YEARS;
        let mut bench = bench.kill(settings());
        absent(&mut bench, 1);
        bench.cut("p");
        let connect = grovemq_codec::Connect { will: Some(will("t", 60)), ..durable("p", 1000) };
        bench.connect("p", connect);
        bench.cut("p");
        bench.wait(10_000);
        let wall = &mut bench.disk.as_mut().unwrap().wall;
        *wall = if moved_back { *wall - TEN_YEARS } else { *wall + TEN_YEARS };
        let mut bench = bench.kill(settings());
        bench.wait(1);
        assert_eq!(bench.len().0, left, "back: {moved_back}");
        bench.wait(1_000_000);
        assert_eq!(bench.len().0, 0, "back: {moved_back}");
    }
}

/// Fault C09: what the living are promised is measured by the clock that the core is handed, not by the date.
#[test]
fn c09_the_date_decides_nothing_while_it_runs() {
    let mut lines = Vec::new();
    for wall in [0, TEN_YEARS] {
        let mut bench = stored();
        bench.disk.as_mut().unwrap().wall = wall;
        let mut bench = bench.kill(settings());
        absent(&mut bench, 1);
        let connect = durable("w", 1000);
        bench.connect("w", grovemq_codec::Connect { will: Some(will("t", 60)), keep_alive: 10, ..connect });
        let mut seen = bench.connect("s", durable("s", 1000));
        for _ in 0..9 {
            bench.wait(10_000);
            seen.push(bench.take("w").join(" "));
            seen.push(bench.take("s").join(" "));
        }
        lines.push(seen);
    }
    assert_eq!(lines[0], lines[1]);
    assert!(lines[0].iter().any(|l| l == "DISCONNECT KeepAliveTimeout closed"), "{lines:#?}");
    assert_eq!(lines[0].last().map(String::as_str), Some(""), "{lines:#?}");
    assert_eq!(lines[0].iter().filter(|l| *l == "PUBLISH t q0 gone").count(), 1, "{lines:#?}");
}

#[test]
fn retained_messages_survive_and_deleted_ones_stay_deleted() {
    let mut bench = stored();
    bench.connect("p", v5("p"));
    for (n, topic, text) in [(1, "a", "1"), (2, "b", "1"), (3, "a", "2"), (4, "b", "")] {
        let kept = Publish { retain: true, ..message(1, n, topic, text) };
        bench.feed("p", &grovemq_codec::Packet::Publish(kept));
    }
    let mut bench = bench.kill(settings());
    bench.connect("s", v5("s"));
    let mut lines = bench.feed("s", &subscribe(&[("#", options(0))]));
    lines.retain(|l| l.starts_with("PUBLISH"));
    assert_eq!(lines, ["PUBLISH a q0 retain 2"]);
}

/// Who publishes what must be stored rests while the store is behind; the others go on.
#[test]
fn e08_a_store_that_is_behind_holds_its_publishers_back() {
    let mut bench = stored();
    absent(&mut bench, 1);
    bench.connect("q", v5("q"));
    bench.store_behind(true);
    let mut many = Vec::new();
    for n in 1..=10 {
        publish(1, n, "t", "x").encode(grovemq_codec::Version::V5, &mut many).unwrap();
    }
    assert_eq!(bench.feed_bytes("p", &many), ["PUBACK #1"], "one shows that it needs the store");
    assert_eq!(bench.feed("q", &publish(1, 1, "nobody", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
    bench.store_behind(false);
    assert_eq!(bench.feed_bytes("p", &[]).len(), 9);
}

/// A place in the order that stays empty, as when a message expires where it waits, makes nobody get the next one twice.
#[test]
fn what_comes_after_an_expired_message_comes_once() {
    let mut bench = stored();
    absent(&mut bench, 1);
    let expiry = grovemq_codec::PublishProperties { message_expiry: Some(5), ..Default::default() };
    bench.feed("p", &publish(1, 1, "t", "one"));
    bench.feed("p", &with(message(1, 2, "t", "two"), expiry.clone()));
    bench.feed("p", &with(message(1, 3, "t", "three"), expiry));
    bench.feed("p", &publish(1, 4, "t", "four"));
    bench.feed("p", &publish(1, 5, "t", "five"));
    bench.wait(6000);
    let expected =
        ["CONNACK Success present", "PUBLISH t q1 #1 one", "PUBLISH t q1 #4 four", "PUBLISH t q1 #5 five"];
    assert_eq!(bench.connect("s", durable("s", 1000)), expected);
    assert_eq!(bench.feed("p", &publish(1, 6, "t", "six")), ["PUBACK #6"]);
    assert_eq!(bench.take("s"), ["PUBLISH t q1 #6 six"]);
}

/// QoS 2 to receivers on another shard, killed after each hop of the mail: however far it got, its publisher sends it
/// again and it arrives once.
#[test]
fn e01_exactly_once_across_shards_whatever_the_moment_of_the_kill() {
    for steps in 0..12 {
        let mut bench = Bench::with_disk(settings(), 2, Disk::default());
        let names = |shard: u16, bench: &Bench| {
            (0..).map(|n| format!("c{n}")).filter(|id| bench.shard(id) == shard).take(2).collect::<Vec<_>>()
        };
        let (here, there) = (names(0, &bench), names(1, &bench));
        let receivers = [(&here[1], "t"), (&there[0], "t"), (&there[1], "$share/g/t")];
        for (name, filter) in receivers {
            bench.connect(name, durable(name, 100));
            bench.feed(name, &subscribe(&[(filter, options(2))]));
        }
        let publisher = &here[0];
        bench.connect(publisher, durable(publisher, 100));
        bench.steps_left = Some(steps);
        let answers = bench.feed(publisher, &publish(2, 1, "t", "x"));
        let mut seen: Vec<Vec<String>> = receivers.iter().map(|(name, _)| bench.take(name)).collect();
        let mut bench = bench.kill(settings());
        assert_eq!(bench.connect(publisher, durable(publisher, 100)), ["CONNACK Success present"]);
        if answers.is_empty() {
            let again = Publish { dup: true, ..message(2, 1, "t", "x") };
            assert_eq!(bench.feed(publisher, &grovemq_codec::Packet::Publish(again)), ["PUBREC #1"]);
        }
        assert_eq!(bench.feed(publisher, &ack(PacketType::PubRel, 1)), ["PUBCOMP #1"]);
        for ((name, _), seen) in receivers.iter().zip(&mut seen) {
            let lines = bench.connect(name, durable(name, 100));
            assert_eq!(lines.len(), 2, "{steps} steps, {name}: {lines:?}, before: {seen:?}");
            let before = seen.first().map(|line| line.replace("#1", "#1 dup"));
            assert!(before.is_none_or(|line| line == lines[1]), "{steps} steps: {seen:?}, {lines:?}");
        }
    }
}

/// A client that comes back asks again for what is not safe yet: it is not told so because it was done before.
#[test]
fn who_asks_again_waits_as_well() {
    let mut bench = stored();
    absent(&mut bench, 2);
    bench.connect("s", durable("s", 1000));
    bench.feed("p", &publish(2, 1, "other", "x"));
    bench.feed("p", &publish(2, 2, "t", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x"]);
    bench.disk.as_mut().unwrap().stalled = true;
    let first = publish(2, 3, "t", "y");
    let requests = [("p", &ack(PacketType::PubRel, 1)), ("p", &first), ("s", &ack(PacketType::PubRec, 1))];
    for (name, packet) in requests.iter().chain([&("s", &unsubscribe(&["t"]))]) {
        assert_eq!(bench.feed(name, packet), [""; 0]);
    }
    bench.cut("p");
    bench.cut("s");
    assert_eq!(bench.connect("p", durable("p", 1000)), ["CONNACK Success present"]);
    assert_eq!(bench.connect("s", durable("s", 1000)), ["CONNACK Success present"]);
    for (name, packet) in requests.iter().chain([&("s", &unsubscribe(&["t"]))]) {
        assert_eq!(bench.feed(name, packet), [""; 0]);
    }
    bench.sync();
    assert_eq!(bench.take("p"), ["PUBCOMP #1 PacketIdentifierNotFound", "PUBREC #3"]);
    let expected = ["PUBREL #1", "PUBREL #1", "UNSUBACK #1 [NoSubscriptionExisted]"];
    assert_eq!(bench.take("s")[1..], expected);
}
