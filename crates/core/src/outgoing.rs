//! Messages on their way to one session: those in flight, in the order they were sent, and those that wait.

use crate::Message;
use crate::qos::{Answer, Sender, SenderStep};
use grovemq_codec::Qos;
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A message whose place is further behind those in flight than this, because many before it were dropped, waits until none
/// is in flight: each place left out between takes memory.
const LEFT_OUT_MAX: u64 = 1000;

/// A message for one session, with what is particular to that session.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub message: Arc<Message>,
    pub qos: Qos,
    pub retain: bool,
    /// Subscription identifiers.
    pub ids: Option<Box<[u32]>>,
    /// Its place in a stored session's order; 0 where nothing is stored.
    pub seq: u64,
}

/// A message with a packet id.
#[derive(Debug)]
pub(crate) struct Inflight {
    pub id: u16,
    /// `None` once it is over; the place is kept until all before it are over, too.
    state: Option<Sender>,
    /// Gone once the receiver owns the message (PUBREC), and never there where it cannot be sent again.
    pub parcel: Option<Parcel>,
    pub seq: u64,
    /// Size of the message; 0 once the receiver owns it.
    bytes: usize,
    /// Not to be sent before its packet id is on disk.
    pending: bool,
    /// It was never sent.
    new: bool,
}

/// What to send again after a reconnect.
#[derive(Debug)]
pub(crate) enum Resend<'a> {
    /// With its packet id, and whether it may have been sent before.
    Publish(&'a Parcel, u16, bool),
    PubRel(u16),
}

/// Messages that were dropped because a client was too slow for them, or away too long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drops {
    /// Of the present run, whose beginning and end are told; 0 while nothing is dropped.
    run: u32,
    before: u32,
}

impl Drops {
    #[inline]
    pub(crate) fn is_on(self) -> bool {
        self.run > 0
    }

    /// Counts one; whether it is the first of a run.
    pub(crate) fn add(&mut self) -> bool {
        self.run = self.run.saturating_add(1);
        self.run == 1
    }

    /// The run is over; how many there were, if it had begun.
    pub(crate) fn end(&mut self) -> Option<u32> {
        let run = core::mem::take(&mut self.run);
        self.before = self.before.saturating_add(run);
        (run > 0).then_some(run)
    }

    /// Since the session began, or the broker.
    pub(crate) fn total(self) -> u32 {
        self.before.saturating_add(self.run)
    }
}

/// Packet ids are given out in sequence and freed in sequence, so an id's place is a subtraction.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    inflight: VecDeque<Inflight>,
    queue: VecDeque<Parcel>,
    queue_bytes: usize,
    /// Messages of QoS 0 among those queued.
    queue_qos0: usize,
    /// Places of queued messages that are not safe yet and must not go out, and whether they were dropped meanwhile.
    unsettled: BTreeMap<u64, bool>,
    /// So many at the front of the queue have not been compared with the present rights.
    unchecked: usize,
    last_id: u16,
    /// Entries of `inflight` before this one were sent on the present connection.
    sent: usize,
    /// Of those, how many are not over: they count against the receive maximum.
    outstanding: u16,
    /// Entries at the end of `inflight` that wait for the store.
    pending: u16,
    /// Bytes of all messages in flight.
    inflight_bytes: usize,
    pub(crate) drops: Drops,
}

/// Most sessions never have a message of QoS 1 or 2 under way, and to those this is one word. It reads as an [`Outgoing`],
/// an empty one until it is first written to.
#[derive(Debug, Default)]
pub(crate) struct OnDemand(Option<Box<Outgoing>>);

static NOTHING: Outgoing = Outgoing {
    inflight: VecDeque::new(),
    queue: VecDeque::new(),
    queue_bytes: 0,
    queue_qos0: 0,
    unsettled: BTreeMap::new(),
    unchecked: 0,
    last_id: 0,
    sent: 0,
    outstanding: 0,
    pending: 0,
    inflight_bytes: 0,
    drops: Drops { run: 0, before: 0 },
};

impl OnDemand {
    /// For changes that mean nothing where nothing is under way.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut Outgoing> {
        self.0.as_deref_mut()
    }
}

impl Deref for OnDemand {
    type Target = Outgoing;

