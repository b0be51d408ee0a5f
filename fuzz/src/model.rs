//! Sessions as one would write them down on paper: lists, and a look at each of them for each message.

use grovemq_codec::{Packet, Publish, Version};
use std::collections::{BTreeMap, VecDeque};

/// Seconds that a session of MQTT 5 lives which is to outlive its connection.
pub const EXPIRY: u32 = 100;
/// Of all clients together.
const PENDING_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: &'static str,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    /// Subscription identifiers, sorted.
    pub ids: Vec<u32>,
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub qos: u8,
    pub no_local: bool,
    pub as_published: bool,
    /// 0 is none.
    pub id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// With a packet id.
    Sent(u16),
    /// The same, and its PUBREC has come.
    Released(u16),
}

/// A message of QoS 1 or 2 on its way.
#[derive(Clone, Debug)]
struct Entry {
    message: Message,
    state: State,
    /// Those of one batch come in any order.
    batch: u64,
    /// Sent over an earlier connection, and to be sent again first.
    due: bool,
    /// The broker has been killed since, and may not know whether it was sent.
    restored: bool,
}

#[derive(Debug, Default)]
struct Session {
    subscriptions: BTreeMap<&'static str, Subscription>,
    pending: VecDeque<Entry>,
    expiry: u32,
    /// It has been one that outlives its connection, and the store has it since.
    stored: bool,
    /// In milliseconds, while there is no connection.
    expires: Option<u64>,
    will: Option<Message>,
}

pub struct Client {
    pub version: Version,
    pub receive_max: Option<u16>,
    pub stream: Option<usize>,
    /// Sent and not released yet, at most.
    window: usize,
    session: Option<Session>,
    /// QoS 0 messages that must come now.
    at_once: VecDeque<(u64, Message)>,
    aliases: BTreeMap<u16, &'static str>,
}

pub struct Model {
    pub clients: Vec<Client>,
    retained: BTreeMap<&'static str, Message>,
    batch: u64,
}

impl Model {
    /// A client of 3.1.1 and two of 5, the last of which takes two messages at a time.
    pub fn new(inflight_max: u16) -> Self {
        let inflight_max = if inflight_max == 0 { u16::MAX } else { inflight_max };
        let client = |(version, receive_max): (Version, Option<u16>)| Client {
            version,
            receive_max,
            stream: None,
            window: receive_max.unwrap_or(u16::MAX).min(inflight_max).into(),
            session: None,
            at_once: VecDeque::new(),
            aliases: BTreeMap::new(),
        };
        let kinds = [(Version::V311, None), (Version::V5, None), (Version::V5, Some(2))];
        Self { clients: kinds.map(client).into(), retained: BTreeMap::new(), batch: 0 }
    }

    /// Whether so much is under way that retained messages might have to wait.
    pub fn is_full(&self) -> bool {
        self.sessions().map(|session| session.pending.len()).sum::<usize>() > PENDING_MAX
    }

    /// Whether a session is there to be resumed.
    pub fn connect(
        &mut self,
        now: u64,
        client: usize,
        stream: usize,
        clean: bool,
        expiry: u32,
        will: Option<Message>,
    ) -> bool {
        self.disconnect(now, client, true);
        if clean {
            self.clients[client].session = None;
        }
        let client = &mut self.clients[client];
        let present = client.session.is_some();
        let session = client.session.get_or_insert_default();
        session.expiry = expiry;
        session.stored |= expiry > 0;
        session.expires = None;
        session.will = will;
        for entry in &mut session.pending {
            entry.due = entry.state != State::Waiting;
        }
        client.stream = Some(stream);
        client.aliases.clear();
        present
    }

    /// The stream is gone; without a DISCONNECT its will goes out.
    pub fn disconnect(&mut self, now: u64, client: usize, broken: bool) {
        if self.clients[client].stream.take().is_none() {
            return;
        }
        let Some(session) = &mut self.clients[client].session else { return };
        let will = session.will.take().filter(|_| broken);
        let expiry = session.expiry;
        session.expires = (expiry != u32::MAX).then(|| now + u64::from(expiry) * 1000);
        if let Some(will) = will {
            self.publish(None, &will);
        }
        if expiry == 0 {
            self.clients[client].session = None;
        }
    }

    pub fn kill(&mut self, now: u64) {
        for client in &mut self.clients {
            let was_connected = client.stream.take().is_some();
            client.session.take_if(|session| session.expiry == 0);
            let Some(session) = &mut client.session else { continue };
            session.will = None;
            if was_connected && session.expiry != u32::MAX {
                session.expires = Some(now + u64::from(session.expiry) * 1000);
            }
            session.pending.iter_mut().for_each(|entry| entry.restored = true);
        }
    }

