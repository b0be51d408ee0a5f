//! The endpoint: messages, requests, observations.

use crate::blocks::{self, Assemblies};
use crate::exchange::{Exchange, Exchanges};
use crate::message::{Options, number_bytes};
use crate::observers::Observers;
use crate::seen::Seen;
use crate::transmissions::{Due, Key, Transmissions};
use crate::{Code, Lost, Method, Request, RequestId, Response};
use coap_lite::{CoapOption, MessageClass, MessageType, Packet};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// What peers can make an endpoint hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests without an answer yet; more get 5.03.
    pub requests_max: usize,
    /// Message ids remembered to know copies by.
    pub seen_max: usize,
    /// Observers in all; more get the representation once.
    pub observers_max: usize,
    /// Of one peer.
    pub observers_per_peer_max: usize,
    /// Confirmable messages on their way; above, answers are sent once.
    pub transmissions_max: usize,
    /// Bodies that come in blocks at a time.
    pub assemblies_max: usize,
    /// Bytes of such a body.
    pub body_bytes_max: usize,
    /// Datagrams that wait to be sent; above, further ones are lost, as datagrams are.
    pub datagrams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_max: 256,
            seen_max: 1024,
            observers_max: 1024,
            observers_per_peer_max: 64,
            transmissions_max: 2048,
            assemblies_max: 32,
            body_bytes_max: 64 * 1024,
            datagrams_max: 2048,
        }
    }
}

/// One socket's side of all conversations over it.
#[derive(Debug)]
pub struct Endpoint {
    limits: Limits,
    seen: Seen,
    exchanges: Exchanges,
    assemblies: Assemblies,
    observers: Observers,
    transmissions: Transmissions,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    lost: VecDeque<Lost>,
    message_id: u16,
    random: u64,
}

