//! Messages from the server: topic aliases, acknowledgements, the server's window.

use super::{
    AckToken, Change, Config, Direction, Event, Message, Received,
    journal::{self, Inbound},
    outlet::Outlet,
};
use crate::qos::{Arrival, Receiver, ReceiverStep};
use grovemq_codec::{Error, Frame, PacketType, Publish, Qos, ReasonCode, Version};
use hashbrown::HashMap;
use std::num::NonZeroU16;

#[derive(Debug)]
pub(super) struct Incoming {
    /// `QoS` 1 and 2 messages not done with; without manual acknowledgement only `QoS` 2 ones.
    open: HashMap<NonZeroU16, Open, foldhash::fast::FixedState>,
    /// How many of them came over this connection.
    open_here: usize,
    /// What the server may have open. [MQTT-3.3.4-9]
    receive_maximum: usize,
    manual_ack: bool,
    /// Topics by alias, from 1.
    aliases: Vec<Option<String>>,
    alias_maximum: u16,
    /// Counts connections.
    epoch: u32,
    /// Counts deliveries to the user.
    serial: u64,
    journal: Inbound,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    stage: Stage,
    /// The connection it came over last.
    epoch: u32,
    /// Its delivery to the user.
    serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The user has it and has not acknowledged it.
    WithUser(Qos),
    /// The user has acknowledged it when its connection was gone; the server will send it again.
    Done(Qos),
    /// `QoS` 2, PUBREC is sent.
    Received(Receiver),
}

impl Incoming {
    pub(super) fn new(config: &Config) -> Self {
        let v5 = config.version == Version::V5;
        let receive_maximum = config.receive_maximum.filter(|_| v5).unwrap_or(u16::MAX);
        Self {
            open: HashMap::default(),
            open_here: 0,
            receive_maximum: usize::from(receive_maximum.saturating_add(config.receive_tolerance)),
            manual_ack: config.manual_ack,
            aliases: Vec::new(),
            alias_maximum: if v5 { config.topic_alias_maximum } else { 0 },
            epoch: 0,
            serial: 0,
            journal: Inbound::default(),
        }
    }

    pub(super) fn keep(&mut self) {
        self.journal.start();
    }

    /// A `QoS` 2 message of an earlier run of the program.
    pub(super) fn restore(&mut self, id: NonZeroU16) {
        let stage = Stage::Received(Receiver::AwaitPubRel);
        self.open.insert(id, Open { stage, epoch: self.epoch, serial: self.serial });
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.journal.is_empty()
    }

    pub(super) fn changes(&mut self) -> impl Iterator<Item = Change> {
        self.journal.take().into_iter().map(|id| {
            let open = self.open.get(&id).is_some_and(|open| matches!(open.stage, Stage::Received(_)));
            journal::received(id, open)
        })
    }

    /// A new connection. What the user has not acknowledged comes again, and is recognized.
    pub(super) fn start(&mut self, session_present: bool) {
        self.epoch = self.epoch.wrapping_add(1);
        self.open_here = 0;
        self.aliases.clear(); // [MQTT-3.3.2-7]
        if !session_present {
            // the journal's order is that of the ids, whatever the map's is
            self.open.drain().for_each(|(id, _)| self.journal.mark(id));
        }
    }

    pub(super) fn handle_publish(&mut self, frame: &Frame<'_>, outlet: &mut Outlet) -> Result<(), Error> {
        let publish = Publish::parse(frame, outlet.version)?;
        outlet.note_publish(Direction::Received, &publish);
        let topic = self.resolve(&publish)?;
        let Some(id) = publish.packet_id else {
            outlet.events.push_back(Event::Message(received(topic, &publish, None)));
            return Ok(());
        };
        if self.open_here >= self.receive_maximum && !self.open.contains_key(&id) {
            return Err(Error::Protocol("more unacknowledged messages than Receive Maximum"));
        }
        if publish.qos == Qos::AtLeastOnce && !self.manual_ack {
            outlet.events.push_back(Event::Message(received(topic, &publish, None)));
            outlet.ack(PacketType::PubAck, id, ReasonCode::Success); // [MQTT-4.3.2-4]
            return Ok(());
        }
        self.open_acked(id, topic, &publish, outlet);
        Ok(())
    }

    pub(super) fn handle_pubrel(&mut self, id: NonZeroU16, outlet: &mut Outlet) {
        let mut receiver = match self.open.get(&id) {
            Some(Open { stage: Stage::Received(receiver), .. }) => *receiver,
            // The user still has it: the server is ahead of our PUBREC, the id stays taken.
            Some(_) | None => Receiver::Fresh,
        };
        let reason = match receiver.on(Arrival::PubRel) {
            ReceiverStep::Complete => {
                self.close(id);
                ReasonCode::Success
            }
            _ => ReasonCode::PacketIdentifierNotFound,
        };
        outlet.ack(PacketType::PubComp, id, reason); // [MQTT-4.3.3-11]
    }