    pub fn wait(&mut self, now: u64) {
        for client in &mut self.clients {
            client.session.take_if(|session| session.expires.is_some_and(|at| at <= now));
        }
    }

    /// `always` sends retained messages even where the subscription is not new.
    pub fn subscribe(
        &mut self,
        client: usize,
        filter: &'static str,
        to: &Subscription,
        retained: bool,
        always: bool,
    ) {
        self.batch += 1;
        let Some(session) = &mut self.clients[client].session else { return };
        let new = session.subscriptions.insert(filter, to.clone()).is_none();
        if !retained || !(new || always) {
            return;
        }
        let found: Vec<Message> =
            self.retained.values().filter(|m| matches(filter, m.topic)).cloned().collect();
        for message in found {
            let ids = if to.id == 0 { Vec::new() } else { vec![to.id] };
            let message = Message { qos: message.qos.min(to.qos), retain: true, ids, ..message };
            self.clients[client].deliver(self.batch, message);
        }
    }

    /// Whether it was there.
    pub fn unsubscribe(&mut self, client: usize, filter: &str) -> bool {
        let session = self.clients[client].session.as_mut();
        session.is_some_and(|session| session.subscriptions.remove(filter).is_some())
    }

    /// A message of a client, or of nobody: a will.
    pub fn publish(&mut self, from: Option<usize>, message: &Message) {
        self.batch += 1;
        if message.retain && message.payload.is_empty() {
            self.retained.remove(message.topic);
        } else if message.retain {
            self.retained.insert(message.topic, message.clone());
        }
        for (id, client) in self.clients.iter_mut().enumerate() {
            let Some(session) = &client.session else { continue };
            let all = session.subscriptions.iter().filter(|(filter, _)| matches(filter, message.topic));
            let all: Vec<&Subscription> = all.map(|(_, subscription)| subscription).collect();
            let Some(qos) = all.iter().map(|s| s.qos).max() else { continue };
            if from == Some(id) && all.iter().all(|s| s.no_local) {
                continue;
            }
            let mut ids: Vec<u32> = all.iter().map(|s| s.id).filter(|id| *id != 0).collect();
            ids.sort_unstable();
            let retain = message.retain && all.iter().any(|s| s.as_published);
            client.deliver(self.batch, Message { qos: message.qos.min(qos), retain, ids, ..message.clone() });
        }
    }

    /// What has to be in the store: sessions, subscriptions and messages on their way.
    pub fn stored(&self) -> (usize, usize, usize, usize) {
        let stored = || self.sessions().filter(|session| session.stored);
        let subscriptions = stored().map(|session| session.subscriptions.len()).sum();
        let pending = stored().map(|session| session.pending.len()).sum();
        (stored().count(), subscriptions, pending, self.retained.len())
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.clients.iter().filter_map(|client| client.session.as_ref())
    }
}

impl Client {
    fn deliver(&mut self, batch: u64, message: Message) {
        let Some(session) = &mut self.session else { return };
        if message.qos > 0 {
            let state = State::Waiting;
            session.pending.push_back(Entry { message, state, batch, due: false, restored: false });
        } else if self.stream.is_some() {
            self.at_once.push_back((batch, message));
        }
    }

    /// A PUBLISH that came.
    pub fn receive(&mut self, packet: &Publish<'_>) {
        let topic = match packet.properties.topic_alias {
            Some(alias) if packet.topic.is_empty() => self.aliases[&alias],
            Some(alias) => {
                let known = known(packet.topic);
                self.aliases.insert(alias, known);
                known
            }
            None => known(packet.topic),
        };
        let mut ids: Vec<u32> = packet.properties.subscription_ids.iter().collect();
        ids.sort_unstable();
        let (payload, qos, retain) = (packet.payload.to_vec(), packet.qos as u8, packet.retain);
        let message = Message { topic, payload, qos, retain, ids };
        let Some(id) = packet.packet_id else { return self.receive_at_once(&message) };
        let session = self.session.as_mut().expect("a session");
        let due = |entry: &Entry| entry.due && matches!(entry.state, State::Sent(_));
        if packet.dup || session.pending.iter().any(|entry| due(entry) && entry.restored) {
            let again = session.pending.iter_mut().find(|entry| due(entry));
            if let Some(again) = again {
                assert_eq!((&again.message, again.state), (&message, State::Sent(id.get())), "sent again");
                assert!(packet.dup || again.restored);
                again.due = false;
                return;
            }
        }
        let state = |entry: &Entry| entry.state;
        assert!(session.pending.iter().all(|entry| !due(entry)), "{message:?} before what must come again");
        let in_use =
            |entry: &Entry| [State::Sent(id.get()), State::Released(id.get())].contains(&state(entry));
        assert!(!session.pending.iter().any(in_use), "{id} is in use");
        let batch =
            session.pending.iter().find(|entry| entry.state == State::Waiting).map(|entry| entry.batch);
        let fits = |entry: &&mut Entry| entry.state == State::Waiting && entry.message == message;
        let same_batch = session.pending.iter_mut().filter(|entry| Some(entry.batch) == batch);
        let entry = same_batch.into_iter().find(fits);
        let entry = entry.unwrap_or_else(|| panic!("not its turn: {message:?}"));
        assert!(!packet.dup || entry.restored, "{message:?} for the first time");
        entry.state = State::Sent(id.get());
    }

