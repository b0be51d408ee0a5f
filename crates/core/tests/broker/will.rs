//! The will, in every way a connection can end.

use crate::bench::*;
use grovemq_codec::{Connect, Packet, PublishProperties, Qos, ReasonCode, Will, WillProperties};
use grovemq_core::access::Access;
use grovemq_core::{Limits, Settings};
use std::fmt::Write;

/// How client `a` ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Cut,
    Disconnect,
    DisconnectWithWill,
    DisconnectWithError,
    KeepAlive,
    ProtocolError,
    TakenOverClean,
    TakenOver,
}

const ENDS: [End; 8] = [
    End::Cut,
    End::Disconnect,
    End::DisconnectWithWill,
    End::DisconnectWithError,
    End::KeepAlive,
    End::ProtocolError,
    End::TakenOverClean,
    End::TakenOver,
];

impl End {
    fn happen(self, bench: &mut Bench) {
        let leave = |reason| ("a", disconnect(reason, None));
        let (stream, packet) = match self {
            Self::Disconnect => leave(ReasonCode::Success),
            Self::DisconnectWithWill => leave(ReasonCode::DisconnectWithWill),
            Self::DisconnectWithError => leave(ReasonCode::UnspecifiedError),
            Self::ProtocolError => ("a", Packet::PingResp),
            Self::TakenOverClean => ("a2", Packet::Connect(v5("a"))),
            Self::TakenOver => ("a2", Packet::Connect(durable("a", 100))),
            Self::KeepAlive => return bench.wait(15_000),
            Self::Cut => return bench.cut("a"),
        };
        if stream == "a2" {
            bench.open(stream, 0);
        }
        bench.feed(stream, &packet);
    }
}

fn watcher(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.connect("w", v5("watcher"));
    bench.feed("w", &subscribe(&[("#", options(2))]));
    bench
}

fn wills(bench: &mut Bench) -> usize {
    bench.take("w").iter().filter(|line| line.starts_with("PUBLISH w ")).count()
}

/// When the will comes: at once, after its delay, with the end of the session, or not at all. [MQTT-3.1.2-8]
#[test]
fn wills_by_ending_delay_and_expiry() {
    // delay and session expiry in seconds
    let cases = [(0, 0), (0, 100), (20, 0), (20, 100), (200, 100)];
    let mut table = String::from("                       0/0     0/100    20/0  20/100 200/100\n");
    for end in ENDS {
        write!(table, "{:20}", format!("{end:?}")).unwrap();
        for (delay, expiry) in cases {
            let mut bench = watcher(settings());
            bench.connect(
                "a",
                Connect { will: Some(will("w", delay)), keep_alive: 10, ..durable("a", expiry) },
            );
            end.happen(&mut bench);
            let mut when = wills(&mut bench).eq(&1).then_some("now".to_string());
            for second in 1..=300 {
                bench.wait(1000);
                if wills(&mut bench) > 0 {
                    assert_eq!(when, None, "twice");
                    when = Some(format!("{second} s"));
                }
            }
            write!(table, "{:>8}", when.unwrap_or("never".into())).unwrap();
        }
        table.push('\n');
    }
    print!("{table}");
    assert_eq!(
        table,
        "                       0/0     0/100    20/0  20/100 200/100
Cut                      now     now     now    20 s   100 s
Disconnect             never   never   never   never   never
DisconnectWithWill       now     now     now    20 s   100 s
DisconnectWithError      now     now     now    20 s   100 s
KeepAlive                now     now     now    20 s   100 s
ProtocolError            now     now     now    20 s   100 s
TakenOverClean           now     now     now     now     now
TakenOver                now     now     now   never   never
"
    );
}

#[test]
fn shutdown_sends_wills_to_those_who_are_absent() {
    let mut bench = Bench::new(settings());
    bench.connect("w", durable("w", 1000));
    bench.feed("w", &subscribe(&[("w", options(1))]));
    bench.cut("w");
    bench.connect("a", Connect { will: Some(Will { qos: Qos::AtLeastOnce, ..will("w", 0) }), ..v5("a") });
    bench.shutdown();
    assert_eq!(bench.connect("w", durable("w", 1000)), ["CONNACK Success present", "PUBLISH w q1 #1 gone"]);
}

