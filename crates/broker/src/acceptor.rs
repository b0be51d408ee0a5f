//! Accepts connections for all shards, as a part of the first shard's loop: a thread of its own would cost each
//! connection two more changes of thread.

use crate::inbox::{Arrival, Permit};
use crate::limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN};
use crate::lobby::{LobbyDoor, Newcomer};
use crate::log::Log;
use crate::observer::address;
use crate::tls::{Entries, Rules};
use grovemq_core::Time;
use grovemq_core::observe::Peer;
use grovemq_net::Listener;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The token of the first door; those of the others count down from it.
const FIRST: usize = usize::MAX - 1;

/// A socket and the configured listener it belongs to.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) index: u16,
    /// Connections of this listener, and the most there may be.
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) max: Option<usize>,
    /// For connections that are made ready first.
    pub(crate) rules: Option<Arc<Rules>>,
}

/// What becomes of the doors when the configuration changes.
#[derive(Debug)]
pub(crate) struct DoorChange {
    /// By the number of the listener an open door has had: what it is from now on. Doors not named are closed.
    pub(crate) kept: BTreeMap<u16, DoorTerms>,
    pub(crate) opened: Vec<Door>,
    pub(crate) lobbies: Vec<LobbyDoor>,
    pub(crate) total_max: Option<usize>,
}

/// A door's part in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct DoorTerms {
    pub(crate) index: u16,
    pub(crate) max: Option<usize>,
    pub(crate) rules: Option<Arc<Rules>>,
}

#[derive(Debug)]
pub(crate) struct Acceptor {
    /// By token; places of closed doors are free.
    doors: Vec<Option<Door>>,
    /// Doors that may have more to accept.
    busy: Vec<bool>,
    entries: Arc<Entries>,
    /// Empty if no listener needs one.
    lobbies: Vec<LobbyDoor>,
    next_lobby: usize,
    total: Arc<AtomicUsize>,
    total_max: Option<usize>,
    /// The system had no descriptor: nothing is accepted until then.
    retry: Option<Time>,
    complained: bool,
    log: Log,
}

impl Acceptor {
    pub(crate) fn new(
        doors: Vec<Door>,
        entries: Arc<Entries>,
        lobbies: Vec<LobbyDoor>,
        total_max: Option<usize>,
        log: Log,
    ) -> Self {
        Self {
            busy: vec![false; doors.len()],
            doors: doors.into_iter().map(Some).collect(),
            entries,
            lobbies,
            next_lobby: 0,
            total: Arc::default(),
            total_max,
            retry: None,
            complained: false,
            log,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (i, door) in self.doors.iter_mut().enumerate() {
            if let Some(door) = door {
                registry.register(&mut door.listener, Token(FIRST - i), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    /// Gives doors up, with their sockets still open.
    pub(crate) fn take(&mut self, registry: &Registry, listeners: &[u16]) -> Vec<Door> {
        let mut taken = Vec::new();
        for place in &mut self.doors {
            if let Some(mut door) = place.take_if(|d| listeners.contains(&d.index)) {
                registry.deregister(&mut door.listener).ok();
                taken.push(door);
            }
        }
        taken
    }

    /// Closes, changes and opens doors.
    pub(crate) fn change(&mut self, registry: &Registry, change: DoorChange) {
        let DoorChange { kept, opened, lobbies, total_max } = change;
        let closed: Vec<u16> = self.doors.iter().flatten().map(|d| d.index).collect();
        let closed: Vec<u16> = closed.into_iter().filter(|index| !kept.contains_key(index)).collect();
        drop(self.take(registry, &closed));
        for door in self.doors.iter_mut().flatten() {
            if let Some(terms) = kept.get(&door.index).cloned() {
                (door.index, door.max, door.rules) = (terms.index, terms.max, terms.rules);
            }
        }
        (self.lobbies, self.total_max) = (lobbies, total_max);
        for door in opened {
            self.put(registry, door);
        }
    }

    fn put(&mut self, registry: &Registry, mut door: Door) {
        let place = self.doors.iter().position(Option::is_none).unwrap_or(self.doors.len());
        if let Err(e) = registry.register(&mut door.listener, Token(FIRST - place), Interest::READABLE) {
            let listener = door.listener.address().map_or_else(|_| String::new(), |a| a.to_string());
            self.log.error(format!("Error: Unable to accept connections on {listener}: {e}."));
            return;
        }
        // clients may be waiting already
        if let (Some(free), Some(busy)) = (self.doors.get_mut(place), self.busy.get_mut(place)) {
            (*free, *busy) = (Some(door), true);
        } else {
            self.doors.push(Some(door));
            self.busy.push(true);
        }
    }

    /// Notes an event; `false` when it is not for a door.
    pub(crate) fn on_event(&mut self, token: Token) -> bool {
        match self.busy.get_mut(FIRST.wrapping_sub(token.0)) {
            Some(busy) => {
                *busy = true;
                true
            }
            None => false,
        }
    }

    /// Whether there is something to accept now.
    pub(crate) fn is_busy(&self) -> bool {
        self.retry.is_none() && self.busy.contains(&true)
    }

    /// When to try again.
    pub(crate) fn retry(&self) -> Option<Time> {
        self.retry
    }

    /// Accepts a bounded number of connections. Those that need no making ready go to `arrivals`.
    pub(crate) fn accept(&mut self, now: Time, arrivals: &mut Vec<Arrival>) {
        if self.retry.is_some_and(|at| now < at) {
            return;
        }
        self.retry = None;
        for i in 0..self.doors.len() {
            if self.busy.get(i) != Some(&true) {
                continue;
            }
            let result = self.accept_some(i, arrivals);
            let Some(busy) = self.busy.get_mut(i) else { continue };
            match result {
                Ok(more) => {
                    *busy = more;
                    self.complained = false;
                }
                Err(e) => {
                    // out of descriptors or memory: the connections we have go on, new ones wait a little
                    if !self.complained {
                        self.log.error(format!("Error: Unable to accept connections: {e}. Trying again."));
                        self.complained = true;
                    }
                    self.retry = Some(now + ACCEPT_PAUSE);
                }
            }
        }
    }

    /// `true` when there may be more to accept.
    fn accept_some(&mut self, door: usize, arrivals: &mut Vec<Arrival>) -> io::Result<bool> {
        let Some(Some(door)) = self.doors.get(door) else { return Ok(false) };
        for _ in 0..ACCEPTS_PER_TURN {
            match door.listener.accept() {
                Ok((stream, address)) => {
                    let peer = Peer { address, listener: door.index, secured: None };
                    let places = [(&door.count, door.max), (&self.total, self.total_max)];
                    let Some(permit) = Permit::take(places) else {
                        self.deny(peer);
                        continue;
                    };
                    if let Some(rules) = &door.rules {
                        self.next_lobby = self.next_lobby.wrapping_add(1);
                        let (entry, rules) = (self.entries.get(door.index), rules.clone());
                        if let Some(lobby) = self.lobbies.get(self.next_lobby % self.lobbies.len().max(1)) {
                            lobby.enter(Newcomer { stream, entry, rules, peer, permit });
                        }
                    } else {
                        arrivals.push(Arrival { stream, peer, identity: None, permit });
                    }
                }
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => return Ok(false),
                    // the connection was gone before we got to it
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    _ => return Err(e),
                },
            }
        }
        Ok(true)
    }

    #[cold]
    fn deny(&self, peer: Peer) {
        let ip = peer.address.map_or_else(|| address(peer), |a| a.ip().to_canonical().to_string());
        self.log.notice(format!("Client connection from {ip} denied: max_connections exceeded."));
    }
}
