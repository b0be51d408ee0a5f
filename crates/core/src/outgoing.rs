//! Messages on their way to one session: those in flight, in the order they were sent, and those that wait.

use crate::Message;
use crate::qos::{Answer, Sender, SenderStep};
use grovemq_codec::Qos;
use std::collections::VecDeque;
use std::sync::Arc;

/// A message for one session, with what is particular to that session.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub message: Arc<Message>,
    pub qos: Qos,
    pub retain: bool,
    /// Subscription identifiers.
    pub ids: Option<Box<[u32]>>,
}

/// A message with a packet id.
#[derive(Debug)]
pub(crate) struct Inflight {
    pub id: u16,
    /// `None` once it is over; the place is kept until all before it are over, too.
    state: Option<Sender>,
    /// Gone once the receiver owns the message (PUBREC).
    pub parcel: Option<Parcel>,
}

/// What to send again after a reconnect.
#[derive(Debug)]
pub(crate) enum Resend<'a> {
    Publish(&'a Parcel, u16),
    PubRel(u16),
}

/// Packet ids are given out in sequence and freed in sequence, so an id's place is a subtraction.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    inflight: VecDeque<Inflight>,
    queue: VecDeque<Parcel>,
    queue_bytes: usize,
    /// Messages of QoS 0 among those queued.
    queue_qos0: usize,
    last_id: u16,
    /// Entries of `inflight` before this one were sent on the present connection.
    sent: usize,
    /// Of those, how many are not over: they count against the receive maximum.
    outstanding: u16,
    /// Bytes of all messages in flight.
    inflight_bytes: usize,
}

impl Outgoing {
    /// A new connection: all that is in flight is to be sent again. [MQTT-4.4.0-1]
    pub(crate) fn restart(&mut self) {
        self.sent = 0;
        self.outstanding = 0;
    }

    /// Whether a new message may be sent at once.
    #[inline]
    pub(crate) fn has_room(&self, window: u16) -> bool {
        self.queue.is_empty() && self.may_send(window)
    }

    #[inline]
    fn may_send(&self, window: u16) -> bool {
        self.outstanding < window
            && self.sent == self.inflight.len()
            && self.inflight.len() < usize::from(u16::MAX)
    }

    /// Takes a message into flight; gives its packet id. The caller has asked for room and sends it now.
    pub(crate) fn admit(&mut self, parcel: Parcel) -> u16 {
        self.last_id = if self.last_id == u16::MAX { 1 } else { self.last_id + 1 };
        let state = if parcel.qos == Qos::ExactlyOnce { Sender::AwaitPubRec } else { Sender::AwaitPubAck };
        self.inflight_bytes += parcel.message.size();
        self.inflight.push_back(Inflight { id: self.last_id, state: Some(state), parcel: Some(parcel) });
        self.sent += 1;
        self.outstanding += 1;
        self.last_id
    }

    /// The next queued message that may be sent now.
    pub(crate) fn next_queued(&mut self, window: u16) -> Option<Parcel> {
        let first = self.queue.front()?;
        if first.qos != Qos::AtMostOnce && !self.may_send(window) {
            return None;
        }
        self.queue_bytes -= first.message.size();
        self.queue_qos0 -= usize::from(first.qos == Qos::AtMostOnce);
        self.queue.pop_front()
    }

    pub(crate) fn enqueue(&mut self, parcel: Parcel) {
        self.queue_bytes += parcel.message.size();
        self.queue_qos0 += usize::from(parcel.qos == Qos::AtMostOnce);
        self.queue.push_back(parcel);
    }

