//! Who waits for the end of which request.

use crate::{Error, PublishAck, ReasonCode, handle::Reply};
use grovemq_core::client as core;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(crate) struct Replies {
    publications: HashMap<u64, Reply<PublishAck>>,
    /// SUBSCRIBE and UNSUBSCRIBE.
    subscriptions: HashMap<u64, Reply<Vec<ReasonCode>>>,
    last: u64,
}

impl Replies {
    /// A token for the protocol.
    pub(crate) fn publication(&mut self, reply: Reply<PublishAck>) -> u64 {
        self.last += 1;
        self.publications.insert(self.last, reply);
        self.last
    }

    /// A token for the protocol.
    pub(crate) fn subscription(&mut self, reply: Reply<Vec<ReasonCode>>) -> u64 {
        self.last += 1;
        self.subscriptions.insert(self.last, reply);
        self.last
    }

    pub(crate) fn published(&mut self, token: u64, result: Result<PublishAck, core::Error>) {
        if let Some(reply) = self.publications.remove(&token) {
            answer(reply, result.map_err(Error::from));
        }
    }

    pub(crate) fn subscribed(&mut self, token: u64, result: Result<Vec<ReasonCode>, core::Error>) {
        if let Some(reply) = self.subscriptions.remove(&token) {
            answer(reply, result.map_err(Error::from));
        }
    }

    pub(crate) fn fail_all(&mut self, error: &Error) {
        for (_, reply) in self.publications.drain() {
            answer(reply, Err(error.clone()));
        }
        for (_, reply) in self.subscriptions.drain() {
            answer(reply, Err(error.clone()));
        }
    }
}

/// Whoever dropped the other end does not want to know.
pub(crate) fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    drop(reply.send(result));
}
