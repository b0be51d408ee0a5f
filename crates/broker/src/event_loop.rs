//! One thread's loop: sockets in, the shard decides, sockets out.

mod sleep;

use crate::acceptor::Acceptor;
use crate::inbox::{Arrival, Inbox, Letter};
use crate::limits::{
    EVENTS, FILTERS_AT_ONCE, FILTERS_PER_TURN, GATHER_BYTES, GATHERED_BYTES, LENT_DELIVERIES, LISTING_MAX,
    MAIL_DELIVERIES, PRESSURE_PAUSE, READ_BYTES, READ_MANY_BYTES, REPORT_SLOTS_MAX, TRIM_PERIOD, TURN_BYTES,
};
use crate::logins::{LoginJob, Logins};
use crate::memory::Memory;
use crate::persistence::Persistence;
use crate::sys::Job;
use crate::wire::{Wire, read_some, wire};
use grovemq_codec::frame_len;
use grovemq_core::observe::Cause;
use grovemq_core::{Action, Batch, Key, Next, Shard, Time, Verdict};
use mio::event::Event;
use mio::{Events, Interest, Poll, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The token of the inbox; connections have their slot's number.
pub(crate) const WAKE: Token = Token(usize::MAX);

/// Whom the loops write to.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    /// All shards' inboxes.
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) logins: Logins,
    pub(crate) requests: SyncSender<Job>,
    /// `None`: nothing survives a restart.
    pub(crate) persistence: Option<Persistence>,
    pub(crate) memory: Arc<Memory>,
    /// See [`Config::busy_poll`](grovemq_config::Config::busy_poll).
    pub(crate) busy_poll: Duration,
}

impl Neighbours {
    /// Without any shards yet.
    pub(crate) fn new(logins: Logins, requests: SyncSender<Job>, stored: bool, memory: Arc<Memory>) -> Self {
        let persistence = stored.then(Persistence::default);
        let busy_poll = Duration::ZERO;
        Self { inboxes: Vec::new(), logins, requests, persistence, memory, busy_poll }
    }
}

/// Its thread has it while it is awake. While that sleeps, another shard with a message for it may take a turn in its place:
/// a sleeping thread is back only after many times what the turn takes.
#[expect(clippy::struct_excessive_bools, reason = "what has happened, each by itself")]
pub(crate) struct EventLoop {
    id: usize,
    shard: Shard,
    registry: Registry,
    inbox: Arc<Inbox>,
    neighbours: Neighbours,
    epoch: Instant,
    /// By slot of the shard's connection.
    wires: Vec<Option<Wire>>,
    ready: VecDeque<Key>,
    /// Connections that change many subscriptions, in the order in which each changes some.
    later: VecDeque<Key>,
    /// Connections not yet watched for readiness.
    fresh: Vec<Key>,
    /// Connections that rest, and until when.
    paused: Vec<Key>,
    paused_until: Time,
    buffer: Vec<u8>,
    /// Read in this turn.
    turn_bytes: usize,
    /// When memory that is only kept for the next turn is given back; `None`: there is none.
    trim_at: Option<Time>,
    /// One loop has it.
    acceptor: Option<Box<Acceptor>>,
    /// Taken out of the inbox.
    letters: Vec<Letter>,
    /// From other shards, in its order; of the first, some may be done.
    mail: VecDeque<Batch>,
    /// The thread sleeps until then at most.
    wakes_at: Option<Time>,
    /// Another thread has this turn.
    lent: bool,
    /// Other shards' messages had many receivers within the last second: nobody else's thread should send to all of them.
    has_many: bool,
    last_turn: bool,
    stopping: bool,
}

impl EventLoop {
    pub(crate) fn new(
        id: usize,
        shard: Shard,
        registry: Registry,
        neighbours: Neighbours,
        epoch: Instant,
    ) -> Option<Self> {
        let inbox = neighbours.inboxes.get(id)?.clone();
        Some(Self {
            id,
            shard,
            registry,
            inbox,
            neighbours,
            epoch,
            wires: Vec::new(),
            ready: VecDeque::new(),
            later: VecDeque::new(),
            fresh: Vec::new(),
            paused: Vec::new(),
            paused_until: Time::default(),
            buffer: vec![0; GATHER_BYTES + READ_MANY_BYTES],
            turn_bytes: 0,
            trim_at: None,
            acceptor: None,
            letters: Vec::new(),
            mail: VecDeque::new(),
            wakes_at: None,
            lent: false,
            has_many: false,
            last_turn: false,
            stopping: false,
        })
    }

