//! One client's byte stream: where it stands, what it was promised, what waits to be sent.

use crate::encode::Alias;
use crate::exchange::{Dialogue, Exchange};
use crate::meter::Meter;
use crate::observe::{Cause, Peer};
use crate::outbox::Outbox;
use crate::shard::Settings;
use crate::slab::Key;
use crate::{Time, held};
use grovemq_codec::Version;
use std::sync::Arc;

/// ```text
/// AwaitConnect ──CONNECT──► Authenticating ──allowed──► Live ──► Closing
///       └────────────────────────┴──────────refused──────────────►┘
/// ```
#[derive(Debug)]
pub(crate) enum Stage {
    AwaitConnect,
    /// The CONNECT packet's bytes, until the verdict; nothing is read meanwhile but what enhanced authentication asks for.
    Authenticating(Box<[u8]>),
    Live(Key),
    /// The driver sends what is left and closes.
    Closing,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts about one client, which combine freely")]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    /// Those in force when it was let in, for what it was promised then.
    pub(crate) terms: Arc<Settings>,
    /// Which change of rights its login was checked after.
    pub(crate) rights: u32,
    pub(crate) stage: Stage,
    pub(crate) version: Version,
    pub(crate) outbox: Outbox,
    /// In the shard's list of connections with something to send.
    pub(crate) dirty: bool,
    /// Another shard cannot keep up with what this client publishes.
    pub(crate) pressed: bool,
    /// Its last message had to be stored while the store was behind.
    pub(crate) storing: bool,
    /// Its last message of `QoS` 0 made it wait: the next goes alone.
    pub(crate) paced: bool,
    /// Client accepts reason strings and user properties on any packet.
    pub(crate) problem_information: bool,
    pub(crate) last_input: Time,
    /// When the client last took bytes.
    pub(crate) last_output: Time,
    /// Seconds; 0 is off.
    pub(crate) keep_alive: u16,
    /// The one timer that runs: connect deadline or keep-alive.
    pub(crate) timer: Option<Time>,
    /// The client's Maximum Packet Size.
    pub(crate) packet_bytes_max: u32,
    /// Bytes of its outbox that [`held`] knows of; payloads by reference are counted as messages.
    counted: u32,
    /// Outgoing QoS 1 and 2 messages it may have unanswered.
    pub(crate) window: u16,
    /// Slot of its latest topic in the match cache.
    pub(crate) topic_hint: u32,
    /// Serial of the latest cache entry it was allowed to publish to.
    pub(crate) allowed_serial: u64,
    /// A Session Expiry Interval of CONNECT that was 0 may not be raised later.
    pub(crate) expiry_at_connect: u32,
    pub(crate) aliases: Option<Box<Aliases>>,
    /// Said in CONNECT (3.x) that it is a bridge.
    pub(crate) bridge: bool,
    /// The latest commit point that an acknowledgement for it waits for.
    pub(crate) held: u64,
    /// The user name that the client's certificate says.
    pub(crate) identity: Option<Box<str>>,
    /// Where CONNECT named an authentication method.
    pub(crate) dialogue: Option<Box<Dialogue>>,
    /// Where there is a limit to how fast it may publish.
    pub(crate) meter: Option<Box<Meter>>,
}

/// Topic aliases of both directions.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    incoming: Vec<Option<Box<str>>>,
    incoming_max: u16,
    outgoing: Vec<Box<str>>,
    outgoing_max: u16,
}

impl Connection {
    pub(crate) fn new(peer: Peer, now: Time, terms: Arc<Settings>, rights: u32) -> Self {
        Self {
            peer,
            terms,
            rights,
            stage: Stage::AwaitConnect,
            version: Version::V311,
            outbox: Outbox::default(),
            dirty: false,
            pressed: false,
            storing: false,
            paced: false,
            problem_information: true,
            last_input: now,
            last_output: now,
            keep_alive: 0,
            timer: None,
            packet_bytes_max: u32::MAX,
            counted: 0,
            window: 0,
            topic_hint: 0,
            allowed_serial: 0,
            expiry_at_connect: 0,
            aliases: None,
            bridge: false,
            held: 0,
            identity: None,
            dialogue: None,
            meter: None,
        }
    }

    /// Whether it is the client's turn in an exchange that CONNECT began.
    pub(crate) fn is_asked(&self) -> bool {
        self.dialogue.as_ref().is_some_and(|d| d.exchange == Exchange::Asking)
    }

    #[inline]
    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// Tells [`held`] how the outbox has grown or shrunk since.
    #[inline]
    pub(crate) fn count(&mut self) {
        let bytes = u32::try_from(self.outbox.copied()).unwrap_or(u32::MAX);
        held::grow(bytes as usize);
        held::shrink(core::mem::replace(&mut self.counted, bytes) as usize);
    }

    /// The same once nobody sends it any more.
    pub(crate) fn uncount(&mut self) {
        held::shrink(core::mem::take(&mut self.counted) as usize);
    }

    /// A client of the broker itself.
    pub(crate) fn is_inside(&self) -> bool {
        self.peer.listener == Peer::INSIDE.listener
    }

    /// The last moment of the keep-alive: one and a half times its interval. [MQTT-3.1.2-22]
    pub(crate) fn keep_alive_deadline(&self) -> Option<Time> {
        let millis = u64::from(self.keep_alive) * 1500;
        (millis > 0).then(|| Time(self.last_input.0 + millis))
    }
}

impl Aliases {
    pub(crate) fn new(incoming_max: u16, outgoing_max: u16) -> Self {
        Self { incoming: Vec::new(), incoming_max, outgoing: Vec::new(), outgoing_max }
    }

    /// Topics may go out by alias.
    #[inline]
    pub(crate) fn assigns(&self) -> bool {
        self.outgoing_max > 0
    }

    /// The topic a client's PUBLISH means; remembers a new alias. [MQTT-3.3.2-7] [MQTT-3.3.2-9]
    pub(crate) fn resolve(&mut self, alias: u16, topic: &str) -> Result<&str, Cause> {
        if alias == 0 || alias > self.incoming_max {
            return Err(Cause::TopicAliasInvalid);
        }
        let place = usize::from(alias - 1);
        if !topic.is_empty() {
            if self.incoming.len() <= place {
                self.incoming.resize(place + 1, None);
            }
            if let Some(slot) = self.incoming.get_mut(place)
                && slot.as_deref() != Some(topic)
            {
                *slot = Some(topic.into());
            }
        }
        let known = self.incoming.get(place).and_then(Option::as_deref);
        known.ok_or(Cause::Protocol("unknown topic alias"))
    }

    /// The alias to send a topic with. The first topics get one and keep it.
    pub(crate) fn assign(&mut self, topic: &str) -> Alias {
        let number = |place: usize| u16::try_from(place + 1).unwrap_or(0);
        if let Some(place) = self.outgoing.iter().position(|t| **t == *topic) {
            return Alias::Known(number(place));
        }
        if self.outgoing.len() < usize::from(self.outgoing_max) {
            self.outgoing.push(topic.into());
            return Alias::New(number(self.outgoing.len() - 1));
        }
        Alias::None
    }

    /// Takes the latest assignment back: its packet was not sent.
    pub(crate) fn unassign(&mut self, alias: Alias) {
        if matches!(alias, Alias::New(_)) {
            self.outgoing.pop();
        }
    }
}
