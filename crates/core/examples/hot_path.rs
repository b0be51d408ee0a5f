//! Messages through shards without sockets, for valgrind to count what each costs: `cargo xtask bench --guard`.
//!
//! `hot_path CASE TURNS` plays so many turns of an event loop; what one turn costs is the difference of two runs.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a program that measures, and knows what it measures")]

use grovemq_codec::{
    Connect, ConnectProperties, Filters, Packet, Publish, PublishProperties, Qos, Subscribe,
    SubscribeOptions, SubscribeProperties, Version,
};
use grovemq_core::observe::{Event, Observe, Peer};
use grovemq_core::{Batch, Key, Limits, ListenerSettings, Router, Settings, Shard, Time};
use std::num::NonZeroU16;
use std::sync::Arc;

/// Messages that a connection sends in one turn.
const BATCH: u16 = 32;
const PAYLOAD: [u8; 100] = [b'x'; 100];
const NOW: Time = Time(1000);

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

struct Case {
    version: Version,
    qos: Qos,
    pairs: u16,
    /// Of each publisher.
    subscribers: u16,
    /// Messages of one publisher in one turn.
    batch: u16,
    shards: u16,
    /// A publisher's messages go to so many topics in turns.
    topics: u16,
    /// Publishers are on all shards, and each shard's go to as many subscribers on each; otherwise all publishers are on the
    /// first shard and all subscribers on the last.
    is_spread: bool,
}

const PLAIN: Case = Case {
    version: Version::V311,
    qos: Qos::AtMostOnce,
    pairs: 1,
    subscribers: 1,
    batch: BATCH,
    shards: 1,
    topics: 1,
    is_spread: false,
};
/// Sixteen publishers for each shard, and no two messages in a row to the same topic.
const SPREAD: Case = Case { batch: 8, topics: 2, is_spread: true, ..PLAIN };

const CASES: &[(&str, Case)] = &[
    ("qos0", PLAIN),
    ("qos0-v5", Case { version: Version::V5, ..PLAIN }),
    ("qos1", Case { qos: Qos::AtLeastOnce, ..PLAIN }),
    ("qos2", Case { qos: Qos::ExactlyOnce, ..PLAIN }),
    ("fanout", Case { subscribers: 100, ..PLAIN }),
    ("fanout-qos1", Case { qos: Qos::AtLeastOnce, subscribers: 100, ..PLAIN }),
    // one message in each packet from the network: what a turn costs by itself
    ("pairs", Case { pairs: 100, batch: 1, ..PLAIN }),
    // no two messages in a row to the same topic: each goes its way alone
    ("topics", Case { topics: 2, ..PLAIN }),
    ("topics-v5", Case { version: Version::V5, topics: 2, ..PLAIN }),
    ("topics-fanout", Case { subscribers: 100, topics: 2, ..PLAIN }),
    ("shards", Case { shards: 2, ..PLAIN }),
    ("shards-topics", Case { shards: 2, topics: 2, ..PLAIN }),
    ("shards-qos1", Case { shards: 2, qos: Qos::AtLeastOnce, ..PLAIN }),
    // the same load for each shard, whose messages go to ever more others
    ("spread-1", Case { shards: 1, pairs: 16, ..SPREAD }),
    ("spread-2", Case { shards: 2, pairs: 32, ..SPREAD }),
    ("spread-4", Case { shards: 4, pairs: 64, ..SPREAD }),
    ("spread-16", Case { shards: 16, pairs: 256, ..SPREAD }),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let turns = args.get(2).and_then(|n| n.parse::<u32>().ok());
    let case = CASES.iter().find(|(name, _)| args.get(1).is_some_and(|a| a == name));
    let (Some((_, case)), Some(turns)) = (case, turns) else {
        // so that who runs this need not know the cases: each, and its deliveries per turn
        for (name, case) in CASES {
            emit(&format!("{name} {}", u32::from(case.pairs * case.subscribers * case.batch)));
        }
        return;
    };
    let mut bench = Bench::new(case);
    for _ in 0..turns {
        bench.turn();
    }
    let per_turn = u64::from(case.pairs) * u64::from(case.subscribers) * u64::from(case.batch);
    assert_eq!(bench.sent(), per_turn * u64::from(turns), "messages delivered");
}

#[expect(clippy::print_stdout, reason = "a program for the terminal")]
fn emit(line: &str) {
    println!("{line}");
}

struct Client {
    shard: usize,
    key: Key,
    /// What it sends in a turn.
    input: Vec<u8>,
    /// What it answers to what that brought it.
    answers: Vec<u8>,
    /// The packet id of the next message it gets.
    next_id: u16,
}

struct Bench {
    shards: Vec<Shard>,
    /// Batches that a shard has dealt with go back, with their memory.
    spares: Vec<Batch>,
    publishers: Vec<Client>,
    subscribers: Vec<Client>,
    batch: u16,
    qos: Qos,
}

struct Nobody;

impl Observe for Nobody {
    fn wants_packets(&self) -> bool {
        false
    }

