//! What a command line means: checked, combined, ready to be done.

use super::low::{Low, LowProperties, Property, PropertyId, PropertyValue, Source};
use super::property::{DUPLICATE, PROTOCOL_ERROR, wrong_properties};
use super::transport::{bind_address, transport};
use super::{Complaint, Tool};
use crate::colour::Palette;
use crate::format::Format;
use crate::tally::CountBy;
use grovemq_client::{
    Disconnect, Message, Options, Properties, Qos, Reconnect, RetainHandling, Subscribe, SubscribeOptions,
    Subscription, Unsubscribe, Version, Will,
};
use std::time::Duration;

/// How to connect, what to say and when to be silent.
#[derive(Debug)]
pub(crate) struct Session {
    pub options: Options,
    pub version: Version,
    /// Empty: the server assigns one.
    pub client_id: String,
    pub disconnect: Disconnect,
    /// Print packets.
    pub debug: bool,
    pub quiet: bool,
    /// What to tell before.
    pub warning: Option<String>,
}

/// What `pub` is to do.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub session: Session,
    /// Everything but the payload.
    pub message: Message,
    pub source: Source,
    pub repeat: u32,
    pub repeat_delay: Duration,
    /// How long to try to connect for the first time.
    pub retry_connect: Option<Duration>,
}

/// What `sub` is to do.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Subscribing {
    pub session: Session,
    pub subscribe: Subscribe,
    pub unsubscribe: Option<Unsubscribe>,
    pub filter_out: Vec<String>,
    pub count: Option<u32>,
    pub wait: Option<Duration>,
    pub exit_after_suback: bool,
    pub format: Option<Format>,
    pub pretty: bool,
    pub line_end: bool,
    pub verbose: bool,
    pub no_retained: bool,
    pub retained_only: bool,
    pub remove_retained: bool,
    /// Each topic has its place on the screen.
    pub watch: bool,
    /// Print how many messages come, instead of them.
    pub message_rate: bool,
    /// How many of a thousand messages are printed.
    pub random_filter: Option<u32>,
    /// Count instead of printing.
    pub count_by: Option<CountBy>,
    pub colours: Palette,
    /// `rr`: published once the subscription stands.
    pub request: Option<Request>,
}

/// The request of `rr`.
#[derive(Debug)]
pub(crate) struct Request {
    /// Everything but the payload.
    pub message: Message,
    pub source: Source,
    /// Tell how long the response took.
    pub latency: bool,
}

const KEEP_ALIVE: u16 = 60;
/// Messages that may be under way without an acknowledgement, in either direction.
const INFLIGHT_MAX: u16 = 20;
/// Between attempts to connect.
const RECONNECT: Reconnect = Reconnect::Backoff { min: Duration::from_secs(1), max: Duration::from_secs(10) };
/// The same while a server is waited for that is not there yet.
const RETRY: Reconnect = Reconnect::Backoff { min: Duration::from_millis(100), max: Duration::from_secs(2) };
/// For the last acknowledgements.
const GOODBYE: Duration = Duration::from_secs(2);

impl Publishing {
    /// `None` where topic or message is missing.
    pub(crate) fn new(low: Low) -> Result<Option<Self>, Complaint> {
        let session = Session::new(&low, Tool::Pub)?;
        let (Some(topic), Some(source)) = (low.topics.last(), low.source) else { return Ok(None) };
        let properties = message_properties(&low.properties.publish);
        Ok(Some(Self {
            session: match (&source, low.retry_connect) {
                (_, Some(_)) => session.reconnecting(RETRY),
                (Source::Lines, None) => session,
                _ => session.without_reconnecting(),
            },
            message: Message::new(topic, "").qos(low.qos).retain(low.retain).properties(properties),
            source,
            repeat: low.repeat.unwrap_or(1),
            repeat_delay: low.repeat_delay,
            retry_connect: low.retry_connect,
        }))
    }
}