    #[inline]
    fn deref(&self) -> &Outgoing {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for OnDemand {
    #[inline]
    fn deref_mut(&mut self) -> &mut Outgoing {
        self.0.get_or_insert_default()
    }
}

impl Outgoing {
    /// A new connection: all that is in flight is to be sent again. [MQTT-4.4.0-1]
    pub(crate) fn restart(&mut self) {
        self.sent = 0;
        self.outstanding = 0;
    }

    /// Whether a new message, at that place of a stored session's order, may be sent at once.
    #[inline]
    pub(crate) fn has_room(&self, window: u16, seq: u64) -> bool {
        self.queue.is_empty() && self.may_send(window, seq)
    }

    #[inline]
    fn may_send(&self, window: u16, seq: u64) -> bool {
        u32::from(self.outstanding) + u32::from(self.pending) < u32::from(window)
            && self.sent + usize::from(self.pending) == self.inflight.len()
            && self.left_out(seq) <= LEFT_OUT_MAX
            && self.fits(seq)
    }

    /// Places between the last message in flight and this one.
    #[inline]
    fn left_out(&self, seq: u64) -> u64 {
        self.inflight.back().map_or(0, |last| seq.saturating_sub(last.seq + 1))
    }

    /// Whether there are packet ids left up to that place.
    #[inline]
    fn fits(&self, seq: u64) -> bool {
        self.inflight.len() as u64 + self.left_out(seq) < u64::from(u16::MAX)
    }

    /// Takes a message into flight; gives its packet id. The caller has asked for room and sends it now.
    pub(crate) fn admit(&mut self, parcel: Parcel) -> u16 {
        self.push(parcel.seq, Some(parcel), false);
        self.count_sent()
    }

    /// The same for a message that nobody will ask for again, of which only the size is kept: its session is not stored and
    /// ends with the connection it is sent on.
    pub(crate) fn admit_once(&mut self, qos: Qos, bytes: usize) -> u16 {
        self.push_entry(0, Some(awaited(qos)), None, bytes, false);
        self.count_sent()
    }

    fn count_sent(&mut self) -> u16 {
        // with the places left out before it
        self.sent = self.inflight.len();
        self.outstanding += 1;
        self.last_id
    }

    /// The same for a message that may be sent only after [`Outgoing::release`].
    pub(crate) fn admit_pending(&mut self, parcel: Parcel) -> u16 {
        self.push(parcel.seq, Some(parcel), true);
        self.pending += 1;
        self.last_id
    }

    /// A stored message's place decides its packet id, so that it has the same after a restart; places that were left out
    /// on the way are over.
    fn push(&mut self, seq: u64, parcel: Option<Parcel>, pending: bool) {
        match self.inflight.back() {
            _ if seq == 0 => {}
            None => self.last_id = ring(seq - 1),
            Some(last) => {
                for seq in last.seq + 1..seq {
                    self.push_entry(seq, None, None, 0, false);
                }
            }
        }
        let state = parcel.as_ref().map_or(Sender::AwaitPubComp, |p| awaited(p.qos));
        let bytes = parcel.as_ref().map_or(0, |p| p.message.size());
        self.push_entry(seq, Some(state), parcel, bytes, pending);
    }

    #[inline]
    fn push_entry(
        &mut self,
        seq: u64,
        state: Option<Sender>,
        parcel: Option<Parcel>,
        bytes: usize,
        pending: bool,
    ) {
        self.last_id = self.next_id();
        self.inflight_bytes += bytes;
        let id = self.last_id;
        self.inflight.push_back(Inflight { id, state, parcel, seq, bytes, pending, new: pending });
    }

    /// A pending message may be sent.
    pub(crate) fn release(&mut self, id: u16) {
        if let Some(entry) = self.place(id).and_then(|place| self.inflight.get_mut(place))
            && core::mem::take(&mut entry.pending)
        {
            self.pending -= 1;
        }
    }

    /// Messages wait for the store, and no later one may overtake them.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Puts back what a store kept, oldest first: place and message, `None` where its receiver owned it. No more than
    /// `window` can have been sent without an answer; they may have been.
    pub(crate) fn restore(&mut self, entries: Vec<(u64, Option<Parcel>)>, window: usize) {
        let owned = entries.iter().rposition(|(_, parcel)| parcel.is_none()).map_or(0, |last| last + 1);
        for (i, (seq, parcel)) in entries.into_iter().enumerate() {
            let fits = i < owned.max(window) && self.fits(seq) && self.queue.is_empty();
            match parcel {
                parcel if fits => self.push(seq, parcel, false),
                Some(parcel) => self.enqueue(parcel),
                None => {}
            }
        }
    }

    fn next_id(&self) -> u16 {
        if self.last_id == u16::MAX { 1 } else { self.last_id + 1 }
    }

    /// The next queued message that may be sent now.
    pub(crate) fn next_queued(&mut self, window: u16) -> Option<Parcel> {
        let first = self.queue.front()?;
        if first.qos != Qos::AtMostOnce
            && (!self.may_send(window, first.seq) || self.unsettled.contains_key(&first.seq))
        {
            return None;
        }
        self.queue_bytes -= first.message.size();
        self.queue_qos0 -= usize::from(first.qos == Qos::AtMostOnce);
        self.unchecked = self.unchecked.saturating_sub(1);
        self.queue.pop_front()
    }

    /// Drops the message that has waited longest without being sent, if there is one; its place in the stored order, 0 where
    /// the store need not hear of it.
    pub(crate) fn drop_oldest(&mut self) -> Option<u64> {
        let oldest = self.queue.pop_front()?;
        self.queue_bytes -= oldest.message.size();
        self.queue_qos0 -= usize::from(oldest.qos == Qos::AtMostOnce);
        self.unchecked = self.unchecked.saturating_sub(1);
        Some(self.stored_of(vec![oldest.seq]).pop().unwrap_or(0))
    }

    /// The message with that place, queued next, is not safe yet.
    pub(crate) fn unsettle(&mut self, seq: u64) {
        self.unsettled.insert(seq, false);
    }

    /// It is safe; whether it was dropped meanwhile.
    pub(crate) fn settle(&mut self, seq: u64) -> bool {
        self.unsettled.remove(&seq).unwrap_or(false)
    }

    /// Leaves out the places of dropped messages that are not even stored yet.
    fn stored_of(&mut self, mut gone: Vec<u64>) -> Vec<u64> {
        gone.retain(|seq| match self.unsettled.get_mut(seq) {
            Some(dropped) => {
                *dropped = true;
                false
            }
            None => *seq != 0,
        });
        gone
    }

    pub(crate) fn enqueue(&mut self, parcel: Parcel) {
        self.queue_bytes += parcel.message.size();
        self.queue_qos0 += usize::from(parcel.qos == Qos::AtMostOnce);
        self.queue.push_back(parcel);
    }

    /// The next message to be sent again, within the window; marks it as sent.
    pub(crate) fn next_resend(&mut self, window: u16) -> Option<Resend<'_>> {
        while self.outstanding < window {
            let entry = self.inflight.get_mut(self.sent)?;
            if entry.pending {
                return None;
            }
            let again = !core::mem::take(&mut entry.new);
            self.sent += 1;
            if entry.state.is_some() {
                self.outstanding += 1;
                let entry = self.inflight.get(self.sent - 1)?;
                return match (&entry.parcel, entry.state) {
                    (Some(parcel), Some(Sender::AwaitPubAck | Sender::AwaitPubRec)) => {
                        Some(Resend::Publish(parcel, entry.id, again))
                    }
                    _ => Some(Resend::PubRel(entry.id)),
                };
            }
        }
        None
    }

    /// An answer from the receiver.
    pub(crate) fn on_answer(&mut self, id: u16, answer: Answer) -> (SenderStep, u64) {
        const IGNORE: (SenderStep, u64) = (SenderStep::Ignore, 0);
        let Some(place) = self.place(id) else { return IGNORE };
        let Some(entry) = self.inflight.get_mut(place).filter(|e| !e.pending) else { return IGNORE };
        let Some(state) = entry.state.as_mut() else { return IGNORE };
        let seq = entry.seq;
        let step = state.on(answer);
        match step {
            SenderStep::Done => self.finish(place),
            SenderStep::Release => {
                entry.parcel = None;
                self.inflight_bytes -= core::mem::take(&mut entry.bytes);
            }
            SenderStep::ReleaseAgain | SenderStep::Ignore => {}
        }
        (step, seq)
    }

    /// Gives a message up that was admitted but cannot, or may not, be sent to this client; its place in the stored order.
    pub(crate) fn give_up(&mut self, id: u16) -> u64 {
        let Some(place) = self.place(id) else { return 0 };
        let seq = self.inflight.get(place).map_or(0, |e| e.seq);
        self.finish(place);
        seq
    }

    /// Keeps only messages that `keep` approves of, whether queued or sent and not yet the receiver's. Gives the places
    /// of the others in the stored order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Message) -> bool) -> Vec<u64> {
        let unwanted = self.inflight.iter().filter(|e| e.parcel.as_ref().is_some_and(|p| !keep(&p.message)));
        let ids = unwanted.map(|e| e.id).collect::<Vec<_>>();
        let mut gone: Vec<u64> = ids.into_iter().map(|id| self.give_up(id)).collect();
        self.queue.retain(|p| {
            let keep = keep(&p.message);
            if !keep {
                gone.push(p.seq);
            }
            keep
        });
        self.queue_bytes = self.queue.iter().map(|p| p.message.size()).sum();
        self.queue_qos0 = self.queue.iter().filter(|p| p.qos == Qos::AtMostOnce).count();
        self.unchecked = 0;
        self.stored_of(gone)
    }

