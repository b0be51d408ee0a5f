//! The broker's shards, the clients, the links between them and the mail among shards: one thread, one clock.

use crate::client::Client;
use crate::disk::Disk;
use crate::link::{Link, Pipe};
use grovemq_core::client::{Disconnect, Event, Unsubscribe};
use grovemq_core::observe::{Cause, Peer};
use grovemq_core::{
    Action, Batch, Key, Limits, ListenerSettings, Next, Router, Settings, Shard, Time, Verdict,
};
use grovemq_tests::Random;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

const TOPICS: usize = 3;
/// The first so many clients share a subscription.
const MEMBERS: usize = 2;
/// And from this one on they subscribe late.
const LATE: usize = 4;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) router: Arc<Router>,
    pub(crate) clients: Vec<Client>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) settings: Settings,
    /// `None`: nothing survives, and the broker is never killed.
    pub(crate) disk: Option<Disk>,
    pub(crate) kills: u32,
    pub(crate) links: BTreeMap<u32, Link>,
    next_link: u32,
    pub(crate) mail: BTreeMap<(usize, usize), VecDeque<(Time, Batch)>>,
    /// Logins to be answered.
    pub(crate) verdicts: Vec<(Time, usize, Key)>,
    pub(crate) random: Random,
    /// Nothing breaks any more and nobody begins anything new.
    calm: bool,
}

