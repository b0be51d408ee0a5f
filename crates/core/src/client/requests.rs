//! SUBSCRIBE and UNSUBSCRIBE: what waits, what is under way, and which subscriptions are to survive a lost session.

use super::{ConnAckInfo, Error, Event, Subscribe, Subscription, Unsubscribe, outlet::Outlet};
use grovemq_codec::{
    Filters, Packet, ReasonCode, SubAck, SubscribeOptions, SubscribeProperties, Topics, UnsubAck,
    UserProperties, VARINT_MAX, Version, topic,
};
use hashbrown::HashMap;
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    num::NonZeroU16,
};

/// Requests that may wait or be under way.
const REQUESTS_MAX: usize = 10_000;

/// Filters and their bytes in one SUBSCRIBE that renews subscriptions.
const RENEWAL_FILTERS_MAX: usize = 100;
const RENEWAL_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: VecDeque<Request>,
    sent: HashMap<NonZeroU16, (u64, Request), foldhash::fast::FixedState>,
    order: u64,
    /// By filter: the options and the subscription identifier.
    remembered: BTreeMap<String, (SubscribeOptions, Option<u32>)>,
    limits: SubscribeLimits,
}

/// What the server said it can do.
#[derive(Clone, Copy, Debug, Default)]
struct SubscribeLimits {
    no_wildcards: bool,
    no_ids: bool,
    no_shared: bool,
}

#[derive(Debug)]
enum Request {
    /// Without a token it is a renewal of our own.
    Subscribe(Subscribe, Option<u64>),
    Unsubscribe(Unsubscribe, u64),
}

impl Requests {
    pub(super) fn subscribe(&mut self, body: Subscribe, token: u64, version: Version) -> Result<(), Error> {
        check_subscribe(&body, version)?;
        self.push(Request::Subscribe(body, Some(token)))
    }

    pub(super) fn unsubscribe(&mut self, body: Unsubscribe, token: u64) -> Result<(), Error> {
        if body.filters.is_empty() {
            return Err(Error::Invalid("no filter to unsubscribe from")); // [MQTT-3.10.3-2]
        }
        if body.filters.iter().any(|f| !is_filter(f)) {
            return Err(Error::Invalid("topic filter"));
        }
        self.push(Request::Unsubscribe(body, token))
    }

    /// A connection stands; without a session every remembered subscription is made again, before anything else.
    pub(super) fn start(&mut self, info: &ConnAckInfo, session_present: bool) {
        self.limits = SubscribeLimits {
            no_wildcards: !info.wildcard_subscription_available,
            no_ids: !info.subscription_ids_available,
            no_shared: !info.shared_subscription_available,
        };
        if !session_present {
            for renewal in renewals(&self.remembered).into_iter().rev() {
                self.pending.push_front(Request::Subscribe(renewal, None));
            }
        }
    }

    /// The connection is gone: what was under way is asked again; renewals are made anew if need be.
    pub(super) fn stop(&mut self) {
        let mut sent: Vec<(u64, Request)> = self.sent.drain().map(|(_, sent)| sent).collect();
        sent.sort_unstable_by_key(|(order, _)| *order);
        for (_, request) in sent.into_iter().rev() {
            self.pending.push_front(request);
        }
        self.pending.retain(|request| !matches!(request, Request::Subscribe(_, None)));
    }

