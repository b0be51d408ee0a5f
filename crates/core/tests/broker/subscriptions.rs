//! Subscriptions and their options, shared groups, retained messages.

use crate::bench::*;
use crate::disk::Disk;
use grovemq_codec::{Connect, Packet, PacketType, Publish, RetainHandling, SubscribeOptions};
use grovemq_core::{Limits, ListenerLimits, ListenerSettings, Settings};

const NOTHING: [&str; 0] = [];

fn retained<'a>(topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { retain: true, ..message(0, 0, topic, payload) })
}

fn ready(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.connect("s", v5("s"));
    bench.connect("p", v5("p"));
    bench
}

/// Fault B07: each filter is answered on its own.
#[test]
fn b07_filters_good_and_bad() {
    let filters =
        ["a#", "a/#/b", "a+", "$share", "$share/g", "$share//t", "$share/g+/t", "$share/g/", "", "a"];
    let filters = filters.map(|f| (f, options(1)));
    let mut bench = ready(settings());
    let bad = ["TopicFilterInvalid"; 9].join(", ");
    assert_eq!(bench.feed("s", &subscribe(&filters)), [format!("SUBACK #1 [{bad}, GrantedQos1]")]);
    let lines = bench.feed("s", &unsubscribe(&["a#", "a", "a", "$share/g/a"]));
    let codes = "TopicFilterInvalid, Success, NoSubscriptionExisted, NoSubscriptionExisted";
    assert_eq!(lines, [format!("UNSUBACK #1 [{codes}]")]);
    assert_eq!(bench.router.subscription_counts(), (0, 0));
    bench.connect("old", v3("old"));
    let bad = ["UnspecifiedError"; 9].join(", ");
    assert_eq!(bench.feed("old", &subscribe(&filters)), [format!("SUBACK #1 [{bad}, GrantedQos1]")]);
}

#[test]
fn granted_qos_is_bounded() {
    let mut bench = ready(with_listener(ListenerLimits { qos_max: 1, ..ListenerLimits::default() }));
    let lines = bench.feed("s", &subscribe(&[("a", options(0)), ("b", options(1)), ("c", options(2))]));
    assert_eq!(lines, ["SUBACK #1 [Success, GrantedQos1, GrantedQos1]"]);
    assert_eq!(bench.feed("p", &publish(2, 1, "t", "x")), ["DISCONNECT QosNotSupported", "closed"]);
}

/// Fault B25.
#[test]
fn b25_quota_of_subscriptions() {
    let mut bench = ready(with_limits(Limits { subscriptions_max: 2, ..Limits::default() }));
    let filters = ["a", "b", "c", "a"].map(|f| (f, options(0)));
    let lines = bench.feed("s", &subscribe(&filters));
    assert_eq!(lines, ["SUBACK #1 [Success, Success, QuotaExceeded, Success]"]);
    bench.feed("s", &unsubscribe(&["b"]));
    assert_eq!(bench.feed("s", &subscribe(&filters[2..3])), ["SUBACK #1 [Success]"]);
}

