//! A broker of one or more shards and the streams of its clients, in one thread; every packet as a line of text.

use grovemq_codec::{
    Ack, AckProperties, AuthProperties, Connect, ConnectProperties, Disconnect, DisconnectProperties,
    Filters, Packet, PacketType, Publish, PublishProperties, Qos, ReasonCode, Subscribe, SubscribeOptions,
    SubscribeProperties, Topics, Unsubscribe, UserProperties, Version, Will, WillProperties, decode_frame,
};
use grovemq_core::access::{Access, Authorize, Login, Who};
use grovemq_core::observe::{Cause, Event, Observe, Peer, Stats};
use grovemq_core::{
    Action, Batch, Key, Limits, ListenerLimits, ListenerSettings, Next, Router, Settings, Shard, Time,
    Verdict,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IoSlice;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};

use crate::disk::Disk;
use grovemq_core::journal::Saved;

/// Subscriptions that may be changed in a turn where nothing else is said: so few that what is done in slices is tried everywhere.
pub(crate) const FILTERS: u32 = 3;

/// Everything is allowed to everyone.
pub(crate) fn settings() -> Settings {
    let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
    Settings { listeners: vec![listener], seed: 1, ..Settings::default() }
}

pub(crate) fn with_limits(limits: Limits) -> Settings {
    Settings { limits, ..settings() }
}

pub(crate) fn with_listener(limits: ListenerLimits) -> Settings {
    let listener = ListenerSettings { limits, allow_anonymous: true, ..ListenerSettings::default() };
    Settings { listeners: vec![listener], ..settings() }
}

pub(crate) fn with_access(rules: impl Fn(Who<'_>, Access, &str) -> bool + Send + Sync + 'static) -> Settings {
    let access: Arc<dyn Authorize> = Arc::new(Rules(Box::new(rules)));
    let listener =
        ListenerSettings { allow_anonymous: true, access: Some(access), ..ListenerSettings::default() };
    Settings { listeners: vec![listener], ..settings() }
}

type Rule = dyn Fn(Who<'_>, Access, &str) -> bool + Send + Sync;

struct Rules(Box<Rule>);

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rules")
    }
}

impl Authorize for Rules {
    fn check(&self, who: Who<'_>, access: Access, topic: &str) -> Result<(), String> {
        if (self.0)(who, access, topic) { Ok(()) } else { Err("rule of the test".into()) }
    }
}

/// Keeps the causes of closed connections, and what was said of dropped messages.
struct Listener(Arc<Mutex<Vec<Cause>>>, Arc<Mutex<Vec<String>>>);

impl Observe for Listener {
    fn wants_packets(&self) -> bool {
        true
    }

    fn on(&mut self, _: Time, event: Event<'_>) {
        let line = match event {
            Event::Disconnected { cause, .. } => return self.0.lock().unwrap().push(cause),
            Event::Dropping { client_id } => format!("{client_id} dropping"),
            Event::Dropped { client_id, count } => format!("{client_id} dropped {count}"),
            Event::RetainedFull { topic, .. } => format!("{topic} not retained"),
            Event::RetainedRoom { count } => format!("{count} not retained"),
            _ => return,
        };
        self.1.lock().unwrap().push(line);
    }
}

pub(crate) struct Bench {
    pub(crate) now: Time,
    pub(crate) router: Arc<Router>,
    shards: Vec<Shard>,
    streams: BTreeMap<String, Stream>,
    causes: Arc<Mutex<Vec<Cause>>>,
    said: Arc<Mutex<Vec<String>>>,
    pub(crate) disk: Option<Disk>,
    /// Everything stands still after so many turns of a shard.
    pub(crate) steps_left: Option<usize>,
    /// Subscriptions that may be changed in a turn.
    pub(crate) filters: u32,
}

