//! A client of the simulation: the protocol machine, and a record of what went in and what came out.

use grovemq_codec::{Qos, Version};
use grovemq_core::Time;
use grovemq_core::client::{
    Config, Credentials, Message, Properties, Protocol, Received, Subscribe, Subscription, Will,
};
use grovemq_tests::Random;
use std::collections::BTreeMap;
use std::time::Duration;

/// A publication: who, where, with which QoS, and the number of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Publication {
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) number: u32,
}

/// What came out at a client.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) publication: Publication,
    /// The QoS it came with.
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    /// The link it came over.
    pub(crate) link: Option<u32>,
    /// It answered a subscription, and may be ahead of others still under way among the shards.
    pub(crate) retained: bool,
}

pub(crate) struct Client {
    pub(crate) protocol: Protocol,
    pub(crate) link: Option<u32>,
    /// Lives through everything and loses nothing; the others come and go without a session.
    pub(crate) durable: bool,
    /// What it subscribes to for good; nothing else is counted on.
    pub(crate) filters: Vec<(String, u8)>,
    /// How many messages each client had published when those subscriptions stood.
    pub(crate) since: Vec<usize>,
    pub(crate) published: Vec<Publication>,
    pub(crate) arrivals: Vec<Arrival>,
    /// Half a packet.
    pub(crate) leftover: Vec<u8>,
    numbers: BTreeMap<(String, u8), u32>,
    v5: bool,
}

impl Client {
    pub(crate) fn new(id: usize, durable: bool, filters: Vec<(String, u8)>, random: &mut Random) -> Self {
        let v5 = random.below(3) > 0;
        let will = Message::new(format!("w/{id}"), "gone").qos(Qos::AtLeastOnce);
        let config = Config {
            version: if v5 { Version::V5 } else { Version::V311 },
            client_id: format!("c{id}"),
            clean_start: !durable,
            keep_alive: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(8),
            session_expiry: (durable && v5).then_some(u32::MAX),
            receive_maximum: v5.then(|| random.of(&[1, 2, 5, 100])),
            topic_alias_maximum: random.of(&[0, 1, 10]),
            inflight_max: Some(random.of(&[1, 3, 20])),
            credentials: random.one_in(2).then(|| Credentials { username: Some("u".into()), password: None }),
            will: (!durable).then_some(Will { message: will, delay: None }),
            ..Config::default()
        };
        let protocol = Protocol::new(config);
        Self {
            protocol,
            link: None,
            durable,
            filters,
            since: Vec::new(),
            published: Vec::new(),
            arrivals: Vec::new(),
            leftover: Vec::new(),
            numbers: BTreeMap::new(),
            v5,
        }
    }

    pub(crate) fn subscribe(&mut self, now: Time, filters: &[(String, u8)]) {
        let subscription =
            |(filter, qos): &(String, u8)| Subscription::new(filter, Qos::from_u8(*qos).unwrap());
        let subscriptions: Vec<_> = filters.iter().map(subscription).collect();
        let request = Subscribe { subscriptions, ..Subscribe::default() };
        self.protocol.subscribe(now, request, 0).unwrap();
    }

    pub(crate) fn publish(
        &mut self,
        now: Time,
        id: usize,
        topic: String,
        qos: u8,
        retain: bool,
        random: &mut Random,
    ) {
        let number = self.numbers.entry((topic.clone(), qos)).or_insert(0);
        *number += 1;
        let publication = Publication { publisher: id, topic: topic.clone(), qos, number: *number };
        let mut payload = format!("{id} {qos} {number} ");
        if random.one_in(15) {
            payload += &"x".repeat(5000);
        }
        let alias = (self.v5 && random.one_in(3)).then(|| random.of(&[1, 2]));
        // nobody counts on what passers-by say
        let message_expiry = (self.v5 && !self.durable && random.one_in(2)).then_some(1);
        let properties = Properties { topic_alias: alias, message_expiry, ..Properties::default() };
        let message = Message::new(topic, payload)
            .qos(Qos::from_u8(qos).unwrap())
            .retain(retain)
            .properties(properties);
        if self.protocol.publish(now, message, None).is_ok() {
            self.published.push(publication);
        }
    }

    /// Takes note of a message that one of the clients sent.
    pub(crate) fn receive(&mut self, received: &Received) {
        let Received { message, dup, .. } = received;
        let text = String::from_utf8_lossy(&message.payload);
        let mut words = text.split(' ').map(str::parse);
        let (Some(Ok(publisher)), Some(Ok(qos)), Some(Ok(number))) =
            (words.next(), words.next(), words.next())
        else {
            assert_eq!(text, "gone", "a message nobody sent");
            return;
        };
        let qos = u8::try_from(qos).unwrap();
        let number = u32::try_from(number).unwrap();
        let publication = Publication { publisher, topic: message.topic.clone(), qos, number };
        self.arrivals.push(Arrival {
            publication,
            qos: message.qos as u8,
            dup: *dup,
            link: self.link,
            retained: message.retain,
        });
    }
}
