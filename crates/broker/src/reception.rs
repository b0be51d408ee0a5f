//! Connections on their way in: PROXY header, TLS handshake, WebSocket upgrade, and who may pass after them.

use crate::inbox::{Arrival, Permit};
use crate::limits::LOBBY_TIME_MAX;
use crate::log::Log;
use crate::observer::address;
use crate::tls::{Claim, Rules};
use grovemq_config::LogType;
use grovemq_core::Time;
use grovemq_core::observe::Peer;
use grovemq_net::{Admitted, Entry, Guest, Refusal, Stream};
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::sync::Arc;

/// A connection just accepted.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) stream: Stream,
    pub(crate) entry: Entry,
    pub(crate) rules: Arc<Rules>,
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
}

#[derive(Debug)]
struct Visit {
    guest: Guest,
    rules: Arc<Rules>,
    peer: Peer,
    permit: Permit,
    deadline: Time,
}

/// Those who wait for a client's next bytes, as many as there are permits. One whose client has said all at once never waits:
/// it passes with its first bytes, and its socket is registered where it stays.
#[derive(Debug)]
pub(crate) struct Reception {
    /// The token of the first visit; the others count up.
    first: usize,
    visits: Vec<Option<Visit>>,
    free: Vec<usize>,
    /// In the order of arrival; a slot may have another visitor by then.
    deadlines: VecDeque<(Time, usize)>,
    log: Log,
}

impl Reception {
    pub(crate) fn new(first: usize, log: Log) -> Self {
        Self { first, visits: Vec::new(), free: Vec::new(), deadlines: VecDeque::new(), log }
    }

    /// Lets a connection in as far as it has come; who passes at once is returned.
    pub(crate) fn receive(&mut self, registry: &Registry, now: Time, newcomer: Newcomer) -> Option<Arrival> {
        let Newcomer { stream, entry, rules, peer, permit } = newcomer;
        let deadline = now + LOBBY_TIME_MAX;
        let mut visit = Visit { guest: Guest::new(stream, entry), rules, peer, permit, deadline };
        match visit.guest.advance() {
            Ok(Some(admitted)) => return self.admit(visit, admitted),
            Err(refusal) => self.refuse(visit.peer, &refusal),
            Ok(None) => self.wait(registry, visit),
        }
        None
    }

    /// Goes on with the one whose socket is ready; once it has passed, no registry knows the socket.
    pub(crate) fn advance(&mut self, registry: &Registry, token: Token) -> Option<Arrival> {
        let slot = token.0.wrapping_sub(self.first);
        let visit = self.visits.get_mut(slot)?.as_mut()?;
        let result = visit.guest.advance();
        if matches!(result, Ok(None)) {
            return None;
        }
        let visit = self.take(slot)?;
        match result {
            Ok(admitted) => {
                let mut admitted = admitted?;
                registry.deregister(&mut admitted.stream).ok();
                self.admit(visit, admitted)
            }
            Err(refusal) => {
                self.refuse(visit.peer, &refusal);
                None
            }
        }
    }

    /// Drops those who have taken too long.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some((at, slot)) = self.deadlines.front().copied()
            && at <= now
        {
            self.deadlines.pop_front();
            let here = self.visits.get(slot).and_then(Option::as_ref);
            if here.is_some_and(|v| v.deadline == at)
                && let Some(visit) = self.take(slot)
                && self.log.connection_messages()
            {
                self.log.notice(format!("Client {} disconnected: exceeded timeout.", address(visit.peer)));
            }
        }
    }

    /// When [`Reception::expire`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    fn wait(&mut self, registry: &Registry, mut visit: Visit) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.visits.push(None);
            self.visits.len() - 1
        });
        let (token, interest) = (Token(self.first + slot), Interest::READABLE | Interest::WRITABLE);
        let registered = visit.guest.stream_mut().map(|stream| registry.register(stream, token, interest));
        if let (Some(Ok(())), Some(place)) = (registered, self.visits.get_mut(slot)) {
            self.deadlines.push_back((visit.deadline, slot));
            *place = Some(visit);
        } else {
            self.free.push(slot);
        }
    }

    fn take(&mut self, slot: usize) -> Option<Visit> {
        let visit = self.visits.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(visit)
    }

    fn admit(&self, visit: Visit, admitted: Admitted) -> Option<Arrival> {
        let Visit { rules, mut peer, permit, .. } = visit;
        let Admitted { stream, proxy, secured, certificate, readable } = admitted;
        if let Some(source) = proxy.as_ref().and_then(|p| p.source) {
            peer.address = Some(source);
        }
        peer.secured = secured;
        let behind = proxy.and_then(|p| p.tls);
        if let Some(tls) = &behind
            && self.log.connection_messages()
        {
            let (version, cipher) = (tls.version.as_deref(), tls.cipher.as_deref());
            let (version, cipher) = (version.unwrap_or("TLS"), cipher.unwrap_or("unknown"));
            self.log
                .notice(format!("Connection from {} negotiated {version} cipher {cipher}", address(peer)));
        }
        match rules.identify(&Claim { certificate: certificate.as_deref(), proxy: behind.as_ref() }) {
            Ok(identity) => Some(Arrival { stream, peer, identity, permit, readable }),
            Err(why) => {
                self.log.notice(format!("Connection from {} rejected, {why}.", address(peer)));
                None
            }
        }
    }

    #[cold]
    fn refuse(&self, peer: Peer, refusal: &Refusal) {
        let who = address(peer);
        match refusal {
            Refusal::Proxy => self.log.notice("Connection rejected, corrupt PROXY header."),
            Refusal::IsTls => self.log.notice(tls_on_plain(&who)),
            Refusal::NotTls => {
                self.log
                    .notice(format!("Client from {who} appears to connect without TLS to a TLS listener."));
            }
            _ => {}
        }
        if self.log.connection_messages() {
            self.log.line(LogType::Notice, format!("Client {who} disconnected: {refusal}."));
        }
    }
}

/// The original's words.
pub(crate) fn tls_on_plain(who: &str) -> String {
    format!("Client from {who} appears to be using TLS to connect to a non-TLS listener.")
}