struct Stream {
    shard: usize,
    key: Key,
    peer: Peer,
    version: Version,
    /// Not yet taken by the broker.
    input: Vec<u8>,
    /// Not yet looked at by the test.
    output: Vec<u8>,
    reading: bool,
    open: bool,
    login: Option<Login>,
    /// What the closing looked like is shown once.
    told: bool,
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_shards(settings, 1)
    }

    pub(crate) fn with_shards(settings: Settings, count: u16) -> Self {
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(settings.seed)));
        let settings = Arc::new(settings);
        let causes = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let shard = |id| {
            let observer = Box::new(Listener(causes.clone(), said.clone()));
            Shard::new(id, count, router.clone(), settings.clone(), observer)
        };
        let shards = (0..count).map(shard).collect();
        Self {
            now: Time(1000),
            router,
            shards,
            streams: BTreeMap::new(),
            causes,
            said,
            disk: None,
            steps_left: None,
            filters: FILTERS,
        }
    }

    /// A broker on what that disk holds.
    pub(crate) fn with_disk(settings: Settings, count: u16, mut disk: Disk) -> Self {
        let store_epoch = Some(disk.wall);
        let mut bench = Self::with_shards(Settings { store_epoch, ..settings }, count);
        for saved in disk.recover() {
            match saved {
                Saved::Retained(message) => {
                    bench.router.retained_mut().set(message, usize::MAX);
                }
                Saved::Session(session) => {
                    let home = usize::from(bench.shards[0].home(&session.image.client_id));
                    bench.shards[home].restore(bench.now, *session);
                }
            }
        }
        for shard in &mut bench.shards {
            shard.set_last_stored(disk.last_id());
        }
        bench.disk = Some(disk);
        bench
    }

    /// The broker is killed, and another starts on the same disk.
    pub(crate) fn kill(self, settings: Settings) -> Self {
        let count = u16::try_from(self.shards.len()).unwrap();
        let mut disk = self.disk.unwrap();
        disk.lose_unsynced(self.now);
        Self::with_disk(settings, count, disk)
    }

    pub(crate) fn memory_short(&mut self, short: bool) {
        for shard in &mut self.shards {
            shard.set_memory_short(short);
        }
    }

    /// What was said of dropped messages since last asked.
    pub(crate) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    pub(crate) fn store_behind(&mut self, behind: bool) {
        for shard in &mut self.shards {
            shard.set_store_behind(behind);
        }
    }

    /// The disk finishes what it was given so far.
    pub(crate) fn sync(&mut self) {
        for (shard, point) in self.disk.as_mut().unwrap().sync() {
            self.shards[shard].handle_persisted(self.now, point);
        }
        self.run();
    }

    /// A new stream of that name, CONNECT on it, and what came back.
    pub(crate) fn connect(&mut self, name: &str, connect: Connect<'_>) -> Vec<String> {
        self.open(name, 0);
        self.feed(name, &Packet::Connect(connect))
    }

    pub(crate) fn open(&mut self, name: &str, listener: u16) {
        let peer = Peer { address: None, listener, secured: None };
        let key = self.shards[0].handle_open(self.now, peer);
        let stream = Stream {
            shard: 0,
            key,
            peer,
            version: Version::V311,
            input: Vec::new(),
            output: Vec::new(),
            reading: true,
            open: true,
            login: None,
            told: false,
        };
        self.streams.insert(name.into(), stream);
    }

    /// Sends a packet; gives what this stream has received since last asked.
    pub(crate) fn feed(&mut self, name: &str, packet: &Packet<'_>) -> Vec<String> {
        if let Packet::Connect(connect) = packet {
            self.streams.get_mut(name).unwrap().version = connect.version;
        }
        let mut bytes = Vec::new();
        packet.encode(self.streams[name].version, &mut bytes).unwrap();
        self.feed_bytes(name, &bytes)
    }

    pub(crate) fn feed_bytes(&mut self, name: &str, bytes: &[u8]) -> Vec<String> {
        let stream = self.streams.get_mut(name).unwrap();
        if stream.open {
            stream.input.extend_from_slice(bytes);
        }
        self.run();
        self.take(name)
    }

    /// How often the broker has to be given these bytes until all are taken.
    pub(crate) fn turns_for(&mut self, name: &str, mut bytes: &[u8]) -> usize {
        let (shard, key) = (self.streams[name].shard, self.streams[name].key);
        let mut turns = 0;
        while !bytes.is_empty() {
            self.shards[shard].allow_filters(u32::MAX);
            bytes = &bytes[self.shards[shard].handle_input(self.now, key, bytes).consumed..];
            turns += 1;
        }
        turns
    }

    pub(crate) fn version(&mut self, name: &str, version: Version) {
        self.streams.get_mut(name).unwrap().version = version;
    }

    /// The stream breaks.
    pub(crate) fn cut(&mut self, name: &str) {
        self.cut_only(name);
        self.run();
    }

    /// The same, and nothing after it happens yet.
    pub(crate) fn cut_only(&mut self, name: &str) {
        let stream = &self.streams[name];
        let (shard, key) = (stream.shard, stream.key);
        self.shards[shard].handle_closed(self.now, key, Cause::StreamEnded);
    }

    pub(crate) fn reading(&mut self, name: &str, reading: bool) {
        self.streams.get_mut(name).unwrap().reading = reading;
        if reading {
            for shard in 0..self.shards.len() {
                self.flush_all(shard);
            }
        }
        self.run();
    }

    pub(crate) fn verdict(&mut self, name: &str, verdict: Verdict) -> Vec<String> {
        let stream = self.streams.get_mut(name).unwrap();
        assert!(stream.login.take().is_some(), "nobody asked");
        let (shard, key) = (stream.shard, stream.key);
        self.shards[shard].handle_verdict(self.now, key, verdict);
        self.run();
        self.take(name)
    }

    /// Other settings from now on.
    pub(crate) fn change(&mut self, settings: &Settings) {
        for shard in &mut self.shards {
            shard.handle_settings(Arc::new(settings.clone()), Arc::new([]));
        }
        self.run();
    }

    pub(crate) fn login(&self, name: &str) -> Option<&Login> {
        self.streams[name].login.as_ref()
    }

    /// Time goes on, deadline by deadline.
    pub(crate) fn wait(&mut self, millis: u64) {
        let end = Time(self.now.0 + millis);
        while let Some(at) = self.shards.iter().filter_map(Shard::next_timeout).min().filter(|t| *t <= end) {
            self.now = self.now.max(at);
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    pub(crate) fn shutdown(&mut self) {
        for shard in &mut self.shards {
            shard.handle_shutdown(self.now);
        }
        self.run();
    }

    /// What the stream has received since last asked, a line for each packet.
    pub(crate) fn take(&mut self, name: &str) -> Vec<String> {
        let stream = self.streams.get_mut(name).unwrap();
        let bytes = std::mem::take(&mut stream.output);
        let mut lines = Vec::new();
        let mut rest = &bytes[..];
        while let Some(frame) = decode_frame(rest, u32::MAX).unwrap() {
            let packet = Packet::parse(&frame, stream.version).unwrap();
            lines.push(show(&packet, stream.version));
            rest = &rest[frame.bytes.len()..];
        }
        assert!(rest.is_empty(), "the broker sent half a packet: {rest:?}");
        if !stream.open && !stream.told {
            stream.told = true;
            lines.push("closed".into());
        }
        lines
    }

    pub(crate) fn take_causes(&mut self) -> Vec<Cause> {
        std::mem::take(&mut self.causes.lock().unwrap())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shards[0].stats()
    }

    /// Sessions and connections.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.shards.iter().map(Shard::len).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    pub(crate) fn shard(&self, client_id: &str) -> u16 {
        self.shards[0].home(client_id)
    }

    /// Turns of all shards until nothing moves.
    pub(crate) fn run(&mut self) {
        for turn in 0.. {
            assert!(turn < 10_000, "the broker never comes to rest");
            let mut moved = false;
            for shard in 0..self.shards.len() {
                if let Some(left) = &mut self.steps_left {
                    let Some(less) = left.checked_sub(1) else { return };
                    *left = less;
                }
                moved |= self.turn(shard);
            }
            if !moved {
                return;
            }
        }
    }

    fn turn(&mut self, id: usize) -> bool {
        let mut moved = false;
        self.shards[id].start_turn();
        self.shards[id].allow_filters(self.filters);
        for stream in self.streams.values_mut().filter(|s| s.open && s.shard == id && !s.input.is_empty()) {
            let progress = self.shards[id].handle_input(self.now, stream.key, &stream.input);
            stream.input.drain(..progress.consumed);
            moved |= progress.consumed > 0 || matches!(progress.next, Next::Yield | Next::Later);
        }
        if self.shards[id].has_work() {
            self.shards[id].handle_timeout(self.now);
            moved = true;
        }
        while let Some(action) = self.shards[id].poll_action() {
            moved = true;
            self.act(id, action);
        }
        while let Some(key) = self.shards[id].poll_dirty() {
            moved |= self.flush(id, key);
        }
        while let Some(commit) = self.shards[id].poll_commit(self.now) {
            moved = true;
            let disk = self.disk.as_mut().expect("nothing is stored without a store");
            disk.submit(id, commit);
            if !disk.stalled {
                for (shard, point) in disk.sync() {
                    self.shards[shard].handle_persisted(self.now, point);
                }
            }
        }
        while let Some(key) = self.shards[id].poll_dirty() {
            moved |= self.flush(id, key);
        }
        for to in 0..self.shards.len() {
            if let Some(mail) = self.shards[id].poll_mail(u16::try_from(to).unwrap()) {
                let mut batch: Batch = std::mem::take(mail);
                // so small a budget that what is done in slices is tried everywhere
                loop {
                    self.shards[to].handle_mail(self.now, &mut batch, &mut 1);
                    if batch.is_done() {
                        break;
                    }
                }
                moved = true;
            }
        }
        moved
    }

    fn act(&mut self, id: usize, action: Action) {
        let of = |key: Key| move |s: &&mut Stream| s.open && s.shard == id && s.key == key;
        match action {
            Action::Close(key) => {
                self.flush(id, key);
                self.streams.values_mut().find(of(key)).unwrap().open = false;
                self.shards[id].release(key);
            }
            Action::Move(key, to) => {
                let stream = self.streams.values_mut().find(of(key)).unwrap();
                self.shards[id].release(key);
                stream.shard = usize::from(to);
                stream.key = self.shards[stream.shard].handle_open(self.now, stream.peer);
            }
            Action::Authenticate(key, login) => {
                self.streams.values_mut().find(of(key)).unwrap().login = Some(login);
            }
            // it is asked again with every turn
            Action::Resume(_) => {}
            Action::Control(..) => panic!("not asked for"),
        }
    }

    fn flush_all(&mut self, id: usize) {
        let keys: Vec<Key> =
            self.streams.values().filter(|s| s.open && s.shard == id).map(|s| s.key).collect();
        for key in keys {
            self.flush(id, key);
        }
    }

    /// Moves what the broker has for a stream that reads.
    fn flush(&mut self, id: usize, key: Key) -> bool {
        let mut moved = false;
        let Some(stream) = self.streams.values_mut().find(|s| s.open && s.shard == id && s.key == key) else {
            return false;
        };
        while stream.reading
            && let Some(outbox) = self.shards[id].outbox(key)
            && !outbox.is_empty()
        {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = outbox.slices(&mut slices);
            let before = stream.output.len();
            slices[..n].iter().for_each(|s| stream.output.extend_from_slice(s));
            let n = stream.output.len() - before;
            self.shards[id].sent(self.now, key, n);
            moved = true;
        }
        moved
    }
}

