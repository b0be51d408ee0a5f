//! Who waits for the end of which request.

use crate::{
    Error, PacketType, PublishAck, ReasonCode,
    handle::{Granted, Reply},
    inbox::Inbox,
    streams::Reader,
};
use grovemq_core::client as core;
use std::collections::HashMap;

#[derive(Debug)]
pub(crate) struct Replies {
    waiting: HashMap<u64, Waiting>,
    pub(crate) inbox: Inbox,
    last: u64,
}

#[derive(Debug)]
pub(crate) enum Waiting {
    Publication(Reply<PublishAck>),
    /// SUBSCRIBE and UNSUBSCRIBE.
    Subscription(Reply<Vec<ReasonCode>>),
    Stream(Reader, Reply<Granted>),
    /// The inbox's SUBSCRIBE.
    Inbox,
    /// A request's PUBLISH, with its number in the inbox.
    Request(u64),
}

impl Replies {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { waiting: HashMap::new(), inbox, last: 0 }
    }

    /// A token for the protocol.
    pub(crate) fn add(&mut self, waiting: Waiting) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, waiting);
        self.last
    }

    /// A token nobody waits for.
    pub(crate) fn nobody(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn published(&mut self, token: u64, result: Result<PublishAck, core::Error>) {
        match self.waiting.remove(&token) {
            Some(Waiting::Publication(reply)) => answer(reply, result.map_err(Error::from)),
            Some(Waiting::Request(number)) => match result {
                // it would wait in vain
                Ok(PublishAck { reason: reason @ ReasonCode::NoMatchingSubscribers, .. }) => self
                    .inbox
                    .fail(number, Error::Refused { packet: PacketType::Publish, reason, text: None }),
                Ok(_) => {}
                Err(error) => self.inbox.fail(number, error.into()),
            },
            _ => {}
        }
    }

    pub(crate) fn subscribed(&mut self, token: u64, result: Result<Vec<ReasonCode>, core::Error>) {
        match self.waiting.remove(&token) {
            Some(Waiting::Subscription(reply)) => answer(reply, result.map_err(Error::from)),
            Some(Waiting::Stream(mut reader, reply)) => match granted(result) {
                Ok(reason) => answer(reply, Ok((reader, reason))),
                Err(error) => {
                    reader.keeps_subscription = true;
                    answer(reply, Err(error));
                }
            },
            Some(Waiting::Inbox) => {
                if let Err(error) = granted(result) {
                    self.inbox.unsubscribed(&error);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn fail_all(&mut self, error: &Error) {
        for (_, waiting) in self.waiting.drain() {
            match waiting {
                Waiting::Publication(reply) => answer(reply, Err(error.clone())),
                Waiting::Subscription(reply) => answer(reply, Err(error.clone())),
                Waiting::Stream(_, reply) => answer(reply, Err(error.clone())),
                Waiting::Inbox | Waiting::Request(_) => {}
            }
        }
        self.inbox.unsubscribed(error);
    }
}

/// The answer to SUBSCRIBE with one filter.
fn granted(result: Result<Vec<ReasonCode>, core::Error>) -> Result<ReasonCode, Error> {
    match result?.first() {
        Some(&reason) if reason.is_error() => {
            Err(Error::Refused { packet: PacketType::Subscribe, reason, text: None })
        }
        Some(&reason) => Ok(reason),
        // the protocol counts them
        None => Err(Error::Closed),
    }
}

/// Whoever dropped the other end does not want to know.
pub(crate) fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    drop(reply.send(result));
}
