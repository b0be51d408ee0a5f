//! What a store gave back becomes sessions again, and sessions become stored.

use super::Shard;
use crate::Time;
use crate::journal::{QueuedImage, SavedSession, StoredId};
use crate::outgoing::Parcel;
use crate::router::{SessionRef, Subscription};
use crate::session::{NEVER, Session, Stored, Will};
use crate::slab::Key;
use crate::timers::Timer;

impl Shard {
    /// The highest id of any session ever stored; after the last [`Shard::restore`].
    pub fn set_last_stored(&mut self, id: StoredId) {
        self.clients.journal.begin_above(id);
    }

    /// Takes a session back after a restart, before the first turn; [`Shard::home`] of its client id says which shard.
    pub fn restore(&mut self, now: Time, saved: SavedSession) {
        let SavedSession { image, subscriptions, queue, received } = saved;
        if self.clients.find(&image.client_id).is_some() || !self.router.add_session(usize::MAX) {
            return;
        }
        let mut session = Session::new(&image.client_id);
        session.username = image.username;
        session.mount = image.mount.map(Into::into);
        session.expiry = image.expiry;
        let last = queue.last().map_or(0, |(seq, _)| *seq);
        session.stored = Some(Box::new(Stored { id: image.id, seq: last }));
        session.restore_received(received);
        let entries = queue.into_iter().map(|(seq, entry)| {
            let parcel =
                |q: QueuedImage| Parcel { message: q.message, qos: q.qos, retain: q.retain, ids: q.ids, seq };
            (seq, entry.map(parcel))
        });
        let window = match self.settings.limits.inflight_max {
            0 => usize::from(u16::MAX),
            n => usize::from(n),
        };
        session.outgoing.restore(entries.collect(), window);
        let journal = &self.clients.journal;
        if session.expiry != NEVER {
            // a client that was connected when the broker ended has its time from now on; no other has more, whatever
            // the wall clock says
            let latest = now.after_seconds(session.expiry);
            let at = image.expires.map_or(latest, |wall| journal.time(wall).min(latest));
            session.expires = Some(at);
        }
        if let Some(will) = image.will {
            let due = journal.time(will.due);
            session.will_due = Some(session.expires.map_or(due, |end| due.min(end)));
            session.will = Some(Box::new(Will { message: will.message, delay: 0, expiry: will.expiry }));
        }
        let (expires, will_due, mounted) = (session.expires, session.will_due, session.mount.is_some());
        let key = self.clients.insert(session);
        if let Some(at) = expires {
            self.timers.set(at, Timer::SessionExpiry(key));
        }
        if let Some(at) = will_due {
            self.timers.set(at, Timer::Will(key));
        }
        for s in subscriptions {
            let subscription = Subscription {
                session: SessionRef { shard: self.id, key },
                qos: s.options.qos,
                no_local: s.options.no_local,
                retain_as_published: s.options.retain_as_published,
                mounted,
                online: false,
                stored: true,
                id: s.id,
            };
            let (node, new) = self.router.subscribe(&s.filter, s.group.as_deref(), subscription);
            if new && let Some(session) = self.clients.sessions.get_mut(key) {
                session.subscriptions.insert(node, s.group.as_deref());
            }
        }
    }

    /// A session that outlives its connection is stored. One that does not ends before anybody else could resume it.
    pub(super) fn settle_stored(&mut self, session_key: Key) {
        let journal = &mut self.clients.journal;
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        if !journal.is_on() || session.expiry == 0 && session.stored.is_none() {
            return;
        }
        session.stored.get_or_insert_with(|| Box::new(journal.adopt()));
        journal.describe(session);
    }
}
