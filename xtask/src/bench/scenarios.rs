//! What is measured: mqload's arguments, the figures in its report, and what a broker is told beyond the usual.

use super::brokers::Peer;

pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) mqload: &'static [&'static str],
    /// Messages for a slow broker. Those that are several times as fast get as many times more, so that all are
    /// measured for about as long; 0 where mqload's arguments say it all.
    pub(super) messages: u32,
    /// Another mqload at work beside the measured one, again and again until that has ended.
    pub(super) beside: &'static [&'static str],
    /// A client beside the others that subscribes with this `QoS` to what is measured, and never reads.
    pub(super) slow: Option<u8>,
    /// Who takes part, beside ours.
    pub(super) peers: &'static [Peer],
    /// Configuration of these brokers in addition to the usual, in each one's own language; `{dir}` is a folder of its own.
    pub(super) lines: &'static [(Peer, &'static str)],
    /// Figures of which the floor is what there is to be kept, by name.
    pub(super) least: &'static [(&'static str, f64)],
    /// Holds still by itself, and takes long.
    pub(super) once: bool,
    pub(super) figures: &'static [Figure],
}

/// A number in mqload's report, found by the words around it.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) better: Better,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

const fn more(name: &'static str, unit: &'static str, before: &'static str, after: &'static str) -> Figure {
    Figure { name, unit, before, after, better: Better::More }
}

const fn less(name: &'static str, unit: &'static str, before: &'static str, after: &'static str) -> Figure {
    Figure { name, unit, before, after, better: Better::Less }
}

const FLOW: &[Figure] = &[
    more("rate", "deliveries/s", "delivered ", "/s"),
    less("cpu", "µs CPU per delivery", "broker cpu ", " us"),
];
/// The broker's processor time has in it what goes on beside: the rate counts.
const FLOW_BESIDE: &[Figure] = &[
    more("rate", "deliveries/s", "delivered ", "/s"),
    less("cpu", "µs CPU per delivery, all that goes on", "broker cpu ", " us"),
];
const LATENCY: &[Figure] = &[
    less("p50", "µs, median", " p50 ", " "),
    less("p99", "µs, 99 of 100", " p99 ", " "),
    less("p99.9", "µs, 999 of 1000", " p99.9 ", " "),
];
const CONNECT: &[Figure] = &[
    more("rate", "connects/s", "connect: ", " connections/s"),
    less("cpu", "µs CPU per connect", "broker cpu ", " us"),
];
const IDLE: &[Figure] = &[
    less("memory", "KiB per connection", "idle: ", " KiB per"),
    less("cpu", "% CPU at rest", "cpu while idle ", " %"),
];
const FILTERS: &[Figure] = &[
    more("rate", "deliveries/s", "delivered ", "/s"),
    less("cpu", "µs CPU per delivery", "broker cpu ", " us"),
    more("subscribed", "filters subscribed/s", " s, ", "/s"),
    less("memory", "bytes per filter", "subscriptions: ", " bytes per"),
];
const RETAINED: &[Figure] = &[
    more("stored", "stored/s", "stored ", "/s"),
    more("read", "read/s", " s, ", "/s"),
    less("memory", "bytes per message", "retained: ", " bytes per"),
];
const QUEUED: &[Figure] = &[
    more("stored", "stored/s", "stored ", "/s"),
    more("drained", "drained/s", " s, ", "/s"),
    less("cpu", "µs CPU per message", "broker cpu ", " us"),
];

use Peer::{Debian, Floor, Nats, Ours, Rumqttd};

const WITH_FLOOR: &[Peer] = &[Debian, Nats, Rumqttd, Floor];
const BROKERS: &[Peer] = &[Debian, Nats, Rumqttd];
/// Those that speak MQTT 5, on the same port as everything else.
const MQTT_5: &[Peer] = &[Debian, Floor];
/// Those with shared subscriptions, `QoS` 2, or no limit where the others have one.
const MOSQUITTO: &[Peer] = &[Debian];

pub(super) const PLAIN: Scenario = Scenario {
    name: "",
    title: "",
    mqload: &[],
    messages: 0,
    beside: &[],
    slow: None,
    peers: BROKERS,
    lines: &[],
    least: &[],
    once: false,
    figures: FLOW,
};

const ONE_SHARD: &[(Peer, &str)] = &[(Ours, "shards 1\n")];
const BUSY_POLL: &[(Peer, &str)] = &[(Ours, "busy_poll 50\n")];
const DURABLE: &[(Peer, &str)] = &[
    (Ours, "persistence true\npersistence_location {dir}/\n"),
    (Debian, "persistence true\npersistence_location {dir}/\nautosave_interval 1\n"),
];