    /// Sends the next request. False: there is none, or no id is free.
    pub(super) fn send_next(
        &mut self,
        free_id: impl FnOnce(&Self) -> Option<NonZeroU16>,
        outlet: &mut Outlet,
    ) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let Some(id) = free_id(self) else { return false };
        let Some(request) = self.pending.pop_front() else { return false };
        let written = match &request {
            Request::Subscribe(body, _) => self.admit(body).and_then(|()| write_subscribe(id, body, outlet)),
            Request::Unsubscribe(body, _) => write_unsubscribe(id, body, outlet),
        };
        match written {
            Ok(()) => {
                self.sent.insert(id, (self.order, request));
                self.order += 1;
            }
            Err(error) => self.fail(request, &error, outlet),
        }
        true
    }

    pub(super) fn handle_suback(
        &mut self,
        ack: &SubAck<'_>,
        outlet: &mut Outlet,
    ) -> Result<(), grovemq_codec::Error> {
        let Some((_, Request::Subscribe(body, token))) = self.take(ack.packet_id, Request::is_subscribe)
        else {
            return Err(grovemq_codec::Error::Protocol("SUBACK for nothing we asked"));
        };
        // [MQTT-3.8.4-6]
        if ack.codes.len() != body.subscriptions.len() {
            let error = grovemq_codec::Error::Protocol("SUBACK with another number of codes than filters");
            self.fail(Request::Subscribe(body, token), &Error::Protocol(error), outlet);
            return Err(error);
        }
        let codes: Vec<ReasonCode> = ack.codes.iter().collect();
        for (subscription, &reason) in body.subscriptions.into_iter().zip(&codes) {
            let Subscription { filter, options } = subscription;
            if !reason.is_error() {
                self.remembered.insert(filter, (options, body.id));
            } else if token.is_none() {
                self.remembered.remove(&filter);
                outlet.events.push_back(Event::SubscriptionLost { filter, reason });
            }
        }
        if let Some(token) = token {
            outlet.events.push_back(Event::Subscribed { token, result: Ok(codes) });
        }
        Ok(())
    }

    pub(super) fn handle_unsuback(
        &mut self,
        ack: &UnsubAck<'_>,
        outlet: &mut Outlet,
    ) -> Result<(), grovemq_codec::Error> {
        let Some((_, Request::Unsubscribe(body, token))) = self.take(ack.packet_id, |r| !r.is_subscribe())
        else {
            return Err(grovemq_codec::Error::Protocol("UNSUBACK for nothing we asked"));
        };
        let mut codes: Vec<ReasonCode> = ack.codes.iter().collect();
        if outlet.version < Version::V5 {
            codes = vec![ReasonCode::Success; body.filters.len()];
        }
        // [MQTT-3.11.3-1]
        if codes.len() != body.filters.len() {
            let error = grovemq_codec::Error::Protocol("UNSUBACK with another number of codes than filters");
            self.fail(Request::Unsubscribe(body, token), &Error::Protocol(error), outlet);
            return Err(error);
        }
        for (filter, reason) in body.filters.iter().zip(&codes) {
            if !reason.is_error() {
                self.remembered.remove(filter);
            }
        }
        outlet.events.push_back(Event::Unsubscribed { token, result: Ok(codes) });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.sent.is_empty()
    }

    pub(super) fn uses(&self, id: NonZeroU16) -> bool {
        self.sent.contains_key(&id)
    }

    fn push(&mut self, request: Request) -> Result<(), Error> {
        if self.pending.len() + self.sent.len() >= REQUESTS_MAX {
            return Err(Error::QueueFull);
        }
        self.pending.push_back(request);
        Ok(())
    }

    fn take(&mut self, id: NonZeroU16, fits: impl FnOnce(&Request) -> bool) -> Option<(u64, Request)> {
        self.sent.get(&id).is_some_and(|(_, request)| fits(request)).then(|| self.sent.remove(&id))?
    }

    fn admit(&self, body: &Subscribe) -> Result<(), Error> {
        let any = |test: fn(&str) -> bool| body.subscriptions.iter().any(|s| test(&s.filter));
        let missing = if self.limits.no_ids && body.id.is_some() {
            ReasonCode::SubscriptionIdentifiersNotSupported
        } else if self.limits.no_wildcards && any(topic::is_wildcard) {
            ReasonCode::WildcardSubscriptionsNotSupported
        } else if self.limits.no_shared && any(is_shared) {
            ReasonCode::SharedSubscriptionsNotSupported
        } else {
            return Ok(());
        };
        Err(Error::Unsupported(missing))
    }

    fn fail(&mut self, request: Request, error: &Error, outlet: &mut Outlet) {
        match request {
            Request::Subscribe(_, Some(token)) => {
                outlet.events.push_back(Event::Subscribed { token, result: Err(error.clone()) });
            }
            Request::Unsubscribe(_, token) => {
                outlet.events.push_back(Event::Unsubscribed { token, result: Err(error.clone()) });
            }
            Request::Subscribe(body, None) => {
                let reason = match error {
                    Error::Unsupported(reason) => *reason,
                    Error::TooLarge { .. } => ReasonCode::PacketTooLarge,
                    // The connection is about to end; the next one tries again.
                    _ => return,
                };
                for subscription in body.subscriptions {
                    self.remembered.remove(&subscription.filter);
                    outlet.events.push_back(Event::SubscriptionLost { filter: subscription.filter, reason });
                }
            }
        }
    }
}

