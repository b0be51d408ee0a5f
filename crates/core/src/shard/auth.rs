//! Enhanced authentication (MQTT 5, 4.12): CONNECT with a method, AUTH, and what the driver makes of them.

use super::{Action, Shard, Verdict};
use crate::Time;
use crate::access::{Login, Words};
use crate::connection::Stage;
use crate::exchange::{Dialogue, Exchange, Step, Turn};
use crate::observe::Cause;
use crate::slab::Key;
use crate::timers::Timer;
use grovemq_codec::{Auth, AuthProperties, Connect, Frame, Packet, ReasonCode, Version, decode_frame};

impl Shard {
    /// CONNECT names a method: nothing else counts until the exchange is over.
    pub(super) fn begin_exchange(
        &mut self,
        key: Key,
        frame: &Frame<'_>,
        connect: &Connect<'_>,
        client_id: &str,
        method: &str,
    ) -> Result<(), Cause> {
        let first = connect.properties.authentication_data.unwrap_or_default();
        if first.len() > self.settings.limits.auth_bytes_max {
            return Err(Cause::QuotaExceeded);
        }
        let words = Words { method: method.into(), said: vec![first.into()] };
        let username = connect.username.map(Into::into);
        let login = Login { client_id: client_id.into(), username, password: None, words: Some(words) };
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.stage = Stage::Authenticating(frame.bytes.into());
            c.rights = self.clients.rights;
            let (exchange, login) = (Exchange::Judging, login.clone());
            c.dialogue = Some(Box::new(Dialogue { exchange, login, rounds: 0, deadline: None }));
        }
        self.actions.push_back(Action::Authenticate(key, login));
        Ok(())
    }

    /// A packet between CONNECT and CONNACK. [MQTT-3.1.2-30]
    pub(super) fn on_answer_to_challenge(
        &mut self,
        now: Time,
        key: Key,
        frame: &Frame<'_>,
    ) -> Result<(), Cause> {
        self.clients.stats.messages_received += 1;
        let version = self.clients.connections.get(key).map_or(Version::V5, |c| c.version);
        let done = match Packet::parse(frame, version) {
            Ok(Packet::Auth(auth)) => self.on_auth(now, key, &auth),
            Ok(Packet::Disconnect(p)) => return Err(Cause::Disconnect(p.reason)),
            Ok(_) => Err(Cause::Protocol("only AUTH and DISCONNECT may come before CONNACK")),
            Err(e) => Err(e.into()),
        };
        done.map_err(|cause| self.refuse(key, cause))
    }

    pub(super) fn on_auth(&mut self, now: Time, key: Key, auth: &Auth<'_>) -> Result<(), Cause> {
        let limits = &self.settings.limits;
        let (rounds_max, bytes_max) = (limits.auth_rounds_max, limits.auth_bytes_max);
        let deadline = now + limits.auth_time_max;
        let Some(c) = self.clients.connections.get_mut(key) else { return Ok(()) };
        // [MQTT-4.12.0-7] [MQTT-4.12.0-6]
        let Some(dialogue) = &mut c.dialogue else {
            return Err(Cause::Protocol("AUTH without an authentication method"));
        };
        let Some(words) = &mut dialogue.login.words else { return Ok(()) };
        // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        if auth.properties.authentication_method != Some(&words.method) {
            return Err(Cause::Protocol("AUTH with another method than CONNECT"));
        }
        let turn = match auth.reason {
            ReasonCode::ContinueAuthentication => Turn::Continue,
            ReasonCode::ReAuthenticate => Turn::Again,
            _ => Turn::Success,
        };
        if dialogue.exchange.on(turn) != Step::Judge {
            return Err(Cause::Protocol("AUTH out of place"));
        }
        dialogue.rounds += 1;
        let data = auth.properties.authentication_data.unwrap_or_default();
        let bytes = words.said.iter().map(Vec::len).sum::<usize>() + data.len();
        if dialogue.rounds > rounds_max || bytes > bytes_max {
            return Err(Cause::QuotaExceeded);
        }
        words.said.push(data.into());
        let login = dialogue.login.clone();
        if dialogue.exchange == Exchange::Judging {
            c.rights = self.clients.rights;
        }
        if turn == Turn::Again {
            dialogue.deadline = Some(deadline);
            self.timers.set(deadline, Timer::Exchange(key));
        }
        self.actions.push_back(Action::Authenticate(key, login));
        Ok(())
    }

    /// What the driver makes of the client's words.
    pub(super) fn on_judged(&mut self, now: Time, key: Key, verdict: Verdict) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        if matches!(c.stage, Stage::Closing) {
            return;
        }
        let Some(dialogue) = &mut c.dialogue else { return };
        if dialogue.exchange == Exchange::Judging && c.rights != self.clients.rights {
            // the rights have changed meanwhile
            c.rights = self.clients.rights;
            let login = dialogue.login.clone();
            return self.judge_once_more(now, key, login);
        }
        let known = dialogue.login.username.as_deref();
        let (turn, cause) = match &verdict {
            Verdict::Challenge(_) => (Turn::Challenge, Cause::NotAuthorized),
            // whoever CONNECT named, or was here before, it must be the same one
            Verdict::Proven { username, .. } if known.is_none_or(|known| known == username) => {
                (Turn::Proven, Cause::NotAuthorized)
            }
            Verdict::Unavailable => (Turn::Refused, Cause::ServerUnavailable),
            Verdict::UnknownMethod => (Turn::Refused, Cause::BadAuthenticationMethod),
            Verdict::Allow | Verdict::Deny | Verdict::Proven { .. } => (Turn::Refused, Cause::NotAuthorized),
        };
        match (dialogue.exchange.on(turn), verdict) {
            (Step::Ask, Verdict::Challenge(data)) => {
                let method = dialogue.said(data.clone());
                self.send_auth(now, key, ReasonCode::ContinueAuthentication, &method, &data);
            }
            (Step::Admit, Verdict::Proven { username, data }) => {
                let method = dialogue.agree(username.clone());
                self.admit_proven(now, key, &username, &method, &data);
            }
            (Step::Confirm, Verdict::Proven { username, data }) => {
                let method = dialogue.agree(username);
                let deadline = dialogue.deadline.take();
                self.timers.stop(deadline, Timer::Exchange(key));
                self.send_auth(now, key, ReasonCode::Success, &method, &data);
            }
            (Step::TurnAway, _) => self.turn_away(now, key, cause),
            // "server unavailable" is a reason of CONNACK only
            (Step::CutOff, Verdict::Unavailable) => self.close(now, key, Cause::QuotaExceeded),
            (Step::CutOff, _) => self.close(now, key, cause),
            _ => {}
        }
    }

    fn judge_once_more(&mut self, now: Time, key: Key, login: Login) {
        let peer = self.clients.connections.get(key).map(|c| c.peer);
        let listener = peer.and_then(|p| self.listener(p));
        if listener.is_some_and(|l| l.authenticate && !l.retired) {
            self.actions.push_back(Action::Authenticate(key, login));
        } else {
            self.turn_away(now, key, Cause::ServerUnavailable);
        }
    }

    /// A re-authentication takes too long.
    pub(super) fn on_exchange_timer(&mut self, now: Time, key: Key) {
        let Some(dialogue) = self.clients.connections.get_mut(key).and_then(|c| c.dialogue.as_mut()) else {
            return;
        };
        dialogue.deadline = None;
        if dialogue.exchange.on(Turn::Refused) == Step::CutOff {
            self.close(now, key, Cause::NotAuthorized);
        }
    }

    fn admit_proven(&mut self, now: Time, key: Key, username: &str, method: &str, data: &[u8]) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        let Stage::Authenticating(bytes) = &mut c.stage else { return };
        let bytes = core::mem::take(bytes);
        if let Ok(Some(frame)) = decode_frame(&bytes, u32::MAX)
            && let Ok(mut connect) = Connect::parse(&frame)
        {
            connect.username = Some(username);
            self.accept(now, key, &connect, Some((method, data)));
        }
    }

    /// [MQTT-4.12.0-2] [MQTT-4.12.0-5]
    fn send_auth(&mut self, now: Time, key: Key, reason: ReasonCode, method: &str, data: &[u8]) {
        let properties = AuthProperties {
            authentication_method: Some(method),
            authentication_data: (!data.is_empty()).then_some(data),
            ..AuthProperties::default()
        };
        let auth = Packet::Auth(Auth { reason, properties });
        if self.fits(key, &auth) {
            return self.send_packet(now, key, &auth);
        }
        // without it the client would wait for ever
        match self.session_of(key) {
            Some(_) => self.close(now, key, Cause::PacketTooLarge),
            None => self.turn_away(now, key, Cause::PacketTooLarge),
        }
    }
}

impl Dialogue {
    /// The server's next words; gives the method.
    fn said(&mut self, data: Vec<u8>) -> Box<str> {
        let Some(words) = &mut self.login.words else { return Box::default() };
        words.said.push(data);
        words.method.clone()
    }

    /// It is over, and this is the user; gives the method.
    fn agree(&mut self, username: String) -> Box<str> {
        self.rounds = 0;
        self.login.username = Some(username);
        let Some(words) = &mut self.login.words else { return Box::default() };
        words.said = Vec::new();
        words.method.clone()
    }
}