/// What is still under way, and at which client.
#[derive(Debug)]
enum Unrest {
    Client(usize),
    Link(usize),
    Outbox(usize),
    Mail,
    Work,
    Disk,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limits = Limits {
            inflight_max: random.of(&[1, 2, 20, 0]),
            inflight_bytes_max: random.of(&[0, 0, 100, 10_000]),
            receive_max: random.of(&[1, 2, 20]),
            queue_messages_max: 0,
            output_bytes_max: random.of(&[100, 10_000, 16 << 20]),
            cache_topics_max: random.of(&[1, 2, 1000]),
            turn_deliveries_max: random.of(&[1, 5, 10_000]),
            ..Limits::default()
        };
        let listener = ListenerSettings {
            allow_anonymous: true,
            authenticate: random.one_in(2),
            ..ListenerSettings::default()
        };
        let settings = Settings { limits, listeners: vec![listener], ..Settings::default() };
        let clients = Self::clients(&mut random);
        let disk = (!random.one_in(3)).then(|| Disk::new(&mut random));
        let mut world = Self {
            now: Time(1),
            router: Arc::new(Router::new(foldhash::fast::FixedState::with_seed(seed))),
            clients,
            shards: Vec::new(),
            settings,
            disk,
            kills: 0,
            links: BTreeMap::new(),
            next_link: 0,
            mail: BTreeMap::new(),
            verdicts: Vec::new(),
            random,
            calm: true,
        };
        world.boot();
        world
    }

    /// Durable clients with overlapping subscriptions, some of them members of one shared group; and passers-by.
    fn clients(random: &mut Random) -> Vec<Client> {
        let pool = ["t/#", "t/+", "+/0", "t/0", "t/1", "t/1/#", "r/#"];
        let mut clients = Vec::new();
        for id in 0..6 {
            let mut filters: Vec<(String, u8)> = Vec::new();
            for _ in 0..random.below(4) {
                let qos = random.of(&[0, 1, 2, 2]);
                let filter = random.of(&pool).to_string();
                filters.retain(|(f, _)| *f != filter);
                filters.push((filter, qos));
            }
            if id < MEMBERS {
                filters = vec![("$share/g/t/#".to_string(), 2)];
            }
            clients.push(Client::new(id, true, filters, random));
        }
        for id in 6..8 {
            clients.push(Client::new(id, false, Vec::new(), random));
        }
        clients
    }

    /// Everyone comes and subscribes, undisturbed; some wait until the others have begun.
    pub(crate) fn begin(&mut self) {
        self.subscribe(0..LATE);
        self.rage(20);
        self.settle();
        self.subscribe(LATE..self.clients.len());
    }

    fn subscribe(&mut self, ids: Range<usize>) {
        for id in ids.clone() {
            let filters = self.clients[id].filters.clone();
            if !filters.is_empty() {
                self.clients[id].subscribe(self.now, &filters);
            }
        }
        self.settle();
        let since: Vec<usize> = self.clients.iter().map(|c| c.published.len()).collect();
        for id in ids {
            self.clients[id].since.clone_from(&since);
        }
    }

    /// So many steps in which anything may happen.
    pub(crate) fn rage(&mut self, steps: usize) {
        self.calm = false;
        for _ in 0..steps {
            if self.disk.is_some() && self.random.one_in(40) {
                self.kill();
            }
            if self.random.one_in(15) {
                self.connect_all();
            }
            if self.random.one_in(2) {
                let client = self.random.below(self.clients.len());
                self.whim(client);
            }
            self.step();
        }
        self.calm = true;
    }

    /// Everyone comes back, and all that is under way arrives.
    pub(crate) fn settle(&mut self) {
        for step in 0.. {
            if step >= 50_000 {
                let unrest = self.unrest();
                let client = match unrest {
                    Some(Unrest::Client(id) | Unrest::Link(id) | Unrest::Outbox(id)) => self.clients.get(id),
                    _ => None,
                };
                panic!("never comes to rest: {unrest:?} {:?}", client.map(|c| &c.protocol));
            }
            self.connect_all();
            self.step();
            if self.unrest().is_none() {
                return;
            }
        }
    }

    fn connect_all(&mut self) {
        for id in 0..self.clients.len() {
            if self.clients[id].link.is_none() {
                self.connect(id);
            }
        }
    }

    /// What is not at rest.
    fn unrest(&self) -> Option<Unrest> {
        for (id, client) in self.clients.iter().enumerate() {
            if !client.protocol.is_online() || !client.protocol.is_drained() {
                return Some(Unrest::Client(id));
            }
        }
        for link in self.links.values() {
            if !link.up.is_empty() || !link.down.is_empty() || !link.input.is_empty() {
                return Some(Unrest::Link(link.client));
            }
            let outbox = |l: &Link| self.shards[l.shard].outbox(l.key).map(grovemq_core::Outbox::is_empty);
            if !link.broker_open || outbox(link) != Some(true) {
                return Some(Unrest::Outbox(link.client));
            }
        }
        if self.mail.values().any(|m| !m.is_empty()) {
            return Some(Unrest::Mail);
        }
        if !self.disk.as_ref().is_none_or(Disk::is_idle) || self.shards.iter().any(Shard::has_uncommitted) {
            return Some(Unrest::Disk);
        }
        self.shards.iter().any(Shard::has_work).then_some(Unrest::Work)
    }

    /// What a client may take into its head.
    fn whim(&mut self, id: usize) {
        let now = self.now;
        let Some(link) = self.clients[id].link else {
            if self.random.one_in(3) {
                self.connect(id);
            }
            return;
        };
        let client = &mut self.clients[id];
        match self.random.below(24) {
            0 => self.break_link(link),
            1 => drop(client.protocol.disconnect(&Disconnect::default())),
            n @ 2..4 => {
                // a member of the group gets plain matches besides, and would count them twice
                let filters = if id < MEMBERS { ["x/#", "x/0"] } else { ["+/1", "#"] };
                let (filter, qos) = (self.random.of(&filters).to_string(), self.random.of(&[0, 1, 2]));
                if n == 2 {
                    client.subscribe(now, &[(filter, qos)]);
                } else {
                    let request = Unsubscribe { filters: vec![filter], user: Vec::new() };
                    client.protocol.unsubscribe(now, request, 0).unwrap();
                }
            }
            4 if client.durable => client.publish(now, id, format!("r/{id}"), 1, true, &mut self.random),
            _ => {
                let kind = if client.durable { self.random.of(&["t", "t", "x"]) } else { "e" };
                let topic = format!("{kind}/{}", self.random.below(TOPICS));
                let qos = self.random.of(&[0, 1, 2]);
                for _ in 0..=self.random.below(4) {
                    client.publish(now, id, topic.clone(), qos, false, &mut self.random);
                }
            }
        }
        self.tend(id);
    }

    fn connect(&mut self, id: usize) {
        let peer = Peer { address: None, listener: 0, secured: None };
        let shard = self.random.below(self.shards.len());
        let link = Link {
            client: id,
            shard,
            key: self.shards[shard].handle_open(self.now, peer),
            up: Pipe::default(),
            down: Pipe::default(),
            input: Vec::new(),
            unsent: false,
            paused_until: Time(0),
            client_open: true,
            broker_open: true,
        };
        self.links.insert(self.next_link, link);
        self.clients[id].link = Some(self.next_link);
        self.next_link += 1;
        self.clients[id].protocol.handle_connected(self.now).unwrap();
        self.tend(id);
    }

    /// Both ends find out later, each at its own time; the client may be back before the broker knows.
    fn break_link(&mut self, id: u32) {
        let link = self.links.get_mut(&id).unwrap();
        link.up.tear(&mut self.random);
        link.down.tear(&mut self.random);
    }

    /// Does what a client's driver does.
    fn tend(&mut self, id: usize) {
        let client = &mut self.clients[id];
        let mut closed = false;
        while let Some(event) = client.protocol.poll_event() {
            match event {
                Event::Message(received) => client.receive(&received),
                Event::Closed(_) => closed = true,
                Event::Refused(refusal) => panic!("client {id}: {refusal:?}"),
                Event::Published { result, .. } => drop(result.unwrap()),
                _ => {}
            }
        }
        let Some(link) = client.link.and_then(|id| self.links.get_mut(&id)) else { return };
        let mut out = Vec::new();
        while client.protocol.poll_output(self.now, &mut out) {}
        link.up.push(self.now, &mut self.random, out);
        if closed {
            link.up.ended = true;
            link.client_open = false;
            client.link = None;
            client.protocol.handle_disconnected();
        }
    }

    fn step(&mut self) {
        self.now.0 += match self.random.below(100) {
            0 if !self.calm => self.random.below(9000) as u64,
            n if n < 60 => 0,
            _ if self.calm => self.random.below(500) as u64,
            _ => self.random.below(40) as u64,
        };
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            if self.random.one_in(2) {
                self.carry_up(link);
            }
            if self.random.one_in(2) {
                self.carry_down(link);
            }
        }
        for shard in 0..self.shards.len() {
            if self.random.one_in(2) {
                self.turn(shard);
            }
        }
        self.carry_mail();
        self.persist();
        for id in 0..self.clients.len() {
            if self.clients[id].protocol.next_timeout().is_some_and(|t| t <= self.now) {
                self.clients[id].protocol.handle_timeout(self.now);
                self.tend(id);
            }
        }
        self.links.retain(|_, link| link.client_open || link.broker_open);
    }

    /// From the client's end of a link to the broker's.
    fn carry_up(&mut self, id: u32) {
        let link = self.links.get_mut(&id).unwrap();
        if !link.broker_open {
            return;
        }
        if let Some(bytes) = link.up.pull(self.now, &mut self.random) {
            link.input.extend(bytes);
        } else if link.up.at_end() && self.random.one_in(8) {
            let (shard, key) = (link.shard, link.key);
            let cause = if link.up.broken { Cause::StreamError } else { Cause::StreamEnded };
            self.read(id);
            self.shards[shard].handle_closed(self.now, key, cause);
        }
    }

    /// From the broker's end to the client's.
    fn carry_down(&mut self, id: u32) {
        let link = self.links.get_mut(&id).unwrap();
        if !link.client_open {
            return;
        }
        let client = link.client;
        if let Some(bytes) = link.down.pull(self.now, &mut self.random) {
            self.feed_client(id, &bytes);
        } else if link.down.at_end() && self.random.one_in(8) {
            link.client_open = false;
            link.up.ended = true;
            self.clients[client].link = None;
            self.clients[client].protocol.handle_disconnected();
            self.clients[client].leftover.clear();
        }
    }

    fn feed_client(&mut self, id: u32, bytes: &[u8]) {
        let client_id = self.links[&id].client;
        let client = &mut self.clients[client_id];
        client.leftover.extend_from_slice(bytes);
        let taken = client.protocol.handle_input(self.now, &client.leftover);
        client.leftover.drain(..taken);
        self.tend(client_id);
    }

    /// A turn of a shard's event loop.
    fn turn(&mut self, id: usize) {
        self.shards[id].start_turn();
        self.shards[id].allow_filters(2);
        if self.shards[id].has_work() || self.shards[id].next_timeout().is_some_and(|t| t <= self.now) {
            self.shards[id].handle_timeout(self.now);
        }
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            if self.links[&link].shard == id && self.links[&link].paused_until <= self.now {
                self.read(link);
            }
        }
        while let Some(action) = self.shards[id].poll_action() {
            self.act(id, &action);
        }
        self.mark_dirty(id);
        while let Some(commit) = self.shards[id].poll_commit(self.now) {
            let disk = self.disk.as_mut().expect("nothing is stored without a store");
            disk.submit(self.now, &mut self.random, id, commit);
            self.mark_dirty(id);
        }
        self.mark_dirty(id);
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            if self.links[&link].shard == id && self.links[&link].unsent {
                let part = !self.random.one_in(3);
                self.write(link, part);
            }
        }
        for to in 0..self.shards.len() {
            if let Some(batch) = self.shards[id].poll_mail(u16::try_from(to).unwrap()) {
                let delay = if self.random.one_in(10) { 300 } else { 10 };
                let due = Time(self.now.0 + self.random.below(delay) as u64);
                self.mail.entry((id, to)).or_default().push_back((due, std::mem::take(batch)));
            }
        }
    }

    fn mark_dirty(&mut self, id: usize) {
        while let Some(key) = self.shards[id].poll_dirty() {
            if let Some(link) =
                self.links.values_mut().find(|l| l.broker_open && l.shard == id && l.key == key)
            {
                link.unsent = true;
            }
        }
    }

    /// Gives the broker what has arrived.
    fn read(&mut self, id: u32) {
        let link = self.links.get_mut(&id).unwrap();
        if link.broker_open && !link.input.is_empty() {
            let progress = self.shards[link.shard].handle_input(self.now, link.key, &link.input);
            link.input.drain(..progress.consumed);
            if progress.next == Next::Pause {
                link.paused_until = Time(self.now.0 + 1);
            }
        }
    }

    /// Takes what the broker has to send, or a part of it; a full link takes nothing.
    fn write(&mut self, id: u32, part: bool) {
        let link = self.links.get_mut(&id).unwrap();
        let shard = &mut self.shards[link.shard];
        let Some(outbox) =
            shard.outbox(link.key).filter(|_| link.broker_open && (!part || !link.down.is_full()))
        else {
            return;
        };
        let mut slices = [IoSlice::new(&[]); 16];
        let n = outbox.slices(&mut slices);
        let mut bytes: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
        if part && !bytes.is_empty() {
            bytes.truncate(1 + self.random.below(bytes.len()));
        }
        shard.sent(self.now, link.key, bytes.len());
        link.unsent = shard.outbox(link.key).is_some_and(|o| !o.is_empty());
        link.down.push(self.now, &mut self.random, bytes);
    }

    fn act(&mut self, shard: usize, action: &Action) {
        let of = |key: Key| move |(_, l): &(&u32, &Link)| l.broker_open && l.shard == shard && l.key == key;
        match *action {
            Action::Close(key) => {
                // a stream that ended while it moved closes where it has gone
                let Some((&id, _)) = self.links.iter().find(of(key)) else { return };
                while self.shards[shard].outbox(key).is_some_and(|o| !o.is_empty()) {
                    self.write(id, false);
                }
                let link = self.links.get_mut(&id).unwrap();
                link.down.ended = true;
                link.broker_open = false;
                link.input.clear();
                self.shards[shard].release(key);
            }
            Action::Move(key, to) => {
                let id = *self.links.iter().find(of(key)).unwrap().0;
                let link = self.links.get_mut(&id).unwrap();
                self.shards[shard].release(key);
                link.shard = usize::from(to);
                let peer = Peer { address: None, listener: 0, secured: None };
                link.key = self.shards[link.shard].handle_open(self.now, peer);
            }
            Action::Authenticate(key, _) => {
                let due = Time(self.now.0 + self.random.below(100) as u64);
                self.verdicts.push((due, shard, key));
            }
            Action::Resume(_) | Action::Control(..) => panic!("not asked for"),
        }
    }

    fn carry_mail(&mut self) {
        for ((_, to), batches) in &mut self.mail {
            while batches.front().is_some_and(|(due, _)| *due <= self.now) {
                let Some((_, mut batch)) = batches.pop_front() else { break };
                loop {
                    let mut budget = 1 + u32::try_from(self.random.below(5)).unwrap();
                    self.shards[*to].handle_mail(self.now, &mut batch, &mut budget);
                    if batch.is_done() {
                        break;
                    }
                }
            }
        }
        let (now, shards) = (self.now, &mut self.shards);
        self.verdicts.retain(|(due, shard, key)| {
            if *due <= now {
                shards[*shard].handle_verdict(now, *key, Verdict::Allow);
            }
            *due > now
        });
    }
}
