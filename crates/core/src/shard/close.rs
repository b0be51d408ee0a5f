//! The end of connections and sessions, and the wills that come with it.

use super::{Action, Shard};
use crate::Time;
use crate::connection::Stage;
use crate::journal::Record;
use crate::observe::{Cause, Event};
use crate::router::SessionRef;
use crate::session::{NEVER, Will};
use crate::slab::Key;
use crate::timers::Timer;
use grovemq_codec::ReasonCode;

/// Subscriptions of ended sessions that are taken away in one turn: more than are added, so that they do not pile up.
const LEAVES_MAX: usize = 192;
/// Those of one session in shared groups that are taken away with it.
const SHARED_LEAVES_MAX: usize = 1000;

impl Shard {
    /// Ends a connection, once. What is in its outbox is still sent.
    pub(super) fn close(&mut self, now: Time, key: Key, cause: Cause) {
        let Some(c) = self.clients.connections.get(key) else { return };
        if matches!(c.stage, Stage::Closing) {
            return;
        }
        let peer = c.peer;
        let session_key = self.session_of(key);
        if !matches!(cause, Cause::Disconnect(_) | Cause::StreamEnded | Cause::StreamError) {
            self.send_disconnect(now, key, cause);
        }
        self.set_connection_timer(key, None);
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.stage = Stage::Closing;
        }
        self.unfinished.remove(&key);
        self.actions.push_back(Action::Close(key));
        let session = session_key.and_then(|s| self.clients.sessions.get(s));
        let event = Event::Disconnected {
            peer,
            client_id: session.map(|s| &*s.client_id),
            username: session.and_then(|s| s.username.as_deref()),
            cause,
            dropped: session.map_or(0, |s| s.outgoing.drops.total()),
        };
        self.clients.observer.on(now, event);
        if let Some(session) = session_key {
            self.clients.connected = self.clients.connected.saturating_sub(1);
            self.detach(now, session, cause);
        }
    }

    /// A session loses its connection.
    fn detach(&mut self, now: Time, session_key: Key, cause: Cause) {
        self.set_members_online(session_key, false);
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        session.connection = None;
        session.replays.clear();
        self.clients.end_drops(now, session_key);
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        // [MQTT-3.1.2-8] [MQTT-3.14.4-3]
        if cause == Cause::Disconnect(ReasonCode::NormalDisconnection) {
            session.will = None;
        }
        let expiry = session.expiry;
        if expiry == 0 {
            self.end_session(now, session_key);
            return;
        }
        if expiry != NEVER {
            let at = now.after_seconds(expiry);
            session.expires = Some(at);
            self.timers.set(at, Timer::SessionExpiry(session_key));
        }
        match session.will.as_ref().map(|w| w.delay) {
            None => {}
            Some(0) => self.send_will(now, session_key),
            Some(delay) => {
                let at = now.after_seconds(delay);
                session.will_due = Some(at);
                self.timers.set(at, Timer::Will(session_key));
            }
        }
        if let Some(session) = self.clients.sessions.get(session_key) {
            self.clients.journal.describe(session);
        }
    }

    /// Clients whose queues are full, where that is what happens to them.
    pub(super) fn close_overfull(&mut self, now: Time) {
        for session in core::mem::take(&mut self.clients.overfull) {
            if let Some(key) = self.clients.sessions.get(session).and_then(|s| s.connection) {
                self.close(now, key, Cause::QuotaExceeded);
            }
        }
    }

    /// Forgets a session; its will goes out if it still waits. [MQTT-3.1.2-10]
    pub(super) fn end_session(&mut self, now: Time, session_key: Key) {
        self.send_will(now, session_key);
        self.clients.end_drops(now, session_key);
        let Some(mut session) = self.clients.remove(session_key) else { return };
        self.router.remove_session();
        self.timers.stop(session.expires, Timer::SessionExpiry(session_key));
        let session_ref = SessionRef { shard: self.id, key: session_key };
        let stored = session.stored_id();
        self.bequeath(now, session_ref, &mut session);
        let mut subscriptions = session.subscriptions.leave();
        let at_once = subscriptions.len().min(LEAVES_MAX).min(self.filters_left as usize);
        self.filters_left -= u32::try_from(at_once).unwrap_or(0);
        let at_once = at_once.max(subscriptions.shared_len().min(SHARED_LEAVES_MAX));
        self.router.unsubscribe_some(session_ref, subscriptions.by_ref().take(at_once));
        if subscriptions.len() > 0 {
            self.leaving.push((session_ref, subscriptions));
        }
        if let Some(id) = stored {
            self.clients.journal.record(Record::Ended(id));
        }
    }

    /// A slice of the subscriptions of ended sessions. What still matches them finds nobody.
    pub(super) fn leave_some(&mut self) {
        let mut left = LEAVES_MAX;
        while left > 0
            && let Some((session, subscriptions)) = self.leaving.last_mut()
        {
            let some = subscriptions.len().min(left);
            self.router.unsubscribe_some(*session, subscriptions.by_ref().take(some));
            left -= some;
            if subscriptions.len() == 0 {
                self.leaving.pop();
            }
        }
    }

    fn send_will(&mut self, now: Time, session_key: Key) {
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        self.timers.stop(session.will_due.take(), Timer::Will(session_key));
        let Some(will) = session.will.take() else { return };
        let source = session.source(false);
        let Will { message, expiry, .. } = *will;
        let message = match expiry {
            None => message,
            Some(seconds) => {
                let expires = Some(now.after_seconds(seconds));
                crate::MessageRef { expires, ..message.view() }.to_shared()
            }
        };
        self.publish_will(now, &message, source);
    }

    pub(super) fn on_will_timer(&mut self, now: Time, session_key: Key) {
        if let Some(session) = self.clients.sessions.get_mut(session_key) {
            session.will_due = None;
            self.send_will(now, session_key);
            if let Some(session) = self.clients.sessions.get(session_key) {
                self.clients.journal.describe(session);
            }
        }
    }

    pub(super) fn on_expiry_timer(&mut self, now: Time, session_key: Key) {
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        session.expires = None;
        self.clients.stats.sessions_expired += 1;
        self.clients.observer.on(now, Event::SessionExpired { client_id: &session.client_id });
        self.end_session(now, session_key);
    }
}
