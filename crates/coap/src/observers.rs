//! Who wants to be told of changes, and of what (RFC 7641).

use crate::Response;
use crate::endpoint::Limits;
use crate::transmissions::Key;
use std::collections::HashMap;
use std::net::SocketAddr;

/// An observer that is no more: it said so, or does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub peer: SocketAddr,
    /// Its path, segments joined by `/`.
    pub resource: String,
}

#[derive(Debug, Default)]
pub(crate) struct Observers {
    by_resource: HashMap<String, Vec<Observer>>,
    by_peer: HashMap<SocketAddr, usize>,
    count: usize,
    /// Notifications not yet acknowledged.
    in_flight: HashMap<Key, String>,
}

#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) peer: SocketAddr,
    pub(crate) token: Vec<u8>,
    /// Of the latest notification.
    sequence: u32,
    in_flight: Option<u16>,
    /// The latest state, to be told when that one is acknowledged; those between are never told.
    next: Option<Response>,
}

impl Observers {
    /// The sequence number of the answer; `None` where there is no room for one more.
    pub(crate) fn add(
        &mut self,
        peer: SocketAddr,
        token: &[u8],
        resource: &str,
        limits: &Limits,
    ) -> Option<u32> {
        if let Some(known) = self.find(peer, token, resource) {
            return Some(known.count_up());
        }
        let of_peer = self.by_peer.get(&peer).copied().unwrap_or(0);
        if self.count >= limits.observers_max || of_peer >= limits.observers_per_peer_max {
            return None;
        }
        let observer = Observer { peer, token: token.to_vec(), sequence: 1, in_flight: None, next: None };
        self.by_resource.entry(resource.to_owned()).or_default().push(observer);
        self.by_peer.insert(peer, of_peer + 1);
        self.count += 1;
        Some(1)
    }

    /// `true` when it was there.
    pub(crate) fn remove(&mut self, peer: SocketAddr, token: &[u8], resource: &str) -> bool {
        let Some(all) = self.by_resource.get_mut(resource) else { return false };
        let Some(at) = all.iter().position(|o| o.peer == peer && o.token == token) else { return false };
        let observer = all.swap_remove(at);
        if all.is_empty() {
            self.by_resource.remove(resource);
        }
        if let Some(message_id) = observer.in_flight {
            self.in_flight.remove(&(peer, message_id));
        }
        self.count -= 1;
        if let Some(of_peer) = self.by_peer.get_mut(&peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                self.by_peer.remove(&peer);
            }
        }
        true
    }

    /// Peers and tokens of those to tell now; for those that have not acknowledged the one before it is kept.
    pub(crate) fn due(
        &mut self,
        resource: &str,
        peer: Option<SocketAddr>,
        news: &Response,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let all = self.by_resource.get_mut(resource).into_iter().flatten();
        let mut due = Vec::new();
        for observer in all.filter(|observer| peer.is_none_or(|peer| observer.peer == peer)) {
            if observer.in_flight.is_some() {
                observer.next = Some(news.clone());
            } else {
                due.push((observer.peer, observer.token.clone()));
            }
        }
        due
    }

    /// A notification goes out; its sequence number.
    pub(crate) fn sent(
        &mut self,
        peer: SocketAddr,
        token: &[u8],
        resource: &str,
        message_id: u16,
    ) -> Option<u32> {
        let observer = self.find(peer, token, resource)?;
        observer.in_flight = Some(message_id);
        let sequence = observer.count_up();
        self.in_flight.insert((peer, message_id), resource.to_owned());
        Some(sequence)
    }

    /// A notification has arrived. What to tell next, if there is news.
    pub(crate) fn acknowledged(&mut self, key: Key) -> Option<(Vec<u8>, String, Response)> {
        let resource = self.in_flight.remove(&key)?;
        let all = self.by_resource.get_mut(&resource)?;
        let observer = all.iter_mut().find(|o| o.peer == key.0 && o.in_flight == Some(key.1))?;
        observer.in_flight = None;
        let news = observer.next.take()?;
        Some((observer.token.clone(), resource, news))
    }

    /// A notification was refused.
    pub(crate) fn failed(&mut self, key: Key) -> Option<Lost> {
        let resource = self.in_flight.remove(&key)?;
        let all = self.by_resource.get(&resource)?;
        let observer = all.iter().find(|o| o.peer == key.0 && o.in_flight == Some(key.1))?;
        let token = observer.token.clone();
        self.remove(key.0, &token, &resource);
        Some(Lost { peer: key.0, resource })
    }

    /// The peer is not there any more.
    pub(crate) fn remove_peer(&mut self, peer: SocketAddr) -> Vec<Lost> {
        let mut gone = Vec::new();
        if self.by_peer.contains_key(&peer) {
            for (resource, all) in &self.by_resource {
                let tokens = all.iter().filter(|o| o.peer == peer).map(|o| o.token.clone());
                gone.extend(tokens.map(|token| (resource.clone(), token)));
            }
        }
        for (resource, token) in &gone {
            self.remove(peer, token, resource);
        }
        gone.into_iter().map(|(resource, _)| Lost { peer, resource }).collect()
    }

    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.by_peer.keys().copied().collect()
    }

    pub(crate) fn is_observed(&self, resource: &str, peer: SocketAddr) -> bool {
        self.by_resource.get(resource).is_some_and(|all| all.iter().any(|o| o.peer == peer))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn find(&mut self, peer: SocketAddr, token: &[u8], resource: &str) -> Option<&mut Observer> {
        self.by_resource.get_mut(resource)?.iter_mut().find(|o| o.peer == peer && o.token == token)
    }
}

impl Observer {
    /// 24 bits, of which the greater is the later.
    fn count_up(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }
}
