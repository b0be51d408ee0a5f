//! The brain of one event loop.
//!
//! Call order of a turn: [`Shard::start_turn`], then any `handle_*`, then drain [`Shard::poll_action`],
//! [`Shard::poll_dirty`] (write what [`Shard::outbox`] holds, report it to [`Shard::sent`]),
//! [`Shard::poll_commit`] (store it, report it to [`Shard::handle_persisted`]) and [`Shard::poll_mail`], then sleep until [`Shard::next_timeout`] unless [`Shard::has_work`].

mod auth;
mod bequeath;
mod census;
mod clients;
mod close;
mod commit;
mod connect;
mod control;
mod mail;
mod mount;
mod publish;
mod reload;
mod restore;
mod run;
mod subscribe;
mod sweep;

pub use commit::Commit;
pub use mail::Batch;
pub(crate) use mount::mounted;
pub use reload::Revoked;

use crate::access::{Authorize, Login};
use crate::connection::{Connection, Stage};
use crate::observe::{Cause, Event, Observe, Peer, Stats, UNEXPECTED_TLS};
use crate::outbox::Outbox;
use crate::router::{Leaving, MatchCache, Router, SessionRef};
use crate::session::Session;
use crate::slab::Key;
use crate::timers::{Timer, Timers};
use crate::{Limits, ListenerLimits, MessageRef, Time};
use clients::{Clients, Variants};
use foldhash::fast::FixedState;
use grovemq_codec::{PacketType, PublishView, Qos, ReasonCode, Version, decode_frame};
use mail::Content;
use run::Burst;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// First byte of a client that speaks TLS; in MQTT a CONNECT with forbidden flags.
const TLS_HANDSHAKE: u8 = 0x16;

/// What the shards of a broker are told at their start.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "directives that are on or off")]
pub struct Settings {
    pub limits: Limits,
    /// By [`Peer::listener`].
    pub listeners: Vec<ListenerSettings>,
    /// For [`Peer::INSIDE`]: no rules, and none of the limits that protect the broker from strangers.
    pub inside: ListenerSettings,
    /// QoS 0 messages wait for absent durable sessions, too (`queue_qos0_messages`).
    pub queue_qos0: bool,
    /// Messages go out with the subscription's QoS (`upgrade_outgoing_qos`).
    pub upgrade_outgoing_qos: bool,
    /// A client gets a copy for each of its subscriptions that match (`allow_duplicate_messages`).
    pub allow_duplicates: bool,
    /// Retained messages whose author may no longer write their topic are held back (`check_retain_source`).
    pub check_retain_source: bool,
    /// Messages to `$CONTROL/` topics become [`Action::Control`] (`enable_control_api`); else they are refused.
    pub control: bool,
    /// Client ids must begin with this (`clientid_prefixes`).
    pub client_id_prefix: Option<String>,
    /// There is a store, and sessions and messages survive a restart: the wall clock at time 0, in milliseconds since 1970.
    pub store_epoch: Option<u64>,
    /// Seeds the hashes and the made-up client ids; random in a real broker.
    pub seed: u64,
}

impl Settings {
    pub(crate) fn listener(&self, peer: Peer) -> Option<&ListenerSettings> {
        if peer.listener == Peer::INSIDE.listener {
            return Some(&self.inside);
        }
        self.listeners.get(usize::from(peer.listener))
    }
}

#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "directives that are on or off")]
pub struct ListenerSettings {
    pub limits: ListenerLimits,
    /// Clients without a user name are let in.
    pub allow_anonymous: bool,
    /// User names and authentication methods are checked: the driver answers [`Action::Authenticate`].
    pub authenticate: bool,
    /// The user name is the one given to [`Shard::set_identity`], whatever CONNECT says; without one nobody gets in.
    pub identity_as_username: bool,
    /// What stands before all topics of this listener's clients, unseen by them.
    pub mount_point: Option<Arc<str>>,
    /// `None`: everything is allowed.
    pub access: Option<Arc<dyn Authorize>>,
    /// Who came in through it is no longer welcome, and nobody else is.
    pub retired: bool,
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send what the outbox holds as far as it goes without waiting, close the stream, then [`Shard::release`].
    Close(Key),
    /// Hand the stream and all bytes read from it, none of them consumed, to that shard; then [`Shard::release`].
    Move(Key, u16),
    /// Check the login away from the loop and answer with [`Shard::handle_verdict`].
    Authenticate(Key, Login),
    /// The client has rested: give [`Shard::handle_input`] what is left of its bytes, and read more.
    Resume(Key),
    /// A client that may write there has sent this to a `$CONTROL/` topic; only with [`Settings::control`].
    Control(Key, Request),
}

