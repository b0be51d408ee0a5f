//! A broker of some shards and the streams of its clients, in one thread; with a store, if asked, that is never late.

use grovemq_core::journal::Saved;
use grovemq_core::observe::{Cause, Peer, Silent};
use grovemq_core::{
    Action, Batch, Key, Limits, ListenerSettings, Next, Router, Settings, Shard, Time, Verdict,
};
use grovemq_store::{Memory, Store};
use std::io::IoSlice;
use std::sync::Arc;

const PEER: Peer = Peer { address: None, listener: 0, secured: None };
/// Turns of all shards after which one input is said to have no end.
const TURNS_MAX: usize = 20_000;

pub struct Broker {
    pub now: Time,
    pub streams: Vec<Stream>,
    pub store: Option<Memory>,
    settings: Arc<Settings>,
    router: Arc<Router>,
    shards: Vec<Shard>,
}

/// A client's end of a connection.
pub struct Stream {
    /// Not yet taken by the broker.
    pub input: Vec<u8>,
    /// Not yet looked at by the client.
    pub output: Vec<u8>,
    pub open: bool,
    /// Whether the client takes what the broker has for it.
    pub reading: bool,
    shard: usize,
    key: Key,
}

impl Broker {
    pub fn new(limits: Limits, shards: u16, stored: bool, authenticate: bool) -> Self {
        let listener =
            ListenerSettings { allow_anonymous: true, authenticate, ..ListenerSettings::default() };
        let store_epoch = stored.then_some(0);
        let settings = Arc::new(Settings {
            limits,
            listeners: vec![listener],
            store_epoch,
            seed: 1,
            ..Settings::default()
        });
        let mut broker = Self {
            now: Time(1000),
            streams: Vec::new(),
            store: stored.then(Memory::default),
            router: router(),
            shards: Vec::new(),
            settings,
        };
        broker.boot(shards);
        broker
    }

    /// A new stream, and its number.
    pub fn open(&mut self) -> usize {
        let key = self.shards[0].handle_open(self.now, PEER);
        let (input, output) = (Vec::new(), Vec::new());
        self.streams.push(Stream { input, output, open: true, reading: true, shard: 0, key });
        self.streams.len() - 1
    }

    /// Bytes from a client, and all that follows from them.
    pub fn feed(&mut self, stream: usize, bytes: &[u8]) {
        let stream = &mut self.streams[stream];
        if stream.open {
            stream.input.extend_from_slice(bytes);
        }
        self.run();
    }

    /// The client's end is gone.
    pub fn cut(&mut self, stream: usize) {
        let Stream { shard, key, open, .. } = self.streams[stream];
        if open {
            self.shards[shard].handle_closed(self.now, key, Cause::StreamEnded);
        }
        self.run();
    }

    pub fn set_reading(&mut self, stream: usize, reading: bool) {
        self.streams[stream].reading = reading;
        self.run();
    }

    /// Time goes on, deadline by deadline.
    pub fn wait(&mut self, millis: u64) {
        let end = Time(self.now.0 + millis);
        while let Some(at) = self.shards.iter().filter_map(Shard::next_timeout).min().filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// The broker is killed and another starts on its store; all streams end. What the store holds is what it held before.
    pub fn kill(&mut self) {
        let Some(store) = &mut self.store else { return };
        let before = crate::exported(store);
        self.streams.iter_mut().for_each(|stream| stream.open = false);
        let shards = u16::try_from(self.shards.len()).expect("few shards");
        self.router = router();
        self.boot(shards);
        assert_eq!(crate::exported(self.store.as_mut().expect("as before")), before);
        self.shards.iter_mut().for_each(|shard| shard.handle_timeout(self.now));
        self.run();
    }

    /// Sessions, and connections of any stage.
    pub fn len(&self) -> (usize, usize) {
        self.shards.iter().map(Shard::len).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Subscriptions of all sessions.
    pub fn subscriptions(&self) -> usize {
        let (plain, shared) = self.router.subscription_counts();
        plain + shared
    }

    fn boot(&mut self, count: u16) {
        let shard = |id| Shard::new(id, count, self.router.clone(), self.settings.clone(), Box::new(Silent));
        self.shards = (0..count).map(shard).collect();
        let Some(store) = &mut self.store else { return };
        let mut saved = Vec::new();
        let found = store.recover(&mut |s| saved.push(s)).expect("memory does not fail");
        for saved in saved {
            match saved {
                Saved::Retained(message) => drop(self.router.retained_mut().set(message, usize::MAX)),
                Saved::Session(session) => {
                    let home = usize::from(self.shards[0].home(&session.image.client_id));
                    self.shards[home].restore(self.now, *session);
                }
            }
        }
        self.shards.iter_mut().for_each(|shard| shard.set_last_stored(found.highest_session));
    }

    /// Turns of all shards until nothing moves.
    fn run(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "the broker never comes to rest");
            let moved = (0..self.shards.len()).fold(false, |moved, shard| self.turn(shard) | moved);
            if !moved {
                break;
            }
        }
        let open = self.streams.iter().filter(|stream| stream.open).count();
        assert_eq!(self.len().1, open, "connections are streams");
    }