/// Fault B30: one copy with the highest QoS and all identifiers. [MQTT-3.3.4-2] [MQTT-3.3.4-3]
#[test]
fn b30_overlapping_subscriptions() {
    let mut bench = ready(settings());
    bench.feed("s", &subscribe_id(&[("a/#", options(0))], Some(1)));
    bench.feed("s", &subscribe_id(&[("a/+", options(2))], Some(200_000_000)));
    bench.feed("s", &subscribe_id(&[("+/b", options(1))], None));
    bench.feed("s", &subscribe_id(&[("a/b", options(0)), ("other", options(0))], Some(1)));
    bench.feed("p", &publish(2, 1, "a/b", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH a/b q2 #1 ids[1, 1, 200000000] x"]);
    bench.feed("p", &publish(2, 2, "x/b", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH x/b q1 #2 x"]);
    // to subscribe again replaces
    bench.feed("s", &subscribe_id(&[("a/+", options(0))], None));
    bench.feed("p", &publish(2, 3, "a/b", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH a/b q1 #3 ids[1, 1] x"]);
}

#[test]
fn no_local() {
    let own = |qos| SubscribeOptions { no_local: true, ..options(qos) };
    let mut bench = ready(settings());
    bench.feed("s", &subscribe(&[("a", own(0)), ("b", own(0)), ("+", options(0))]));
    bench.feed("p", &subscribe(&[("a", own(0))]));
    bench.feed("p", &publish(0, 0, "a", "of p"));
    assert_eq!((bench.take("p"), bench.take("s")), (vec![], vec!["PUBLISH a q0 of p".to_string()]));
    bench.feed("s", &unsubscribe(&["+"]));
    assert_eq!(bench.feed("s", &publish(0, 0, "a", "of s")), NOTHING);
    assert_eq!(bench.take("p"), ["PUBLISH a q0 of s"]);
    // it holds for the session, not the connection
    bench.connect("d", durable("d", 100));
    bench.feed("d", &subscribe(&[("own", own(1))]));
    bench.cut("d");
    bench.connect("d", durable("d", 100));
    assert_eq!(bench.feed("d", &publish(1, 1, "own", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
}

/// What comes at subscription for each handling, first and second time. [MQTT-3.3.1-9] to [MQTT-3.3.1-11]
#[test]
fn retain_handling() {
    let cases =
        [(RetainHandling::Always, 1, 1), (RetainHandling::IfNew, 1, 0), (RetainHandling::Never, 0, 0)];
    for (retain_handling, first, second) in cases {
        let mut bench = ready(settings());
        bench.feed("p", &retained("a/b", "x"));
        let filters = [("a/+", SubscribeOptions { retain_handling, ..options(0) })];
        for expected in [first, second] {
            let lines = bench.feed("s", &subscribe_id(&filters, Some(5)));
            let publishes = vec!["PUBLISH a/b q0 retain ids[5] x"; expected];
            assert_eq!(lines[1..], publishes, "{retain_handling:?}");
        }
        bench.feed("s", &unsubscribe(&["a/+"]));
        assert_eq!(bench.feed("s", &subscribe(&filters)).len() - 1, first);
    }
}

#[test]
fn retain_as_published_and_replacement() {
    let mut bench = ready(settings());
    let as_published = SubscribeOptions { retain_as_published: true, ..options(0) };
    bench.feed("s", &subscribe(&[("t", as_published)]));
    bench.connect("s2", v5("s2"));
    bench.feed("s2", &subscribe(&[("t", options(0))]));
    bench.connect("s3", v3("s3"));
    bench.feed("s3", &subscribe(&[("t", options(0))]));
    bench.feed("p", &retained("t", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH t q0 retain x"]);
    assert_eq!(bench.take("s2"), ["PUBLISH t q0 x"]);
    assert_eq!(bench.take("s3"), ["PUBLISH t q0 x"]);
    bench.feed("p", &publish(0, 0, "t", "not kept"));
    assert_eq!(bench.take("s"), ["PUBLISH t q0 not kept"]);
    bench.feed("p", &retained("t", "y"));
    bench.connect("s4", v3("s4"));
    assert_eq!(bench.feed("s4", &subscribe(&[("t", options(0))]))[1..], ["PUBLISH t q0 retain y"]);
    // B27: nothing in it deletes
    bench.feed("p", &retained("t", ""));
    assert_eq!(
        bench.take("s3"),
        ["PUBLISH t q0 x", "PUBLISH t q0 not kept", "PUBLISH t q0 y", "PUBLISH t q0"][1..]
    );
    assert!(bench.router.retained().is_empty());
}

/// Fault B29: the lower QoS counts; a resumed session does not get them again.
#[test]
fn b29_qos_of_retained_messages() {
    for (kept, subscribed, got) in [(0, 2, 0), (1, 2, 1), (2, 1, 1), (2, 2, 2), (2, 0, 0)] {
        let mut bench = ready(settings());
        bench.feed("p", &Packet::Publish(Publish { retain: true, ..message(kept, 1, "t", "x") }));
        bench.connect("d", durable("d", 100));
        let lines = bench.feed("d", &subscribe(&[("t", options(subscribed))]));
        let id = if got > 0 { " #1" } else { "" };
        assert_eq!(lines[1..], [format!("PUBLISH t q{got}{id} retain x")]);
        if got > 0 {
            bench.feed("d", &ack(if got == 1 { PacketType::PubAck } else { PacketType::PubRec }, 1));
            bench.feed("d", &ack(PacketType::PubComp, 1));
        }
        bench.cut("d");
        assert_eq!(bench.connect("d", durable("d", 100)), ["CONNACK Success present"]);
    }
}

#[test]
fn retained_quota_and_expiry() {
    let mut bench = ready(with_limits(Limits { retained_max: 2, ..Limits::default() }));
    let expiring = grovemq_codec::PublishProperties { message_expiry: Some(10), ..Default::default() };
    bench.feed("p", &with(Publish { retain: true, ..message(0, 0, "a", "1") }, expiring));
    bench.feed("p", &retained("b", "2"));
    bench.feed("p", &retained("c", "one too many"));
    bench.feed("p", &retained("b", "3"));
    bench.wait(4_000);
    let lines = bench.feed("s", &subscribe(&[("#", options(0))]));
    assert_eq!(lines[1..], ["PUBLISH a q0 retain expiry6 1", "PUBLISH b q0 retain 3"]);
    bench.wait(6_000);
    let lines = bench.feed("s", &subscribe(&[("#", options(0))]));
    assert_eq!(lines[1..], ["PUBLISH b q0 retain 3"]);
}

/// Many retained messages all arrive, whatever the window, the queue and the reader are like. Fault B27.
#[test]
fn b27_all_retained_messages_arrive() {
    const TOPICS: usize = 2000;
    for (queue_messages_max, inflight_max) in [(1000, 20), (10, 3), (1, 1), (0, 0), (300, 1)] {
        for qos in 0..=2 {
            let limits = Limits { queue_messages_max, inflight_max, ..Limits::default() };
            let mut bench = ready(with_limits(limits));
            for n in 0..TOPICS {
                let topic = format!("t/{n:04}");
                let packet = Publish { retain: true, ..message(2, 1, &topic, "x") };
                bench.feed("p", &Packet::Publish(packet));
                bench.feed("p", &ack(PacketType::PubRel, 1));
            }
            bench.reading("s", false);
            bench.feed("s", &subscribe(&[("t/#", options(qos))]));
            bench.reading("s", true);
            let mut topics = Vec::new();
            let mut lines = bench.take("s");
            while !lines.is_empty() {
                let mut next = Vec::new();
                for line in &lines {
                    let mut words = line.split(' ');
                    let (kind, second) = (words.next().unwrap(), words.next().unwrap());
                    let mut id = || words.find_map(|w| w.strip_prefix('#')).unwrap().parse().unwrap();
                    match (kind, qos) {
                        ("PUBLISH", 0) => topics.push(second.to_string()),
                        ("PUBLISH", _) => {
                            topics.push(second.to_string());
                            let kind = if qos == 1 { PacketType::PubAck } else { PacketType::PubRec };
                            next.extend(bench.feed("s", &ack(kind, id())));
                        }
                        ("PUBREL", _) => {
                            let id = second.trim_start_matches('#').parse().unwrap();
                            next.extend(bench.feed("s", &ack(PacketType::PubComp, id)));
                        }
                        _ => {}
                    }
                }
                lines = next;
            }
            assert_eq!(topics.len(), TOPICS, "queue {queue_messages_max}, window {inflight_max}, QoS {qos}");
            assert!(topics.is_sorted_by(|a, b| a < b));
            assert_eq!(bench.stats().publish_dropped, 0);
        }
    }
}

/// A client that does not read leaves nothing to do for the loop.
#[test]
fn a_replay_that_cannot_go_on_does_not_spin() {
    let mut bench = ready(settings());
    for n in 0..1000 {
        bench.feed("p", &retained(&format!("t/{n}"), &"x".repeat(1000)));
    }
    bench.connect("q", v5("q"));
    bench.reading("s", false);
    // `run` fails when turns never end
    bench.feed("s", &subscribe(&[("t/#", options(0))]));
    bench.feed("q", &subscribe(&[("t/#", options(1))]));
    bench.wait(1000);
    bench.reading("s", true);
    assert_eq!(bench.take("s").len(), 1001);
}

/// To leave one subscription does not stop the retained messages of another.
#[test]
fn leaving_a_group_does_not_stop_a_replay() {
    let mut bench = ready(settings());
    for n in 0..1000 {
        bench.feed("p", &retained(&format!("t/{n}"), "x"));
    }
    let mut bytes = Vec::new();
    let version = grovemq_codec::Version::V5;
    subscribe(&[("$share/g/t/#", options(0)), ("t/#", options(0))]).encode(version, &mut bytes).unwrap();
    unsubscribe(&["$share/g/t/#"]).encode(version, &mut bytes).unwrap();
    assert_eq!(bench.feed_bytes("s", &bytes).len(), 1002);
}

#[test]
fn shared_groups_take_turns() {
    let mut bench = Bench::with_shards(settings(), 3);
    bench.connect("p", v5("p"));
    let share = [("$share/g/t/#", options(1))];
    for name in ["a", "b", "c"] {
        bench.connect(name, durable(name, 100));
        bench.feed(name, &subscribe_id(&share, Some(9)));
    }
    bench.feed("a", &subscribe(&[("$share/h/t/#", options(0)), ("t/x", options(0))]));
    let mut counts = std::collections::BTreeMap::new();
    let mut count = |bench: &mut Bench, name: &str| {
        for line in bench.take(name) {
            let ids = line.contains("ids[9]");
            *counts.entry((name.to_string(), ids)).or_insert(0) += 1;
        }
    };
    for _ in 0..30 {
        bench.feed("p", &publish(0, 0, "t/x", "x"));
    }
    for name in ["a", "b", "c"] {
        count(&mut bench, name);
    }
    // 30 of group h and 30 of the plain subscription go to `a` besides
    let got: Vec<_> = counts.iter().map(|((name, ids), n)| (name.as_str(), *ids, *n)).collect();
    assert_eq!(got, [("a", false, 60), ("a", true, 10), ("b", true, 10), ("c", true, 10)]);
}

/// Who is absent is passed over, unless all are; then the messages wait.
#[test]
fn members_who_are_absent() {
    let mut bench = Bench::with_shards(settings(), 3);
    bench.connect("p", v5("p"));
    for name in ["a", "b"] {
        bench.connect(name, durable(name, 100));
        bench.feed(name, &subscribe(&[("$share/g/t", options(1))]));
    }
    bench.cut("a");
    for _ in 0..10 {
        bench.feed("p", &publish(1, 1, "t", "x"));
    }
    assert_eq!(bench.take("b").len(), 10);
    bench.cut("b");
    for _ in 0..10 {
        bench.feed("p", &publish(1, 1, "t", "x"));
    }
    let (a, b) = (bench.connect("a", durable("a", 100)), bench.connect("b", durable("b", 100)));
    assert_eq!((a.len() - 1, b.len() - 1), (5, 15), "ten unanswered besides");
    // no member, nothing to keep
    for name in ["a", "b"] {
        bench.feed(name, &unsubscribe(&["$share/g/t"]));
    }
    assert_eq!(bench.feed("p", &publish(1, 1, "t", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
}

#[test]
fn groups_get_no_retained_messages_and_know_no_no_local() {
    let mut bench = ready(settings());
    bench.feed("p", &retained("t", "x"));
    assert_eq!(bench.feed("s", &subscribe(&[("$share/g/t", options(0))])), ["SUBACK #1 [Success]"]);
    // B09; the encoder will not write it
    let bytes = [b"\x82\x10\0\x01\0\0\x0a$share/g/t".as_slice(), &[0b100]].concat();
    assert_eq!(bench.feed_bytes("s", &bytes), ["DISCONNECT ProtocolError", "closed"]);
}

/// Fault D20 and C13: read access is asked for each message, live, retained and for members of groups.
#[test]
fn what_may_not_be_read_does_not_come() {
    let mut bench = ready(with_access(|who, access, topic| {
        access == grovemq_core::access::Access::Write || who.client_id != "s" || !topic.contains("secret")
    }));
    bench.connect("s2", v5("s2"));
    bench.feed("p", &retained("kept/secret", "x"));
    bench.feed("p", &retained("kept/open", "x"));
    let filters = [("#", options(0)), ("$share/g/live/#", options(0))];
    assert_eq!(bench.feed("s", &subscribe(&filters))[1..], ["PUBLISH kept/open q0 retain x"]);
    bench.feed("s2", &subscribe(&filters[1..]));
    for _ in 0..10 {
        bench.feed("p", &publish(0, 0, "live/secret", "x"));
        bench.feed("p", &publish(0, 0, "live/open", "x"));
    }
    let s = bench.take("s");
    assert!(s.iter().all(|l| l.starts_with("PUBLISH live/open")), "{s:?}");
    let s2 = bench.take("s2");
    assert_eq!(s2.iter().filter(|l| l.starts_with("PUBLISH live/secret")).count(), 10);
    assert_eq!((s.len(), s2.len()), (15, 15));
}

/// A bridge of 3.x gets no echo of what it publishes, and retained messages as such; what it tells of itself is taken.
#[test]
fn bridges_of_3_x() {
    let mut bench = Bench::new(settings());
    bench.connect("b", Connect { bridge: true, ..v3("b") });
    bench.connect("s", v3("s"));
    let all = [("#", options(0)), ("$SYS/#", options(0))];
    bench.feed("b", &subscribe(&all));
    bench.feed("s", &subscribe(&all));
    assert_eq!(bench.feed("b", &retained("t", "x")), NOTHING);
    assert_eq!(bench.take("s"), ["PUBLISH t q0 x"]);
    assert_eq!(bench.feed("s", &retained("t", "y")), ["PUBLISH t q0 y"]);
    assert_eq!(bench.take("b"), ["PUBLISH t q0 retain y"]);
    // nor does what it has brought come back when it subscribes again
    bench.feed("b", &retained("t", "z"));
    bench.take("s");
    assert_eq!(bench.feed("b", &subscribe(&[("t", options(0))])), ["SUBACK #1 [Success]"]);
    assert_eq!(
        bench.feed("s", &subscribe(&[("t", options(0))])),
        ["SUBACK #1 [Success]", "PUBLISH t q0 retain z"]
    );
    // a shared subscription is an ordinary one
    bench.feed("b", &subscribe(&[("$share/g/u", options(0))]));
    assert_eq!(bench.feed("b", &retained("u", "x")), ["PUBLISH u q0 x"]);
    bench.take("s");
    for topic in ["$SYS/broker/connection/b/c/state", "$SYS/broker/connection/state", "$SYS/broker/version"] {
        bench.feed("b", &retained(topic, "1"));
        assert_eq!(bench.take("s"), NOTHING, "{topic}");
    }
    bench.feed("b", &retained("$SYS/broker/connection/b/state", "1"));
    assert_eq!(bench.take("s"), ["PUBLISH $SYS/broker/connection/b/state q0 1"]);
}

/// A client of the broker's own process: no rules, no window of ours, the broker's topics.
#[test]
fn clients_inside() {
    let inside = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
    let limits = Limits { inflight_max: 1, ..Limits::default() };
    let rules = with_access(|_, _, _| false);
    let mut bench = Bench::new(Settings { inside, limits, client_id_prefix: Some("x".into()), ..rules });
    bench.open("b", u16::MAX);
    bench.feed("b", &Packet::Connect(v5("b")));
    bench.feed("b", &subscribe(&[("#", options(1)), ("$SYS/#", options(1))]));
    let received = ["a", "$SYS/broker/x"].map(|topic| bench.feed("b", &publish(1, 1, topic, "1")).join(", "));
    assert_eq!(received, ["PUBLISH a q1 #1 1, PUBACK #1", "PUBLISH $SYS/broker/x q1 #2 1, PUBACK #1"]);
}

/// Fault C10: what a member of a group left unanswered when its session ends goes to the other; QoS 2 only if it was not sent.
#[test]
fn c10_a_member_that_ends_with_messages_unanswered() {
    for (shards, stored) in [(1, false), (1, true), (2, true)] {
        let settings = with_limits(Limits { inflight_max: 2, ..Limits::default() });
        let mut bench = if stored {
            Bench::with_disk(settings, shards, Disk::default())
        } else {
            Bench::with_shards(settings, shards)
        };
        bench.connect("p", v5("p"));
        for name in ["a", "b"] {
            bench.connect(name, durable(name, 100));
        }
        bench.feed("a", &subscribe(&[("$share/g/t/+", options(2)), ("other", options(1))]));
        for (id, qos) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
            bench.feed("p", &publish(qos, id, "t/x", &id.to_string()));
        }
        for id in 5..7 {
            bench.feed("p", &publish(1, id, "other", "mine"));
        }
        assert_eq!(bench.take("a").len(), 2, "the window");
        bench.feed("b", &subscribe(&[("$share/g/t/+", options(2))]));
        bench.cut("a");
        assert_eq!(bench.take("b"), NOTHING, "its session lives");
        bench.wait(100_001);
        let lines = bench.take("b");
        let payloads: Vec<_> = lines.iter().map(|l| l.rsplit(' ').next().unwrap()).collect();
        assert_eq!(payloads, ["1", "3"], "the window; 2 was sent with QoS 2");
        assert_eq!(bench.feed("b", &ack(PacketType::PubAck, 1)).len(), 1);
        if stored {
            assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["b 1 2 0"], "3 and 4 are stored");
        }
        assert_eq!(bench.router.subscription_counts(), (0, 1));
    }
}

/// The same where its session ends with its connection, which else keeps nothing of what it has sent.
#[test]
fn c10_a_member_whose_session_ends_with_its_connection() {
    let mut bench = Bench::new(with_limits(Limits { inflight_max: 2, ..Limits::default() }));
    for name in ["p", "a", "b"] {
        bench.connect(name, v5(name));
    }
    bench.feed("a", &subscribe(&[("own", options(1))]));
    bench.feed("p", &publish(1, 1, "own", "mine"));
    bench.feed("a", &subscribe(&[("$share/g/t", options(1))]));
    for id in 2..5 {
        bench.feed("p", &publish(1, id, "t", &id.to_string()));
    }
    assert_eq!(bench.take("a"), ["PUBLISH t q1 #2 2"]);
    assert_eq!(bench.feed("a", &ack(PacketType::PubAck, 1)), ["PUBLISH t q1 #3 3"]);
    bench.feed("b", &subscribe(&[("$share/g/t", options(1))]));
    bench.cut("a");
    assert_eq!(bench.take("b"), ["PUBLISH t q1 #1 2", "PUBLISH t q1 #2 3"]);
    assert_eq!(bench.feed("b", &ack(PacketType::PubAck, 1)), ["PUBLISH t q1 #3 4"]);
}

/// A packet with more filters than there may be subscriptions, some of them known, not legal or named twice.
#[test]
fn many_filters_in_one_packet_up_to_the_limit() {
    let mut bench = Bench::new(with_limits(Limits { subscriptions_max: 10, ..Limits::default() }));
    bench.connect("s", v5("s"));
    bench.feed("s", &subscribe(&[("known", options(0))]));
    let names: Vec<String> = (0..12).map(|n| format!("a/b/{n}")).collect();
    let mut filters: Vec<_> = names.iter().map(|name| (&**name, options(1))).collect();
    filters.insert(3, ("known", options(2)));
    filters.insert(5, ("a/#/b", options(1)));
    filters.push(("a/b/0", options(0)));
    let lines = bench.feed("s", &subscribe(&filters));
    let mut expected = vec!["GrantedQos1"; 11];
    (expected[3], expected[5]) = ("GrantedQos2", "TopicFilterInvalid");
    expected.extend(["QuotaExceeded", "QuotaExceeded", "QuotaExceeded", "Success"]);
    assert_eq!(lines, [format!("SUBACK #1 [{}]", expected.join(", "))]);
    assert_eq!(bench.router.subscription_counts(), (10, 0));
    let lines = bench.feed("s", &subscribe(&[("a/#/b", options(1)), ("one/more", options(1))]));
    assert_eq!(lines, ["SUBACK #1 [TopicFilterInvalid, QuotaExceeded]"]);
}

/// Filters as deep as they may be, more of them than are added at once.
#[test]
fn deep_filters_in_one_packet() {
    let mut bench = Bench::new(settings());
    bench.connect("s", v5("s"));
    let deep = "a/".repeat(190);
    let names: Vec<String> = (0..40).map(|n| format!("{deep}{n}")).collect();
    let filters: Vec<_> = names.iter().map(|name| (&**name, options(1))).collect();
    let lines = bench.feed("s", &subscribe(&filters));
    assert_eq!(lines, [format!("SUBACK #1 [{}]", vec!["GrantedQos1"; 40].join(", "))]);
    bench.connect("p", v5("p"));
    bench.feed("p", &publish(0, 0, &names[39], "x"));
    assert_eq!(bench.take("s").len(), 1);
}
