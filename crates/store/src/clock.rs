//! Between core's time, which begins with the process, and the wall clock, which outlives it.

use crate::change::Letter;
use grovemq_core::{Message, MessageRef, Time};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 at core's `Time(0)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(u64);

impl Clock {
    pub(crate) fn new(epoch: SystemTime) -> Self {
        let since = epoch.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn letter(self, message: &Message) -> Letter<'_> {
        let MessageRef { topic, properties, payload, qos, retain, expires } = message.view();
        let expires = expires.map(|time| self.0.saturating_add(time.0));
        Letter { topic, properties, payload, qos, retain, expires }
    }

    pub(crate) fn message(self, letter: &Letter<'_>) -> Arc<Message> {
        let Letter { topic, properties, payload, qos, retain, expires } = *letter;
        // what expired before core's time began has expired when it begins
        let expires = expires.map(|time| Time(time.saturating_sub(self.0)));
        MessageRef { topic, properties, payload, qos, retain, expires }.to_shared()
    }
}