    fn on(&mut self, _: Time, _: Event<'_>) {}
}

impl Bench {
    fn new(case: &Case) -> Self {
        let limits = Limits { inflight_max: 0, receive_max: u16::MAX, ..Limits::default() };
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Settings { limits, listeners: vec![listener], seed: 1, ..Settings::default() };
        let settings = Arc::new(settings);
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        let shard = |id| Shard::new(id, case.shards, router.clone(), settings.clone(), Box::new(Nobody));
        let shards = (0..case.shards).map(shard).collect();
        let (publishers, subscribers) = (Vec::new(), Vec::new());
        let mut bench =
            Self { shards, spares: Vec::new(), publishers, subscribers, batch: case.batch, qos: case.qos };
        for pair in 0..case.pairs {
            let topics: Vec<_> = (0..case.topics).map(|n| format!("bench/{pair}/t{n}")).collect();
            let filter = format!("bench/{pair}/+");
            let (from, to) = if case.is_spread {
                (pair % case.shards, (pair + pair / case.shards) % case.shards)
            } else {
                (0, case.shards - 1)
            };
            for n in 0..case.subscribers {
                let mut client = bench.connect(case.version, &format!("sub-{pair}-{n}"), to);
                bench.subscribe(case.version, &mut client, &filter);
                bench.subscribers.push(client);
            }
            let mut publisher = bench.connect(case.version, &format!("pub-{pair}"), from);
            for id in 1..=case.batch {
                let publish = Publish {
                    qos: case.qos,
                    topic: &topics[usize::from(id % case.topics)],
                    packet_id: NonZeroU16::new(id).filter(|_| case.qos != Qos::AtMostOnce),
                    properties: PublishProperties {
                        response_topic: (case.version == Version::V5).then_some("bench/answer"),
                        ..PublishProperties::default()
                    },
                    payload: &PAYLOAD,
                    ..Publish::default()
                };
                Packet::Publish(publish).encode(case.version, &mut publisher.input).unwrap();
                let release = [PUBREL, 2, 0, u8::try_from(id).unwrap()];
                publisher.answers.extend(release);
            }
            bench.publishers.push(publisher);
        }
        bench
    }

    /// A client whose home is that shard.
    fn connect(&mut self, version: Version, name: &str, shard: u16) -> Client {
        let home = |id: &String| self.shards.first().unwrap().home(id) == shard;
        let client_id = (0..1000).map(|n| format!("{name}-{n}")).find(home).unwrap();
        let connect = Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 60,
            properties: ConnectProperties::default(),
            client_id: &client_id,
            will: None,
            username: None,
            password: None,
        };
        let shard = usize::from(shard);
        let key = self.shards[shard].handle_open(NOW, Peer { address: None, listener: 0, secured: None });
        let client = Client { shard, key, input: Vec::new(), answers: Vec::new(), next_id: 1 };
        self.feed(version, &client, &Packet::Connect(connect));
        client
    }

    fn subscribe(&mut self, version: Version, client: &mut Client, topic: &str) {
        let options = SubscribeOptions { qos: self.qos, ..SubscribeOptions::default() };
        let list = [(topic, options)];
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            properties: SubscribeProperties::default(),
            filters: Filters::List(&list),
        };
        self.feed(version, client, &Packet::Subscribe(subscribe));
    }

    fn feed(&mut self, version: Version, client: &Client, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        let taken = self.shards[client.shard].handle_input(NOW, client.key, &bytes).consumed;
        assert_eq!(taken, bytes.len());
        self.settle();
    }

    /// Every publisher sends its messages, and everybody answers what comes.
    fn turn(&mut self) {
        for shard in &mut self.shards {
            shard.start_turn();
        }
        self.publishers.iter().for_each(|c| give(&mut self.shards, c, &c.input));
        self.settle();
        match self.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.answer(PUBACK),
            Qos::ExactlyOnce => {
                self.publishers.iter().for_each(|c| give(&mut self.shards, c, &c.answers));
                self.answer(PUBREC);
                self.answer(PUBCOMP);
            }
        }
    }

    /// The subscribers' answers to what came in this turn.
    fn answer(&mut self, kind: u8) {
        for client in &mut self.subscribers {
            client.answers.clear();
            let mut id = client.next_id;
            for _ in 0..self.batch {
                let [high, low] = id.to_be_bytes();
                client.answers.extend([kind, 2, high, low]);
                id = id.checked_add(1).unwrap_or(1);
            }
            if kind != PUBREC {
                client.next_id = id;
            }
            give(&mut self.shards, client, &client.answers);
        }
        self.settle();
    }

    /// Everything is sent, and carried between the shards.
    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for from in 0..self.shards.len() {
                while let Some(key) = self.shards[from].poll_dirty() {
                    let n = self.shards[from].outbox(key).map_or(0, grovemq_core::Outbox::len);
                    self.shards[from].sent(NOW, key, n);
                }
                for to in 0..self.shards.len() {
                    let Some(mail) = self.shards[from].poll_mail(u16::try_from(to).unwrap()) else {
                        continue;
                    };
                    let mut batch = std::mem::replace(mail, self.spares.pop().unwrap_or_default());
                    moved = true;
                    let mut budget = u32::MAX;
                    self.shards[to].handle_mail(NOW, &mut batch, &mut budget);
                    batch.clear();
                    self.spares.push(batch);
                }
                assert_eq!(self.shards[from].poll_action(), None);
            }
        }
    }

    fn sent(&self) -> u64 {
        self.shards.iter().map(|s| s.stats().publish_sent).sum()
    }
}

fn give(shards: &mut [Shard], client: &Client, bytes: &[u8]) {
    let taken = shards[client.shard].handle_input(NOW, client.key, bytes).consumed;
    assert_eq!(taken, bytes.len());
}