/// A packet in the fewest words that tell it from others.
fn show(packet: &Packet<'_>, version: Version) -> String {
    match packet {
        Packet::ConnAck(p) => show_connack(p, version),
        Packet::Publish(p) => show_publish(p),
        Packet::PubAck(a) => show_ack("PUBACK", a),
        Packet::PubRec(a) => show_ack("PUBREC", a),
        Packet::PubRel(a) => show_ack("PUBREL", a),
        Packet::PubComp(a) => show_ack("PUBCOMP", a),
        Packet::SubAck(p) => format!("SUBACK #{} {:?}", p.packet_id, p.codes),
        Packet::UnsubAck(p) => format!("UNSUBACK #{} {:?}", p.packet_id, p.codes),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(p) => format!("DISCONNECT {:?}", p.reason),
        Packet::Auth(p) => format!("AUTH {:?}{}", p.reason, show_proof(&p.properties)),
        other => format!("{other:?}"),
    }
}

fn show_connack(p: &grovemq_codec::ConnAck<'_>, version: Version) -> String {
    let mut line = match version {
        Version::V5 => format!("CONNACK {:?}", p.reason),
        _ => format!("CONNACK {}", p.reason.connack_v3()),
    };
    let present = if p.session_present { " present" } else { "" };
    line.push_str(present);
    let q = &p.properties;
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(line, " {name}={value}").unwrap();
        }
    };
    add("expiry", q.session_expiry.map(|v| v.to_string()));
    add("qos", q.maximum_qos.map(|v| v.to_string()));
    add("retain", q.retain_available.map(|v| v.to_string()));
    add("id", q.assigned_client_id.map(ToString::to_string));
    add("keep-alive", q.server_keep_alive.map(|v| v.to_string()));
    let proof = AuthProperties {
        authentication_method: q.authentication_method,
        authentication_data: q.authentication_data,
        ..AuthProperties::default()
    };
    line + &show_proof(&proof)
}

