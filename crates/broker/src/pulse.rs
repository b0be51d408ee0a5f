//! Whether the event loops still turn, for whoever watches over the process.

use crate::inbox::{Inbox, Letter};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The event loops of a broker, to be asked for a sign of life. Keeps nothing running.
#[derive(Clone, Debug)]
pub struct Pulse {
    inboxes: Vec<Arc<Inbox>>,
}

impl Pulse {
    pub(crate) fn of(inboxes: &[Arc<Inbox>]) -> Self {
        Self { inboxes: inboxes.to_vec() }
    }

    /// Whether every event loop answers within this time. One that waits for clients does so at once, one at work
    /// after its turn.
    pub fn beats(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let (reply, answers) = mpsc::channel();
        for inbox in &self.inboxes {
            inbox.post(Letter::Pulse(reply.clone()));
        }
        drop(reply);
        self.inboxes
            .iter()
            .all(|_| answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token, Waker};

    /// Waits for questions, and answers all there are.
    fn answer(inbox: &Inbox) {
        let mut letters = Vec::new();
        while letters.is_empty() {
            inbox.collect(&mut letters);
        }
        for letter in letters {
            if let Letter::Pulse(reply) = letter {
                reply.send(()).ok();
            }
        }
    }

    #[test]
    fn one_loop_that_does_not_answer_is_enough() {
        let polls = [Poll::new().unwrap(), Poll::new().unwrap()];
        let inboxes =
            polls.each_ref().map(|poll| Arc::new(Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap())));
        let pulse = Pulse::of(&inboxes);
        assert!(!pulse.beats(Duration::from_millis(1)), "nobody answers");
        // what was asked then is answered to nobody
        answer(&inboxes[0]);
        answer(&inboxes[1]);
        std::thread::scope(|scope| {
            scope.spawn(|| answer(&inboxes[0]));
            assert!(!pulse.beats(Duration::from_millis(50)), "one answers");
        });
        answer(&inboxes[1]);
        std::thread::scope(|scope| {
            for inbox in &inboxes {
                scope.spawn(|| answer(inbox));
            }
            assert!(pulse.beats(Duration::from_secs(60)), "both answer");
        });
    }
}