    /// Runs until [`Letter::Stop`].
    pub(crate) fn run(this: &Mutex<Self>, mut poll: Poll) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut arrivals = Vec::new();
        let mut event_loop = lock(this);
        while !event_loop.stopping {
            let timeout = event_loop.timeout();
            let is_short = timeout == Some(Duration::ZERO);
            if is_short || !event_loop.finds_work(&mut poll, &mut events)? {
                let sleeps = !is_short && event_loop.fall_asleep();
                drop(event_loop);
                let result =
                    wait(&mut poll, &mut events, if sleeps { timeout } else { Some(Duration::ZERO) });
                event_loop = lock(this);
                event_loop.inbox.wake_up();
                result?;
            }
            event_loop.turn(&events, &mut arrivals)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &Events, arrivals: &mut Vec<Arrival>) -> io::Result<()> {
        let now = self.now();
        self.begin_turn(now);
        self.shard.allow_filters(FILTERS_AT_ONCE);
        // before a new connection can have the place of one that they are about
        for event in events {
            let token = event.token();
            if token != WAKE && !self.acceptor.as_mut().is_some_and(|a| a.on_event(token)) {
                self.on_event(now, event);
            }
        }
        self.inbox.collect(&mut self.letters);
        let mut letters = core::mem::take(&mut self.letters);
        for letter in letters.drain(..) {
            self.on_letter(now, letter)?;
        }
        self.letters = letters;
        self.deal_with_mail(now, MAIL_DELIVERIES);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.accept(&self.registry, now, arrivals);
        }
        for arrival in arrivals.drain(..) {
            self.shard.announce(now, arrival.peer);
            self.open(now, arrival, Vec::new());
        }
        if now >= self.paused_until {
            for key in core::mem::take(&mut self.paused) {
                if let Some(wire) = wire(&mut self.wires, key) {
                    wire.paused = false;
                    self.enqueue(key);
                }
            }
        }
        if self.trim_at.is_none() && !self.ready.is_empty() {
            self.trim_at = Some(now + TRIM_PERIOD);
        }
        if !self.is_crowded() {
            self.turn_bytes = 0;
            for _ in 0..self.ready.len() {
                let Some(key) = self.ready.pop_front() else { break };
                self.serve(now, key);
                if self.turn_bytes >= TURN_BYTES {
                    break;
                }
            }
        }
        self.settle(now);
        self.work(now);
        self.neighbours.memory.add();
        if self.trim_at.is_some_and(|at| at <= now) {
            *arrivals = Vec::new();
            self.trim();
        }
        Ok(())
    }

    fn begin_turn(&mut self, now: Time) {
        self.shard.start_turn();
        if let Some(persistence) = &self.neighbours.persistence {
            self.shard.set_store_behind(persistence.is_behind());
        }
        self.shard.set_memory_short(self.neighbours.memory.is_short(now));
    }

    /// What takes long and is done in slices, and what has its time: all that others sent is on its way now.
    fn work(&mut self, now: Time) {
        let due = self.shard.has_work() || self.shard.next_timeout().is_some_and(|at| at <= now);
        if due {
            self.shard.handle_timeout(now);
        }
        let some = if self.is_crowded() { 0 } else { self.later.len() };
        self.shard.allow_filters(FILTERS_PER_TURN);
        for _ in 0..some {
            let Some(key) = self.later.pop_front() else { break };
            self.serve(now, key);
            if self.shard.filters_left() == 0 {
                break;
            }
        }
        if due || some > 0 {
            self.settle(now);
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Delivers what other shards sent, up to about so many deliveries: the rest has to wait until what these brought is
    /// on its way.
    fn deal_with_mail(&mut self, now: Time, deliveries: u32) {
        let (mut messages, mut budget) = (0, deliveries);
        if !self.mail.is_empty() && self.trim_at.is_none() {
            self.trim_at = Some(now + TRIM_PERIOD);
        }
        while budget > 0
            && let Some(batch) = self.mail.front_mut()
        {
            messages += self.shard.handle_mail(now, batch, &mut budget);
            if batch.is_done()
                && let Some(batch) = self.mail.pop_front()
                && let Some(sender) = self.neighbours.inboxes.get(usize::from(batch.sender()))
            {
                sender.give_back(batch);
            }
        }
        let taken = usize::try_from(deliveries - budget).unwrap_or(usize::MAX);
        self.has_many |= budget == 0 || taken > messages * LENT_DELIVERIES as usize;
        self.inbox.dealt_with(messages);
    }

    /// Another shard has more post than it can deal with.
    fn is_crowded(&self) -> bool {
        self.neighbours.inboxes.len() > 1
            && self.neighbours.inboxes.iter().enumerate().any(|(i, inbox)| i != self.id && inbox.is_crowded())
    }

    fn on_letter(&mut self, now: Time, letter: Letter) -> io::Result<()> {
        match letter {
            Letter::Accepted(arrival) => {
                self.shard.announce(now, arrival.peer);
                self.open(now, arrival, Vec::new());
            }
            Letter::Doors(mut acceptor) => {
                acceptor.register(&self.registry)?;
                self.acceptor = Some(acceptor);
            }
            Letter::TakeDoors(listeners, reply) => {
                let doors = self.acceptor.as_mut().map(|a| a.take(&self.registry, &listeners));
                // who asked may have stopped waiting
                drop(reply.send(doors.unwrap_or_default()));
            }
            Letter::ChangeDoors(change) => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.change(&self.registry, *change);
                }
            }
            Letter::Settings(settings, revoked, reply) => {
                self.shard.handle_settings(settings, revoked);
                reply.send(()).ok();
            }
            Letter::Moved(arrival, bytes) => self.open(now, arrival, bytes),
            Letter::Mail(batch) => self.mail.push_back(batch),
            Letter::Persisted(point) => self.shard.handle_persisted(now, point),
            Letter::Verdict(key, verdict) => {
                self.shard.handle_verdict(now, key, verdict);
                // a client that authenticates anew is read all the time
                if let Some(wire) = wire(&mut self.wires, key).filter(|w| w.waiting) {
                    wire.waiting = false;
                    wire.unread = true;
                    self.enqueue(key);
                }
            }
            Letter::Publish { topic, payload, qos, retain } => {
                self.shard.handle_publish(now, &topic, &payload, qos, retain);
            }
            // who asked may have stopped waiting
            Letter::Report(reply) => drop(reply.send(self.shard.report(REPORT_SLOTS_MAX))),
            Letter::Pulse(reply) => drop(reply.send(())),
            Letter::ClientIds(from, reply) => drop(reply.send(self.shard.client_ids(from, LISTING_MAX))),
            // one turn more, for what clients sent before the end
            Letter::Stop if !self.last_turn => {
                self.last_turn = true;
                self.inbox.post(Letter::Stop);
            }
            Letter::Stop => {
                while !self.mail.is_empty() {
                    self.deal_with_mail(now, u32::MAX);
                }
                self.shard.handle_shutdown(now);
                self.stopping = true;
            }
        }
        Ok(())
    }

    fn open(&mut self, now: Time, arrival: Arrival, rest: Vec<u8>) {
        let Arrival { stream, peer, permit, identity, readable } = arrival;
        let key = self.shard.handle_open(now, peer);
        if let Some(name) = identity {
            self.shard.set_identity(key, &name);
        }
        let slot = key.index as usize;
        if self.wires.len() <= slot {
            self.wires.resize_with(slot + 1, || None);
        }
        let unread = !rest.is_empty();
        let wire = Wire {
            key,
            stream,
            permit,
            rest,
            readable,
            ended: false,
            unread,
            queued: false,
            waiting: false,
            paused: false,
            blocked: false,
        };
        if let Some(place) = self.wires.get_mut(slot) {
            *place = Some(wire);
        }
        self.fresh.push(key);
        self.enqueue(key);
    }

    /// A new connection is watched only once its first bytes have shown that it stays on this shard.
    fn watch(&mut self, now: Time, key: Key) {
        let Some(wire) = wire(&mut self.wires, key) else { return };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.registry.register(&mut wire.stream, Token(key.index as usize), interest).is_err() {
            self.shard.handle_closed(now, key, Cause::StreamError);
        }
    }

    fn on_event(&mut self, now: Time, event: &Event) {
        let Some(Some(wire)) = self.wires.get_mut(event.token().0) else { return };
        let key = wire.key;
        wire.ended |= event.is_read_closed() || event.is_error();
        wire.readable |= event.is_readable() || wire.ended;
        let readable = wire.readable;
        if event.is_writable() && (wire.blocked || wire.stream.has_unsent()) {
            wire.blocked = false;
            // an error comes again with the next read or write
            wire.stream.flush().ok();
            self.flush(now, key);
        }
        if readable {
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(wire) = wire(&mut self.wires, key)
            && !wire.queued
        {
            wire.queued = true;
            self.ready.push_back(key);
        }
    }

    /// A connection's turn: deal with what was read, else read once.
    fn serve(&mut self, now: Time, key: Key) {
        let Some(wire) = wire(&mut self.wires, key) else { return };
        wire.queued = false;
        if wire.waiting || wire.paused {
            return;
        }
        if wire.unread {
            let mut rest = core::mem::take(&mut wire.rest);
            wire.unread = false;
            let progress = self.shard.handle_input(now, key, &rest);
            rest.drain(..progress.consumed);
            if progress.next == Next::Read {
                rest.shrink_to_fit();
            }
            self.keep(now, key, rest, progress.next);
        } else if wire.readable {
            if wire.rest.len() > GATHER_BYTES { self.gather(now, key) } else { self.read(now, key) }
        }
        if let Some(wire) = crate::wire::wire(&mut self.wires, key)
            && (wire.unread || wire.readable)
            && !wire.waiting
            && !wire.paused
        {
            self.enqueue(key);
        }
    }

    /// Reads behind a copy of the unfinished packet, in the loop's buffer.
    fn read(&mut self, now: Time, key: Key) {
        let Some(wire) = wire(&mut self.wires, key) else { return };
        let kept = wire.rest.len();
        let is_large = kept > 0 && unfinished_len(&wire.rest) > READ_BYTES / 2;
        let want = if is_large { READ_MANY_BYTES } else { READ_BYTES };
        let Some((head, space)) = self.buffer.split_at_mut_checked(kept) else { return };
        let Some(space) = space.get_mut(..want) else { return };
        let n = match read_some(wire, space) {
            Ok(Some(n)) => n,
            Ok(None) => return,
            Err(cause) => return self.shard.handle_closed(now, key, cause),
        };
        head.copy_from_slice(&wire.rest);
        self.turn_bytes += n;
        self.shard.count_received(n);
        let bytes = self.buffer.get(..kept + n).unwrap_or_default();
        let progress = self.shard.handle_input(now, key, bytes);
        let left = bytes.get(progress.consumed..).unwrap_or_default();
        if kept > 0 || !left.is_empty() || progress.next != Next::Read {
            let left = left.to_vec();
            self.keep(now, key, left, progress.next);
        }
    }

    /// Reads a large packet to where its beginning stands, until it is whole.
    fn gather(&mut self, now: Time, key: Key) {
        let Some(wire) = wire(&mut self.wires, key) else { return };
        let mut rest = core::mem::take(&mut wire.rest);
        let kept = rest.len();
        let whole = unfinished_len(&rest);
        let want = whole.saturating_sub(kept).clamp(1, GATHERED_BYTES);
        rest.resize(kept + want, 0);
        let result = match rest.get_mut(kept..) {
            Some(space) => read_some(wire, space),
            None => Ok(None),
        };
        let n = result.as_ref().map_or(0, |n| n.unwrap_or(0));
        rest.truncate(kept + n);
        self.turn_bytes += n;
        self.shard.count_received(n);
        if let Err(cause) = result {
            return self.shard.handle_closed(now, key, cause);
        }
        if rest.len() < whole {
            wire.rest = rest;
            return;
        }
        let progress = self.shard.handle_input(now, key, &rest);
        rest.drain(..progress.consumed);
        self.keep(now, key, rest, progress.next);
    }

    fn keep(&mut self, now: Time, key: Key, rest: Vec<u8>, next: Next) {
        let Some(wire) = wire(&mut self.wires, key) else { return };
        // an idle connection owns no buffer
        wire.rest = if rest.is_empty() { Vec::new() } else { rest };
        match next {
            Next::Read => {}
            Next::Yield => wire.unread = true,
            Next::Later => {
                wire.unread = true;
                wire.queued = true;
                self.later.push_back(key);
            }
            Next::Pause => {
                wire.unread = true;
                wire.paused = true;
                if self.paused.is_empty() {
                    // who comes later rests a little less; nobody's rest is prolonged by others
                    self.paused_until = now + PRESSURE_PAUSE;
                }
                self.paused.push(key);
            }
            Next::Wait => wire.waiting = true,
        }
    }

    /// Carries out what the shard decided, until nothing is left.
    fn settle(&mut self, now: Time) {
        loop {
            if let Some(key) = self.shard.poll_dirty() {
                self.flush(now, key);
            } else if let Some(action) = self.shard.poll_action() {
                self.act(now, action);
            } else if let Some(key) = self.fresh.pop() {
                self.watch(now, key);
            } else if !self.store(now) {
                break;
            }
        }
        for to in 0..self.neighbours.inboxes.len() {
            let Ok(shard) = u16::try_from(to) else { break };
            if let (Some(batch), Some(inbox)) = (self.shard.poll_mail(shard), self.neighbours.inboxes.get(to))
            {
                let mail = Letter::Mail(core::mem::replace(batch, self.inbox.spare()));
                if self.lent { inbox.post(mail) } else { inbox.hand_over(mail) }
            }
        }
    }

    /// Gives back memory that is only kept for the next turn.
    fn trim(&mut self) {
        (self.trim_at, self.has_many) = (None, false);
        self.shard.trim();
        self.inbox.trim();
        self.letters.shrink_to_fit();
        self.mail.shrink_to_fit();
        self.ready.shrink_to_fit();
        self.later.shrink_to_fit();
    }

    /// Hands the turn's changes to the store; whether there may be something to send or to do again.
    fn store(&mut self, now: Time) -> bool {
        let Some(persistence) = &self.neighbours.persistence else { return false };
        if !self.shard.has_changes() {
            return false;
        }
        if let Some(commit) = self.shard.poll_commit(now) {
            persistence.submit(self.id, commit);
        }
        true
    }

    fn act(&mut self, now: Time, action: Action) {
        match action {
            Action::Close(key) => self.close(now, key),
            Action::Move(key, to) => {
                if let Some(mut wire) = self.take(key)
                    && let Some(peer) = self.shard.peer(key)
                {
                    if let Some(place) = self.fresh.iter().position(|k| *k == key) {
                        self.fresh.swap_remove(place);
                    } else {
                        self.registry.deregister(&mut wire.stream).ok();
                    }
                    let identity = self.shard.identity(key).map(Into::into);
                    let (stream, permit, readable) = (wire.stream, wire.permit, wire.readable);
                    let arrival = Arrival { stream, peer, identity, permit, readable };
                    if let Some(inbox) = self.neighbours.inboxes.get(usize::from(to)) {
                        inbox.post(Letter::Moved(arrival, wire.rest));
                    }
                }
                self.shard.release(key);
            }
            Action::Authenticate(key, login) => {
                let peer = self.shard.peer(key);
                let listener = peer.map_or(0, |peer| peer.listener);
                let address = peer.and_then(|peer| peer.address).map(|a| a.ip());
                let job = LoginJob { key, listener, address, login, reply: self.inbox.clone() };
                if !self.neighbours.logins.submit(job) {
                    self.inbox.post(Letter::Verdict(key, Verdict::Unavailable));
                }
            }
            Action::Resume(key) => {
                if let Some(wire) = wire(&mut self.wires, key) {
                    wire.waiting = false;
                    wire.unread |= !wire.rest.is_empty();
                    self.enqueue(key);
                }
            }
            // a client that sends more than can be answered has no right to all answers
            Action::Control(_, request) => drop(self.neighbours.requests.try_send(Job::Control(request))),
        }
    }

    fn flush(&mut self, now: Time, key: Key) {
        while let Some(wire) = wire(&mut self.wires, key)
            && !wire.blocked
            && let Some(outbox) = self.shard.outbox(key)
            && !outbox.is_empty()
        {
            let result = if let Some(bytes) = outbox.as_single() {
                wire.stream.write(bytes)
            } else {
                let mut slices = [IoSlice::new(&[]); 64];
                let n = outbox.slices(&mut slices);
                wire.stream.write_vectored(slices.get(..n).unwrap_or_default())
            };
            match result {
                Ok(n) if n > 0 => self.shard.sent(now, key, n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => wire.blocked = true,
                _ => {
                    wire.blocked = true;
                    self.shard.handle_closed(now, key, Cause::StreamError);
                }
            }
        }
    }

    fn close(&mut self, now: Time, key: Key) {
        self.flush(now, key);
        if let Some(mut wire) = self.take(key)
            && !wire.ended
        {
            wire.stream.shutdown_write().ok();
            if wire.readable {
                // closing with unread input would reset the stream and could take our last words with it
                drop(wire.stream.read(&mut self.buffer));
            }
        }
        self.shard.release(key);
    }

    fn take(&mut self, key: Key) -> Option<Wire> {
        let place = self.wires.get_mut(key.index as usize)?;
        if place.as_ref()?.key == key { place.take() } else { None }
    }
}

/// What the packet that these bytes begin will have; 0 where that cannot be told yet.
fn unfinished_len(rest: &[u8]) -> usize {
    frame_len(rest, u32::MAX).ok().flatten().unwrap_or(0)
}

fn lock(event_loop: &Mutex<EventLoop>) -> MutexGuard<'_, EventLoop> {
    event_loop.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(e) if e.kind() != ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}