fn show_proof(p: &AuthProperties<'_>) -> String {
    let data = p.authentication_data.map_or("nothing".into(), String::from_utf8_lossy);
    p.authentication_method.map_or(String::new(), |method| format!(" {method}:{data}"))
}

fn show_ack(name: &str, ack: &Ack<'_>) -> String {
    match ack.reason {
        ReasonCode::Success => format!("{name} #{}", ack.packet_id),
        reason => format!("{name} #{} {reason:?}", ack.packet_id),
    }
}

fn show_publish(p: &Publish<'_>) -> String {
    let mut line = format!("PUBLISH {} q{}", p.topic, p.qos as u8);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(line, " {name}{value}").unwrap();
        }
    };
    add("#", p.packet_id.map(|id| id.to_string()));
    add("dup", p.dup.then(String::new));
    add("retain", p.retain.then(String::new));
    let mut ids: Vec<u32> = p.properties.subscription_ids.iter().collect();
    ids.sort_unstable();
    add("ids", (!ids.is_empty()).then(|| format!("{ids:?}")));
    add("alias", p.properties.topic_alias.map(|a| a.to_string()));
    add("expiry", p.properties.message_expiry.map(|s| s.to_string()));
    add("reply", p.properties.response_topic.map(ToString::to_string));
    add("type", p.properties.content_type.map(ToString::to_string));
    for (name, value) in &p.properties.user {
        write!(line, " {name}:{value}").unwrap();
    }
    let text = String::from_utf8_lossy(p.payload);
    if text.len() > 40 { write!(line, " <{}>", text.len()) } else { write!(line, " {text}") }.unwrap();
    line.trim_end().to_string()
}

