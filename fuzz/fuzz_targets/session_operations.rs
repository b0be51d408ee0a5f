//! What clients do to their sessions, in any order, with a broker that may be killed: after each step the clients have got
//! exactly what a list on paper says, and the store holds what a restart needs.
#![no_main]

use grovemq_codec::{
    Ack, AckProperties, Connect, ConnectProperties, Disconnect, DisconnectProperties, Filters, Packet,
    Publish, PublishProperties, Qos, ReasonCode, RetainHandling, Subscribe, SubscribeOptions,
    SubscribeProperties, Topics, Unsubscribe, UserProperties, Version, Will, WillProperties, decode_frame,
};
use grovemq_core::Limits;
use grovemq_fuzz::model::{EXPIRY, Message, Model, Subscription, TOPICS, summary};
use grovemq_fuzz::{Broker, exported};
use grovemq_store::{Memory, import};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::UNIX_EPOCH;

const FILTERS: [&str; 7] = ["t/0", "t/+", "#", "+/1", "s/#", "$x/#", "t/#"];
const NAMES: [&str; 3] = ["a", "b", "c"];
const OPERATIONS_MAX: usize = 80;

#[derive(Arbitrary, Debug)]
struct Input {
    inflight_max: u8,
    shards: u8,
    stored: bool,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Connect {
        client: u8,
        clean: bool,
        lasting: bool,
        will: Option<bool>,
    },
    Cut {
        client: u8,
    },
    Leave {
        client: u8,
    },
    Subscribe {
        client: u8,
        filter: u8,
        qos: u8,
        no_local: bool,
        as_published: bool,
        retain_handling: u8,
        id: u8,
    },
    Unsubscribe {
        client: u8,
        filter: u8,
    },
    Publish {
        client: u8,
        topic: u8,
        qos: u8,
        retain: bool,
        empty: bool,
        twice: bool,
    },
    Answer {
        client: u8,
        which: u8,
    },
    Wait {
        long: bool,
    },
    Kill,
}

struct World {
    broker: Broker,
    model: Model,
    number: u32,
}

fuzz_target!(|input: Input| {
    let inflight_max = u16::from(input.inflight_max % 4);
    let limits = Limits { inflight_max, queue_messages_max: 0, ..Limits::default() };
    let broker = Broker::new(limits, 1 + u16::from(input.shards % 3), input.stored, false);
    let mut world = World { broker, model: Model::new(inflight_max), number: 0 };
    for operation in input.operations.iter().take(OPERATIONS_MAX) {
        world.perform(operation);
        world.check();
    }
    world.settle();
});

