//! The user's end of one subscription.

use crate::{ReasonCode, Received, handle::Command, streams::Reader};
use futures_core::Stream;
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// The messages of one subscription ([`Client::subscribe_stream`](crate::Client::subscribe_stream)), in order.
///
/// Dropping it unsubscribes, unless another stream has the same filter or the client has been disconnected before;
/// see [`Self::detach`]. Messages that nobody has taken from it are
/// lost with it; with [`Options::manual_ack`](crate::Options::manual_ack) they stay unacknowledged.
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct Messages {
    reader: Reader,
    ready: VecDeque<Received>,
    granted: ReasonCode,
    /// Keeps the connection up for one who only listens.
    _alive: mpsc::Sender<Command>,
}

impl Messages {
    pub(crate) fn new(reader: Reader, granted: ReasonCode, alive: mpsc::Sender<Command>) -> Self {
        Self { reader, ready: VecDeque::new(), granted, _alive: alive }
    }

    /// The next message; `None` when the connection's task has ended, or the server has refused to renew the
    /// subscription on a new session, and everything was taken.
    ///
    /// Cancel safe: a message is taken only when this returns it.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next message if there is one now.
    pub fn try_next(&mut self) -> Option<Received> {
        if self.ready.is_empty() {
            self.reader.source.take(&mut self.ready);
        }
        self.ready.pop_front()
    }

    /// [`Self::next`] for those who write futures by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        if self.ready.is_empty() && !ready!(self.reader.source.poll_take(cx, &mut self.ready)) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.ready.pop_front())
    }

    /// Ends the stream and leaves the subscription as it is, for the next run of the program: until then its messages are
    /// events like others.
    pub fn detach(mut self) {
        self.reader.keeps_subscription = true;
    }

    /// What the server granted: a `QoS` that may be below the one asked for.
    pub fn granted(&self) -> ReasonCode {
        self.granted
    }
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        Self::poll_next(self.get_mut(), cx)
    }
}
