//! What a member of a shared group has not acknowledged when its session ends goes to another member.
//!
//! QoS 1 may have arrived and goes out again; QoS 2 goes only if it was never sent. [MQTT-4.8.2-5] A member on this shard
//! gets it in the same commit; one elsewhere is chosen where only that one is connected, and a kill at that very moment may
//! lose the message.

use super::Shard;
use super::mail::Target;
use super::mount::mounted;
use crate::router::{NodeId, SessionRef};
use crate::session::Session;
use crate::{Message, MessageRef, Time};
use grovemq_codec::topic;
use std::sync::Arc;

/// Plain subscriptions looked at: a message that one of them may have brought is not the group's.
const PLAIN_MAX: usize = 1000;

impl Shard {
    /// Before the session leaves its groups, and after nobody finds it any more.
    pub(super) fn bequeath(&mut self, now: Time, key: SessionRef, session: &mut Session) {
        let mut groups: Vec<(NodeId, String, Box<str>)> = Vec::new();
        let Some(outgoing) = session.outgoing.get_mut() else { return };
        for (node, group) in session.subscriptions.iter() {
            groups.extend(group.map(|group| (node, self.router.filter(node), group.into())));
        }
        if groups.is_empty() {
            return;
        }
        let plain = session.subscriptions.iter().filter(|(_, group)| group.is_none()).take(PLAIN_MAX);
        let plain: Vec<String> = plain.map(|(node, _)| self.router.filter(node)).collect();
        for (turn, message) in outgoing.take_undelivered().into_iter().enumerate() {
            let Some(message) = whole(message, session.mount.as_deref()) else { continue };
            let matches = |filter: &String| topic::matches(filter, message.topic());
            if message.is_expired(now) || plain.iter().any(matches) {
                continue;
            }
            let Some((node, _, group)) = groups.iter().find(|(_, filter, _)| matches(filter)) else {
                continue;
            };
            let Some(heir) = self.router.other_member(*node, group, key, turn) else { continue };
            let target = Target::member(&heir);
            if heir.session.shard == self.id {
                self.route_mail(now, target, message.view(), Some(&message));
            } else if let Some(batch) = self.mail.get_mut(usize::from(heir.session.shard)) {
                batch.push(None, target, &message.view(), &mut Some(message.clone()));
            }
        }
    }
}

/// The message with its whole topic.
fn whole(message: Arc<Message>, mount: Option<&str>) -> Option<Arc<Message>> {
    if mount.is_none() {
        return Some(message);
    }
    let topic = mounted(mount, message.topic())?;
    Some(MessageRef { topic: &topic, ..message.view() }.to_shared())
}
