//! Answers to requests (MQTT 5): one topic of our own for all of them, told apart by their correlation data.

use crate::{
    Error, PacketType, Qos, ReasonCode, Received, Subscribe, Subscription, backoff, handle::Reply, topic,
};
use std::collections::HashMap;

/// Requests that may wait for their answers.
const WAITING_MAX: usize = 1 << 16;

/// Before this many wait, nobody looks for those whose asker has gone.
const WAITING_FEW: usize = 64;

/// Without a topic of the user's choice: below this, the client id or, where none was chosen, a random name.
const PREFIX: &str = "reply/";

#[derive(Debug)]
pub(crate) struct Inbox {
    topic: String,
    /// SUBSCRIBE is sent, and nothing has undone it.
    subscribed: bool,
    /// Different in each run of a program, so that a late answer to an earlier one is told apart.
    run: [u8; 8],
    waiting: HashMap<u64, Reply<Received>>,
    /// When this many wait, those whose asker has gone are looked for.
    purge_at: usize,
    last: u64,
}

impl Inbox {
    pub(crate) fn new(topic: Option<String>, client_id: &str) -> Self {
        let own = || match client_id {
            id if !id.is_empty() && !topic::is_wildcard(id) => format!("{PREFIX}{id}"),
            _ => format!("{PREFIX}{}", backoff::random_client_id()),
        };
        Self {
            topic: topic.unwrap_or_else(own),
            subscribed: false,
            run: backoff::random().to_be_bytes(),
            waiting: HashMap::new(),
            purge_at: WAITING_FEW,
            last: 0,
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The subscription that has still to be made.
    pub(crate) fn wants_subscription(&mut self) -> Option<Subscribe> {
        if self.subscribed {
            return None;
        }
        self.subscribed = true;
        let wanted = Subscription::new(self.topic.as_str(), Qos::ExactlyOnce);
        Some(Subscribe { subscriptions: vec![wanted], ..Subscribe::default() })
    }

    /// Somebody waits for an answer from now on; gives its number and its correlation data.
    pub(crate) fn expect(
        &mut self,
        reply: Reply<Received>,
    ) -> Result<(u64, Vec<u8>), (Error, Reply<Received>)> {
        if self.waiting.len() >= self.purge_at {
            self.waiting.retain(|_, reply| !reply.is_closed());
            self.purge_at = self.waiting.len().saturating_mul(2).max(WAITING_FEW);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err((Error::QueueFull, reply));
        }
        self.last += 1;
        self.waiting.insert(self.last, reply);
        Ok((self.last, [self.run, self.last.to_be_bytes()].concat()))
    }

    /// Keeps an answer for who asked; one that comes too late is dropped. Gives back what is no answer.
    pub(crate) fn route(&mut self, received: Received) -> Option<Received> {
        if !self.subscribed || received.message.topic != self.topic {
            return Some(received);
        }
        let number = received.message.properties.correlation_data.as_deref().and_then(|d| self.number(d));
        if let Some(reply) = number.and_then(|number| self.waiting.remove(&number)) {
            drop(reply.send(Ok(received)));
        }
        None
    }

    pub(crate) fn fail(&mut self, number: u64, error: Error) {
        if let Some(reply) = self.waiting.remove(&number) {
            drop(reply.send(Err(error)));
        }
    }

    /// The server has no subscription for us: no answer will come, and the next request asks for one again.
    pub(crate) fn unsubscribed(&mut self, error: &Error) {
        self.subscribed = false;
        for (_, reply) in self.waiting.drain() {
            drop(reply.send(Err(error.clone())));
        }
    }

    /// As [`Self::unsubscribed`], if it was this filter that the server has not renewed.
    pub(crate) fn lost(&mut self, filter: &str, reason: ReasonCode) {
        if self.subscribed && filter == self.topic {
            self.unsubscribed(&Error::Refused { packet: PacketType::Subscribe, reason, text: None });
        }
    }

    fn number(&self, correlation: &[u8]) -> Option<u64> {
        let number = correlation.strip_prefix(&self.run)?;
        number.try_into().ok().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Properties};
    use tokio::sync::oneshot::{self, error::TryRecvError};

    fn answer(topic: &str, correlation: Vec<u8>) -> Received {
        let properties = Properties { correlation_data: Some(correlation), ..Properties::default() };
        let message = Message::new(topic, "yes").properties(properties);
        Received { message, dup: false, packet_id: None, ack: None }
    }

    #[test]
    fn answers_reach_who_asked_in_any_order() {
        let mut inbox = Inbox::new(None, "porch");
        assert_eq!(inbox.topic(), "reply/porch");
        assert!(inbox.wants_subscription().is_some());
        assert!(inbox.wants_subscription().is_none());
        let (ask, mut first) = oneshot::channel();
        let (_, one) = inbox.expect(ask).unwrap();
        let (ask, mut second) = oneshot::channel();
        let (_, two) = inbox.expect(ask).unwrap();
        assert_ne!(one, two);
        assert_eq!(inbox.route(answer("reply/porch", two)), None);
        assert!(second.try_recv().unwrap().is_ok());
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        assert!(inbox.route(answer("elsewhere", one.clone())).is_some(), "not ours");
        for strange in [vec![], vec![0; 16], one[..15].to_vec(), [&one[..], &[0]].concat()] {
            assert_eq!(inbox.route(answer("reply/porch", strange)), None, "dropped");
        }
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(inbox.route(answer("reply/porch", one)), None);
        assert!(first.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_refused_subscription_fails_all_and_is_asked_for_again() {
        let mut inbox = Inbox::new(Some("mine".to_owned()), "porch");
        inbox.wants_subscription();
        let (ask, mut asked) = oneshot::channel();
        inbox.expect(ask).unwrap();
        inbox.lost("other", ReasonCode::NotAuthorized);
        assert_eq!(asked.try_recv(), Err(TryRecvError::Empty));
        inbox.lost("mine", ReasonCode::NotAuthorized);
        assert!(matches!(asked.try_recv().unwrap(), Err(Error::Refused { .. })));
        assert!(inbox.wants_subscription().is_some());
    }

    #[test]
    fn askers_who_gave_up_do_not_pile_up() {
        let mut inbox = Inbox::new(None, "");
        for _ in 0..10 * WAITING_FEW {
            drop(inbox.expect(oneshot::channel().0));
        }
        assert!(inbox.waiting.len() <= WAITING_FEW, "{}", inbox.waiting.len());
    }

    #[test]
    fn no_topic_is_made_of_a_client_id_with_wildcards() {
        for id in ["", "a/#", "+"] {
            let inbox = Inbox::new(None, id);
            assert!(topic::validate_name(inbox.topic()).is_ok(), "{id}");
        }
    }
}
