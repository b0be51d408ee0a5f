//! What the broker keeps for a client across connections.

use crate::access::{Access, Authorize, Source, Who};
use crate::journal::StoredId;
use crate::outgoing::OnDemand;
use crate::qos::{Arrival, Receiver, ReceiverStep};
use crate::router::{Cursor, Subscribed};
use crate::shard::mounted;
use crate::slab::Key;
use crate::{Message, Time};
use foldhash::fast::FixedState;
use grovemq_codec::SubscribeOptions;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Session expiry interval that never ends.
pub(crate) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Box<str>,
    pub(crate) username: Option<Box<str>>,
    pub(crate) access: Option<Arc<dyn Authorize>>,
    /// The listener it was last used through, whose rules these are.
    pub(crate) listener: Option<u16>,
    /// The change of rights that what waits in it was compared with.
    pub(crate) rights: u32,
    /// What its client does not see of its topics.
    pub(crate) mount: Option<Arc<str>>,
    /// The connection it has now.
    pub(crate) connection: Option<Key>,
    pub(crate) subscriptions: Subscribed,
    pub(crate) outgoing: OnDemand,
    /// It survives a restart.
    pub(crate) stored: Option<Box<Stored>>,
    /// Packet ids of QoS 2 publishes received and not released.
    received: Option<Box<HashSet<u16, FixedState>>>,
    /// Seconds it lives on without a connection.
    pub(crate) expiry: u32,
    pub(crate) expires: Option<Time>,
    pub(crate) will: Option<Box<Will>>,
    /// When a delayed will goes out.
    pub(crate) will_due: Option<Time>,
    /// Retained messages still to be sent for new subscriptions, by filter.
    pub(crate) replays: BTreeMap<Box<str>, Replay>,
    /// In the shard's list of sessions with replays.
    pub(crate) replaying: bool,
}

/// How the store knows a session.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: StoredId,
    /// The place of its latest message in its order.
    pub(crate) seq: u64,
}

#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) message: Arc<Message>,
    /// Seconds.
    pub(crate) delay: u32,
    /// Seconds; counted from when the will is published.
    pub(crate) expiry: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) options: SubscribeOptions,
    /// 0 is none.
    pub(crate) id: u32,
    pub(crate) cursor: Cursor,
}

/// A session's right to read, for many messages in a row.
#[derive(Debug)]
pub(crate) struct Reader {
    client_id: Box<str>,
    username: Option<Box<str>>,
    access: Option<Arc<dyn Authorize>>,
    mount: Option<Arc<str>>,
    /// The last answer: messages of one topic often stand together.
    latest: Option<(Box<str>, bool)>,
}

impl Reader {
    pub(crate) fn may_read(&mut self, topic: &str) -> bool {
        let Some(access) = &self.access else { return true };
        if let Some((of, answer)) = &self.latest
            && **of == *topic
        {
            return *answer;
        }
        let who = Who { client_id: &self.client_id, username: self.username.as_deref() };
        let whole = mounted(self.mount.as_deref(), topic);
        let answer = whole.is_some_and(|t| access.check(who, Access::Read, &t).is_ok());
        self.latest = Some((topic.into(), answer));
        answer
    }
}

impl Session {
    pub(crate) fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            username: None,
            access: None,
            listener: None,
            rights: 0,
            mount: None,
            connection: None,
            subscriptions: Subscribed::None,
            outgoing: OnDemand::default(),
            stored: None,
            received: None,
            expiry: 0,
            expires: None,
            will: None,
            will_due: None,
            replays: BTreeMap::new(),
            replaying: false,
        }
    }

    pub(crate) fn who(&self) -> Who<'_> {
        Who { client_id: &self.client_id, username: self.username.as_deref() }
    }

    /// Its client may receive what is published there; the topic is the client's, without mount point.
    pub(crate) fn may_read(&self, topic: &str) -> bool {
        self.access.is_none() || self.reader().may_read(topic)
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader {
            client_id: self.client_id.clone(),
            username: self.username.clone(),
            access: self.access.clone(),
            mount: self.mount.clone(),
            latest: None,
        }
    }

    /// The author of what this session publishes, where there are rules for it or it is a bridge.
    pub(crate) fn source(&self, bridge: bool) -> Option<Source> {
        let (client_id, username) = (self.client_id.clone(), self.username.clone());
        let access = self.access.clone();
        (bridge || access.is_some()).then_some(Source { client_id, username, access, bridge })
    }

    /// QoS 2 towards the broker. [MQTT-4.3.3-2]
    pub(crate) fn on_arrival(&mut self, packet_id: u16, arrival: Arrival) -> ReceiverStep {
        let known = self.has_received(packet_id);
        let mut state = if known { Receiver::AwaitPubRel } else { Receiver::Fresh };
        let step = state.on(arrival);
        match state {
            Receiver::AwaitPubRel if !known => {
                self.received.get_or_insert_default().insert(packet_id);
            }
            Receiver::Fresh if known => {
                self.received.get_or_insert_default().remove(&packet_id);
            }
            _ => {}
        }
        step
    }

    /// The store's name for it and the place of its next message; `None` where nothing is stored.
    pub(crate) fn next_seq(&mut self) -> Option<(StoredId, u64)> {
        let stored = self.stored.as_mut()?;
        stored.seq += 1;
        Some((stored.id, stored.seq))
    }

    /// Whether there may be something to send as soon as there is room.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.outgoing.drops.is_on() || self.outgoing.is_waiting() || !self.replays.is_empty()
    }

    /// The place of its next message; 0 where nothing is stored.
    #[inline]
    pub(crate) fn upcoming(&self) -> u64 {
        self.stored.as_ref().map_or(0, |s| s.seq + 1)
    }

    /// Whether what was sent and not acknowledged may be sent again: by another connection, after a restart, or to another
    /// member of a shared group.
    #[inline]
    pub(crate) fn may_resend(&self) -> bool {
        self.expiry > 0 || self.stored.is_some() || self.subscriptions.has_shared()
    }

    pub(crate) fn stored_id(&self) -> Option<StoredId> {
        self.stored.as_ref().map(|s| s.id)
    }

    /// Packet ids that were received and not released before a restart.
    pub(crate) fn restore_received(&mut self, ids: Vec<u16>) {
        if !ids.is_empty() {
            self.received.get_or_insert_default().extend(ids);
        }
    }

    pub(crate) fn has_received(&self, packet_id: u16) -> bool {
        self.received.as_ref().is_some_and(|all| all.contains(&packet_id))
    }

    pub(crate) fn received_len(&self) -> usize {
        self.received.as_ref().map_or(0, |all| all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    /// Each idle client costs one of each; what few clients need at a time goes into a box.
    #[test]
    fn a_client_takes_little_memory() {
        assert!(size_of::<Session>() <= 200);
        assert!(size_of::<Connection>() <= 248);
    }
}
