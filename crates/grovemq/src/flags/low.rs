//! A command line as it was typed: values read, nothing combined.

use super::instruments::LowInstruments;
use super::transport::LowTransport;
use crate::colour;
use crate::format::Format;
use crate::tally::CountBy;
use grovemq_client::{Qos, RetainHandling, Version};
use std::{ffi::OsString, time::Duration};

/// What was typed. `None` and empty: the option was not given.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Low {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub transport: LowTransport,
    pub nodelay: bool,
    pub keep_alive: Option<u16>,
    pub version: Option<Version>,
    pub client_id: Option<String>,
    pub id_prefix: Option<String>,
    pub persistent: bool,
    pub session_expiry: Option<u32>,
    pub inflight_max: Option<u16>,
    pub(crate) username: Option<String>,
    pub password: Option<Vec<u8>>,
    pub scram: bool,
    pub will: LowWill,
    pub properties: LowProperties,
    pub debug: bool,
    pub quiet: bool,

    /// In the order given; `pub` and `rr` use the last.
    pub topics: Vec<String>,
    pub qos: Qos,
    pub source: Option<Source>,
    pub retain: bool,
    pub repeat: Option<u32>,
    pub repeat_delay: Duration,
    pub retry_connect: Option<Duration>,

    pub unsubscribe: Vec<String>,
    pub filter_out: Vec<String>,
    pub count: Option<u32>,
    pub wait: Option<u32>,
    pub exit_after_suback: bool,
    pub format: Option<Format>,
    pub pretty: bool,
    pub no_line_end: bool,
    pub verbose: bool,
    pub no_retained: bool,
    pub retained_only: bool,
    pub remove_retained: bool,
    pub watch: bool,
    pub message_rate: bool,
    /// Per thousand.
    pub random_filter: Option<u32>,
    pub retain_as_published: bool,
    pub retain_handling: Option<RetainHandling>,
    pub json: bool,
    pub count_by: Option<CountBy>,
    pub colour: Option<colour::When>,

    pub response_topic: Option<String>,
    pub latency: bool,

    /// What stood there without an option; for `ctrl` all that follows the options.
    pub operands: Vec<OsString>,
    pub instruments: LowInstruments,
}

/// Where a payload comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Message(Vec<u8>),
    File(OsString),
    /// A message per line of standard input.
    Lines,
    Null,
    /// All of standard input.
    Stdin,
}

#[derive(Debug, Default)]
pub(crate) struct LowWill {
    pub topic: Option<String>,
    pub payload: Option<Vec<u8>>,
    pub qos: Qos,
    pub retain: bool,
}

/// What `-D` gave, command by command.
#[derive(Debug, Default)]
pub(crate) struct LowProperties {
    pub connect: Vec<Property>,
    pub publish: Vec<Property>,
    pub subscribe: Vec<Property>,
    pub unsubscribe: Vec<Property>,
    pub disconnect: Vec<Property>,
    pub will: Vec<Property>,
}

/// One property of MQTT 5 as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub id: PropertyId,
    pub value: PropertyValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PropertyValue {
    Number(u32),
    Text(String),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// A property that an option can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PropertyId {
    AuthenticationData,
    AuthenticationMethod,
    ContentType,
    CorrelationData,
    MaximumPacketSize,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    ReasonString,
    ReceiveMaximum,
    RequestProblemInformation,
    RequestResponseInformation,
    ResponseTopic,
    SessionExpiryInterval,
    SubscriptionIdentifier,
    TopicAlias,
    TopicAliasMaximum,
    UserProperty,
    WillDelayInterval,
}
