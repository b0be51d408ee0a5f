//! Every bound of the core, in one place, with its default.

use crate::meter::PublishRate;
use core::time::Duration;

/// Limits that hold for the whole broker. 0 means "no limit" only where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet a client may send, header included (`max_packet_size`).
    pub packet_bytes_max: u32,
    /// Largest first packet, before the client is known.
    pub connect_bytes_max: u32,
    /// Largest PUBLISH payload (`message_size_limit`); 0 is no limit.
    pub payload_bytes_max: u32,
    /// From accept to a whole CONNECT.
    pub connect_time_max: Duration,
    /// From a client's wish to authenticate anew to its end; the first time is part of `connect_time_max`.
    pub auth_time_max: Duration,
    /// AUTH packets of a client in one exchange.
    pub auth_rounds_max: u8,
    /// Authentication data in one exchange, of both sides together.
    pub auth_bytes_max: usize,
    /// Outgoing QoS 1 and 2 messages unacknowledged per client (`max_inflight_messages`); 0 is 65,535.
    pub inflight_max: u16,
    /// The same while memory is short.
    pub inflight_max_short: u16,
    /// The same in payload bytes (`max_inflight_bytes`); 0 is no limit.
    pub inflight_bytes_max: u64,
    /// QoS 2 publishes a client may have open, which is also the Receive Maximum announced.
    pub receive_max: u16,
    /// Messages queued per client above those in flight (`max_queued_messages`); 0 is no limit.
    pub queue_messages_max: u32,
    /// The same in payload bytes (`max_queued_bytes`); 0 is no limit.
    pub queue_bytes_max: u64,
    /// What happens to messages for a client whose queue is full (`queue_policy`).
    pub queue_policy: QueuePolicy,
    /// Unsent bytes per client above which QoS 0 messages for it are dropped.
    pub output_bytes_max: usize,
    /// The same while memory is short.
    pub output_bytes_max_short: usize,
    /// Unsent bytes per client at which the client is closed: it sends requests but reads no answers.
    pub output_bytes_hard_max: usize,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE; a client that sends more at once is closed.
    pub filters_max: usize,
    /// Subscriptions per client (`max_subscriptions_per_client`); more get Quota Exceeded.
    pub subscriptions_max: u32,
    /// Retained messages in all (`max_retained_messages`).
    pub retained_max: u32,
    /// Bytes of their topics, properties and payloads (`max_retained_bytes`); 0 is no limit.
    pub retained_bytes_max: u64,
    /// Between two looks for those that have expired (`retain_expiry_interval`).
    pub retained_sweep_period: Duration,
    /// Sessions in all, connected or not (`global_max_clients`).
    pub sessions_max: u32,
    /// Longest keep-alive in seconds (`max_keepalive`); 0 is no limit.
    pub keep_alive_max: u16,
    /// Longest life of a disconnected session in seconds (`persistent_client_expiration`); `None` is for ever.
    pub session_expiry_max: Option<u32>,
    /// Topics in a shard's match cache.
    pub cache_topics_max: usize,
    /// Memory of that cache in bytes.
    pub cache_bytes_max: usize,
    /// Deliveries one connection may cause before the others have their turn.
    pub turn_deliveries_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: 2_000_000,
            connect_bytes_max: 100_000,
            payload_bytes_max: 0,
            connect_time_max: Duration::from_secs(10),
            auth_time_max: Duration::from_secs(10),
            auth_rounds_max: 8,
            auth_bytes_max: 64 << 10,
            inflight_max: 20,
            inflight_max_short: 2,
            inflight_bytes_max: 0,
            receive_max: 20,
            queue_messages_max: 1000,
            queue_bytes_max: 0,
            queue_policy: QueuePolicy::DropNew,
            output_bytes_max: 16 << 20,
            output_bytes_max_short: 64 << 10,
            output_bytes_hard_max: 64 << 20,
            filters_max: 50_000,
            subscriptions_max: 1 << 20,
            retained_max: 10_000_000,
            retained_bytes_max: 0,
            retained_sweep_period: Duration::from_secs(300),
            sessions_max: 10_000_000,
            keep_alive_max: 0,
            session_expiry_max: None,
            cache_topics_max: 1 << 16,
            cache_bytes_max: 64 << 20,
            turn_deliveries_max: 10_000,
        }
    }
}

/// What happens when a message is to be queued for a client whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuePolicy {
    /// It is dropped.
    #[default]
    DropNew,
    /// Those that have waited longest are dropped for it.
    DropOldest,
    /// It is dropped, and the client, if it is there, is told and closed; its session stays.
    Disconnect,
}

/// What may differ from listener to listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Highest QoS a client may publish with (`max_qos`).
    pub qos_max: u8,
    /// Topic aliases a client may set (`max_topic_alias`).
    pub alias_in_max: u16,
    /// Topic aliases used towards a client (`max_topic_alias_broker`).
    pub alias_out_max: u16,
    /// Accepted protocol versions (`accept_protocol_versions`): 3.1, 3.1.1, 5.
    pub versions: [bool; 3],
    /// Empty client ids get a name made up here (`allow_zero_length_clientid`).
    pub empty_client_id: bool,
    /// Beginning of such a name (`auto_id_prefix`).
    pub auto_id_prefix: String,
    /// The user name replaces the client id (`use_username_as_clientid`).
    pub username_as_client_id: bool,
    pub retain_available: bool,
    /// How fast a client may publish (`max_publish_rate`, `max_publish_bytes_rate`).
    pub publish_rate: PublishRate,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            qos_max: 2,
            alias_in_max: 10,
            alias_out_max: 10,
            versions: [true; 3],
            empty_client_id: true,
            auto_id_prefix: "auto-".into(),
            username_as_client_id: false,
            retain_available: true,
            publish_rate: PublishRate::default(),
        }
    }
}