    /// The next message to be sent again, within the window; marks it as sent.
    pub(crate) fn next_resend(&mut self, window: u16) -> Option<Resend<'_>> {
        while self.outstanding < window {
            let entry = self.inflight.get(self.sent)?;
            self.sent += 1;
            if entry.state.is_some() {
                self.outstanding += 1;
                let entry = self.inflight.get(self.sent - 1)?;
                return match (&entry.parcel, entry.state) {
                    (Some(parcel), Some(Sender::AwaitPubAck | Sender::AwaitPubRec)) => {
                        Some(Resend::Publish(parcel, entry.id))
                    }
                    _ => Some(Resend::PubRel(entry.id)),
                };
            }
        }
        None
    }

    /// An answer from the receiver.
    pub(crate) fn on_answer(&mut self, id: u16, answer: Answer) -> SenderStep {
        let Some(place) = self.place(id) else { return SenderStep::Ignore };
        let Some(entry) = self.inflight.get_mut(place) else { return SenderStep::Ignore };
        let Some(state) = entry.state.as_mut() else { return SenderStep::Ignore };
        let step = state.on(answer);
        match step {
            SenderStep::Done => self.finish(place),
            SenderStep::Release => {
                let parcel = entry.parcel.take();
                self.inflight_bytes -= parcel.map_or(0, |p| p.message.size());
            }
            SenderStep::ReleaseAgain | SenderStep::Ignore => {}
        }
        step
    }

    /// Gives a message up that was admitted but cannot, or may not, be sent to this client.
    pub(crate) fn give_up(&mut self, id: u16) {
        if let Some(place) = self.place(id) {
            self.finish(place);
        }
    }

    /// Keeps only messages that `keep` approves of, whether queued or sent and not yet the receiver's.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Message) -> bool) {
        let unwanted = self.inflight.iter().filter(|e| e.parcel.as_ref().is_some_and(|p| !keep(&p.message)));
        for id in unwanted.map(|e| e.id).collect::<Vec<_>>() {
            self.give_up(id);
        }
        self.queue.retain(|p| keep(&p.message));
        self.queue_bytes = self.queue.iter().map(|p| p.message.size()).sum();
        self.queue_qos0 = self.queue.iter().filter(|p| p.qos == Qos::AtMostOnce).count();
    }

    pub(crate) fn inflight_bytes(&self) -> usize {
        self.inflight_bytes
    }

    /// Something is still to be sent on the present connection.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || self.sent < self.inflight.len()
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Messages of QoS 0 wait, which no later one may overtake.
    #[inline]
    pub(crate) fn holds_qos0(&self) -> bool {
        self.queue_qos0 > 0
    }

    pub(crate) fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Messages queued or in flight, and their bytes.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.queue.len() + self.inflight.len(), self.queue_bytes + self.inflight_bytes)
    }

    /// Messages in flight and queued.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.inflight.iter().filter(|e| e.state.is_some()).count()
    }

    fn place(&self, id: u16) -> Option<usize> {
        let first = self.inflight.front()?.id;
        // the ids 1..=65535 in a ring
        let ring = u32::from(u16::MAX);
        let place = (u32::from(id) + ring - u32::from(first)) % ring;
        let place = usize::try_from(place).ok()?;
        self.inflight.get(place).filter(|e| e.id == id).map(|_| place)
    }

    fn finish(&mut self, place: usize) {
        if let Some(entry) = self.inflight.get_mut(place)
            && entry.state.take().is_some()
        {
            let parcel = entry.parcel.take();
            self.inflight_bytes -= parcel.map_or(0, |p| p.message.size());
            if place < self.sent {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
        }
        while self.inflight.front().is_some_and(|e| e.state.is_none()) {
            self.inflight.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageRef;
    use proptest::prelude::*;

    fn parcel(n: u8, qos: Qos) -> Parcel {
        let message =
            MessageRef { topic: "t", properties: &[], payload: &[n], qos, retain: false, expires: None };
        Parcel { message: message.to_shared(), qos, retain: false, ids: None }
    }

    #[test]
    fn b18_all_ids_in_flight_then_one_more_waits() {
        let mut out = Outgoing::default();
        for _ in 0..u16::MAX {
            assert!(out.has_room(u16::MAX));
            out.admit(parcel(0, Qos::AtLeastOnce));
        }
        assert!(!out.has_room(u16::MAX));
        assert_eq!(out.on_answer(7, Answer::PubAck), SenderStep::Done);
        assert!(!out.has_room(u16::MAX), "ids are freed in order");
        for id in 1..7 {
            assert_eq!(out.on_answer(id, Answer::PubAck), SenderStep::Done);
        }
        assert!(out.has_room(u16::MAX));
        assert_eq!(out.admit(parcel(0, Qos::AtLeastOnce)), 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Offer(bool),
        Answer(u16, u8),
        Reconnect,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<bool>().prop_map(Op::Offer),
            (1u16..40, 0u8..4).prop_map(|(id, a)| Op::Answer(id, a)),
            Just(Op::Reconnect),
        ]
    }

    proptest! {
        /// Against a plain list of (id, state): the same steps, never more than the window unanswered.
        #[test]
        fn behaves_like_a_list(ops in prop::collection::vec(op(), 0..200), window in 1u16..6) {
            let mut out = Outgoing::default();
            let mut model: Vec<(u16, Sender, bool)> = Vec::new(); // id, state, sent on this connection
            for op in ops {
                match op {
                    Op::Offer(two) => {
                        let sent_all = model.iter().all(|m| m.2);
                        let room = sent_all && model.len() < usize::from(window);
                        prop_assert_eq!(out.has_room(window), room);
                        if room {
                            let qos = if two { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                            let id = out.admit(parcel(0, qos));
                            prop_assert!(model.iter().all(|m| m.0 != id));
                            model.push((id, if two { Sender::AwaitPubRec } else { Sender::AwaitPubAck }, true));
                        }
                    }
                    Op::Answer(id, which) => {
                        let answers = [Answer::PubAck, Answer::PubRec, Answer::PubRecError, Answer::PubComp];
                        let answer = answers[usize::from(which)];
                        let expected = model.iter_mut().find(|m| m.0 == id).map_or(SenderStep::Ignore, |m| m.1.on(answer));
                        if expected == SenderStep::Done { model.retain(|m| m.0 != id); }
                        prop_assert_eq!(out.on_answer(id, answer), expected);
                    }
                    Op::Reconnect => {
                        out.restart();
                        for m in &mut model { m.2 = false; }
                    }
                }
                while let Some(resend) = out.next_resend(window) {
                    let id = match resend { Resend::Publish(_, id) | Resend::PubRel(id) => id };
                    let next = model.iter_mut().find(|m| !m.2).expect("something to resend");
                    prop_assert_eq!(next.0, id);
                    next.2 = true;
                }
                prop_assert!(model.iter().filter(|m| m.2).count() <= usize::from(window));
                prop_assert_eq!(out.len(), model.len());
            }
        }
    }
}
