//! A stream between a client and the broker: late, in pieces, and gone at any moment.

use grovemq_core::{Key, Time};
use grovemq_tests::Random;
use std::collections::VecDeque;

pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) shard: usize,
    pub(crate) key: Key,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// Arrived at the broker and not yet taken by it.
    pub(crate) input: Vec<u8>,
    /// The broker has said that there is something to send.
    pub(crate) unsent: bool,
    /// The broker looks at its input again at this time.
    pub(crate) paused_until: Time,
    /// Each side has its end, until it notices that the other's is gone.
    pub(crate) client_open: bool,
    pub(crate) broker_open: bool,
}

/// One direction.
#[derive(Default)]
pub(crate) struct Pipe {
    chunks: VecDeque<(Time, Vec<u8>)>,
    /// Nothing goes in any more; who has read everything sees the end.
    pub(crate) ended: bool,
    /// Nothing that goes in comes out.
    pub(crate) broken: bool,
}

impl Pipe {
    pub(crate) fn push(&mut self, now: Time, random: &mut Random, bytes: Vec<u8>) {
        if self.ended || self.broken || bytes.is_empty() {
            return;
        }
        let delay = if random.one_in(20) { random.below(2000) } else { random.below(60) };
        let due = Time(now.0 + delay as u64);
        let due = self.chunks.back().map_or(due, |(last, _)| due.max(*last));
        self.chunks.push_back((due, bytes));
    }

    /// What has arrived, or a piece of it.
    pub(crate) fn pull(&mut self, now: Time, random: &mut Random) -> Option<Vec<u8>> {
        let (due, bytes) = self.chunks.front_mut()?;
        if *due > now {
            return None;
        }
        if random.one_in(3) {
            let piece = 1 + random.below(bytes.len());
            let rest = bytes.split_off(piece);
            let piece = std::mem::replace(bytes, rest);
            if bytes.is_empty() {
                self.chunks.pop_front();
            }
            return Some(piece);
        }
        self.chunks.pop_front().map(|(_, bytes)| bytes)
    }

    /// The connection is torn: a random part of what was under way still arrives.
    pub(crate) fn tear(&mut self, random: &mut Random) {
        self.chunks.truncate(random.below(self.chunks.len() + 1));
        if let Some((_, last)) = self.chunks.back_mut() {
            last.truncate(1 + random.below(last.len()));
        }
        self.broken = true;
        self.ended = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() > 5
    }

    pub(crate) fn at_end(&self) -> bool {
        self.ended && self.chunks.is_empty()
    }
}