/// CONNECT of MQTT 5, clean.
pub(crate) fn v5(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        properties: ConnectProperties::default(),
        client_id,
        will: None,
        username: None,
        password: None,
    }
}

/// CONNECT of MQTT 5 that resumes, and whose session lives so many seconds.
pub(crate) fn durable(client_id: &str, expiry: u32) -> Connect<'_> {
    let properties = ConnectProperties { session_expiry: Some(expiry), ..ConnectProperties::default() };
    Connect { clean_start: false, properties, ..v5(client_id) }
}

/// CONNECT of MQTT 3.1.1, clean.
pub(crate) fn v3(client_id: &str) -> Connect<'_> {
    Connect { version: Version::V311, ..v5(client_id) }
}

pub(crate) fn v3_durable(client_id: &str) -> Connect<'_> {
    Connect { clean_start: false, ..v3(client_id) }
}

pub(crate) fn will(topic: &str, delay: u32) -> Will<'_> {
    let properties = WillProperties { delay: (delay > 0).then_some(delay), ..WillProperties::default() };
    Will { qos: Qos::AtMostOnce, retain: false, properties, topic, payload: b"gone" }
}

/// A PUBLISH; the packet id counts only with QoS above 0.
pub(crate) fn message<'a>(qos: u8, packet_id: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        qos: Qos::from_u8(qos).unwrap(),
        packet_id: if qos > 0 { NonZeroU16::new(packet_id) } else { None },
        topic,
        payload: payload.as_bytes(),
        ..Publish::default()
    }
}

pub(crate) fn publish<'a>(qos: u8, packet_id: u16, topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(message(qos, packet_id, topic, payload))
}

pub(crate) fn with<'a>(mut publish: Publish<'a>, properties: PublishProperties<'a>) -> Packet<'a> {
    publish.properties = properties;
    Packet::Publish(publish)
}

pub(crate) fn options(qos: u8) -> SubscribeOptions {
    SubscribeOptions::qos(Qos::from_u8(qos).unwrap())
}

pub(crate) fn subscribe<'a>(filters: &'a [(&'a str, SubscribeOptions)]) -> Packet<'a> {
    subscribe_id(filters, None)
}

pub(crate) fn subscribe_id<'a>(filters: &'a [(&'a str, SubscribeOptions)], id: Option<u32>) -> Packet<'a> {
    Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        properties: SubscribeProperties { subscription_id: id, user: UserProperties::default() },
        filters: Filters::List(filters),
    })
}

pub(crate) fn unsubscribe<'a>(filters: &'a [&'a str]) -> Packet<'a> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: NonZeroU16::MIN,
        user_properties: UserProperties::default(),
        topics: Topics::List(filters),
    })
}

pub(crate) fn ack(kind: PacketType, packet_id: u16) -> Packet<'static> {
    ack_with(kind, packet_id, ReasonCode::Success)
}

pub(crate) fn ack_with(kind: PacketType, packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    let packet_id = NonZeroU16::new(packet_id).unwrap();
    let ack = Ack { packet_id, reason, properties: AckProperties::default() };
    match kind {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    }
}

pub(crate) fn disconnect(reason: ReasonCode, expiry: Option<u32>) -> Packet<'static> {
    let properties = DisconnectProperties { session_expiry: expiry, ..DisconnectProperties::default() };
    Packet::Disconnect(Disconnect { reason, properties })
}
