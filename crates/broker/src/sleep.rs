//! How an event loop waits for work.

use crate::inbox::Inbox;
use crate::limits::LOOK_TIME;
use mio::{Events, Poll};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Waits in the kernel. A loop that has lately slept for no more than a moment looks about for that long before it sleeps
/// again: falling asleep and being woken cost it, and those who wake it, more than that. An idle loop sleeps at once.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    /// Its latest sleep was a short one.
    lively: bool,
}

impl Sleeper {
    /// Until there are events or post, or `timeout` is over; `None` is for ever.
    pub(crate) fn sleep(
        &mut self,
        poll: &mut Poll,
        inbox: &Inbox,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return wait(poll, events, timeout);
        }
        if self.lively && look(poll, inbox, events)? {
            return Ok(());
        }
        if !inbox.fall_asleep() {
            return wait(poll, events, Some(Duration::ZERO));
        }
        let start = Instant::now();
        let result = wait(poll, events, timeout);
        inbox.wake_up();
        self.lively = start.elapsed() < LOOK_TIME;
        result
    }
}

/// `true` as soon as there is something to do.
fn look(poll: &mut Poll, inbox: &Inbox, events: &mut Events) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        wait(poll, events, Some(Duration::ZERO))?;
        if !events.is_empty() || inbox.has_post() {
            return Ok(true);
        }
        if start.elapsed() >= LOOK_TIME {
            return Ok(false);
        }
        // what we wait for may want this very processor
        std::thread::yield_now();
    }
}

fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(e) if e.kind() != ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Letter;
    use mio::{Token, Waker};

    #[test]
    fn post_ends_every_way_of_waiting() {
        let mut poll = Poll::new().unwrap();
        let inbox = Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut events = Events::with_capacity(4);
        let mut letters = Vec::new();
        for lively in [false, true] {
            // before it begins
            inbox.post(Letter::Stop);
            let mut sleeper = Sleeper { lively };
            sleeper.sleep(&mut poll, &inbox, &mut events, None).unwrap();
            inbox.collect(&mut letters);
            assert_eq!(letters.drain(..).count(), 1);
            // and, as far as we know, while it lasts
            std::thread::scope(|scope| {
                scope.spawn(|| inbox.post(Letter::Stop));
                while letters.is_empty() {
                    sleeper.sleep(&mut poll, &inbox, &mut events, None).unwrap();
                    inbox.collect(&mut letters);
                }
            });
            letters.clear();
        }
    }

    #[test]
    fn a_long_sleep_makes_the_next_one_begin_at_once() {
        let mut poll = Poll::new().unwrap();
        let inbox = Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut sleeper = Sleeper { lively: true };
        let timeout = Some(Duration::from_millis(1));
        sleeper.sleep(&mut poll, &inbox, &mut Events::with_capacity(4), timeout).unwrap();
        assert!(!sleeper.lively);
    }
}