    /// Takes out what its receiver may not have got, oldest first; of QoS 2 only what was never sent.
    pub(crate) fn take_undelivered(&mut self) -> Vec<Arc<Message>> {
        let inflight = core::mem::take(&mut self.inflight).into_iter();
        let inflight = inflight.filter(|e| e.state == Some(Sender::AwaitPubAck) || e.new);
        let queued = core::mem::take(&mut self.queue).into_iter();
        let parcels = inflight.filter_map(|e| e.parcel).chain(queued);
        parcels.map(|parcel| parcel.message).collect()
    }

    /// Rights have changed: everything queued is to be compared with them before it is sent. What is in flight but was
    /// not sent on the present connection is compared at once; gives the places in the stored order of those that are gone.
    pub(crate) fn begin_recheck(
        &mut self,
        connected: bool,
        mut keep: impl FnMut(&Message) -> bool,
    ) -> Vec<u64> {
        self.unchecked = self.queue.len();
        let unsent = self.inflight.iter().skip(if connected { self.sent } else { 0 });
        let unwanted = unsent.filter(|e| e.parcel.as_ref().is_some_and(|p| !keep(&p.message)));
        let ids: Vec<u16> = unwanted.map(|e| e.id).collect();
        ids.into_iter().map(|id| self.give_up(id)).collect()
    }