impl Endpoint {
    /// `seed`: any number that others cannot guess.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let [low, high, ..] = seed.to_le_bytes();
        Self {
            limits,
            seen: Seen::default(),
            exchanges: Exchanges::default(),
            assemblies: Assemblies::default(),
            observers: Observers::default(),
            transmissions: Transmissions::default(),
            outbox: VecDeque::new(),
            lost: VecDeque::new(),
            message_id: u16::from_le_bytes([low, high]),
            random: seed,
        }
    }

    /// A datagram has come. Gives the request in it, if it is a new and whole one.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<Request> {
        let packet = Packet::from_bytes(datagram).ok()?;
        let key = (from, packet.header.message_id);
        if packet.header.get_version() != 1 {
            return None;
        }
        match (packet.header.get_type(), packet.header.code) {
            (MessageType::Acknowledgement, _) => self.acknowledged(now, key),
            (MessageType::Reset, _) => {
                self.transmissions.end(key);
                self.lost.extend(self.observers.failed(key));
            }
            (kind, MessageClass::Request(method)) => {
                return self.request(now, key, method, kind == MessageType::Confirmable, packet);
            }
            // a ping, and answers that nobody asked for
            (MessageType::Confirmable, _) => self.send_empty(key, MessageType::Reset),
            (MessageType::NonConfirmable, _) => {}
        }
        None
    }

    /// Answers a request. For a GET that observes, success registers its sender.
    pub fn respond(&mut self, now: Instant, id: RequestId, response: &Response) {
        let Some(exchange) = self.exchanges.close(id) else { return };
        self.answer(now, &exchange, response);
    }

    /// Tells observers of the resource (segments of its path joined by `/`), or the one at `peer`, its new representation. A
    /// code of failure ends their observation.
    pub fn notify(&mut self, now: Instant, resource: &str, peer: Option<SocketAddr>, news: &Response) {
        for (peer, token) in self.observers.due(resource, peer, news) {
            self.send_notification(now, peer, &token, resource, news);
        }
    }

    /// Asks all who observe whether they are still there; who does not answer is lost. To be done now and then, for resources
    /// that seldom change.
    pub fn probe(&mut self, now: Instant) {
        for peer in self.observers.peers() {
            if self.transmissions.len() < self.limits.transmissions_max {
                let mut ping = Packet::new();
                ping.header.code = MessageClass::Empty;
                self.transmit(now, peer, ping);
            }
        }
    }

    /// The next datagram to send.
    pub fn datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next observer that is no more.
    pub fn lost(&mut self) -> Option<Lost> {
        self.lost.pop_front()
    }

    /// When [`tick`](Self::tick) is due.
    pub fn next_tick(&self) -> Option<Instant> {
        [self.exchanges.next_due(), self.transmissions.next_due()].into_iter().flatten().min()
    }

    /// Repeats what was not acknowledged in time, and gives up.
    pub fn tick(&mut self, now: Instant) {
        for key in self.exchanges.impatient(now) {
            let bytes = empty(key.1, MessageType::Acknowledgement);
            self.seen.answer(key, &bytes);
            self.send(key.0, bytes);
        }
        while let Some(due) = self.transmissions.expire(now) {
            match due {
                Due::Again(to, bytes) => self.send(to, bytes),
                // whatever it was: nobody is there
                Due::GivenUp((peer, _)) => self.lost.extend(self.observers.remove_peer(peer)),
            }
        }
    }

    /// How many observers there are.
    pub fn observers(&self) -> usize {
        self.observers.len()
    }

    /// Whether `peer` observes the resource.
    pub fn is_observed(&self, resource: &str, peer: SocketAddr) -> bool {
        self.observers.is_observed(resource, peer)
    }

    fn acknowledged(&mut self, now: Instant, key: Key) {
        if !self.transmissions.end(key) {
            return;
        }
        if let Some((token, resource, news)) = self.observers.acknowledged(key) {
            self.send_notification(now, key.0, &token, &resource, &news);
        }
    }

    fn request(
        &mut self,
        now: Instant,
        key: Key,
        method: Method,
        confirmable: bool,
        packet: Packet,
    ) -> Option<Request> {
        if let Some(answer) = self.seen.see(now, key, self.limits.seen_max) {
            if !answer.is_empty() {
                let answer = answer.to_vec();
                self.send(key.0, answer);
            }
            return None;
        }
        let mut exchange = Exchange {
            from: key.0,
            message_id: key.1,
            token: packet.get_token().to_vec(),
            confirmable,
            acknowledged: false,
            block2: None,
            block1: None,
            observes: None,
        };
        let options = match Options::of(&packet) {
            Ok(options) => options,
            // what need not be answered and cannot be understood is passed over
            Err(_) if !confirmable => return None,
            Err(code) => {
                self.answer(now, &exchange, &Response::new(code));
                return None;
            }
        };
        let resource = options.resource();
        (exchange.block1, exchange.block2) = (options.block1, options.block2);
        let mut payload = packet.payload;
        if let Some(block) = options.block1 {
            let name = format!("{method:?} {resource}?{}", options.query.join("&"));
            match self.assemblies.add(now, (key.0, name), block, &payload, &self.limits) {
                Ok(whole) => payload = whole,
                Err(code) => {
                    self.answer(now, &exchange, &Response::new(code));
                    return None;
                }
            }
        }
        if self.exchanges.len() >= self.limits.requests_max {
            self.answer(now, &exchange, &Response::new(Code::ServiceUnavailable));
            return None;
        }
        // later blocks belong to an observation that there is already
        let first = options.block2.is_none_or(|block| block.number == 0);
        let observes = method == Method::Get && options.observe == Some(0) && first;
        if observes {
            exchange.observes = Some(resource);
        } else if method == Method::Get
            && options.observe == Some(1)
            && self.observers.remove(key.0, &exchange.token, &resource)
        {
            self.lost.push_back(Lost { peer: key.0, resource });
        }
        let id = self.exchanges.open(now, exchange);
        let Options { path, query, accept, format, .. } = options;
        Some(Request { id, from: key.0, method, confirmable, path, query, observes, accept, format, payload })
    }

    fn answer(&mut self, now: Instant, exchange: &Exchange, response: &Response) {
        let mut packet = blocks::cut(response, exchange.block2);
        packet.set_token(exchange.token.clone());
        if let Some(block) = exchange.block1 {
            packet.add_option(CoapOption::Block1, block.value());
        }
        if let Some(resource) = &exchange.observes
            && response.code == Code::Content
            && let Some(sequence) = self.observers.add(exchange.from, &exchange.token, resource, &self.limits)
        {
            packet.add_option(CoapOption::Observe, number_bytes(sequence));
        }
        let to = exchange.from;
        if exchange.confirmable && !exchange.acknowledged {
            packet.header.set_type(MessageType::Acknowledgement);
            packet.header.message_id = exchange.message_id;
        } else if exchange.confirmable && self.transmissions.len() < self.limits.transmissions_max {
            self.transmit(now, to, packet);
            return;
        } else {
            packet.header.set_type(MessageType::NonConfirmable);
            packet.header.message_id = self.next_message_id();
        }
        let Ok(bytes) = packet.to_bytes_unlimited() else { return };
        self.seen.answer((to, exchange.message_id), &bytes);
        self.send(to, bytes);
    }

    fn send_notification(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        token: &[u8],
        resource: &str,
        news: &Response,
    ) {
        let mut packet = blocks::cut(news, None);
        packet.set_token(token.to_vec());
        if news.code.is_error() {
            if self.observers.remove(peer, token, resource) {
                self.lost.push_back(Lost { peer, resource: resource.to_owned() });
                self.transmit(now, peer, packet);
            }
            return;
        }
        // one observer has one notification on its way, so their number is bounded, too
        let message_id = self.message_id.wrapping_add(1);
        let Some(sequence) = self.observers.sent(peer, token, resource, message_id) else { return };
        packet.add_option(CoapOption::Observe, number_bytes(sequence));
        self.transmit(now, peer, packet);
    }

    /// Sends a confirmable message.
    fn transmit(&mut self, now: Instant, to: SocketAddr, mut packet: Packet) {
        packet.header.set_type(MessageType::Confirmable);
        packet.header.message_id = self.next_message_id();
        let key = (to, packet.header.message_id);
        let Ok(bytes) = packet.to_bytes_unlimited() else { return };
        let jitter = self.jitter();
        self.transmissions.begin(now, key, bytes.clone(), jitter);
        self.send(to, bytes);
    }

    fn send_empty(&mut self, (to, message_id): Key, kind: MessageType) {
        self.send(to, empty(message_id, kind));
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.outbox.len() < self.limits.datagrams_max {
            self.outbox.push_back((to, bytes));
        }
    }

    fn next_message_id(&mut self) -> u16 {
        self.message_id = self.message_id.wrapping_add(1);
        self.message_id
    }

    /// The next of a row of numbers that look random (`SplitMix64`).
    fn jitter(&mut self) -> u8 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed.to_be_bytes()[0]
    }
}

fn empty(message_id: u16, kind: MessageType) -> Vec<u8> {
    let mut packet = Packet::new();
    packet.header.set_type(kind);
    packet.header.code = MessageClass::Empty;
    packet.header.message_id = message_id;
    packet.to_bytes_unlimited().unwrap_or_default()
}

#[cfg(test)]
mod tests;