impl World {
    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Connect { client, clean, lasting, will } => {
                self.connect(usize::from(client % 3), clean, lasting, will);
            }
            Operation::Cut { client } => {
                let client = usize::from(client % 3);
                let Some(stream) = self.model.clients[client].stream else { return };
                self.model.disconnect(self.broker.now.0, client, true);
                self.broker.cut(stream);
            }
            Operation::Leave { client } => {
                let client = usize::from(client % 3);
                if self.model.clients[client].stream.is_none() {
                    return;
                }
                let (reason, properties) = (ReasonCode::NormalDisconnection, DisconnectProperties::default());
                let stream = self.model.clients[client].stream;
                self.model.disconnect(self.broker.now.0, client, false);
                self.send_to(stream, client, &Packet::Disconnect(Disconnect { reason, properties }));
            }
            Operation::Subscribe { client, filter, qos, no_local, as_published, retain_handling, id } => {
                let wanted = Subscription { qos: qos % 3, no_local, as_published, id: u32::from(id % 4) };
                self.subscribe(usize::from(client % 3), filter, wanted, retain_handling % 3);
            }
            Operation::Unsubscribe { client, filter } => {
                let (client, filter) =
                    (usize::from(client % 3), FILTERS[usize::from(filter) % FILTERS.len()]);
                let Some(stream) = self.model.clients[client].stream else { return };
                let there = self.model.unsubscribe(client, filter);
                let (packet_id, user_properties) = (NonZeroU16::MIN, UserProperties::default());
                let topics = Topics::List(&[filter]);
                let packet = Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, topics });
                let code = if there { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted };
                let v5 = self.model.clients[client].version == Version::V5;
                let expected = format!("UNSUBACK {:?}", if v5 { vec![code] } else { Vec::new() });
                self.send_to(Some(stream), client, &packet);
                self.take(client, &[expected]);
            }
            Operation::Publish { client, topic, qos, retain, empty, twice } => {
                self.publish(usize::from(client % 3), topic, qos % 3, retain, empty, twice);
            }
            Operation::Answer { client, which } => self.answer(usize::from(client % 3), usize::from(which)),
            Operation::Wait { long } => {
                let millis = if long { u64::from(EXPIRY) * 2000 } else { u64::from(EXPIRY) * 400 };
                self.broker.wait(millis);
                self.model.wait(self.broker.now.0);
            }
            Operation::Kill if self.broker.store.is_some() => {
                self.model.kill(self.broker.now.0);
                self.broker.kill();
            }
            Operation::Kill => {}
        }
    }

    fn connect(&mut self, client: usize, clean: bool, lasting: bool, will: Option<bool>) {
        let version = self.model.clients[client].version;
        let expiry = match version {
            Version::V5 if lasting => EXPIRY,
            Version::V5 => 0,
            _ if clean => 0,
            _ => u32::MAX,
        };
        let will = will.map(|retain| self.message(TOPICS[1], 1, retain, false));
        let stream = self.broker.open();
        let present = self.model.connect(self.broker.now.0, client, stream, clean, expiry, will.clone());
        let properties = ConnectProperties {
            session_expiry: (expiry > 0).then_some(expiry),
            receive_maximum: self.model.clients[client].receive_max,
            topic_alias_maximum: self.model.clients[client].receive_max,
            ..ConnectProperties::default()
        };
        let properties = if version == Version::V5 { properties } else { ConnectProperties::default() };
        let packet = Packet::Connect(Connect {
            version,
            bridge: false,
            clean_start: clean,
            keep_alive: 0,
            properties,
            client_id: NAMES[client],
            will: will.as_ref().map(|will| Will {
                qos: Qos::AtLeastOnce,
                retain: will.retain,
                properties: WillProperties::default(),
                topic: will.topic,
                payload: &will.payload,
            }),
            username: None,
            password: None,
        });
        self.send_to(Some(stream), client, &packet);
        self.take(client, &[format!("CONNACK {present}")]);
    }

    fn subscribe(&mut self, client: usize, filter: u8, mut wanted: Subscription, retain_handling: u8) {
        let Some(stream) = self.model.clients[client].stream else { return };
        if self.model.is_full() {
            return;
        }
        let filter = FILTERS[usize::from(filter) % FILTERS.len()];
        let mut handling = [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]
            [usize::from(retain_handling)];
        if self.model.clients[client].version != Version::V5 {
            wanted = Subscription { qos: wanted.qos, no_local: false, as_published: false, id: 0 };
            handling = RetainHandling::Always;
        }
        let (retained, always) = (handling != RetainHandling::Never, handling == RetainHandling::Always);
        self.model.subscribe(client, filter, &wanted, retained, always);
        let qos = Qos::from_u8(wanted.qos).expect("a QoS");
        let Subscription { no_local, as_published: retain_as_published, .. } = wanted;
        let options = SubscribeOptions { qos, no_local, retain_as_published, retain_handling: handling };
        let subscription_id = Some(wanted.id).filter(|id| *id != 0);
        let properties = SubscribeProperties { subscription_id, user: UserProperties::default() };
        let filters = Filters::List(&[(filter, options)]);
        let packet = Packet::Subscribe(Subscribe { packet_id: NonZeroU16::MIN, properties, filters });
        self.send_to(Some(stream), client, &packet);
        let code = [ReasonCode::Success, ReasonCode::GrantedQos1, ReasonCode::GrantedQos2];
        self.take(client, &[format!("SUBACK {:?}", [code[usize::from(wanted.qos)]])]);
    }

    /// With QoS 2 also the second half; `twice` is what a client does that has not seen the answer to the first.
    fn publish(&mut self, client: usize, topic: u8, qos: u8, retain: bool, empty: bool, twice: bool) {
        let Some(stream) = self.model.clients[client].stream else { return };
        let message = self.message(TOPICS[usize::from(topic) % TOPICS.len()], qos, retain, empty);
        self.model.publish(Some(client), &message);
        let packet_id = NonZeroU16::new(7);
        let mut publish = Publish {
            dup: false,
            qos: Qos::from_u8(qos).expect("a QoS"),
            retain,
            topic: message.topic,
            packet_id: packet_id.filter(|_| qos > 0),
            properties: PublishProperties::default(),
            raw_properties: &[],
            payload: &message.payload,
        };
        self.send_to(Some(stream), client, &Packet::Publish(publish.clone()));
        let mut expected = vec!["PUBREC 7"];
        if qos == 2 && twice {
            publish.dup = true;
            self.send_to(Some(stream), client, &Packet::Publish(publish));
            expected.push("PUBREC 7");
        }
        match qos {
            0 => expected.clear(),
            1 => expected = vec!["PUBACK 7"],
            _ => {
                self.send_to(Some(stream), client, &Packet::PubRel(success(7)));
                expected.push("PUBCOMP 7");
            }
        }
        self.take(client, &expected.into_iter().map(str::to_owned).collect::<Vec<_>>());
    }

    fn answer(&mut self, client: usize, which: usize) {
        let Some(stream) = self.model.clients[client].stream else { return };
        let Some((id, qos, released)) = self.model.clients[client].answer(which) else { return };
        let packet = match (qos, released) {
            (1, _) => Packet::PubAck(success(id)),
            (_, false) => Packet::PubRec(success(id)),
            (_, true) => Packet::PubComp(success(id)),
        };
        self.send_to(Some(stream), client, &packet);
        let answered = qos == 2 && !released;
        self.take(client, &if answered { vec![format!("PUBREL {id}")] } else { Vec::new() });
    }

    fn message(&mut self, topic: &'static str, qos: u8, retain: bool, empty: bool) -> Message {
        self.number += 1;
        let payload = if empty { Vec::new() } else { self.number.to_string().into_bytes() };
        Message { topic, payload, qos, retain, ids: Vec::new() }
    }

    fn send_to(&mut self, stream: Option<usize>, client: usize, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.model.clients[client].version, &mut bytes).expect("a packet that can be written");
        self.broker.feed(stream.expect("a connection"), &bytes);
    }

    /// What has come at a client: besides messages exactly these packets.
    fn take(&mut self, client: usize, expected: &[String]) {
        let client = &mut self.model.clients[client];
        let Some(stream) = client.stream else { return };
        let output = std::mem::take(&mut self.broker.streams[stream].output);
        let (mut rest, mut others) = (&output[..], Vec::new());
        while let Some(frame) = decode_frame(rest, u32::MAX).expect("a good header") {
            rest = &rest[frame.len()..];
            match Packet::parse(&frame, client.version).expect("a good packet") {
                Packet::Publish(publish) => client.receive(&publish),
                Packet::PubRel(ack) if client.release(ack.packet_id.get()) => {}
                Packet::PubRel(ack) => others.push(format!("PUBREL {}", ack.packet_id)),
                other => others.push(summary(&other)),
            }
        }
        assert!(rest.is_empty(), "half a packet");
        assert_eq!(others, expected);
    }

    /// Everybody has what the model says, and the store, too.
    fn check(&mut self) {
        for client in 0..NAMES.len() {
            self.take(client, &[]);
            self.model.clients[client].check();
        }
        let Some(store) = &mut self.broker.store else { return };
        let lines = exported(store);
        let found = import(&mut &lines[..], Path::new("lines"), UNIX_EPOCH, 1, &mut Memory::default())
            .expect("what is exported can be imported");
        let [sessions, subscriptions, queued, retained] =
            [found.sessions, found.subscriptions, found.queued, found.retained].map(|n| n as usize);
        assert_eq!((sessions, subscriptions, queued, retained), self.model.stored());
    }

    /// All of it arrives, and nothing is left of anybody.
    fn settle(&mut self) {
        for client in 0..NAMES.len() {
            self.connect(client, false, true, None);
            self.check();
        }
        for client in 0..NAMES.len() {
            while self.model.clients[client].answer_is_due() {
                self.answer(client, 0);
                self.check();
            }
            self.connect(client, true, false, None);
            self.perform(&Operation::Leave { client: u8::try_from(client).expect("few") });
        }
        self.check();
        assert!(self.broker.is_empty(), "{:?}", self.broker.len());
        assert_eq!(self.broker.subscriptions(), 0);
    }
}

fn success(id: u16) -> Ack<'static> {
    let packet_id = NonZeroU16::new(id).expect("not 0");
    Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() }
}
