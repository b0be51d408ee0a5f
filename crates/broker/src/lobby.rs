//! Threads in which connections are made ready: PROXY header, TLS handshake, WebSocket upgrade. A handshake may take
//! milliseconds of computing, and a client as long as it likes; neither is the event loops' concern.

use crate::event_loop::WAKE;
use crate::inbox::{Arrival, Inbox, Letter, Permit};
use crate::limits::{EVENTS, LOBBY_TIME_MAX};
use crate::log::Log;
use crate::observer::address;
use crate::tls::{Claim, Rules};
use grovemq_config::LogType;
use grovemq_core::observe::Peer;
use grovemq_net::{Admitted, Entry, Guest, Refusal, Stream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// A connection just accepted.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) stream: Stream,
    pub(crate) entry: Entry,
    pub(crate) rules: Arc<Rules>,
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
}

/// The way into a lobby.
#[derive(Clone, Debug)]
pub(crate) struct LobbyDoor {
    sender: Sender<Newcomer>,
    waker: Arc<Waker>,
}

impl LobbyDoor {
    pub(crate) fn enter(&self, newcomer: Newcomer) {
        if self.sender.send(newcomer).is_ok() {
            self.waker.wake().ok();
        }
    }

    pub(crate) fn wake(&self) {
        self.waker.wake().ok();
    }
}

struct Visit {
    guest: Guest,
    rules: Arc<Rules>,
    peer: Peer,
    permit: Permit,
    deadline: Instant,
}

pub(crate) struct Lobby {
    poll: Poll,
    newcomers: Receiver<Newcomer>,
    inboxes: Vec<Arc<Inbox>>,
    /// The shard that gets the next one.
    next: usize,
    visits: Vec<Option<Visit>>,
    free: Vec<usize>,
    /// In the order of arrival; a slot may have another visitor by then.
    deadlines: VecDeque<(Instant, usize)>,
    stop: Arc<AtomicBool>,
    log: Log,
}

impl Lobby {
    pub(crate) fn new(
        inboxes: Vec<Arc<Inbox>>,
        stop: Arc<AtomicBool>,
        log: Log,
    ) -> io::Result<(Self, LobbyDoor)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, newcomers) = channel();
        let (visits, free, deadlines) = (Vec::new(), Vec::new(), VecDeque::new());
        let lobby = Self { poll, newcomers, inboxes, next: 0, visits, free, deadlines, stop, log };
        Ok((lobby, LobbyDoor { sender, waker }))
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stop.load(Ordering::Acquire) {
            let now = Instant::now();
            let timeout = self.deadlines.front().map(|(at, _)| at.saturating_duration_since(now));
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                if event.token() != WAKE {
                    self.advance(event.token().0);
                }
            }
            while let Ok(newcomer) = self.newcomers.try_recv() {
                self.receive(newcomer);
            }
            self.expire(Instant::now());
        }
        Ok(())
    }

    fn receive(&mut self, newcomer: Newcomer) {
        let Newcomer { stream, entry, rules, peer, permit } = newcomer;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.visits.push(None);
            self.visits.len() - 1
        });
        let mut guest = Guest::new(stream, entry);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = match guest.stream_mut() {
            Some(stream) => self.poll.registry().register(stream, Token(slot), interest),
            None => Ok(()),
        };
        if registered.is_err() {
            self.free.push(slot);
            return;
        }
        let deadline = Instant::now() + LOBBY_TIME_MAX;
        if let Some(place) = self.visits.get_mut(slot) {
            *place = Some(Visit { guest, rules, peer, permit, deadline });
        }
        self.deadlines.push_back((deadline, slot));
        self.advance(slot);
    }

    fn advance(&mut self, slot: usize) {
        let Some(Some(visit)) = self.visits.get_mut(slot) else { return };
        match visit.guest.advance() {
            Ok(None) => {}
            Ok(Some(admitted)) => {
                if let Some(visit) = self.take(slot) {
                    self.admit(visit, admitted);
                }
            }
            Err(refusal) => {
                if let Some(visit) = self.take(slot) {
                    self.refuse(visit.peer, &refusal);
                }
            }
        }
    }

    fn take(&mut self, slot: usize) -> Option<Visit> {
        let visit = self.visits.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(visit)
    }

    fn admit(&mut self, visit: Visit, admitted: Admitted) {
        let Visit { rules, mut peer, permit, .. } = visit;
        let Admitted { mut stream, proxy, secured, certificate } = admitted;
        self.poll.registry().deregister(&mut stream).ok();
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
        let identity =
            match rules.identify(&Claim { certificate: certificate.as_deref(), proxy: behind.as_ref() }) {
                Ok(identity) => identity,
                Err(why) => {
                    self.log.notice(format!("Connection from {} rejected, {why}.", address(peer)));
                    return;
                }
            };
        self.next = (self.next + 1) % self.inboxes.len().max(1);
        if let Some(inbox) = self.inboxes.get(self.next) {
            inbox.post(Letter::Accepted(Arrival { stream, peer, identity, permit }));
        }
    }

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

    fn expire(&mut self, now: Instant) {
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
}

/// The original's words.
pub(crate) fn tls_on_plain(who: &str) -> String {
    format!("Client from {who} appears to be using TLS to connect to a non-TLS listener.")
}