#[rustfmt::skip]
const PAIRS: &[&str] =
    &["throughput", "--shape", "pair", "--publishers", "100", "--subscribers", "100"];
#[rustfmt::skip]
const PAIRS_QOS1: &[&str] =
    &["throughput", "--qos", "1", "--shape", "pair", "--publishers", "100", "--subscribers", "100"];
#[rustfmt::skip]
const LATENCY_FAN: &[&str] =
    &["latency", "--rate", "2000", "--publishers", "10", "--subscribers", "10", "--messages", "4000"];
#[rustfmt::skip]
const LATENCY_PAIRS: &[&str] = &[
    "latency", "--rate", "20000", "--shape", "pair", "--publishers", "10", "--subscribers", "10", "--messages", "40000",
];
/// Much more than the kernel takes for a client that does not read.
#[rustfmt::skip]
const LATENCY_SLOW: &[&str] = &["latency", "--rate", "2000", "--payload", "8192", "--messages", "4000"];
#[rustfmt::skip]
const LATENCY_SLOW_QOS1: &[&str] =
    &["latency", "--qos", "1", "--rate", "2000", "--payload", "8192", "--messages", "4000"];
/// To other topics than those of the latency.
#[rustfmt::skip]
const HUGE: &[&str] =
    &["throughput", "--shape", "pair", "--payload", "1048576", "--window", "2", "--messages", "2000"];
