//! The configuration as the core takes it.

use crate::listeners::{Slot, State};
use grovemq_config::{self as config, Config, Listener};
use grovemq_core::access::Authorize;
use grovemq_core::{Limits, ListenerLimits, ListenerSettings, PublishRate, QueuePolicy, Settings};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// `slots` are the listeners by their numbers.
pub(crate) fn settings(config: &Config, slots: &[Slot], seed: u64) -> Settings {
    let listeners = slots.iter().map(|Slot { listener, gate, state, .. }| ListenerSettings {
        limits: listener_limits(config, listener),
        allow_anonymous: listener.allow_anonymous,
        authenticate: gate.passwords.is_some(),
        identity_as_username: listener.tls.use_identity_as_username || listener.tls.use_subject_as_username,
        mount_point: listener.mount_point.as_deref().map(Into::into),
        access: gate.rules.clone().map(|rules| rules as Arc<dyn Authorize>),
        retired: *state == State::Retired,
    });
    Settings {
        limits: limits(config),
        listeners: listeners.collect(),
        inside: inside(config),
        queue_qos0: config.delivery.queue_qos0_messages,
        upgrade_outgoing_qos: config.delivery.upgrade_outgoing_qos,
        allow_duplicates: config.delivery.allow_duplicate_messages,
        check_retain_source: config.delivery.check_retain_source,
        control: config.enable_control_api,
        client_id_prefix: config.clientid_prefixes.clone(),
        store_epoch: None,
        seed,
    }
}

/// For the broker's own clients.
fn inside(config: &Config) -> ListenerSettings {
    let retain_available = config.delivery.retain_available;
    let limits = ListenerLimits { retain_available, ..ListenerLimits::default() };
    ListenerSettings { limits, allow_anonymous: true, ..ListenerSettings::default() }
}

fn limits(config: &Config) -> Limits {
    let (from, default) = (&config.limits, Limits::default());
    Limits {
        packet_bytes_max: from.max_packet_size,
        connect_bytes_max: default.connect_bytes_max.min(from.max_packet_size),
        payload_bytes_max: from.message_size_limit.unwrap_or(0),
        inflight_max: from.max_inflight_messages.unwrap_or(0),
        inflight_bytes_max: from.max_inflight_bytes.unwrap_or(0).into(),
        queue_messages_max: from.max_queued_messages.unwrap_or(0),
        queue_bytes_max: from.max_queued_bytes.unwrap_or(0).into(),
        queue_policy: match config.delivery.queue_policy {
            config::QueuePolicy::DropNew => QueuePolicy::DropNew,
            config::QueuePolicy::DropOldest => QueuePolicy::DropOldest,
            config::QueuePolicy::Disconnect => QueuePolicy::Disconnect,
        },
        subscriptions_max: from.max_subscriptions_per_client.unwrap_or(default.subscriptions_max),
        retained_max: from.max_retained_messages.unwrap_or(default.retained_max),
        retained_bytes_max: from.max_retained_bytes.unwrap_or(0),
        sessions_max: from.global_max_clients.unwrap_or(default.sessions_max),
        retained_sweep_period: from.retain_expiry_interval.unwrap_or(default.retained_sweep_period),
        keep_alive_max: from.max_keepalive.unwrap_or(0),
        session_expiry_max: from.persistent_client_expiration.map(seconds),
        ..default
    }
}

fn listener_limits(config: &Config, listener: &Listener) -> ListenerLimits {
    ListenerLimits {
        qos_max: listener.max_qos,
        alias_in_max: listener.max_topic_alias,
        alias_out_max: listener.max_topic_alias_broker,
        versions: [listener.versions.v31, listener.versions.v311, listener.versions.v5],
        empty_client_id: listener.auth.allow_zero_length_clientid,
        auto_id_prefix: listener.auth.auto_id_prefix.clone(),
        username_as_client_id: listener.use_username_as_clientid,
        retain_available: config.delivery.retain_available,
        publish_rate: PublishRate {
            messages: listener.max_publish_rate.and_then(NonZeroU32::new),
            bytes: listener.max_publish_bytes_rate.and_then(NonZeroU32::new),
        },
    }
}

fn seconds(d: Duration) -> u32 {
    u32::try_from(d.as_secs()).unwrap_or(u32::MAX)
}
