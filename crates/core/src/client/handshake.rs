//! CONNECT as the configuration wants it, and what CONNACK makes of it.

use super::{Config, ConnAckInfo, Error, Refusal, Will, outlet::Outlet};
use grovemq_codec::{
    ConnAck, Connect, ConnectProperties, Packet, Qos, ReasonCode, UserProperties, Version, WillProperties,
};
use std::time::Duration;

pub(super) fn write_connect(
    config: &Config,
    client_id: &str,
    clean_start: bool,
    outlet: &mut Outlet,
) -> Result<(), Error> {
    let credentials = config.credentials.as_ref();
    outlet.packet(&Packet::Connect(Connect {
        version: config.version,
        bridge: config.bridge,
        clean_start,
        keep_alive: keep_alive_seconds(config),
        properties: connect_properties(config),
        client_id,
        will: config.will.as_ref().map(will),
        username: credentials.and_then(|c| c.username.as_deref()),
        password: credentials.and_then(|c| c.password.as_deref()),
    }))
}

pub(super) fn accepted(
    config: &Config,
    client_id: &str,
    session_present: bool,
    ack: &ConnAck<'_>,
) -> ConnAckInfo {
    let p = &ack.properties;
    // [MQTT-3.2.2-21]
    let keep_alive = p.server_keep_alive.unwrap_or_else(|| keep_alive_seconds(config));
    ConnAckInfo {
        session_present,
        reason: ack.reason,
        client_id: p.assigned_client_id.unwrap_or(client_id).to_owned(),
        assigned_client_id: p.assigned_client_id.map(ToOwned::to_owned),
        keep_alive: Duration::from_secs(keep_alive.into()),
        server_keep_alive: p.server_keep_alive,
        session_expiry: p.session_expiry,
        receive_maximum: p.receive_maximum.unwrap_or(u16::MAX),
        maximum_qos: p.maximum_qos.and_then(Qos::from_u8).unwrap_or(Qos::ExactlyOnce),
        retain_available: p.retain_available.unwrap_or(true),
        maximum_packet_size: p.maximum_packet_size,
        topic_alias_maximum: p.topic_alias_maximum.unwrap_or(0),
        wildcard_subscription_available: p.wildcard_subscription_available.unwrap_or(true),
        subscription_ids_available: p.subscription_ids_available.unwrap_or(true),
        shared_subscription_available: p.shared_subscription_available.unwrap_or(true),
        reason_string: p.reason_string.map(ToOwned::to_owned),
        response_information: p.response_information.map(ToOwned::to_owned),
        server_reference: p.server_reference.map(ToOwned::to_owned),
        user: p.user.to_vec(),
    }
}

pub(super) fn refused(version: Version, ack: &ConnAck<'_>) -> Refusal {
    let p = &ack.properties;
    Refusal {
        reason: ack.reason,
        v3_code: (version < Version::V5).then(|| ack.reason.connack_v3()),
        reason_string: p.reason_string.map(ToOwned::to_owned),
        server_reference: p.server_reference.map(ToOwned::to_owned),
        user: p.user.to_vec(),
    }
}

/// Whether the server took up an old session, as far as it can be known.
pub(super) fn session_present(
    version: Version,
    clean_start: bool,
    ack: &ConnAck<'_>,
) -> Result<bool, grovemq_codec::Error> {
    if version == Version::V31 {
        // 3.1 has no such flag: a server asked to keep the session is trusted to have done so.
        return Ok(!clean_start);
    }
    if ack.session_present && clean_start && ack.reason == ReasonCode::Success {
        return Err(grovemq_codec::Error::Protocol("a session present after a clean start")); // [MQTT-3.2.2-4]
    }
    Ok(ack.session_present)
}

fn keep_alive_seconds(config: &Config) -> u16 {
    u16::try_from(config.keep_alive.as_secs()).unwrap_or(u16::MAX)
}

fn connect_properties(config: &Config) -> ConnectProperties<'_> {
    ConnectProperties {
        session_expiry: config.session_expiry,
        receive_maximum: config.receive_maximum,
        maximum_packet_size: config.maximum_packet_size,
        topic_alias_maximum: Some(config.topic_alias_maximum).filter(|&n| n > 0),
        request_response_information: config.request_response_information,
        request_problem_information: config.request_problem_information,
        authentication_method: config.authentication_method.as_deref(),
        authentication_data: config.authentication_data.as_deref(),
        user: UserProperties::List(&config.user),
    }
}

fn will(will: &Will) -> grovemq_codec::Will<'_> {
    let message = &will.message;
    let p = &message.properties;
    grovemq_codec::Will {
        qos: message.qos,
        retain: message.retain,
        properties: WillProperties {
            delay: will.delay,
            payload_format: p.payload_format,
            message_expiry: p.message_expiry,
            content_type: p.content_type.as_deref(),
            response_topic: p.response_topic.as_deref(),
            correlation_data: p.correlation_data.as_deref(),
            user: UserProperties::List(&p.user),
        },
        topic: &message.topic,
        payload: &message.payload,
    }
}