impl Subscribing {
    pub(crate) fn new(low: Low) -> Result<Self, Complaint> {
        let session = Session::new(&low, Tool::Sub)?;
        if low.topics.is_empty() {
            return Err(Complaint::error("You must specify a topic to subscribe to."));
        }
        if low.no_retained && low.retained_only {
            return Err(Complaint::error("Combining '-R' and '--retained-only' makes no sense."));
        }
        if low.json && low.format.is_some() {
            return Err(Complaint::error("Combining '-F' and '--json' makes no sense."));
        }
        let handling = if low.no_retained { RetainHandling::Never } else { RetainHandling::Always };
        Ok(Self::with(session, low, handling))
    }

    /// The subscription, request and printing of `rr`.
    pub(crate) fn responding(mut low: Low) -> Result<Self, Complaint> {
        low.count = Some(1);
        let session = Session::new(&low, Tool::Rr)?.without_reconnecting();
        let (Some(topic), Some(source), Some(response)) =
            (low.topics.pop(), low.source.take(), low.response_topic.take())
        else {
            return Err(Complaint::error("All of topic, message, and response topic must be supplied."));
        };
        let mut properties = message_properties(&low.properties.publish);
        if session.version == Version::V5 && properties.response_topic.replace(response.clone()).is_some() {
            return Err(wrong_properties("PUBLISH", "Duplicate response topic."));
        }
        let message = Message::new(topic, "").qos(low.qos).properties(properties);
        let request = Request { message, source, latency: low.latency };
        low.topics = vec![response];
        Ok(Self { request: Some(request), ..Self::with(session, low, RetainHandling::Always) })
    }

    fn with(session: Session, low: Low, handling: RetainHandling) -> Self {
        let options = SubscribeOptions {
            qos: low.qos,
            retain_as_published: low.retain_as_published,
            retain_handling: low.retain_handling.unwrap_or(handling),
            ..SubscribeOptions::default()
        };
        let subscriptions = low.topics.into_iter().map(|filter| Subscription { filter, options }).collect();
        let id = number_of(&low.properties.subscribe, PropertyId::SubscriptionIdentifier);
        let user = user_of(&low.properties.unsubscribe);
        Self {
            session,
            subscribe: Subscribe { subscriptions, id, user: user_of(&low.properties.subscribe) },
            unsubscribe: (!low.unsubscribe.is_empty())
                .then_some(Unsubscribe { filters: low.unsubscribe, user }),
            filter_out: low.filter_out,
            count: low.count,
            wait: low.wait.map(|seconds| Duration::from_secs(seconds.into())),
            exit_after_suback: low.exit_after_suback,
            format: if low.json { Some(Format::json_lines()) } else { low.format },
            pretty: low.pretty,
            line_end: !low.no_line_end,
            verbose: low.verbose,
            no_retained: low.no_retained,
            retained_only: low.retained_only,
            remove_retained: low.remove_retained,
            watch: low.watch,
            message_rate: low.message_rate,
            random_filter: low.random_filter,
            count_by: low.count_by,
            colours: low.colour.unwrap_or_default().for_stdout(),
            request: None,
        }
    }
}