    fn receive_at_once(&mut self, message: &Message) {
        let batch = self.at_once.front().map(|(batch, _)| *batch);
        let found = self.at_once.iter().position(|(b, m)| Some(*b) == batch && m == message);
        let found = found.unwrap_or_else(|| panic!("{message:?} instead of {:?}", self.at_once));
        self.at_once.remove(found);
    }

    /// A PUBREL that came. Whether it came again, and is to be answered by [`Client::answer`] some time.
    pub fn release(&mut self, id: u16) -> bool {
        let session = self.session.as_mut().expect("a session");
        // it waits for the store where the PUBREC it answers may not be safe yet, and messages do not wait for it
        let due =
            session.pending.iter_mut().find(|entry| entry.due && matches!(entry.state, State::Released(_)));
        let Some(due) = due else { return false };
        assert_eq!(due.state, State::Released(id), "{due:?}");
        due.due = false;
        true
    }

    /// What to answer to one of the messages under way: its packet id, its QoS, and whether it is released.
    pub fn answer(&mut self, which: usize) -> Option<(u16, u8, bool)> {
        let session = self.session.as_mut()?;
        let under_way = |(place, entry): (usize, &Entry)| match entry.state {
            State::Waiting => None,
            State::Sent(id) => Some((place, id, entry.message.qos, false)),
            State::Released(id) => Some((place, id, entry.message.qos, true)),
        };
        let all: Vec<_> = session.pending.iter().enumerate().filter_map(under_way).collect();
        let (place, id, qos, released) = *all.get(which.checked_rem(all.len())?)?;
        if qos == 2 && !released {
            session.pending[place].state = State::Released(id);
        } else {
            session.pending.remove(place);
        }
        Some((id, qos, released))
    }

    /// Whether anything is under way.
    pub fn answer_is_due(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.pending.is_empty())
    }

    /// All that had to come has come.
    pub fn check(&self) {
        assert!(self.at_once.is_empty(), "did not come: {:?}", self.at_once);
        let (Some(session), Some(_)) = (&self.session, self.stream) else { return };
        assert!(session.pending.iter().all(|entry| !entry.due), "not sent again: {:?}", session.pending);
        let under_way = session.pending.iter().filter(|entry| entry.state != State::Waiting).count();
        assert_eq!(under_way, session.pending.len().min(self.window), "{:?}", session.pending);
    }
}

/// Filters and names of the model have one or two levels.
fn matches(filter: &str, name: &str) -> bool {
    let wild = !name.starts_with('$');
    match filter.split_once('/') {
        None => filter == name || filter == "#" && wild,
        Some((first, second)) => name.split_once('/').is_some_and(|(a, b)| {
            (first == a || first == "+" && wild) && (second == b || second == "+" || second == "#")
        }),
    }
}

/// Topics that are published to.
pub const TOPICS: [&str; 4] = ["t/0", "t/1", "s/0", "$x/0"];

fn known(topic: &str) -> &'static str {
    TOPICS.into_iter().find(|known| *known == topic).expect("a topic somebody published to")
}

/// Packet name and number, for a packet that is not a PUBLISH.
pub fn summary(packet: &Packet<'_>) -> String {
    match packet {
        Packet::PubAck(ack) => format!("PUBACK {}", ack.packet_id),
        Packet::PubRec(ack) => format!("PUBREC {}", ack.packet_id),
        Packet::PubComp(ack) => format!("PUBCOMP {}", ack.packet_id),
        Packet::ConnAck(ack) => format!("CONNACK {}", ack.session_present),
        Packet::SubAck(ack) => format!("SUBACK {:?}", ack.codes.iter().collect::<Vec<_>>()),
        Packet::UnsubAck(ack) => format!("UNSUBACK {:?}", ack.codes.iter().collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