/// Subscriptions come and go, as fast as they are taken.
const CHURN: &[&str] = &["subscriptions", "--filters", "20000", "--clients", "10", "--messages", "10"];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "qos0",
        title: "QoS 0, 1→1, 100 B",
        mqload: &["throughput"],
        messages: 300_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "qos0-v5",
        title: "QoS 0, 1→1, MQTT 5",
        mqload: &["--v5", "throughput"],
        messages: 300_000,
        peers: MQTT_5,
        ..PLAIN
    },
    Scenario {
        name: "small",
        title: "QoS 0, 1→1, 16 B",
        mqload: &["throughput", "--payload", "16"],
        messages: 300_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "qos1",
        title: "QoS 1, 1→1",
        mqload: &["throughput", "--qos", "1"],
        messages: 60_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "qos2",
        title: "QoS 2, 1→1",
        mqload: &["throughput", "--qos", "2"],
        messages: 40_000,
        peers: &[Debian, Rumqttd, Floor],
        ..PLAIN
    },
    Scenario {
        name: "fanout",
        title: "QoS 0, 1→100",
        mqload: &["throughput", "--subscribers", "100"],
        messages: 3_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "fanout-1000",
        title: "QoS 0, 1→1000",
        mqload: &["throughput", "--subscribers", "1000"],
        messages: 150,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "fanin",
        title: "QoS 0, 100→1",
        mqload: &["throughput", "--publishers", "100"],
        messages: 300_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "pairs",
        title: "QoS 0, 100 pairs",
        mqload: PAIRS,
        messages: 200_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "pairs-1",
        title: "the same, `shards 1`",
        mqload: PAIRS,
        messages: 200_000,
        peers: &[],
        lines: ONE_SHARD,
        ..PLAIN
    },
    Scenario {
        name: "pairs-qos1",
        title: "QoS 1, 100 pairs",
        mqload: PAIRS_QOS1,
        messages: 50_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "pairs-qos1-1",
        title: "the same, `shards 1`",
        mqload: PAIRS_QOS1,
        messages: 50_000,
        peers: &[],
        lines: ONE_SHARD,
        ..PLAIN
    },
    Scenario {
        name: "shared",
        title: "shared subscription, 4→4",
        mqload: &["throughput", "--shape", "shared", "--publishers", "4", "--subscribers", "4"],
        messages: 200_000,
        peers: MOSQUITTO,
        ..PLAIN
    },
    Scenario {
        name: "large",
        title: "64 KiB, 1→4",
        mqload: &["throughput", "--payload", "65536", "--subscribers", "4", "--window", "200"],
        messages: 2_000,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "huge",
        title: "1 MiB, 1→1",
        mqload: &["throughput", "--payload", "1048576", "--window", "8"],
        messages: 250,
        peers: WITH_FLOOR,
        ..PLAIN
    },
    Scenario {
        name: "latency-1",
        title: "latency, 1→1 at 2,000/s",
        mqload: &["latency", "--rate", "2000", "--messages", "4000"],
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "latency",
        title: "latency, 10→10 at 2,000/s",
        mqload: LATENCY_FAN,
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "latency-20k",
        title: "latency, 10 pairs at 20,000/s",
        mqload: LATENCY_PAIRS,
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "latency-20k-busy",
        title: "the same, `busy_poll 50`",
        mqload: LATENCY_PAIRS,
        peers: &[],
        lines: BUSY_POLL,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "latency-qos1",
        title: "latency, QoS 1, 1→1 at 2,000/s",
        mqload: &["latency", "--rate", "2000", "--qos", "1", "--messages", "4000"],
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "beside-huge",
        title: "latency beside a client of 1 MiB messages",
        mqload: &["latency", "--rate", "1000", "--messages", "2000"],
        beside: HUGE,
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "beside-subscribers",
        title: "latency beside clients that subscribe and go",
        mqload: &["latency", "--rate", "1000", "--messages", "2000"],
        beside: CHURN,
        peers: MOSQUITTO,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "churn",
        title: "QoS 0, 1→1, beside clients that subscribe and go",
        mqload: &["throughput"],
        messages: 800_000,
        beside: CHURN,
        peers: &[Debian, Nats],
        figures: FLOW_BESIDE,
        ..PLAIN
    },
    Scenario {
        name: "slow",
        title: "latency, QoS 0, beside a subscriber that never reads",
        mqload: LATENCY_SLOW,
        slow: Some(0),
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "slow-qos1",
        title: "latency, QoS 1, beside a subscriber that never reads",
        mqload: LATENCY_SLOW_QOS1,
        slow: Some(1),
        peers: WITH_FLOOR,
        figures: LATENCY,
        ..PLAIN
    },
    Scenario {
        name: "exact",
        title: "100,000 exact filters",
        mqload: &["subscriptions"],
        messages: 100_000,
        figures: FILTERS,
        peers: &[Debian, Nats, Floor],
        least: &[("memory", 35.79)],
        ..PLAIN
    },
    Scenario {
        name: "wildcard",
        title: "100,000 wildcard filters",
        mqload: &["subscriptions", "--wildcard"],
        messages: 100_000,
        figures: FILTERS,
        peers: &[Debian, Nats],
        least: &[("memory", 28.79)],
        ..PLAIN
    },
    Scenario {
        name: "retained",
        title: "100,000 retained messages",
        mqload: &["retained"],
        figures: RETAINED,
        peers: MOSQUITTO,
        least: &[("memory", 119.79)],
        ..PLAIN
    },
    Scenario {
        name: "retained-million",
        title: "1,000,000 retained messages",
        mqload: &["retained", "--messages", "1000000"],
        figures: RETAINED,
        peers: MOSQUITTO,
        once: true,
        least: &[("memory", 120.78)],
        ..PLAIN
    },
    Scenario {
        name: "queued",
        title: "50,000 queued, QoS 1, in memory",
        mqload: &["queued"],
        figures: QUEUED,
        peers: &[Debian, Rumqttd],
        ..PLAIN
    },
    Scenario {
        name: "durable",
        title: "50,000 queued, QoS 1, on disk",
        mqload: &["queued"],
        figures: QUEUED,
        peers: &[Debian, Nats],
        lines: DURABLE,
        ..PLAIN
    },
    Scenario {
        name: "connect",
        title: "connects",
        mqload: &["connect", "--count", "8000"],
        figures: CONNECT,
        peers: &[Debian, Nats, Floor],
        ..PLAIN
    },
    Scenario {
        name: "idle",
        title: "10,000 idle connections",
        mqload: &["idle"],
        figures: IDLE,
        peers: &[Debian, Nats],
        once: true,
        ..PLAIN
    },
    Scenario {
        name: "idle-19k",
        title: "19,000 idle connections",
        mqload: &["idle", "--connections", "19000"],
        figures: IDLE,
        peers: &[Debian, Nats],
        once: true,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the topics or filters that mqload makes, and the payloads.
    fn mean(count: u32, payload: usize, made: impl Fn(u32) -> String) -> f64 {
        let all: usize = (0..count).map(|i| made(i).len() + payload).sum();
        f64::from(u32::try_from(all).unwrap()) / f64::from(count)
    }

    #[test]
    fn the_least_is_the_bytes_that_there_are() {
        let exact = |i| format!("load/site/building{}/floor/sensor{}", i / 100, i % 100);
        let wildcard = |i| format!("load/+/building{}/+/sensor{}", i / 100, i % 100);
        let retained = |i| format!("load/retained/{}/{}", i / 1000, i % 1000);
        for (name, bytes) in [
            ("exact", mean(100_000, 0, exact)),
            ("wildcard", mean(100_000, 0, wildcard)),
            ("retained", mean(100_000, 100, retained)),
            ("retained-million", mean(1_000_000, 100, retained)),
        ] {
            let scenario = SCENARIOS.iter().find(|s| s.name == name).unwrap();
            let [("memory", least)] = scenario.least else { panic!("{name}") };
            assert!((least - bytes).abs() < 0.01, "{name}: {least}, and there are {bytes}");
        }
    }
}