impl Session {
    pub(crate) fn new(low: &Low, tool: Tool) -> Result<Self, Complaint> {
        let is_v5 = low.scram || !matches!(tool, Tool::Pub | Tool::Sub);
        let version = low.version.unwrap_or(if is_v5 { Version::V5 } else { Version::V311 });
        let will = will(low)?;
        let session_expiry = session_expiry(low, version)?;
        if low.persistent && low.client_id.is_none() {
            return Err(Complaint::error("You must provide a client id if you are using the -c option."));
        }
        if low.client_id.as_deref() == Some("") {
            let what = if tool == Tool::Pub { "id" } else { "id and/or clean_session" };
            return Err(Complaint::from(format!("Invalid {what}.")));
        }
        if version < Version::V5 && !low.properties.connect.is_empty() {
            return Err(Complaint("Unable to connect (This feature is not supported.).".to_owned()));
        }
        let client_id = match &low.id_prefix {
            Some(prefix) => format!("{prefix}{}", std::process::id()),
            None => low.client_id.clone().unwrap_or_default(),
        };
        let mut options = Options::over(transport(low)?)
            .version(version)
            .client_id(client_id.clone())
            .clean_start(!low.persistent)
            .keep_alive(Duration::from_secs(low.keep_alive.unwrap_or(KEEP_ALIVE).into()))
            .inflight_max(low.inflight_max.unwrap_or(INFLIGHT_MAX))
            .receive_maximum(receive_maximum(low))
            .disconnect_timeout(GOODBYE)
            .reconnect(RECONNECT)
            .trace(low.debug || (matches!(tool, Tool::Sub | Tool::Rr) && low.qos == Qos::ExactlyOnce));
        options = with_login(options, low, version)?;
        options = with_connect_properties(options, &low.properties.connect)?;
        if let Some(seconds) = session_expiry {
            options = options.session_expiry(seconds);
        }
        if let Some(address) = bind_address(low)? {
            options = options.bind_address(address);
        }
        if let Some(will) = will {
            options = options.will(will);
        }
        Ok(Self {
            version,
            options,
            client_id,
            disconnect: disconnect_of(&low.properties),
            debug: low.debug,
            quiet: low.quiet,
            warning: low.transport.warning(low.port),
        })
    }

    /// The first failure is the end.
    pub(crate) fn without_reconnecting(self) -> Self {
        self.reconnecting(Reconnect::Never)
    }

    fn reconnecting(self, policy: Reconnect) -> Self {
        Self { options: self.options.reconnect(policy), ..self }
    }

    /// Tells what is to be told before anything is done.
    pub(crate) fn warn(&self) {
        if let Some(line) = &self.warning {
            self.complain(line);
        }
    }

    /// Tells of an error, unless that is not wanted.
    pub(crate) fn complain(&self, line: &str) {
        if !self.quiet {
            crate::complain(line);
        }
    }
}

fn will(low: &Low) -> Result<Option<Will>, Complaint> {
    let Some(topic) = &low.will.topic else {
        let given = match (&low.will.payload, low.will.retain) {
            (Some(_), _) => "payload",
            (None, true) => "retain",
            (None, false) => return Ok(None),
        };
        return Err(Complaint::from(format!("Will {given} given, but no will topic given.")));
    };
    let message = Message::new(topic, low.will.payload.clone().unwrap_or_default())
        .qos(low.will.qos)
        .retain(low.will.retain)
        .properties(message_properties(&low.properties.will));
    Ok(Some(Will { message, delay: number_of(&low.properties.will, PropertyId::WillDelayInterval) }))
}

/// The session expiry to send, in seconds. Without an id the session could never be found again.
fn session_expiry(low: &Low, version: Version) -> Result<Option<u32>, Complaint> {
    if version < Version::V5 {
        return Ok(None);
    }
    let property = number_of(&low.properties.connect, PropertyId::SessionExpiryInterval);
    let implied = if low.persistent && property.is_none() { Some(u32::MAX) } else { None };
    let option = low.session_expiry.or(implied).filter(|&seconds| seconds > 0);
    if option == Some(u32::MAX) && low.client_id.is_none() {
        return Err(Complaint::error(
            "You must provide a client id if you are using an infinite session expiry interval.",
        ));
    }
    match (option, property) {
        (Some(_), Some(_)) => Err(wrong_properties("CONNECT", DUPLICATE)),
        (option, property) => Ok(option.or(property)),
    }
}

/// No more than are to be printed: others who share the subscription may want the rest.
fn receive_maximum(low: &Low) -> u16 {
    let wanted = low.count.and_then(|count| u16::try_from(count).ok()).unwrap_or(u16::MAX);
    low.inflight_max.unwrap_or(INFLIGHT_MAX).min(wanted)
}