    /// The user is done with a message. Without its connection the answer waits until the server sends it again.
    pub(super) fn handle_user_ack(&mut self, token: AckToken, online: bool, outlet: &mut Outlet) {
        let id = token.packet_id;
        let Some(open) = self.open.get_mut(&id).filter(|open| open.serial == token.serial) else { return };
        let Stage::WithUser(qos) = open.stage else { return };
        open.stage = Stage::Done(qos);
        if online && open.epoch == self.epoch {
            self.answer(id, qos, outlet);
        }
    }

    /// The acknowledgement of a message the user is done with.
    fn answer(&mut self, id: NonZeroU16, qos: Qos, outlet: &mut Outlet) {
        if qos == Qos::ExactlyOnce {
            if let Some(open) = self.open.get_mut(&id) {
                open.stage = Stage::Received(Receiver::AwaitPubRel);
                self.journal.mark(id);
            }
            outlet.ack(PacketType::PubRec, id, ReasonCode::Success);
        } else {
            self.close(id);
            outlet.ack(PacketType::PubAck, id, ReasonCode::Success);
        }
    }

    fn open_acked(&mut self, id: NonZeroU16, topic: String, publish: &Publish<'_>, outlet: &mut Outlet) {
        let Some(open) = self.open.get_mut(&id) else { return self.deliver(id, topic, publish, outlet) };
        let again = open.epoch != self.epoch;
        if again && !publish.dup && !matches!(open.stage, Stage::Received(_)) {
            // the server has forgotten the message that had this id before
            self.open.remove(&id);
            return self.deliver(id, topic, publish, outlet);
        }
        if again {
            open.epoch = self.epoch;
            self.open_here += 1;
        }
        // A copy of what we have: no second delivery. [MQTT-4.3.3-10]
        match &mut open.stage {
            Stage::WithUser(_) => {}
            Stage::Done(qos) => {
                let qos = *qos;
                self.answer(id, qos, outlet);
            }
            Stage::Received(receiver) => {
                if receiver.on(Arrival::Publish) == ReceiverStep::AckAgain {
                    outlet.ack(PacketType::PubRec, id, ReasonCode::Success);
                }
            }
        }
    }

    fn deliver(&mut self, id: NonZeroU16, topic: String, publish: &Publish<'_>, outlet: &mut Outlet) {
        self.open_here += 1;
        self.serial += 1;
        let (epoch, serial) = (self.epoch, self.serial);
        let token = self.manual_ack.then_some(AckToken { serial, packet_id: id });
        let stage = if self.manual_ack {
            Stage::WithUser(publish.qos)
        } else {
            let mut receiver = Receiver::Fresh;
            receiver.on(Arrival::Publish);
            Stage::Received(receiver)
        };
        self.open.insert(id, Open { stage, epoch, serial });
        if !self.manual_ack {
            self.journal.mark(id);
        }
        outlet.events.push_back(Event::Message(received(topic, publish, token)));
        if !self.manual_ack {
            outlet.ack(PacketType::PubRec, id, ReasonCode::Success); // [MQTT-4.3.3-8]
        }
    }

    fn close(&mut self, id: NonZeroU16) {
        self.journal.mark(id);
        if self.open.remove(&id).is_some_and(|open| open.epoch == self.epoch) {
            self.open_here = self.open_here.saturating_sub(1);
        }
    }

    fn resolve(&mut self, publish: &Publish<'_>) -> Result<String, Error> {
        let Some(alias) = publish.properties.topic_alias else {
            if publish.topic.is_empty() {
                return Err(Error::Protocol("PUBLISH with neither topic nor alias"));
            }
            return Ok(publish.topic.to_owned());
        };
        if alias == 0 || alias > self.alias_maximum {
            return Err(Error::TopicAliasInvalid); // [MQTT-3.1.2-26]
        }
        let slot = usize::from(alias - 1);
        if publish.topic.is_empty() {
            let known = self.aliases.get(slot).and_then(Clone::clone);
            return known.ok_or(Error::Protocol("topic alias that was never set"));
        }
        if self.aliases.len() <= slot {
            self.aliases.resize(slot + 1, None);
        }
        if let Some(known) = self.aliases.get_mut(slot) {
            *known = Some(publish.topic.to_owned());
        }
        Ok(publish.topic.to_owned())
    }
}

fn received(topic: String, publish: &Publish<'_>, ack: Option<AckToken>) -> Received {
    Received {
        message: Message::from_wire(topic, publish),
        dup: publish.dup,
        packet_id: publish.packet_id,
        ack,
    }
}
