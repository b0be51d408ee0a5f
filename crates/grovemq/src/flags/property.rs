//! `-D command name [key] value`: properties of MQTT 5.

use super::Complaint;
use super::low::{Low, LowProperties, Property, PropertyId, PropertyValue};
use grovemq_client::{Version, topic};
use std::ffi::OsString;

/// Reads what follows `-D`, and switches to MQTT 5.
pub(super) fn parse(rest: &mut std::slice::Iter<'_, OsString>, low: &mut Low) -> Result<(), Complaint> {
    let mut next = || rest.next().ok_or_else(too_few);
    let (command, name) = (next()?.to_string_lossy(), next()?.to_string_lossy());
    let first = next()?;
    let command = Command::named(&command)?;
    if SERVER_ONLY.contains(&&*name) {
        return Err(refused("allowed", &name, command));
    }
    let Some(entry) = TABLE.iter().find(|entry| entry.name == name) else {
        return Err(Complaint::error("Invalid property name given in --property argument."));
    };
    let second = if entry.kind == Kind::Pair { Some(next()?) } else { None };
    if !entry.commands.contains(&command) {
        return Err(refused("allowed", entry.name, command));
    }
    let received_only = entry.id == PropertyId::SubscriptionIdentifier && command == Command::Publish;
    let Some(list) = command.list(&mut low.properties).filter(|_| !received_only) else {
        return Err(refused("supported", entry.name, command));
    };
    let value = read_value(entry, command, first, second)?;
    if entry.kind != Kind::Pair && list.iter().any(|property| property.id == entry.id) {
        return Err(wrong(command, DUPLICATE));
    }
    list.push(Property { id: entry.id, value });
    low.version = Some(Version::V5);
    Ok(())
}

/// The complaint about properties that no server would take; `command` as the specification writes it.
pub(super) fn wrong_properties(command: &str, why: &str) -> Complaint {
    Complaint(format!("Error in {command} properties: {why}"))
}

pub(super) const DUPLICATE: &str = "Duplicate property in property list";
pub(super) const PROTOCOL_ERROR: &str =
    "A network protocol error occurred when communicating with the broker.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
    Will,
}

/// All commands, with their names on the command line.
const COMMANDS: &[(&str, Command)] = &[
    ("connect", Command::Connect),
    ("publish", Command::Publish),
    ("puback", Command::PubAck),
    ("pubrec", Command::PubRec),
    ("pubrel", Command::PubRel),
    ("pubcomp", Command::PubComp),
    ("subscribe", Command::Subscribe),
    ("unsubscribe", Command::Unsubscribe),
    ("disconnect", Command::Disconnect),
    ("auth", Command::Auth),
    ("will", Command::Will),
];

