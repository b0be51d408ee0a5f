//! Messages on their way to the server: the queue, the window of `QoS` 1 and 2, and what a new connection does to them.

use super::{
    Change, Error, Event, Message, PublishAck, Time,
    journal::{self, Kept, Outbound},
    outlet::Outlet,
};
use crate::qos::{Answer, Sender, SenderStep};
use grovemq_codec::{Ack, PacketType, Qos, ReasonCode, Version};
use hashbrown::HashMap;
use std::{collections::VecDeque, num::NonZeroU16};

/// What the server allows on this connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishLimits {
    pub(super) maximum_qos: Qos,
    pub(super) retain_available: bool,
    pub(super) topic_alias_maximum: u16,
    /// Messages are made to fit.
    pub(super) adapt: bool,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    queue_len_max: usize,
    queue_bytes_max: usize,
    inflight: HashMap<NonZeroU16, Flight, foldhash::fast::FixedState>,
    inflight_max: usize,
    /// What an earlier connection left in flight, in its first order, to be sent again over this one.
    resend: VecDeque<NonZeroU16>,
    /// How many more `QoS` 1 and 2 messages the server takes on this connection. [MQTT-3.3.4-9]
    quota: u16,
    quota_max: u16,
    /// The number of the newest message.
    order: u64,
    journal: Outbound,
}

#[derive(Debug)]
struct Queued {
    message: Message,
    token: Option<u64>,
    since: Time,
    /// Its place among all messages, which it keeps to its end.
    order: u64,
}

#[derive(Debug)]
struct Flight {
    state: Sender,
    /// Dropped once the server has it (PUBREC).
    message: Option<Message>,
    token: Option<u64>,
    order: u64,
}