    /// Compares no more than `budget` of the queued messages that are still to be compared, the last of them first.
    /// Gives how many it looked at, and the places in the stored order of those that are gone.
    pub(crate) fn recheck_some(
        &mut self,
        budget: usize,
        mut keep: impl FnMut(&Message) -> bool,
    ) -> (usize, Vec<u64>) {
        let from = self.unchecked.saturating_sub(budget);
        let part = from..self.unchecked;
        self.unchecked = from;
        let mut unwanted = self.queue.range(part.clone()).map(|p| !keep(&p.message)).collect::<Vec<_>>();
        if !unwanted.contains(&true) {
            return (part.len(), Vec::new());
        }
        let (mut at, mut verdicts, mut seqs) = (0, unwanted.drain(..), Vec::new());
        let (bytes, qos0) = (&mut self.queue_bytes, &mut self.queue_qos0);
        self.queue.retain(|p| {
            let gone = part.contains(&at) && verdicts.next() == Some(true);
            at += 1;
            if gone {
                seqs.push(p.seq);
                *bytes -= p.message.size();
                *qos0 -= usize::from(p.qos == Qos::AtMostOnce);
            }
            !gone
        });
        (part.len(), self.stored_of(seqs))
    }

    /// The message at the front of the queue has not been compared with the present rights.
    #[inline]
    pub(crate) fn is_unchecked(&self) -> bool {
        self.unchecked > 0
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
            entry.parcel = None;
            self.inflight_bytes -= core::mem::take(&mut entry.bytes);
            if core::mem::take(&mut entry.pending) {
                self.pending -= 1;
            }
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

/// What a message of QoS 1 or 2 waits for once it is sent.
fn awaited(qos: Qos) -> Sender {
    if qos == Qos::ExactlyOnce { Sender::AwaitPubRec } else { Sender::AwaitPubAck }
}

/// The packet id of the n-th message: 1 to 65,535 and again; 0 before the first.
fn ring(n: u64) -> u16 {
    let last = u64::from(u16::MAX);
    u16::try_from(n.checked_sub(1).map_or(0, |n| n % last + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageRef;
    use proptest::prelude::*;

    fn parcel(n: u8, qos: Qos) -> Parcel {
        let message =
            MessageRef { topic: "t", properties: &[], payload: &[n], qos, retain: false, expires: None };
        Parcel { message: message.to_shared(), qos, retain: false, ids: None, seq: 0 }
    }

    #[test]
    fn b18_all_ids_in_flight_then_one_more_waits() {
        let mut out = Outgoing::default();
        for _ in 0..u16::MAX {
            assert!(out.has_room(u16::MAX, 0));
            out.admit(parcel(0, Qos::AtLeastOnce));
        }
        assert!(!out.has_room(u16::MAX, 0));
        assert_eq!(out.on_answer(7, Answer::PubAck).0, SenderStep::Done);
        assert!(!out.has_room(u16::MAX, 0), "ids are freed in order");
        for id in 1..7 {
            assert_eq!(out.on_answer(id, Answer::PubAck).0, SenderStep::Done);
        }
        assert!(out.has_room(u16::MAX, 0));
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
        /// Of messages of a stored session, some answered and some given up before they were sent, those in flight have
        /// the same packet ids after a restart.
        #[test]
        fn packet_ids_survive_a_restart(
            start in prop_oneof![Just(0u64), 65_500u64..65_600],
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u8..4), 1..100),
        ) {
            let mut out = Outgoing::default();
            let mut stored: Vec<(u64, Option<Parcel>)> = Vec::new();
            let mut ids: Vec<(u64, u16)> = Vec::new();
            for (n, (two, left_out, answers)) in steps.into_iter().enumerate() {
                let seq = start + n as u64 + 1;
                if left_out || !out.has_room(20, seq) { continue }
                let qos = if two { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                let parcel = Parcel { seq, ..parcel(0, qos) };
                stored.push((seq, Some(parcel.clone())));
                ids.push((seq, out.admit(parcel)));
                let place = usize::from(answers) * ids.len() / 4;
                let Some((seq, id)) = ids.get(place).copied() else { continue };
                let answer = if stored[place].1.is_none() { Answer::PubComp } else { Answer::PubRec };
                let (step, answered) = if stored[place].1.as_ref().is_some_and(|p| p.qos == Qos::AtLeastOnce) {
                    out.on_answer(id, Answer::PubAck)
                } else {
                    out.on_answer(id, answer)
                };
                prop_assert_eq!(answered, seq);
                if step == SenderStep::Done {
                    stored.remove(place);
                    ids.remove(place);
                } else {
                    stored[place].1 = None;
                }
            }
            let mut restored = Outgoing::default();
            restored.restore(stored.clone(), 20);
            for (seq, id) in ids {
                let place = restored.place(id).expect("an id that is known");
                prop_assert_eq!(restored.inflight[place].seq, seq);
            }
            prop_assert_eq!(restored.len(), stored.len());
        }

        /// Against a plain list of (id, state): the same steps, never more than the window unanswered. With `once` nothing is
        /// kept of what is sent, and nobody comes back for it.
        #[test]
        fn behaves_like_a_list(ops in prop::collection::vec(op(), 0..200), window in 1u16..6, once: bool) {
            let mut out = Outgoing::default();
            let mut model: Vec<(u16, Sender, bool)> = Vec::new(); // id, state, sent on this connection
            for op in ops {
                match op {
                    Op::Offer(two) => {
                        let sent_all = model.iter().all(|m| m.2);
                        let room = sent_all && model.len() < usize::from(window);
                        prop_assert_eq!(out.has_room(window, 0), room);
                        if room {
                            let qos = if two { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                            let parcel = parcel(0, qos);
                            let id = if once { out.admit_once(qos, parcel.message.size()) } else { out.admit(parcel) };
                            prop_assert!(model.iter().all(|m| m.0 != id));
                            model.push((id, if two { Sender::AwaitPubRec } else { Sender::AwaitPubAck }, true));
                        }
                    }
                    Op::Answer(id, which) => {
                        let answers = [Answer::PubAck, Answer::PubRec, Answer::PubRecError, Answer::PubComp];
                        let answer = answers[usize::from(which)];
                        let expected = model.iter_mut().find(|m| m.0 == id).map_or(SenderStep::Ignore, |m| m.1.on(answer));
                        if expected == SenderStep::Done { model.retain(|m| m.0 != id); }
                        prop_assert_eq!(out.on_answer(id, answer).0, expected);
                    }
                    Op::Reconnect if once => {}
                    Op::Reconnect => {
                        out.restart();
                        for m in &mut model { m.2 = false; }
                    }
                }
                while let Some(resend) = out.next_resend(window) {
                    let id = match resend { Resend::Publish(_, id, _) | Resend::PubRel(id) => id };
                    let next = model.iter_mut().find(|m| !m.2).expect("something to resend");
                    prop_assert_eq!(next.0, id);
                    next.2 = true;
                }
                prop_assert!(model.iter().filter(|m| m.2).count() <= usize::from(window));
                prop_assert_eq!(out.len(), model.len());
                let unowned = model.iter().filter(|m| m.1 != Sender::AwaitPubComp);
                prop_assert_eq!(out.inflight_bytes(), unowned.count() * parcel(0, Qos::AtLeastOnce).message.size());
            }
        }
    }
}
