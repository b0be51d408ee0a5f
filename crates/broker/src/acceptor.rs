//! One thread that accepts connections for all shards.

use crate::event_loop::WAKE;
use crate::inbox::{Arrival, Inbox, Letter, Permit};
use crate::limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN};
use crate::lobby::{LobbyDoor, Newcomer};
use crate::log::Log;
use crate::observer::address;
use crate::tls::{Entries, Rules};
use grovemq_core::observe::Peer;
use grovemq_net::Listener;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

pub(crate) struct Acceptor {
    pub(crate) poll: Poll,
    pub(crate) doors: Vec<Door>,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) entries: Arc<Entries>,
    /// Empty if no listener needs one.
    pub(crate) lobbies: Vec<LobbyDoor>,
    pub(crate) total: Arc<AtomicUsize>,
    pub(crate) total_max: Option<usize>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) log: Log,
}

impl Acceptor {
    pub(crate) fn run(mut self) -> io::Result<()> {
        for (i, door) in self.doors.iter_mut().enumerate() {
            self.poll.registry().register(&mut door.listener, Token(i), Interest::READABLE)?;
        }
        let mut events = Events::with_capacity(64);
        let mut open: Vec<bool> = vec![false; self.doors.len()];
        let mut next = 0;
        let mut complained = false;
        while !self.stop.load(Ordering::Acquire) {
            let busy = open.contains(&true);
            let timeout = if busy { Some(core::time::Duration::ZERO) } else { None };
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                if event.token() != WAKE
                    && let Some(open) = open.get_mut(event.token().0)
                {
                    *open = true;
                }
            }
            for (door, open) in self.doors.iter().zip(&mut open).filter(|(_, open)| **open) {
                match self.accept_some(door, &mut next) {
                    Ok(more) => {
                        *open = more;
                        complained = false;
                    }
                    Err(e) => {
                        // out of descriptors or memory: the connections we have go on, new ones wait a little
                        if !complained {
                            self.log.error(format!("Error: Unable to accept connections: {e}. Trying again."));
                            complained = true;
                        }
                        std::thread::sleep(ACCEPT_PAUSE);
                    }
                }
            }
        }
        Ok(())
    }

    /// `true` when there may be more to accept.
    fn accept_some(&self, door: &Door, next: &mut usize) -> io::Result<bool> {
        for _ in 0..ACCEPTS_PER_TURN {
            match door.listener.accept() {
                Ok((stream, address)) => {
                    let peer = Peer { address, listener: door.index, secured: None };
                    let places = [(door.count.clone(), door.max), (self.total.clone(), self.total_max)];
                    let Some(permit) = Permit::take(&places) else {
                        self.deny(peer);
                        continue;
                    };
                    *next = next.wrapping_add(1);
                    if let Some(rules) = &door.rules {
                        let (entry, rules) = (self.entries.get(door.index), rules.clone());
                        if let Some(lobby) = self.lobbies.get(*next % self.lobbies.len().max(1)) {
                            lobby.enter(Newcomer { stream, entry, rules, peer, permit });
                        }
                    } else if let Some(inbox) = self.inboxes.get(*next % self.inboxes.len().max(1)) {
                        inbox.post(Letter::Accepted(Arrival { stream, peer, identity: None, permit }));
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
