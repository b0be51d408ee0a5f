//! Other settings while the shard runs, and what follows from them for the clients that are here.
//!
//! New settings hold at once. What a client was promised in CONNACK (packet size, QoS, aliases, window) holds for it until
//! its connection ends. Who may no longer be here is told and closed, and messages that wait for a client which may no
//! longer read them are dropped: both in slices, so that a large shard goes on with its work, and no such message is sent
//! before its slice has come. What the outbox holds was sent already, as far as this is concerned.

use super::clients::Clients;
use super::{ListenerSettings, Settings, Shard};
use crate::Time;
use crate::access::Authorize;
use crate::connection::{Connection, Stage};
use crate::observe::Cause;
use crate::session::Session;
use crate::slab::Key;
use std::collections::HashSet;
use std::sync::Arc;

/// Slots and messages looked at in one turn.
const RECHECK_WORK: usize = 2000;

/// Users of one listener whose logins no longer count.
#[derive(Clone, Debug, Default)]
pub enum Revoked {
    #[default]
    Nobody,
    /// All that have a name: it was not checked, or by others.
    Everybody,
    These(Arc<HashSet<String>>),
}

impl Revoked {
    fn contains(&self, username: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::These(names) => names.contains(username),
        }
    }
}

/// A walk over all connections and sessions after a change of rights.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    under_way: bool,
    /// The next slot.
    at: u32,
    /// By listener: of the changes whose walks have not come to an end, each with its number.
    revoked: Vec<(u32, Arc<[Revoked]>)>,
}

impl Recheck {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }
}

impl Shard {
    /// Takes over other settings, those of listeners by the same numbers as before. `revoked` is by listener, too. The
    /// seed and the store's epoch stay those of the start.
    ///
    /// Access rules may have changed behind their [`Authorize`] without a change of settings: this is to be called then,
    /// too.
    pub fn handle_settings(&mut self, settings: Arc<Settings>, revoked: Arc<[Revoked]>) {
        let same = |(old, new): (&ListenerSettings, &ListenerSettings)| {
            same_rules(old.access.as_ref(), new.access.as_ref())
        };
        let rules_stay = self.settings.listeners.iter().zip(&settings.listeners).all(same);
        self.clients.limits = settings.limits.clone();
        self.clients.set_memory_short(self.clients.short);
        self.clients.queue_qos0 = settings.queue_qos0;
        self.clients.upgrade_qos = settings.upgrade_outgoing_qos;
        self.clients.rights = self.clients.rights.wrapping_add(1);
        self.cache.reset(settings.allow_duplicates);
        self.settings = settings;
        if !rules_stay {
            let listeners = &self.settings.listeners;
            for session in self.clients.sessions.values_mut() {
                // one from before a restart has no rules until its client comes and shows where from
                if let Some(listener) = session.listener.and_then(|l| listeners.get(usize::from(l))) {
                    session.access.clone_from(&listener.access);
                }
            }
        }
        self.recheck.revoked.push((self.clients.rights, revoked));
        (self.recheck.under_way, self.recheck.at) = (true, 0);
    }

    /// A slice of the walk.
    pub(super) fn recheck_some(&mut self, now: Time) {
        if !self.recheck.under_way {
            return;
        }
        let slots = self.clients.sessions.slots().max(self.clients.connections.slots());
        let mut left = RECHECK_WORK;
        while left > 0 && self.recheck.at < slots {
            let index = self.recheck.at;
            left -= 1;
            if let Some(key) = self.clients.connections.key_at(index)
                && let Some(cause) = self.unwelcome(key)
            {
                self.close(now, key, cause);
            }
            if let Some(key) = self.clients.sessions.key_at(index) {
                self.clients.renew_rights(key);
                let looked_at = self.clients.recheck_queue(key, left);
                left -= looked_at.min(left);
                if self.clients.sessions.get(key).is_some_and(|s| s.outgoing.is_unchecked()) {
                    // the same slot goes on in the next turn
                    continue;
                }
                if looked_at > 0 {
                    // what was in the way of other messages may be gone
                    self.clients.pump(now, key, &mut self.variants);
                }
            }
            self.recheck.at += 1;
        }
        if self.recheck.at >= slots {
            self.recheck = Recheck::default();
        }
    }