fn with_login(options: Options, low: &Low, version: Version) -> Result<Options, Complaint> {
    if low.scram {
        let password = low.password.as_deref().and_then(|password| str::from_utf8(password).ok());
        return match (&low.username, password) {
            _ if version < Version::V5 => Err(Complaint::error("--scram needs MQTT 5.")),
            (Some(username), Some(password)) => Ok(options.scram(username, password)),
            _ => Err(Complaint::error("--scram needs a user name (-u) and a password (-P).")),
        };
    }
    match (&low.username, &low.password) {
        (Some(username), password) => Ok(options.credentials(username, password.clone())),
        (None, Some(password)) if version == Version::V5 => Ok(options.password(password.clone())),
        (None, Some(_)) => Err(Complaint::error("Problem setting username and/or password.")),
        (None, None) => Ok(options),
    }
}

fn with_connect_properties(mut options: Options, properties: &[Property]) -> Result<Options, Complaint> {
    let mut method = None;
    let mut data = None;
    for property in properties {
        options = match (property.id, &property.value) {
            (PropertyId::ReceiveMaximum, PropertyValue::Number(n)) => options.receive_maximum(narrow(*n)),
            (PropertyId::TopicAliasMaximum, PropertyValue::Number(n)) => {
                options.topic_alias_maximum(narrow(*n))
            }
            (PropertyId::MaximumPacketSize, PropertyValue::Number(n)) => options.maximum_packet_size(*n),
            (PropertyId::RequestProblemInformation, PropertyValue::Number(n)) => {
                options.request_problem_information(*n != 0)
            }
            (PropertyId::RequestResponseInformation, PropertyValue::Number(n)) => {
                options.request_response_information(*n != 0)
            }
            (PropertyId::UserProperty, PropertyValue::Pair(key, value)) => options.user_property(key, value),
            (PropertyId::AuthenticationMethod, PropertyValue::Text(text)) => {
                method = Some(text.clone());
                options
            }
            (PropertyId::AuthenticationData, PropertyValue::Bytes(bytes)) => {
                data = Some(bytes.clone());
                options
            }
            // The session expiry is combined with what other options say of it.
            _ => options,
        };
    }
    match (method, data) {
        (Some(method), data) => Ok(options.authentication(method, data)),
        (None, Some(_)) => Err(wrong_properties("CONNECT", PROTOCOL_ERROR)),
        (None, None) => Ok(options),
    }
}

fn disconnect_of(properties: &LowProperties) -> Disconnect {
    Disconnect {
        session_expiry: number_of(&properties.disconnect, PropertyId::SessionExpiryInterval),
        reason_string: text_of(&properties.disconnect, PropertyId::ReasonString),
        user: user_of(&properties.disconnect),
        ..Disconnect::default()
    }
}

/// What is in a message beside topic and payload.
pub(crate) fn message_properties(properties: &[Property]) -> Properties {
    Properties {
        payload_format: number_of(properties, PropertyId::PayloadFormatIndicator).map(|n| n != 0),
        message_expiry: number_of(properties, PropertyId::MessageExpiryInterval),
        topic_alias: number_of(properties, PropertyId::TopicAlias).map(narrow),
        response_topic: text_of(properties, PropertyId::ResponseTopic),
        correlation_data: properties.iter().find_map(|property| match &property.value {
            PropertyValue::Bytes(bytes) if property.id == PropertyId::CorrelationData => Some(bytes.clone()),
            _ => None,
        }),
        subscription_ids: Vec::new(),
        content_type: text_of(properties, PropertyId::ContentType),
        user: user_of(properties),
    }
}

/// A number that was read with a limit of two bytes.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn number_of(properties: &[Property], id: PropertyId) -> Option<u32> {
    properties.iter().find_map(|property| match property.value {
        PropertyValue::Number(number) if property.id == id => Some(number),
        _ => None,
    })
}

fn text_of(properties: &[Property], id: PropertyId) -> Option<String> {
    properties.iter().find_map(|property| match &property.value {
        PropertyValue::Text(text) if property.id == id => Some(text.clone()),
        _ => None,
    })
}

fn user_of(properties: &[Property]) -> Vec<(String, String)> {
    let pair = |property: &Property| match &property.value {
        PropertyValue::Pair(key, value) => Some((key.clone(), value.clone())),
        _ => None,
    };
    properties.iter().filter_map(pair).collect()
}
