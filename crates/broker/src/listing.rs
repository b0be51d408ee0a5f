//! Subscriptions, to be shown to a person.

use crate::inbox::{Inbox, Letter};
use crate::limits::{LISTED_MAX, LISTING_MAX, REPORT_TIME_MAX};
use grovemq_core::Router;
use grovemq_core::router::SessionRef;
use std::collections::HashMap;
use std::sync::{Arc, mpsc};

/// A client's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    pub filter: Arc<str>,
    /// The shared group.
    pub group: Option<Box<str>>,
    pub client_id: Arc<str>,
    pub qos: u8,
}

pub(crate) fn subscriptions(router: &Router, inboxes: &[Arc<Inbox>]) -> Vec<Subscribed> {
    let clients = client_ids(inboxes);
    let mut all = Vec::new();
    let mut next = Some((0, 0));
    while let Some(from) = next
        && all.len() < LISTED_MAX
    {
        let (found, more) = router.list(from, LISTING_MAX as usize);
        next = more;
        all.extend(found.into_iter().filter_map(|s| {
            // one that came or went meanwhile has no name
            let client_id = clients.get(&s.session)?.clone();
            Some(Subscribed { filter: s.filter, group: s.group, client_id, qos: s.qos as u8 })
        }));
    }
    all
}

fn client_ids(inboxes: &[Arc<Inbox>]) -> HashMap<SessionRef, Arc<str>> {
    let mut clients = HashMap::new();
    for (shard, inbox) in (0..).zip(inboxes) {
        let mut next = Some(0);
        while let Some(from) = next {
            let (reply, answer) = mpsc::channel();
            inbox.post(Letter::ClientIds(from, reply));
            let Ok((found, more)) = answer.recv_timeout(REPORT_TIME_MAX) else { break };
            next = more;
            clients.extend(found.into_iter().map(|(key, id)| (SessionRef { shard, key }, Arc::from(id))));
        }
    }
    clients
}