    /// Why a connection cannot stay, if so.
    fn unwelcome(&self, key: Key) -> Option<Cause> {
        let c = self.clients.connections.get(key)?;
        let listener = self.listener(c.peer)?;
        if listener.retired {
            return Some(Cause::Administrative);
        }
        let Stage::Live(session) = c.stage else { return None };
        if listener.identity_as_username {
            return None;
        }
        let session = self.clients.sessions.get(session)?;
        let welcome = match session.username.as_deref() {
            None => listener.allow_anonymous,
            Some(name) => (listener.authenticate || listener.allow_anonymous) && !self.is_revoked(c, name),
        };
        (!welcome).then_some(Cause::NotAuthorized)
    }

    fn is_revoked(&self, c: &Connection, username: &str) -> bool {
        // who came after a change has been checked by it
        let before = |change: u32| change.wrapping_sub(c.rights).cast_signed() > 0;
        let by_listener = |all: &Arc<[Revoked]>| {
            all.get(usize::from(c.peer.listener)).is_some_and(|revoked| revoked.contains(username))
        };
        self.recheck.revoked.iter().any(|(change, all)| before(*change) && by_listener(all))
    }
}

impl Clients {
    /// Before anything that waits is sent: if rights have changed since, it is to be compared with them.
    #[inline]
    pub(super) fn renew_rights(&mut self, key: Key) {
        if self.sessions.get(key).is_some_and(|s| s.rights != self.rights) {
            self.renew(key);
        }
    }

    #[cold]
    fn renew(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.rights = self.rights;
        if session.access.is_some() {
            let mut reader = session.reader();
            let connected = session.connection.is_some();
            let Some(outgoing) = session.outgoing.get_mut() else { return };
            let gone = outgoing.begin_recheck(connected, |m| reader.may_read(m.topic()));
            self.forget(key, &gone);
        }
    }

    /// Compares some of what is queued for a session with its rights; gives how many messages it looked at.
    fn recheck_queue(&mut self, key: Key, budget: usize) -> usize {
        let Some(session) = self.sessions.get_mut(key) else { return 0 };
        if !session.outgoing.is_unchecked() {
            return 0;
        }
        let mut reader = session.reader();
        let (looked_at, gone) = session.outgoing.recheck_some(budget, |m| reader.may_read(m.topic()));
        self.forget(key, &gone);
        looked_at
    }

    /// Messages of a session, by their places in the stored order, were dropped.
    fn forget(&mut self, key: Key, gone: &[u64]) {
        self.stats.publish_dropped += gone.len() as u64;
        let stored = self.sessions.get(key).and_then(Session::stored_id);
        for seq in gone {
            self.journal.finished(stored, *seq);
        }
    }
}