/// What a client asks of the broker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub client_id: Box<str>,
    pub username: Option<Box<str>>,
    pub topic: Box<str>,
    pub payload: Box<[u8]>,
}

/// The answer to [`Action::Authenticate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Allow,
    Deny,
    /// Nobody can tell now.
    Unavailable,
    /// To a [`Login`] with [words](Login::words): nobody speaks this method here.
    UnknownMethod,
    /// To the same: the client is to answer this.
    Challenge(Vec<u8>),
    /// To the same: this is who it is, and what is to be said last; nothing if empty.
    Proven {
        username: String,
        data: Vec<u8>,
    },
}

/// What became of the bytes given to [`Shard::handle_input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes to be forgotten; the rest is to be given again, with more behind.
    pub consumed: usize,
    pub next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All whole packets are done; read more.
    Read,
    /// Others' turn: give the rest again next turn without waiting for more.
    Yield,
    /// The next packet changes subscriptions, more than are left to this turn: give the rest again once
    /// [`Shard::allow_filters`] has allowed some.
    Later,
    /// The client publishes faster than a receiver reads: give the rest again, and read more, a moment later. It
    /// happens from half the receiver's queue on and ends when that is full and its messages are dropped.
    Pause,
    /// Give the rest again after [`Shard::handle_verdict`] or [`Action::Resume`], or never if the stream moves or closes.
    Wait,
}

/// What may come from a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// CONNECT.
    First,
    /// AUTH, before CONNACK.
    Exchange,
    Live,
}

/// One event loop's sessions, connections and part in routing. See the module for the order of calls.
pub struct Shard {
    id: u16,
    count: u16,
    router: Arc<Router>,
    settings: Arc<Settings>,
    clients: Clients,
    cache: MatchCache,
    timers: Timers,
    variants: Variants,
    /// For topics that an alias stands for, and properties that are rewritten.
    topic_scratch: String,
    properties_scratch: Vec<u8>,
    run: run::Scratch,
    mail: Vec<Batch>,
    /// Slot in the cache of the last topic that came by mail.
    mail_hint: u32,
    actions: VecDeque<Action>,
    walk: census::Walk,
    recheck: reload::Recheck,
    sweep: sweep::Sweep,
    /// Sessions that have ended, and what they are still subscribed to.
    leaving: Vec<(SessionRef, Leaving)>,
    /// Connections whose next packet is done in part.
    unfinished: BTreeMap<Key, subscribe::Unfinished>,
    /// Subscriptions that may be changed in this turn.
    filters_left: u32,
    /// Messages that were to be retained and were refused in the present run, and when the last one was.
    retained_refused: (u32, Time),
    /// Random numbers given out.
    random: u64,
    hasher: FixedState,
}

impl core::fmt::Debug for Shard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shard {
    /// Shard `id` of `count` (at most 64), all of which share `router`.
    pub fn new(
        id: u16,
        count: u16,
        router: Arc<Router>,
        settings: Arc<Settings>,
        observer: Box<dyn Observe>,
    ) -> Self {
        let hasher = FixedState::with_seed(settings.seed);
        let journal = commit::Journal::new(id, count, settings.store_epoch);
        let mut clients = Clients::new(observer, settings.limits.clone(), hasher.clone(), journal);
        clients.queue_qos0 = settings.queue_qos0;
        clients.upgrade_qos = settings.upgrade_outgoing_qos;
        let mut timers = Timers::default();
        if id == 0 {
            timers.set(Time::default() + settings.limits.retained_sweep_period, Timer::Sweep);
        }
        Self {
            id,
            count: count.clamp(1, 64),
            router,
            clients,
            cache: MatchCache::new(id, settings.limits.cache_topics_max, hasher.clone())
                .bytes_max(settings.limits.cache_bytes_max)
                .duplicates(settings.allow_duplicates),
            timers,
            variants: Variants::default(),
            topic_scratch: String::new(),
            properties_scratch: Vec::new(),
            run: run::Scratch::default(),
            mail: (0..count).map(|_| Batch::default()).collect(),
            mail_hint: 0,
            actions: VecDeque::new(),
            walk: census::Walk::default(),
            recheck: reload::Recheck::default(),
            sweep: sweep::Sweep::default(),
            leaving: Vec::new(),
            unfinished: BTreeMap::new(),
            filters_left: u32::MAX,
            retained_refused: (0, Time::default()),
            random: 0,
            hasher,
            settings,
        }
    }