/// Fault C11: who comes back in time is not mourned, however often. [MQTT-3.1.3-9]
#[test]
fn a_reconnect_stops_a_delayed_will() {
    let mut bench = watcher(settings());
    for _ in 0..3 {
        bench.connect("a", Connect { will: Some(will("w", 20)), ..durable("a", 100) });
        bench.cut("a");
        bench.wait(19_999);
    }
    bench.connect("a", durable("a", 100));
    bench.cut("a");
    bench.wait(1_000_000);
    assert_eq!(wills(&mut bench), 0, "the last CONNECT had no will");
    assert_eq!(bench.len().0, 1);
}

#[test]
fn a_will_keeps_its_properties() {
    let properties = WillProperties {
        message_expiry: Some(30),
        content_type: Some("text"),
        response_topic: Some("r"),
        ..WillProperties::default()
    };
    let will = Will { qos: Qos::ExactlyOnce, retain: true, properties, topic: "w", payload: b"gone" };
    let mut bench = watcher(settings());
    bench.connect("a", Connect { will: Some(will), ..v5("a") });
    // the expiry counts from the publication
    bench.wait(100_000);
    bench.cut("a");
    assert_eq!(bench.take("w"), ["PUBLISH w q2 #1 expiry30 replyr typetext gone"]);
    bench.wait(10_000);
    bench.connect("b", v5("b"));
    let lines = bench.feed("b", &subscribe(&[("w", options(0))]));
    assert_eq!(lines[1], "PUBLISH w q0 retain expiry20 replyr typetext gone");
}

/// Fault B26, and rights are the author's.
#[test]
fn wills_may_not_go_where_their_author_may_not_write() {
    let mut bench = watcher(with_access(|who, access, topic| {
        access == Access::Read || who.client_id != "a" || topic != "w"
    }));
    bench.feed("w", &subscribe(&[("$SYS/#", options(0)), ("$CONTROL/#", options(0))]));
    for topic in ["w", "$SYS/broker/uptime", "$CONTROL/dynamic-security/v1"] {
        bench.connect("a", Connect { will: Some(will(topic, 0)), ..v5("a") });
        bench.cut("a");
        assert_eq!(bench.take("w"), [""; 0], "{topic}");
    }
    bench.connect("b", Connect { will: Some(will("w", 0)), ..v5("b") });
    bench.cut("b");
    assert_eq!(wills(&mut bench), 1);
}

/// The dead client's own durable session gets its will like anyone else's.
#[test]
fn a_will_may_be_for_its_author() {
    let mut bench = Bench::new(settings());
    let qos1 = Will { qos: Qos::AtLeastOnce, ..will("w", 0) };
    bench.connect("a", Connect { will: Some(qos1), ..durable("a", 100) });
    bench.feed("a", &subscribe(&[("w", options(1))]));
    bench.cut("a");
    assert_eq!(bench.connect("a", durable("a", 100)), ["CONNACK Success present", "PUBLISH w q1 #1 gone"]);
}

#[test]
fn payload_limit_and_publishing_to_reserved_topics() {
    let limits = Limits { payload_bytes_max: 5, ..Limits::default() };
    let mut bench = watcher(with_limits(limits));
    bench.connect("a", v5("a"));
    assert_eq!(bench.feed("a", &publish(1, 1, "t", "123456")), ["PUBACK #1 QuotaExceeded"]);
    for topic in ["$SYS/a", "$CONTROL/a"] {
        assert_eq!(bench.feed("a", &publish(1, 1, topic, "x")), ["PUBACK #1 NotAuthorized"]);
    }
    assert_eq!(bench.feed("a", &publish(1, 1, "$other/a", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
    let retained = grovemq_codec::Publish { retain: true, ..message(0, 0, "$SYS/a", "x") };
    bench.feed("a", &with(retained, PublishProperties::default()));
    assert!(bench.router.retained().is_empty());
    assert_eq!(bench.take("w"), [""; 0], "`#` does not match `$`");
}
