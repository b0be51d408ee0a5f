//! What a connection has still to send: small packets copied, large payloads by reference.

use crate::Message;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Payloads of at least this many bytes ride by reference where a shared message exists.
pub(crate) const BY_REFERENCE_MIN: usize = 4096;

/// Memory of all buffers kept for reuse.
const POOL_BYTES_MAX: usize = 1 << 20;

/// Bytes in order of sending. Owns no memory while empty.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` is sent.
    sent: usize,
    /// Few have them at any time, and never for long.
    large: Option<Box<Payloads>>,
}

/// Payloads by reference; there is at least one.
#[derive(Debug, Default)]
struct Payloads {
    /// They go between `bytes[..at]` and `bytes[at..]`.
    queue: VecDeque<Large>,
    /// How much of the first is sent.
    sent: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Large {
    at: usize,
    message: Arc<Message>,
}

/// Memory of outboxes that are empty, for those that are not.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    #[inline]
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps an empty buffer, if there is room for it.
    #[inline]
    pub(crate) fn put(&mut self, buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size > 0 && self.bytes + size <= POOL_BYTES_MAX {
            self.bytes += size;
            self.buffers.push(buffer);
        }
    }
}

impl Outbox {
    /// Where encoders append.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends the message's payload without copying it.
    pub fn push_payload(&mut self, message: Arc<Message>) {
        let large = self.large.get_or_insert_default();
        large.bytes += message.payload().len();
        large.queue.push_back(Large { at: self.bytes.len(), message });
    }

    /// Unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.large.as_ref().map_or(0, |l| l.bytes - l.sent)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.large.is_none()
    }

    /// The unsent bytes as one slice, where nothing rides by reference.
    #[inline]
    pub fn as_single(&self) -> Option<&[u8]> {
        if self.large.is_none() { self.bytes.get(self.sent..) } else { None }
    }

    /// Fills `slices` with the next pieces to send; returns how many.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let mut push = |piece: &'a [u8]| {
            if !piece.is_empty()
                && let Some(slot) = slices.get_mut(n)
            {
                *slot = IoSlice::new(piece);
                n += 1;
            }
        };
        let mut from = self.sent;
        if let Some(large) = &self.large {
            let mut skip = large.sent;
            for Large { at, message } in &large.queue {
                push(self.bytes.get(from..*at).unwrap_or_default());
                push(message.payload().get(skip..).unwrap_or_default());
                (from, skip) = (*at, 0);
            }
        }
        push(self.bytes.get(from..).unwrap_or_default());
        n
    }

    /// Marks `n` bytes as sent.
    pub fn consume(&mut self, mut n: usize) {
        while let Some(large) = &mut self.large
            && let Some(first) = large.queue.front()
        {
            let before = first.at - self.sent;
            if n < before {
                break;
            }
            n -= before;
            self.sent = first.at;
            let size = first.message.payload().len();
            if n < size - large.sent {
                large.sent += n;
                return;
            }
            n -= size - large.sent;
            large.bytes -= size;
            large.sent = 0;
            large.queue.pop_front();
            if large.queue.is_empty() {
                self.large = None;
            }
        }
        self.sent = (self.sent + n).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= (1 << 16) && self.sent * 2 >= self.bytes.len() {
            self.bytes.drain(..self.sent);
            for large in self.large.iter_mut().flat_map(|l| &mut l.queue) {
                large.at -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// Bytes it has a copy of, sent ones that are not forgotten yet included.
    #[inline]
    pub(crate) fn copied(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the memory of an empty outbox, to be lent to the next.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() {
            self.sent = 0;
            core::mem::take(&mut self.bytes)
        } else {
            Vec::new()
        }
    }

    /// Lends memory to an outbox that has none.
    #[inline]
    pub(crate) fn lend(&mut self, pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageRef;
    use grovemq_codec::Qos;
    use proptest::prelude::*;

    fn message(payload: &[u8]) -> Arc<Message> {
        MessageRef {
            topic: "t",
            properties: &[],
            payload,
            qos: Qos::AtMostOnce,
            retain: false,
            expires: None,
        }
        .to_shared()
    }

    proptest! {
        /// Whatever is put in comes out in order, however short the writes.
        #[test]
        fn bytes_come_out_in_order(
            pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            writes in prop::collection::vec(1usize..30, 1..100),
        ) {
            let mut outbox = Outbox::default();
            let (mut expected, mut sent) = (Vec::new(), Vec::new());
            for (large, bytes) in &pieces {
                expected.extend_from_slice(bytes);
                if *large { outbox.push_payload(message(bytes)) } else { outbox.buffer().extend_from_slice(bytes) }
            }
            prop_assert_eq!(outbox.len(), expected.len());
            for max in writes.into_iter().chain(std::iter::repeat_n(1000, 2)) {
                let mut slices = [IoSlice::new(&[]); 64];
                let n = outbox.slices(&mut slices);
                let all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
                prop_assert_eq!(all.len(), outbox.len());
                let n = max.min(all.len());
                sent.extend_from_slice(&all[..n]);
                outbox.consume(n);
            }
            prop_assert_eq!(&sent, &expected);
            prop_assert!(outbox.is_empty());
        }
    }
}