    pub fn start_turn(&mut self) {
        self.clients.trace = self.clients.observer.wants_packets();
    }

    /// How many subscriptions may be changed from now on before [`Next::Later`]; no limit until it is told.
    pub fn allow_filters(&mut self, filters: u32) {
        self.filters_left = filters;
    }

    /// What is left of them.
    pub fn filters_left(&self) -> u32 {
        self.filters_left
    }

    /// A stream was accepted, or came from another shard.
    pub fn handle_open(&mut self, now: Time, peer: Peer) -> Key {
        let connection = Connection::new(peer, now, self.settings.clone(), self.clients.rights);
        let key = self.clients.connections.insert(connection);
        let deadline = now + self.settings.limits.connect_time_max;
        self.set_connection_timer(key, Some(deadline));
        key
    }

    /// Who the client is by its certificate; before any input.
    pub fn set_identity(&mut self, key: Key, username: &str) {
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.identity = Some(username.into());
        }
    }

    /// What [`Shard::set_identity`] was told.
    pub fn identity(&self, key: Key) -> Option<&str> {
        self.clients.connections.get(key)?.identity.as_deref()
    }

    /// Where a connection came from.
    pub fn peer(&self, key: Key) -> Option<Peer> {
        self.clients.connections.get(key).map(|c| c.peer)
    }

    /// Tells of a connection's beginning; not repeated when it moves to another shard.
    pub fn announce(&mut self, now: Time, peer: Peer) {
        self.clients.stats.connections += 1;
        self.clients.observer.on(now, Event::Opened { peer });
    }

    /// Bytes from a client, in order. Takes whole packets only.
    pub fn handle_input(&mut self, now: Time, key: Key, bytes: &[u8]) -> Progress {
        let mut consumed = 0;
        let mut work = 0;
        let done = |consumed, next| Progress { consumed, next };
        if let Some(next) = self.holds_back(now, key) {
            return done(0, next);
        }
        self.clients.pressure = false;
        loop {
            let Some(c) = self.clients.connections.get(key) else { return done(bytes.len(), Next::Wait) };
            let limits = &self.settings.limits;
            let (phase, limit) = match c.stage {
                Stage::Live(_) => (Phase::Live, c.terms.limits.packet_bytes_max),
                Stage::AwaitConnect => (Phase::First, limits.connect_bytes_max),
                Stage::Authenticating(_) if c.is_asked() => (Phase::Exchange, limits.connect_bytes_max),
                Stage::Authenticating(_) => return done(consumed, Next::Wait),
                Stage::Closing => return done(bytes.len(), Next::Wait),
            };
            if phase == Phase::Live && c.outbox.len() > limits.output_bytes_hard_max {
                // it asks and asks and reads no answer
                self.close(now, key, Cause::QuotaExceeded);
                continue;
            }
            if work > limits.turn_deliveries_max {
                return done(consumed, Next::Yield);
            }
            let (version, metered) = (c.version, c.meter.is_some());
            let rest = bytes.get(consumed..).unwrap_or_default();
            if phase == Phase::First
                && let Some(what) = no_connect(rest)
            {
                self.close(now, key, Cause::Protocol(what));
                continue;
            }
            let frame = match decode_frame(rest, limit) {
                Ok(Some(frame)) => frame,
                Ok(None) => return done(consumed, Next::Read),
                Err(e) => {
                    self.close(now, key, e.into());
                    continue;
                }
            };
            let mut taken = frame.bytes.len();
            let result = match phase {
                Phase::Live => {
                    // what a rate is measured of is looked at packet by packet
                    let bytes = if metered { frame.bytes } else { rest };
                    let mut burst = Burst { frame: &frame, bytes, version, bytes_max: limit, taken: 0 };
                    let result = self.on_frame(now, key, &mut burst);
                    taken = taken.max(burst.taken);
                    result
                }
                Phase::Exchange => self.on_answer_to_challenge(now, key, &frame).map(|()| 0),
                Phase::First => match self.on_connect(now, key, &frame) {
                    Ok(connect::Outcome::Moved) => return done(consumed, Next::Wait),
                    Ok(connect::Outcome::Taken) => Ok(0),
                    Err(cause) => Err(cause),
                },
            };
            match result {
                Ok(subscribe::UNFINISHED) => return done(consumed, Next::Later),
                Ok(n) => work += 1 + n,
                Err(cause) => self.close(now, key, cause),
            }
            consumed += taken;
            if metered && frame.kind == PacketType::Publish && self.is_too_fast(now, key, frame.bytes.len()) {
                return done(consumed, Next::Wait);
            }
            if core::mem::take(&mut self.clients.pressure) {
                return done(consumed, Next::Pause);
            }
        }
    }

    /// The stream ended or broke.
    pub fn handle_closed(&mut self, now: Time, key: Key, cause: Cause) {
        self.close(now, key, cause);
    }

    /// Messages from another shard, until `budget` is used up, by one for each message and one for each delivery. Gives
    /// how many messages those were; the batch is to be given again until [`Batch::is_done`].
    pub fn handle_mail(&mut self, now: Time, batch: &mut Batch, budget: &mut u32) -> usize {
        if batch.is_untouched() {
            for session in &batch.pressed {
                let connection = self.clients.sessions.get(*session).and_then(|s| s.connection);
                if let Some(c) = connection.and_then(|key| self.clients.connections.get_mut(key)) {
                    c.pressed = true;
                }
            }
        }
        let mut messages = 0;
        while *budget > 0 && !batch.is_done() {
            let Some((arrived, read)) = batch.next() else {
                batch.give_up();
                break;
            };
            self.clients.pressure = false;
            self.clients.journal.begin_foreign(batch.from, arrived.joint);
            let mut part = None;
            let (reached, count) = match arrived.content {
                Content::Message(message, shared) => {
                    (self.route_mail(now, arrived.target, message, shared), 1)
                }
                Content::Run(run) => {
                    let (sent, reached) = self.route_run_mail(now, &run);
                    let shape = sent.shape();
                    part = Some((sent.bytes().len(), shape)).filter(|_| shape.packets < run.shape().packets);
                    (reached, shape.packets as usize)
                }
            };
            if self.clients.pressure
                && let Some(publisher) = arrived.publisher
                && let Some(back) = self.mail.get_mut(usize::from(batch.from))
            {
                back.press(publisher);
            }
            match part {
                Some((bytes, shape)) => batch.advance_within(read, bytes, shape),
                None => batch.advance(read),
            }
            *budget = budget.saturating_sub(reached.saturating_add(1));
            messages += count;
        }
        batch.gather(self.clients.journal.end_foreign());
        if batch.is_done() {
            self.finish_mail(now, batch);
        }
        messages
    }

    /// What came with the messages, once they are dealt with.
    fn finish_mail(&mut self, now: Time, batch: &mut Batch) {
        if let Some(back) = self.mail.get_mut(usize::from(batch.from)) {
            back.joined.append(&mut batch.parts);
        }
        self.joined(batch.from, &batch.joined);
        if let Some(point) = batch.settled {
            self.settled(now, batch.from, point);
        }
        if let Some(point) = batch.confirm {
            self.want_confirm(now, batch.from, point);
        }
        if let Some(point) = batch.confirmed {
            self.confirmed(now, batch.from, point);
        }
    }

    /// A message of the broker itself, as on `$SYS`.
    pub fn handle_publish(&mut self, now: Time, topic: &str, payload: &[u8], qos: Qos, retain: bool) {
        let message = MessageRef { topic, properties: &[], payload, qos, retain, expires: None };
        self.publish_own(now, &message.to_shared(), None);
    }

    /// Deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Connection(key) => self.on_connection_timer(now, key),
                Timer::Exchange(key) => self.on_exchange_timer(now, key),
                Timer::Rest(key) => self.on_rest_timer(key),
                Timer::Will(session) => self.on_will_timer(now, session),
                Timer::SessionExpiry(session) => self.on_expiry_timer(now, session),
                Timer::Sweep => self.on_sweep_timer(now),
            }
        }
        self.replay_retained(now);
        self.recheck_some(now);
        self.sweep_some(now);
        self.leave_some();
        self.close_overfull(now);
    }

    /// The broker stops: every client is told, wills go out.
    pub fn handle_shutdown(&mut self, now: Time) {
        for key in self.clients.connections.keys().collect::<Vec<_>>() {
            self.close(now, key, Cause::Shutdown);
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next connection with something to send, each once until it gets more.
    pub fn poll_dirty(&mut self) -> Option<Key> {
        let key = self.clients.dirty.pop()?;
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.dirty = false;
            c.count();
        }
        Some(key)
    }

    /// What to send to a client now.
    pub fn outbox(&self, key: Key) -> Option<&Outbox> {
        self.clients.connections.get(key).map(|c| &c.outbox)
    }

    /// `n` bytes of the outbox were sent. Messages that waited for room may follow.
    pub fn sent(&mut self, now: Time, key: Key, n: usize) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        let before = c.outbox.len();
        c.outbox.consume(n);
        c.count();
        c.last_output = now;
        self.clients.stats.bytes_sent += n as u64;
        let drained = c.outbox.is_empty();
        let max = self.clients.output_bytes_max;
        let stage_session = if let Stage::Live(s) = c.stage { Some(s) } else { None };
        let room_again = before > max && before - n <= max;
        if drained {
            self.clients.recycle(key);
        }
        if let Some(session) = stage_session
            && (room_again || drained)
            && self.clients.sessions.get(session).is_some_and(Session::is_waiting)
        {
            self.clients.pump(now, session, &mut self.variants);
        }
    }

    /// Everything for another shard that gathered since the last call.
    pub fn poll_mail(&mut self, to: u16) -> Option<&mut Batch> {
        let batch = self.mail.get_mut(usize::from(to)).filter(|batch| !batch.is_empty())?;
        batch.from = self.id;
        Some(batch)
    }

    /// The driver has closed or moved the stream.
    pub fn release(&mut self, key: Key) {
        if let Some(mut c) = self.clients.connections.remove(key) {
            c.uncount();
            self.timers.stop(c.timer, Timer::Connection(key));
            self.timers.stop(c.dialogue.and_then(|d| d.deadline), Timer::Exchange(key));
            self.timers.stop(c.meter.and_then(|m| m.rests), Timer::Rest(key));
        }
    }

    /// Gives back memory that is only kept for the next turn.
    pub fn trim(&mut self) {
        self.clients.trim();
        self.variants = Variants::default();
        (self.topic_scratch, self.properties_scratch) = (String::new(), Vec::new());
        self.run = run::Scratch::default();
        for batch in self.mail.iter_mut().filter(|batch| batch.is_empty()) {
            *batch = Batch::default();
        }
        self.actions.shrink_to_fit();
        self.leaving.shrink_to_fit();
        if self.unfinished.is_empty() {
            // an empty map may keep a node
            self.unfinished = BTreeMap::new();
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether [`Shard::handle_timeout`] has something to do at once.
    pub fn has_work(&self) -> bool {
        !self.clients.replaying.is_empty()
            || !self.leaving.is_empty()
            || !self.clients.overfull.is_empty()
            || self.recheck.is_under_way()
            || self.sweep.is_under_way()
    }

    pub fn stats(&self) -> Stats {
        self.clients.stats
    }

    pub fn count_received(&mut self, bytes: usize) {
        self.clients.stats.bytes_received += bytes as u64;
    }

    /// Sessions, and connections of any stage.
    pub fn len(&self) -> (usize, usize) {
        (self.clients.sessions.len(), self.clients.connections.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// The shard a client id lives on.
    pub fn home(&self, client_id: &str) -> u16 {
        let shards = u64::from(self.count);
        u16::try_from(self.hasher.hash_one(client_id) % shards).unwrap_or(0)
    }

    fn on_frame(&mut self, now: Time, key: Key, burst: &mut Burst<'_>) -> Result<u32, Cause> {
        self.clients.stats.messages_received += 1;
        let Burst { frame, version, .. } = *burst;
        if frame.kind == PacketType::Publish {
            let publish = PublishView::parse(frame, version)?;
            return self.on_publish(now, key, burst, &publish);
        }
        self.on_control(now, key, frame, version)
    }

    /// Whether the client's bytes have to wait, whatever they are.
    fn holds_back(&mut self, now: Time, key: Key) -> Option<Next> {
        let c = self.clients.connections.get_mut(key)?;
        c.last_input = now;
        c.storing &= self.clients.journal.behind;
        if core::mem::take(&mut c.pressed) || c.storing {
            return Some(Next::Pause);
        }
        c.last_input = c.meter.as_ref()?.rests?;
        Some(Next::Wait)
    }

    /// A message of a client whose rate is measured; `true` when the client has to rest now.
    fn is_too_fast(&mut self, now: Time, key: Key, bytes: usize) -> bool {
        let Some(c) = self.clients.connections.get_mut(key) else { return false };
        let Stage::Live(session) = c.stage else { return false };
        let Some((until, tell)) = c.meter.as_mut().and_then(|m| m.count(now, bytes)) else { return false };
        // what it sends meanwhile is heard only then: its keep-alive begins there
        c.last_input = until;
        self.timers.set(until, Timer::Rest(key));
        if tell && let Some(session) = self.clients.sessions.get(session) {
            self.clients.observer.on(now, Event::Slowed { client_id: &session.client_id });
        }
        true
    }

    fn on_rest_timer(&mut self, key: Key) {
        if let Some(meter) = self.clients.connections.get_mut(key).and_then(|c| c.meter.as_mut()) {
            meter.rests = None;
            self.actions.push_back(Action::Resume(key));
        }
    }

    fn set_connection_timer(&mut self, key: Key, at: Option<Time>) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        self.timers.stop(c.timer, Timer::Connection(key));
        c.timer = at;
        if let Some(at) = at {
            self.timers.set(at, Timer::Connection(key));
        }
    }

    fn on_connection_timer(&mut self, now: Time, key: Key) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        c.timer = None;
        match c.stage {
            Stage::AwaitConnect | Stage::Authenticating(_) => self.close(now, key, Cause::ConnectTimeout),
            Stage::Closing => {}
            Stage::Live(_) => match c.keep_alive_deadline() {
                Some(deadline) if deadline <= now => self.close(now, key, Cause::KeepAliveTimeout),
                deadline => self.set_connection_timer(key, deadline),
            },
        }
    }

    /// A number nobody outside can guess, as good as the seed, and from which nobody can tell the seed.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(1);
        // SipHash, which cannot be run backwards
        let mut hasher = DefaultHasher::new();
        (self.settings.seed, self.id, self.random).hash(&mut hasher);
        hasher.finish()
    }

    fn session_of(&self, key: Key) -> Option<Key> {
        match self.clients.connections.get(key)?.stage {
            Stage::Live(session) => Some(session),
            _ => None,
        }
    }

    fn listener(&self, peer: Peer) -> Option<&ListenerSettings> {
        self.settings.listener(peer)
    }
}

/// What is wrong with a client's first byte, whatever follows. [MQTT-3.1.0-1]
fn no_connect(bytes: &[u8]) -> Option<&'static str> {
    match *bytes.first()? {
        TLS_HANDSHAKE => Some(UNEXPECTED_TLS),
        first if first >> 4 != PacketType::Connect as u8 => Some("first packet is not CONNECT"),
        _ => None,
    }
}

/// Reason code towards a client of that version: 3.x knows only failure.
fn suback_code(version: Version, code: ReasonCode) -> ReasonCode {
    if version != Version::V5 && code.is_error() { ReasonCode::UnspecifiedError } else { code }
}