impl Command {
    fn named(typed: &str) -> Result<Self, Complaint> {
        let known = COMMANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(typed));
        known
            .map(|(_, command)| *command)
            .ok_or_else(|| Complaint::error("Invalid command given in --property argument."))
    }

    fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, command)| *command == self).map_or("", |(name, _)| name)
    }

    /// Where the properties of this command are kept; `None` where these tools cannot send any.
    fn list(self, properties: &mut LowProperties) -> Option<&mut Vec<Property>> {
        match self {
            Self::Connect => Some(&mut properties.connect),
            Self::Publish => Some(&mut properties.publish),
            Self::Subscribe => Some(&mut properties.subscribe),
            Self::Unsubscribe => Some(&mut properties.unsubscribe),
            Self::Disconnect => Some(&mut properties.disconnect),
            Self::Will => Some(&mut properties.will),
            Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::Auth => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    U16,
    U32,
    Varint,
    Text,
    Topic,
    Bytes,
    Pair,
}

struct Entry {
    name: &'static str,
    id: PropertyId,
    kind: Kind,
    /// Zero is a protocol error.
    not_zero: bool,
    commands: &'static [Command],
}

const fn entry(name: &'static str, id: PropertyId, kind: Kind, commands: &'static [Command]) -> Entry {
    Entry { name, id, kind, not_zero: false, commands }
}

const fn not_zero(mut entry: Entry) -> Entry {
    entry.not_zero = true;
    entry
}

/// The properties that a client may send, with the commands that may carry them.
const TABLE: &[Entry] = {
    use Command::{
        Auth, Connect, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, Subscribe, Unsubscribe, Will,
    };
    use PropertyId as Id;
    &[
        entry("authentication-data", Id::AuthenticationData, Kind::Bytes, &[Connect, Auth]),
        entry("authentication-method", Id::AuthenticationMethod, Kind::Text, &[Connect, Auth]),
        entry("content-type", Id::ContentType, Kind::Text, &[Publish, Will]),
        entry("correlation-data", Id::CorrelationData, Kind::Bytes, &[Publish, Will]),
        not_zero(entry("maximum-packet-size", Id::MaximumPacketSize, Kind::U32, &[Connect])),
        entry("message-expiry-interval", Id::MessageExpiryInterval, Kind::U32, &[Publish, Will]),
        entry("payload-format-indicator", Id::PayloadFormatIndicator, Kind::Flag, &[Publish, Will]),
        entry(
            "reason-string",
            Id::ReasonString,
            Kind::Text,
            &[PubAck, PubRec, PubRel, PubComp, Disconnect, Auth],
        ),
        not_zero(entry("receive-maximum", Id::ReceiveMaximum, Kind::U16, &[Connect])),
        entry("request-problem-information", Id::RequestProblemInformation, Kind::Flag, &[Connect]),
        entry("request-response-information", Id::RequestResponseInformation, Kind::Flag, &[Connect]),
        entry("response-topic", Id::ResponseTopic, Kind::Topic, &[Publish, Will]),
        entry("session-expiry-interval", Id::SessionExpiryInterval, Kind::U32, &[Connect, Disconnect]),
        not_zero(entry(
            "subscription-identifier",
            Id::SubscriptionIdentifier,
            Kind::Varint,
            &[Publish, Subscribe],
        )),
        not_zero(entry("topic-alias", Id::TopicAlias, Kind::U16, &[Publish])),
        entry("topic-alias-maximum", Id::TopicAliasMaximum, Kind::U16, &[Connect]),
        entry(
            "user-property",
            Id::UserProperty,
            Kind::Pair,
            &[
                Connect,
                Publish,
                PubAck,
                PubRec,
                PubRel,
                PubComp,
                Subscribe,
                Unsubscribe,
                Disconnect,
                Auth,
                Will,
            ],
        ),
        entry("will-delay-interval", Id::WillDelayInterval, Kind::U32, &[Will]),
    ]
};

/// Properties that only servers send.
const SERVER_ONLY: &[&str] = &[
    "assigned-client-identifier",
    "maximum-qos",
    "response-information",
    "retain-available",
    "server-keep-alive",
    "server-reference",
    "shared-subscription-available",
    "subscription-identifier-available",
    "wildcard-subscription-available",
];

fn read_value(
    entry: &Entry,
    command: Command,
    first: &OsString,
    second: Option<&OsString>,
) -> Result<PropertyValue, Complaint> {
    let limit = match entry.kind {
        Kind::Text | Kind::Topic => return Ok(PropertyValue::Text(read_text(entry, first)?)),
        Kind::Bytes => return read_bytes(entry, first).map(PropertyValue::Bytes),
        Kind::Pair => {
            let value = second.ok_or_else(too_few)?;
            return Ok(PropertyValue::Pair(read_text(entry, first)?, read_text(entry, value)?));
        }
        Kind::Flag => u32::from(u8::MAX),
        Kind::U16 => u32::from(u16::MAX),
        Kind::U32 => u32::MAX,
        Kind::Varint => grovemq_codec::VARINT_MAX,
    };
    let number = u32::try_from(leading_number(&first.to_string_lossy())).ok();
    let Some(number) = number.filter(|&number| number <= limit) else {
        let shown = first.display();
        return Err(Complaint::from(format!(
            "Property value ({shown}) out of range for property {}.",
            entry.name
        )));
    };
    if (entry.not_zero && number == 0) || (entry.kind == Kind::Flag && number > 1) {
        return Err(wrong(command, PROTOCOL_ERROR));
    }
    Ok(PropertyValue::Number(number))
}

/// As C's atol: what is no number is zero.
fn leading_number(text: &str) -> i64 {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn read_text(entry: &Entry, value: &OsString) -> Result<String, Complaint> {
    read_bytes(entry, value)?;
    let Some(text) = value.to_str() else {
        return Err(Complaint::error("Malformed UTF-8 in --property argument."));
    };
    if entry.kind == Kind::Topic && topic::validate_name(text).is_err() {
        return Err(Complaint::from(format!("Invalid response topic '{text}', does it contain '+' or '#'?")));
    }
    Ok(text.to_owned())
}

fn read_bytes(entry: &Entry, value: &OsString) -> Result<Vec<u8>, Complaint> {
    let bytes = value.as_encoded_bytes();
    if bytes.len() > usize::from(u16::MAX) {
        return Err(Complaint::from(format!("Property value too long for property {}.", entry.name)));
    }
    Ok(bytes.to_vec())
}

fn too_few() -> Complaint {
    Complaint::error("--property argument given but not enough arguments specified.")
}

fn refused(problem: &str, property: &str, command: Command) -> Complaint {
    let command = command.name();
    Complaint::from(format!("{property} property not {problem} for {command} in --property argument."))
}

fn wrong(command: Command, why: &str) -> Complaint {
    wrong_properties(&command.name().to_ascii_uppercase(), why)
}
