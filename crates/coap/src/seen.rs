//! Message ids of late: a copy of a request is answered as the first was, and not done again.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a confirmable message may be under way (`EXCHANGE_LIFETIME`), which is longer than any other.
const LIFETIME: Duration = Duration::from_secs(247);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What was answered; empty as long as nothing was.
    answers: HashMap<(SocketAddr, u16), Vec<u8>>,
    /// By age.
    order: VecDeque<(Instant, (SocketAddr, u16))>,
}

impl Seen {
    /// The answer to the message this one is a copy of; `None` for a new one, which is remembered, up to `most` of them.
    pub(crate) fn see(&mut self, now: Instant, key: (SocketAddr, u16), most: usize) -> Option<&[u8]> {
        while let Some((due, oldest)) = self.order.front().copied()
            && (due <= now || (self.order.len() >= most && !self.answers.contains_key(&key)))
        {
            self.order.pop_front();
            self.answers.remove(&oldest);
        }
        if self.answers.contains_key(&key) {
            return self.answers.get(&key).map(Vec::as_slice);
        }
        self.answers.insert(key, Vec::new());
        self.order.push_back((now + LIFETIME, key));
        None
    }

    pub(crate) fn answer(&mut self, key: (SocketAddr, u16), answer: &[u8]) {
        if let Some(known) = self.answers.get_mut(&key) {
            *known = answer.to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_known_for_a_while_and_as_far_as_there_is_room() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let key = |id| ("127.0.0.1:5683".parse().unwrap(), id);
        assert_eq!(seen.see(now, key(1), 3), None);
        assert_eq!(seen.see(now, key(1), 3), Some(&[][..]));
        seen.answer(key(1), b"x");
        assert_eq!(seen.see(now, key(1), 3), Some(&b"x"[..]));
        assert_eq!(seen.see(now + LIFETIME, key(1), 3), None, "forgotten");
        for id in 2..5 {
            assert_eq!(seen.see(now + LIFETIME, key(id), 3), None);
        }
        assert_eq!((seen.answers.len(), seen.order.len()), (3, 3));
        assert_eq!(seen.see(now + LIFETIME, key(1), 3), None, "the oldest had to go");
    }
}