impl Request {
    fn is_subscribe(&self) -> bool {
        matches!(self, Self::Subscribe(..))
    }
}

fn check_subscribe(body: &Subscribe, version: Version) -> Result<(), Error> {
    if body.subscriptions.is_empty() {
        return Err(Error::Invalid("no filter to subscribe to")); // [MQTT-3.8.3-2]
    }
    if body.id.is_some_and(|id| id == 0 || id > VARINT_MAX) {
        return Err(Error::Invalid("subscription identifier"));
    }
    for subscription in &body.subscriptions {
        if !is_filter(&subscription.filter) {
            return Err(Error::Invalid("topic filter"));
        }
        // [MQTT-3.8.3-4]
        if version == Version::V5 && subscription.options.no_local && is_shared(&subscription.filter) {
            return Err(Error::Invalid("No Local on a shared subscription"));
        }
    }
    Ok(())
}

fn is_filter(filter: &str) -> bool {
    topic::validate_filter(filter).is_ok()
}

fn is_shared(filter: &str) -> bool {
    !matches!(topic::parse_shared(filter), Ok(None))
}

/// SUBSCRIBE packets for everything remembered; one packet has one subscription identifier.
fn renewals(remembered: &BTreeMap<String, (SubscribeOptions, Option<u32>)>) -> Vec<Subscribe> {
    let mut by_id: BTreeMap<Option<u32>, Vec<Subscription>> = BTreeMap::new();
    for (filter, &(options, id)) in remembered {
        by_id.entry(id).or_default().push(Subscription { filter: filter.clone(), options });
    }
    let mut packets: Vec<Subscribe> = Vec::new();
    for (id, subscriptions) in by_id {
        let mut packet = Subscribe { id, ..Subscribe::default() };
        let mut bytes = 0;
        for subscription in subscriptions {
            let full = packet.subscriptions.len() >= RENEWAL_FILTERS_MAX || bytes >= RENEWAL_BYTES_MAX;
            if full {
                bytes = 0;
                packets.push(mem::replace(&mut packet, Subscribe { id, ..Subscribe::default() }));
            }
            bytes += subscription.filter.len();
            packet.subscriptions.push(subscription);
        }
        packets.push(packet);
    }
    packets
}

fn write_subscribe(id: NonZeroU16, body: &Subscribe, outlet: &mut Outlet) -> Result<(), Error> {
    let filters: Vec<(&str, SubscribeOptions)> =
        body.subscriptions.iter().map(|s| (s.filter.as_str(), s.options)).collect();
    outlet.packet(&Packet::Subscribe(grovemq_codec::Subscribe {
        packet_id: id,
        properties: SubscribeProperties { subscription_id: body.id, user: UserProperties::List(&body.user) },
        filters: Filters::List(&filters),
    }))
}

fn write_unsubscribe(id: NonZeroU16, body: &Unsubscribe, outlet: &mut Outlet) -> Result<(), Error> {
    let filters: Vec<&str> = body.filters.iter().map(String::as_str).collect();
    outlet.packet(&Packet::Unsubscribe(grovemq_codec::Unsubscribe {
        packet_id: id,
        user_properties: UserProperties::List(&body.user),
        topics: Topics::List(&filters),
    }))
}
