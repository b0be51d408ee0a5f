//! What a shard holds at the moment, for reports.

use super::Shard;
use crate::connection::Stage;
use crate::observe::{Census, Stats};
use crate::slab::Key;

/// A walk over the shard's tables, some slots at a time.
#[derive(Debug, Default)]
pub(super) struct Walk {
    at: u32,
    /// Of the walk under way.
    found: Census,
    /// Of the latest one that came to its end.
    whole: Census,
}

impl Shard {
    /// Counters and holdings. Looks at no more than `slots_max` slots and goes on from there at the next call, so that
    /// a large shard's holdings are those of a few calls before.
    pub fn report(&mut self, slots_max: u32) -> (Stats, Census) {
        let slots = self.clients.sessions.slots().max(self.clients.connections.slots());
        let end = slots.min(self.walk.at.saturating_add(slots_max));
        for index in self.walk.at..end {
            self.count_slot(index);
        }
        self.walk.at = end;
        if end == slots {
            self.walk = Walk { at: 0, found: Census::default(), whole: self.walk.found };
        }
        let (sessions, _) = self.len();
        let census =
            Census { sessions: sessions as u64, connected: self.clients.connected, ..self.walk.whole };
        (self.stats(), census)
    }

    /// Sessions and their client ids from that slot on, no more than `slots_max` of them; the next slot, if there are more.
    pub fn client_ids(&self, from: u32, slots_max: u32) -> (Vec<(Key, Box<str>)>, Option<u32>) {
        let sessions = &self.clients.sessions;
        let end = sessions.slots().min(from.saturating_add(slots_max));
        let id = |index| {
            let key = sessions.key_at(index)?;
            Some((key, sessions.get(key)?.client_id.clone()))
        };
        ((from..end).filter_map(id).collect(), (end < sessions.slots()).then_some(end))
    }

    fn count_slot(&mut self, index: u32) {
        let found = &mut self.walk.found;
        if let Some(session) = self.clients.sessions.at(index) {
            let (messages, bytes) = session.outgoing.held();
            found.messages += messages as u64;
            found.message_bytes += bytes as u64;
        }
        if let Some(c) = self.clients.connections.at(index)
            && !matches!(c.stage, Stage::Closing)
        {
            found.output_bytes += c.outbox.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::{Peer, Silent};
    use crate::{ListenerSettings, Router, Settings, Shard, Time};
    use std::sync::Arc;

    #[test]
    fn a_large_shard_is_walked_in_pieces() {
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Settings { listeners: vec![listener], ..Settings::default() };
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        let mut shard = Shard::new(0, 1, router, Arc::new(settings), Box::new(Silent));
        for n in b'a'..=b'e' {
            let key = shard.handle_open(Time(0), Peer { address: None, listener: 0, secured: None });
            let connect = [b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01".as_slice(), &[n]].concat();
            shard.handle_input(Time(0), key, &connect);
        }
        let reports: Vec<_> = (0..4).map(|_| shard.report(2).1).collect();
        assert!(reports.iter().all(|r| (r.sessions, r.connected) == (5, 5)), "{reports:?}");
        // five CONNACKs of four bytes, known when the walk is through
        assert_eq!(reports.iter().map(|r| r.output_bytes).collect::<Vec<_>>(), [0, 0, 20, 20]);
        assert_eq!(shard.report(100).0.connects, 5);
    }
}