impl Outgoing {
    pub(super) fn new(inflight_max: u16, queue_len_max: usize, queue_bytes_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            queue_bytes: 0,
            queue_len_max,
            queue_bytes_max,
            inflight: HashMap::default(),
            inflight_max: usize::from(inflight_max),
            resend: VecDeque::new(),
            quota: 0,
            quota_max: 0,
            order: 0,
            journal: Outbound::default(),
        }
    }

    pub(super) fn keep(&mut self) {
        self.journal.start();
    }

    /// A message of an earlier run of the program; to be called in their order. False: its id is taken.
    pub(super) fn restore(&mut self, now: Time, order: u64, kept: Kept) -> bool {
        self.order = self.order.max(order);
        let (id, state, message) = match kept {
            Kept::Queued(message) => {
                self.queue_bytes += message.queue_bytes();
                self.queue.push_back(Queued { message, token: None, since: now, order });
                return true;
            }
            Kept::Sent(id, message) if message.qos == Qos::AtLeastOnce => {
                (id, Sender::AwaitPubAck, Some(message))
            }
            Kept::Sent(id, message) => (id, Sender::AwaitPubRec, Some(message)),
            Kept::Released(id) => (id, Sender::AwaitPubComp, None),
        };
        if self.inflight.contains_key(&id) {
            return false;
        }
        self.inflight.insert(id, Flight { state, message, token: None, order });
        true
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.journal.is_empty()
    }

    pub(super) fn changes(&mut self) -> impl Iterator<Item = Change> {
        self.journal.take().into_iter().map(|(order, id)| {
            let flight = id.and_then(|id| Some((id, self.inflight.get(&id)?)));
            if let Some((id, flight)) = flight.filter(|(_, flight)| flight.order == order) {
                return journal::outgoing(order, Some((id, flight.state)), flight.message.as_ref());
            }
            let place = self.queue.binary_search_by_key(&order, |queued| queued.order).ok();
            match place.and_then(|place| self.queue.get(place)) {
                Some(queued) => journal::outgoing(order, None, Some(&queued.message)),
                None => Change::Remove { key: order },
            }
        })
    }

    /// Online, a message larger than the whole queue may pass through it, and any message an empty one.
    pub(super) fn enqueue(
        &mut self,
        now: Time,
        message: Message,
        token: Option<u64>,
        online: bool,
    ) -> Result<(), Error> {
        let bytes = message.queue_bytes();
        let too_many = self.queue.len() >= self.queue_len_max && !(online && self.queue.is_empty());
        let too_large = if online { self.is_full() } else { self.queue_bytes + bytes > self.queue_bytes_max };
        if too_many || too_large {
            return Err(Error::QueueFull);
        }
        self.queue_bytes += bytes;
        self.order += 1;
        if message.qos != Qos::AtMostOnce {
            self.journal.mark(self.order, None);
        }
        self.queue.push_back(Queued { message, token, since: now, order: self.order });
        Ok(())
    }

    /// The server keeps its session: what was in flight is sent again. [MQTT-4.4.0-1]
    pub(super) fn resume(&mut self, receive_maximum: u16) {
        self.open_window(receive_maximum);
        self.resend = self.in_order().into();
    }

    /// The server has lost the session: what it had not taken over is sent as new, what it had is done.
    pub(super) fn restart(&mut self, now: Time, receive_maximum: u16, outlet: &mut Outlet) {
        self.open_window(receive_maximum);
        self.resend.clear();
        for id in self.in_order().into_iter().rev() {
            let Some(flight) = self.inflight.remove(&id) else { continue };
            self.journal.mark(flight.order, None);
            if let Some(message) = flight.message {
                // Bounded by the window, so the queue's own bound may be exceeded by that much.
                self.queue_bytes += message.queue_bytes();
                let Flight { token, order, .. } = flight;
                self.queue.push_front(Queued { message, token, since: now, order });
            } else {
                published(outlet, flight.token, Ok(ack_of(id, ReasonCode::Success)));
            }
        }
    }

    /// Sends again the next message of the last connection. False: there is none, or the window is shut.
    pub(super) fn resend_next(&mut self, outlet: &mut Outlet) -> bool {
        let Some(&id) = self.resend.front() else { return false };
        let Some(flight) = self.inflight.get(&id) else {
            self.resend.pop_front();
            return true;
        };
        match &flight.message {
            None => outlet.ack(PacketType::PubRel, id, ReasonCode::Success),
            Some(_) if self.quota == 0 => return false,
            // [MQTT-3.3.1-1]
            Some(message) => match outlet.publish(message, true, Some(id)) {
                Ok(()) => self.quota -= 1,
                Err(error) => {
                    let (token, order) = (flight.token, flight.order);
                    self.inflight.remove(&id);
                    self.journal.mark(order, None);
                    published(outlet, token, Err(error));
                }
            },
        }
        self.resend.pop_front();
        true
    }

    /// Sends the next message of the queue; `free_id` gives an id nobody uses. False: nothing can be sent now.
    pub(super) fn send_next(
        &mut self,
        now: Time,
        limits: PublishLimits,
        free_id: impl FnOnce(&Self) -> Option<NonZeroU16>,
        outlet: &mut Outlet,
    ) -> bool {
        let Some(next) = self.queue.front_mut() else { return false };
        let kept = next.message.qos != Qos::AtMostOnce;
        if limits.adapt {
            let message = &mut next.message;
            message.qos = message.qos.min(limits.maximum_qos);
            message.retain &= limits.retain_available;
        }
        let acked = next.message.qos != Qos::AtMostOnce;
        if acked && !self.window_open() {
            return false;
        }
        let id = if acked {
            let id = free_id(self);
            if id.is_none() {
                return false;
            }
            id
        } else {
            None
        };
        let Some(mut next) = self.queue.pop_front() else { return false };
        self.queue_bytes = self.queue_bytes.saturating_sub(next.message.queue_bytes());
        if kept {
            self.journal.mark(next.order, id);
        }
        match admit(&mut next, now, limits, outlet.version)
            .and_then(|()| outlet.publish(&next.message, false, id))
        {
            Err(error) => published(outlet, next.token, Err(error)),
            Ok(()) => match id {
                None => {
                    published(
                        outlet,
                        next.token,
                        Ok(PublishAck { reason: ReasonCode::Success, packet_id: None }),
                    );
                }
                Some(id) => self.launch(id, next),
            },
        }
        true
    }

    /// PUBACK, PUBREC or PUBCOMP.
    pub(super) fn handle_ack(&mut self, kind: PacketType, ack: &Ack<'_>, outlet: &mut Outlet) {
        let id = ack.packet_id;
        let answer = match kind {
            PacketType::PubAck => Answer::PubAck,
            PacketType::PubRec if ack.reason.is_error() => Answer::PubRecError,
            PacketType::PubRec => Answer::PubRec,
            _ => Answer::PubComp,
        };
        let Some(flight) = self.inflight.get_mut(&id) else {
            if answer == Answer::PubRec {
                // Without an answer the server would keep the id for ever. [MQTT-4.3.3-4]
                outlet.ack(PacketType::PubRel, id, ReasonCode::PacketIdentifierNotFound);
            }
            return;
        };
        match flight.state.on(answer) {
            SenderStep::Ignore => {}
            SenderStep::ReleaseAgain => outlet.ack(PacketType::PubRel, id, ReasonCode::Success),
            SenderStep::Release => {
                flight.message = None;
                self.journal.mark(flight.order, Some(id));
                outlet.ack(PacketType::PubRel, id, ReasonCode::Success);
            }
            SenderStep::Done => {
                let token = flight.token;
                self.journal.mark(flight.order, None);
                self.inflight.remove(&id);
                self.quota = self.quota.saturating_add(1).min(self.quota_max);
                // A PUBCOMP with "not found" is as good: the server is done with the message.
                let result = if ack.reason.is_error() && kind != PacketType::PubComp {
                    let text = ack.properties.reason_string.map(ToOwned::to_owned);
                    Err(Error::Refused { packet: PacketType::Publish, reason: ack.reason, text })
                } else {
                    let reason = if kind == PacketType::PubComp { ReasonCode::Success } else { ack.reason };
                    Ok(ack_of(id, reason))
                };
                published(outlet, token, result);
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        !self.queue.is_empty()
            && (self.queue.len() >= self.queue_len_max || self.queue_bytes >= self.queue_bytes_max)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty()
    }

    pub(super) fn uses(&self, id: NonZeroU16) -> bool {
        self.inflight.contains_key(&id)
    }

    fn window_open(&self) -> bool {
        self.quota > 0 && self.resend.is_empty() && self.inflight.len() < self.inflight_max
    }

    fn open_window(&mut self, receive_maximum: u16) {
        self.quota_max = receive_maximum;
        self.quota = receive_maximum;
    }

    fn launch(&mut self, id: NonZeroU16, mut queued: Queued) {
        // Another connection, another table of aliases. [MQTT-3.3.2-7]
        queued.message.properties.topic_alias = None;
        let state =
            if queued.message.qos == Qos::ExactlyOnce { Sender::AwaitPubRec } else { Sender::AwaitPubAck };
        let Queued { message, token, order, .. } = queued;
        let flight = Flight { state, message: Some(message), token, order };
        self.quota -= 1;
        self.inflight.insert(id, flight);
    }

    fn in_order(&self) -> Vec<NonZeroU16> {
        let mut ids: Vec<(u64, NonZeroU16)> = self.inflight.iter().map(|(id, f)| (f.order, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

/// Checks the message against what the server said, and takes the time it waited off its expiry.
fn admit(queued: &mut Queued, now: Time, limits: PublishLimits, version: Version) -> Result<(), Error> {
    let message = &mut queued.message;
    if message.qos > limits.maximum_qos {
        return Err(Error::Unsupported(ReasonCode::QosNotSupported)); // [MQTT-3.2.2-11]
    }
    if message.retain && !limits.retain_available {
        return Err(Error::Unsupported(ReasonCode::RetainNotSupported)); // [MQTT-3.2.2-14]
    }
    if version < Version::V5 {
        return Ok(());
    }
    if message.properties.topic_alias.is_some_and(|alias| alias > limits.topic_alias_maximum) {
        return Err(Error::Unsupported(ReasonCode::TopicAliasInvalid)); // [MQTT-3.3.2-9]
    }
    if let Some(expiry) = &mut message.properties.message_expiry {
        let waited = u32::try_from(now.seconds_since(queued.since)).unwrap_or(u32::MAX);
        if waited > 0 && waited >= *expiry {
            return Err(Error::Expired);
        }
        *expiry -= waited;
    }
    Ok(())
}

fn ack_of(id: NonZeroU16, reason: ReasonCode) -> PublishAck {
    PublishAck { reason, packet_id: Some(id) }
}

fn published(outlet: &mut Outlet, token: Option<u64>, result: Result<PublishAck, Error>) {
    if let Some(token) = token {
        outlet.events.push_back(Event::Published { token, result });
    }
}