    fn turn(&mut self, id: usize) -> bool {
        let mut moved = false;
        self.shards[id].start_turn();
        self.shards[id].allow_filters(2);
        for stream in self.streams.iter_mut().filter(|s| s.open && s.shard == id && !s.input.is_empty()) {
            let progress = self.shards[id].handle_input(self.now, stream.key, &stream.input);
            stream.input.drain(..progress.consumed);
            moved |= progress.consumed > 0 || matches!(progress.next, Next::Yield | Next::Later);
        }
        if self.shards[id].has_work() {
            self.shards[id].handle_timeout(self.now);
            moved = true;
        }
        while let Some(action) = self.shards[id].poll_action() {
            self.act(id, action);
            moved = true;
        }
        moved |= self.flush(id);
        while let Some(commit) = self.shards[id].poll_commit(self.now) {
            let store = self.store.as_mut().expect("nothing is stored without a store");
            store.commit(&commit.records).expect("memory does not fail");
            self.shards[id].handle_persisted(self.now, commit.point);
            moved = true;
        }
        moved |= self.flush(id);
        for to in 0..self.shards.len() {
            let Some(mail) = self.shards[id].poll_mail(u16::try_from(to).expect("few shards")) else {
                continue;
            };
            let mut batch: Batch = std::mem::take(mail);
            while !batch.is_done() {
                self.shards[to].handle_mail(self.now, &mut batch, &mut 1);
            }
            moved = true;
        }
        moved
    }

    fn act(&mut self, id: usize, action: Action) {
        let of = |key: Key| move |s: &&mut Stream| s.open && s.shard == id && s.key == key;
        match action {
            Action::Close(key) => {
                self.send(id, key);
                self.streams.iter_mut().find(of(key)).expect("a stream that is open").open = false;
                self.shards[id].release(key);
            }
            Action::Move(key, to) => {
                self.shards[id].release(key);
                let stream = self.streams.iter_mut().find(of(key)).expect("a stream that is open");
                stream.shard = usize::from(to);
                stream.key = self.shards[stream.shard].handle_open(self.now, PEER);
            }
            // what the password begins with
            Action::Authenticate(key, login) => {
                let verdict = match login.password.as_deref().and_then(<[u8]>::first) {
                    Some(b'n') => Verdict::Deny,
                    Some(b'u') => Verdict::Unavailable,
                    _ if login.words.as_ref().is_some_and(|words| words.said.len() < 3) => {
                        Verdict::Challenge(b"?".to_vec())
                    }
                    _ if login.words.is_some() => {
                        Verdict::Proven { username: login.username.unwrap_or_default(), data: Vec::new() }
                    }
                    _ => Verdict::Allow,
                };
                self.shards[id].handle_verdict(self.now, key, verdict);
            }
            Action::Resume(_) | Action::Control(..) => panic!("not asked for"),
        }
    }

    fn flush(&mut self, id: usize) -> bool {
        let mut moved = false;
        while let Some(key) = self.shards[id].poll_dirty() {
            moved |= self.send(id, key);
        }
        let waiting = |s: &&Stream| s.open && s.reading && s.shard == id;
        for key in self.streams.iter().filter(waiting).map(|s| s.key).collect::<Vec<_>>() {
            moved |= self.send(id, key);
        }
        moved
    }

    /// Moves what the broker has for a stream that reads.
    fn send(&mut self, id: usize, key: Key) -> bool {
        let stream = self.streams.iter_mut().find(|s| s.open && s.shard == id && s.key == key);
        let Some(stream) = stream.filter(|stream| stream.reading) else { return false };
        let before = stream.output.len();
        while let Some(outbox) = self.shards[id].outbox(key).filter(|outbox| !outbox.is_empty()) {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = outbox.slices(&mut slices);
            let len = stream.output.len();
            slices[..n].iter().for_each(|slice| stream.output.extend_from_slice(slice));
            let sent = stream.output.len() - len;
            self.shards[id].sent(self.now, key, sent);
        }
        stream.output.len() > before
    }
}

fn router() -> Arc<Router> {
    Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)))
}
