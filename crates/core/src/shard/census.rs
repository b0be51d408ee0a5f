//! What a shard holds at the moment, for reports.

use super::Shard;
use crate::connection::Stage;
use crate::observe::{Census, Stats};

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
