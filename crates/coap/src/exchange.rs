//! Requests that wait for their answer.

use crate::blocks::Block;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// After this time without an answer a confirmable request is acknowledged by itself, before its sender repeats it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names a request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) from: SocketAddr,
    pub(crate) message_id: u16,
    pub(crate) token: Vec<u8>,
    pub(crate) confirmable: bool,
    /// The acknowledgement is on its way; the answer comes by itself.
    pub(crate) acknowledged: bool,
    /// Which block of the answer is wanted.
    pub(crate) block2: Option<Block>,
    /// The last block of the request, which the answer names.
    pub(crate) block1: Option<Block>,
    /// What is to be observed.
    pub(crate) observes: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    open: BTreeMap<RequestId, (Exchange, Instant)>,
    latest: u64,
}

impl Exchanges {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn open(&mut self, now: Instant, exchange: Exchange) -> RequestId {
        self.latest += 1;
        self.open.insert(RequestId(self.latest), (exchange, now + PATIENCE));
        RequestId(self.latest)
    }

    pub(crate) fn close(&mut self, id: RequestId) -> Option<Exchange> {
        self.open.remove(&id).map(|(exchange, _)| exchange)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.open.values().find(|(exchange, _)| exchange.waits()).map(|(_, due)| *due)
    }

    /// Message ids to acknowledge now.
    pub(crate) fn impatient(&mut self, now: Instant) -> Vec<(SocketAddr, u16)> {
        let waiting = self.open.values_mut().filter(|(exchange, due)| exchange.waits() && *due <= now);
        waiting
            .map(|(exchange, _)| {
                exchange.acknowledged = true;
                (exchange.from, exchange.message_id)
            })
            .collect()
    }
}

impl Exchange {
    fn waits(&self) -> bool {
        self.confirmable && !self.acknowledged
    }
}