/// The same object stands behind both, or none.
pub(super) fn same_rules(old: Option<&Arc<dyn Authorize>>, new: Option<&Arc<dyn Authorize>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, Who};
    use crate::observe::{Peer, Silent};
    use crate::{Action, Limits, Router};

    /// Lets everybody do everything, or read nothing below `secret/`.
    #[derive(Debug)]
    struct Rules(bool);

    impl Authorize for Rules {
        fn check(&self, _: Who<'_>, access: Access, topic: &str) -> Result<(), String> {
            let allowed = self.0 || access == Access::Write || !topic.starts_with("secret");
            if allowed { Ok(()) } else { Err("no".into()) }
        }
    }

    fn settings(open: bool, change: impl FnOnce(&mut ListenerSettings)) -> Arc<Settings> {
        let rules: Arc<dyn Authorize> = Arc::new(Rules(open));
        let mut listener =
            ListenerSettings { allow_anonymous: true, access: Some(rules), ..ListenerSettings::default() };
        change(&mut listener);
        let limits = Limits { queue_messages_max: 0, ..Limits::default() };
        Arc::new(Settings { listeners: vec![listener], limits, ..Settings::default() })
    }

    fn shard() -> Shard {
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        Shard::new(0, 1, router, settings(true, |_| {}), Box::new(Silent))
    }

    /// A client of 3.1.1 with a session that stays; with a user name if it is not empty.
    fn connect(shard: &mut Shard, id: u8, username: &str) -> Key {
        let key = shard.handle_open(Time(0), Peer { address: None, listener: 0, secured: None });
        let name = if username.is_empty() {
            Vec::new()
        } else {
            [&[0, u8::try_from(username.len()).unwrap()], username.as_bytes()].concat()
        };
        let length = 13 + u8::try_from(name.len()).unwrap();
        let flags = if name.is_empty() { 0 } else { 0x80 };
        let head = [0x10, length, 0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 0, 0, 1, id];
        shard.handle_input(Time(0), key, &[&head[..], &name].concat());
        key
    }

    fn publish(shard: &mut Shard, topic: &str) {
        shard.handle_publish(Time(0), topic, b"x", grovemq_codec::Qos::AtLeastOnce, false);
    }

    fn queued(shard: &Shard, id: &str) -> usize {
        let key = shard.clients.find(id).unwrap();
        shard.clients.sessions.get(key).unwrap().outgoing.len()
    }

    fn drain(shard: &mut Shard, key: Key) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(outbox) = shard.outbox(key).filter(|o| !o.is_empty()) {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let n = outbox.slices(&mut slices);
            all.extend(slices[..n].iter().flat_map(|s| s.iter().copied()));
            let n = outbox.len();
            shard.sent(Time(0), key, n);
        }
        all
    }

    #[test]
    fn what_an_absent_client_may_no_longer_read_goes_in_slices() {
        let mut shard = shard();
        let key = connect(&mut shard, b'a', "");
        shard.handle_input(Time(0), key, b"\x82\x06\0\x01\0\x01#\x01");
        shard.handle_closed(Time(0), key, Cause::StreamEnded);
        for n in 0..RECHECK_WORK * 2 {
            publish(&mut shard, if n % 4 == 0 { "open" } else { "secret/a" });
        }
        assert_eq!(queued(&shard, "a"), RECHECK_WORK * 2);
        shard.handle_settings(settings(false, |_| {}), Arc::default());
        let mut slices = 0;
        while shard.has_work() {
            let before = queued(&shard, "a");
            shard.handle_timeout(Time(0));
            assert!(before - queued(&shard, "a") <= RECHECK_WORK, "a slice is too large");
            slices += 1;
        }
        assert!(slices > 2, "{slices}");
        assert_eq!(queued(&shard, "a"), RECHECK_WORK / 2);
        let key = shard.clients.find("a").unwrap();
        let (_, bytes) = shard.clients.sessions.get(key).unwrap().outgoing.held();
        let size = crate::MessageRef {
            topic: "open",
            properties: &[],
            payload: b"x",
            qos: grovemq_codec::Qos::AtLeastOnce,
            retain: false,
            expires: None,
        };
        assert_eq!(bytes, size.to_shared().size() * RECHECK_WORK / 2, "the queue's bytes are miscounted");
    }

    #[test]
    fn nothing_that_waits_is_sent_against_new_rules_even_before_its_slice() {
        let mut shard = shard();
        let key = connect(&mut shard, b'a', "");
        shard.handle_input(Time(0), key, b"\x82\x06\0\x01\0\x01#\x01");
        for _ in 0..30 {
            publish(&mut shard, "secret/a");
        }
        publish(&mut shard, "open");
        let text = drain(&mut shard, key);
        assert_eq!(text.windows(6).filter(|w| w == b"secret").count(), 20, "the window");
        shard.handle_settings(settings(false, |_| {}), Arc::default());
        // no turn in between: an acknowledgement opens the window before the walk
        shard.handle_input(Time(0), key, b"\x40\x02\0\x01");
        let text = drain(&mut shard, key);
        assert!(!text.windows(6).any(|w| w == b"secret"), "{text:?}");
        assert!(text.windows(4).any(|w| w == b"open"), "{text:?}");
    }

    #[test]
    fn who_may_not_stay_is_closed_and_others_stay() {
        let closed = |shard: &mut Shard| {
            while shard.has_work() {
                shard.handle_timeout(Time(0));
            }
            let mut keys = Vec::new();
            while let Some(action) = shard.poll_action() {
                if let Action::Close(key) = action {
                    keys.push(key);
                }
            }
            keys
        };
        let mut shard = shard();
        let (nobody, eve, adam) = (
            connect(&mut shard, b'a', ""),
            connect(&mut shard, b'b', "eve"),
            connect(&mut shard, b'c', "adam"),
        );
        shard.handle_settings(settings(true, |_| {}), Arc::default());
        assert_eq!(closed(&mut shard), []);

        let names = Arc::new(HashSet::from(["eve".to_string()]));
        shard.handle_settings(settings(true, |_| {}), Arc::new([Revoked::These(names)]));
        // who comes after the change was checked by it
        let again = connect(&mut shard, b'd', "eve");
        assert_eq!(closed(&mut shard), [eve]);

        let authenticated = |l: &mut ListenerSettings| (l.allow_anonymous, l.authenticate) = (false, true);
        shard.handle_settings(settings(true, authenticated), Arc::default());
        assert_eq!(closed(&mut shard), [nobody]);

        shard.handle_settings(settings(true, |l| l.retired = true), Arc::default());
        let mut rest = closed(&mut shard);
        rest.sort_unstable();
        assert_eq!(rest, [adam, again]);
    }
}
