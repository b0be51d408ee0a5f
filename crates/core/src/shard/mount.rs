//! Mount points: the clients of a listener see their topics without the prefix that all others see.
//!
//! Rules, routing and retained messages know the whole topic. The prefix is put on where a packet comes in, and taken off
//! where a message is handed to the session; nothing between knows of it.

use super::clients::{Clients, Delivery, To, Variants};
use crate::{MessageRef, Time};
use std::borrow::Cow;

/// The longest topic a packet can hold, in bytes.
pub(super) const TOPIC_BYTES_MAX: usize = 65_535;

/// The topic or filter behind the mount point, if there is one; `None` if it would be too long.
pub(crate) fn mounted<'a>(mount: Option<&str>, topic: &'a str) -> Option<Cow<'a, str>> {
    match mount {
        None => Some(Cow::Borrowed(topic)),
        Some(mount) if mount.len() + topic.len() <= TOPIC_BYTES_MAX => {
            Some(Cow::Owned([mount, topic].concat()))
        }
        Some(_) => None,
    }
}

impl Clients {
    /// To a session that had a mount point when it subscribed.
    #[cold]
    pub(super) fn deliver_mounted(&mut self, now: Time, to: To<'_>, d: &mut Delivery<'_>) {
        let mount = self.sessions.get(to.session).and_then(|s| s.mount.clone());
        let Some(mount) = mount else { return self.deliver(now, to, d) };
        let topic = match d.message.topic.strip_prefix(&*mount) {
            // what is the prefix itself has no name left
            Some("") => return,
            Some(topic) => topic,
            None => d.message.topic,
        };
        let message = MessageRef { topic, ..d.message };
        let variants = &mut Variants::default();
        self.deliver(now, to, &mut Delivery { message, shared: None, several: false, variants });
    }
}
