//! `probe`: what a server speaks, supports and allows. What can be tried is tried, not just read from what it announces.

use crate::colour::{Palette, Style};
use crate::exit::Exit;
use crate::flags::high::Session;
use crate::flags::{Complaint, Low, Tool, transport};
use crate::watch;
use grovemq_client::{
    Client, ConnAckInfo, Disconnect, Error, Event, Events, Message, Options, Properties, Qos, Reconnect,
    Subscribe, SubscribeOptions, Subscription, Transport, Version,
};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// What `probe` is to do.
#[derive(Debug)]
pub(crate) struct Probing {
    session: Session,
    transport: Transport,
    /// Without user name and password.
    anonymous: Options,
    is_encrypted: bool,
    place: String,
    json: bool,
    colours: Palette,
}

impl Probing {
    pub(crate) fn new(mut low: Low) -> Result<Self, Complaint> {
        if let Some(host) = low.operands.pop() {
            let host =
                host.to_str().ok_or_else(|| Complaint::error("Malformed UTF-8 in the host's name."))?;
            low.host = Some(host.to_owned());
        }
        let session = Session::new(&low, Tool::Probe)?.without_reconnecting();
        let transport = transport::transport(&low)?;
        let (host, port) = transport::place(&low);
        let place = format!("{host}:{port}");
        let has_login = low.username.is_some() || low.password.is_some();
        let (json, colours) = (low.json, low.colour.unwrap_or_default().for_stdout());
        let is_encrypted = low.transport.wants_tls(low.port);
        let anonymous = if has_login {
            let login = Low { username: None, password: None, scram: false, ..low };
            Session::new(&login, Tool::Probe)?.options.reconnect(Reconnect::Never)
        } else {
            session.options.clone()
        };
        Ok(Self { session, transport, anonymous, is_encrypted, place, json, colours })
    }
}

/// How long a single answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// How long one waits for what may well not come.
const MOMENT: Duration = Duration::from_millis(700);
/// How large a message is tried, in bytes.
const LARGE: usize = 1 << 20;

/// Probes, prints, and gives the exit code: success if the server speaks any version.
pub(crate) fn run(plan: &Probing) -> Exit {
    plan.session.warn();
    crate::block_on(async {
        let mut report = Report::default();
        let exit = probe(plan, &mut report).await;
        let text = if plan.json { report.as_json() } else { report.as_text(&plan.place, plan.colours) };
        if crate::print(&text) == Exit::OK { exit } else { Exit::FAILURE }
    })
}

/// What was found out, in order.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<(&'static str, Value, String)>,
}

impl Report {
    /// `note`: how this is known, or what it means.
    fn add(&mut self, what: &'static str, value: impl Into<Value>, note: impl Into<String>) {
        self.findings.push((what, value.into(), note.into()));
    }

    fn as_json(&self) -> String {
        let findings = self.findings.iter();
        let members: Map<String, Value> =
            findings.map(|(what, value, _)| (what.replace([' ', '.'], "_"), value.clone())).collect();
        format!("{}\n", Value::Object(members))
    }

    fn as_text(&self, place: &str, colours: Palette) -> String {
        let mut out = format!("{}\n", colours.paint(Style::Topic, place));
        for (what, value, note) in &self.findings {
            let (shown, style) = match value {
                Value::Bool(true) => ("yes".to_owned(), Style::Good),
                Value::Bool(false) => ("no".to_owned(), Style::Bad),
                Value::Null => ("unknown".to_owned(), Style::Aside),
                Value::String(text) => (text.clone(), Style::Topic),
                other => (other.to_string(), Style::Topic),
            };
            let note = if note.is_empty() { String::new() } else { format!("  ({note})") };
            let shown = colours.paint(style, &shown);
            let _infallible = writeln!(out, "  {what:24}{shown}{}", colours.paint(Style::Aside, &note));
        }
        out
    }
}

async fn probe(plan: &Probing, report: &mut Report) -> Exit {
    let options = &plan.session.options;
    let mut exit = None;
    for (version, what) in [(Version::V31, "MQTT 3.1"), (Version::V311, "MQTT 3.1.1")] {
        match online(&options.clone().version(version)).await {
            Ok((client, _events, _)) => {
                goodbye(&client).await;
                report.add(what, true, "");
                exit = Some(Exit::OK);
            }
            Err((why, failed)) => {
                exit = exit.or(Some(failed));
                report.add(what, false, why);
            }
        }
    }
    // The longest interval there is: a server with a limit of its own says so.
    let longest = options.clone().version(Version::V5).keep_alive(Duration::from_secs(u16::MAX.into()));
    let online_5 = online(&longest).await;
    match &online_5 {
        Ok(_) => report.add("MQTT 5", true, ""),
        Err((why, _)) => report.add("MQTT 5", false, why.as_str()),
    }
    if plan.is_encrypted {
        report.add("TLS", true, "this connection");
    } else {
        let speaks_tls = speaks_tls(&plan.transport).await;
        report.add("TLS", speaks_tls.map_or(Value::Null, Value::from), "on this port");
    }
    let anonymous = online(&plan.anonymous.clone().version(Version::V311)).await;
    report.add("anonymous", anonymous.is_ok(), anonymous.as_ref().err().map_or("", |(why, _)| why));
    if let Ok((client, ..)) = anonymous {
        goodbye(&client).await;
    }
    if let Ok((client, mut events, info)) = online_5 {
        announced(report, &info);
        Trial { report, client: &client, events: &mut events, info: &info, base: base_topic() }.run().await;
        goodbye(&client).await;
        return Exit::OK;
    }
    exit.unwrap_or(Exit::FAILURE)
}

type Online = (Client, Events, ConnAckInfo);

/// Connects, or says in a few words why not.
async fn online(options: &Options) -> Result<Online, (String, Exit)> {
    let (client, mut events) = Client::start(options.clone().connect_timeout(ANSWER));
    let mut refusal = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Connected(info) => return Ok((client, events, info)),
            Event::Refused(refused) => {
                let (_, exit) = watch::refused(&refused);
                refusal = Some((format!("refused: {}", refused.reason), exit));
            }
            Event::Disconnected(error) => {
                let (_, _, exit) = watch::lost(&error);
                return Err(refusal.unwrap_or_else(|| (error.to_string(), exit)));
            }
            _ => {}
        }
    }
    Err(("no connection".to_owned(), Exit::FAILURE))
}

async fn goodbye(client: &Client) {
    // the server may be as rude as it likes
    client.disconnect(Disconnect::default()).await.ok();
}

/// What CONNACK says.
fn announced(report: &mut Report, info: &ConnAckInfo) {
    let announced = "announced";
    let unlimited = |limit: Option<u32>| limit.map_or(json!("no limit"), Value::from);
    report.add("maximum packet size", unlimited(info.maximum_packet_size), announced);
    report.add("receive maximum", info.receive_maximum, announced);
    report.add("topic alias maximum", info.topic_alias_maximum, announced);
    let keep_alive = info.server_keep_alive.map_or(json!("no limit"), Value::from);
    report.add("keep-alive maximum", keep_alive, "announced, in seconds");
    let expiry = info.session_expiry.map_or(json!("as asked for"), Value::from);
    report.add("session expiry", expiry, announced);
    if let Some(text) = &info.response_information {
        report.add("response information", text.as_str(), announced);
    }
    if let Some(text) = &info.server_reference {
        report.add("server reference", text.as_str(), announced);
    }
}

/// A place that nobody else uses.
fn base_topic() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("grovemq-probe/{}-{:x}", std::process::id(), now.as_nanos())
}

struct Trial<'a> {
    report: &'a mut Report,
    client: &'a Client,
    events: &'a mut Events,
    info: &'a ConnAckInfo,
    base: String,
}

impl Trial<'_> {
    async fn run(&mut self) {
        let qos = self.highest_qos().await;
        self.report.add("maximum QoS", qos, "tried");
        let works = self.round_trip("alone", None, |_| {}).await.is_ok();
        if !works {
            self.report.add("publish and subscribe", false, "tried: what follows means little");
        }
        let retained = self.retained().await;
        self.tried("retained messages", self.info.retain_available, retained);
        let wildcard = self.round_trip("+", None, |_| {}).await.is_ok();
        self.tried("wildcard subscriptions", self.info.wildcard_subscription_available, wildcard);
        let shared = self.shared().await;
        self.tried("shared subscriptions", self.info.shared_subscription_available, shared);
        let ids = self.round_trip("id", Some(7), |_| {}).await;
        let ids = ids.is_ok_and(|message| message.properties.subscription_ids == [7]);
        self.tried("subscription ids", self.info.subscription_ids_available, ids);
        if self.info.topic_alias_maximum > 0 {
            let alias = self.alias().await;
            self.tried("topic alias", true, alias);
        }
        self.large().await;
        let version = self.version().await;
        self.report.add("version", version, "$SYS/broker/version");
    }

    fn tried(&mut self, what: &'static str, announced: bool, works: bool) {
        let note = match (announced, works) {
            (true, false) => "announced, but it did not work",
            (false, true) => "tried, although it is announced not to work",
            _ => "tried",
        };
        self.report.add(what, works, note);
    }

    async fn highest_qos(&mut self) -> u8 {
        for qos in [Qos::ExactlyOnce, Qos::AtLeastOnce] {
            let message = Message::new(format!("{}/qos", self.base), "x").qos(qos);
            let published = async { self.client.publish(message).await?.await };
            if matches!(timeout(ANSWER, published).await, Ok(Ok(_))) {
                return qos as u8;
            }
        }
        0
    }

    /// Subscribes to a filter below our place, publishes there, and gives what comes.
    async fn round_trip(
        &mut self,
        level: &str,
        id: Option<u32>,
        change: impl FnOnce(&mut Message),
    ) -> Result<Message, Error> {
        let filter = format!("{}/{level}", self.base);
        let topic = filter.replace('+', "wild");
        self.subscribe(&filter, id).await?;
        let mut message = Message::new(topic, "x").qos(Qos::AtMostOnce);
        change(&mut message);
        self.client.send(message.clone()).await?;
        let came = self.wait_for(&message.topic, ANSWER).await;
        self.unsubscribe(&filter).await;
        came
    }

    async fn subscribe(&mut self, filter: &str, id: Option<u32>) -> Result<(), Error> {
        let options = SubscribeOptions::default();
        let subscriptions = vec![Subscription { filter: filter.to_owned(), options }];
        let request = Subscribe { subscriptions, id, user: Vec::new() };
        let codes = timeout(ANSWER, self.client.subscribe_with(request)).await;
        match codes.map_err(|_| Error::ConnectTimeout)??.first() {
            Some(code) if code.is_error() => Err(Error::Unsupported(*code)),
            _ => Ok(()),
        }
    }

    async fn unsubscribe(&mut self, filter: &str) {
        // one subscription too many does no harm
        drop(timeout(ANSWER, self.client.unsubscribe(&[filter])).await);
    }

    async fn wait_for(&mut self, topic: &str, within: Duration) -> Result<Message, Error> {
        let wait = async {
            while let Some(event) = self.events.next().await {
                match event {
                    Event::Message(received) if received.message.topic == topic => {
                        return Ok(received.message);
                    }
                    Event::Disconnected(error) => return Err(error),
                    _ => {}
                }
            }
            Err(Error::Closed)
        };
        timeout(within, wait).await.unwrap_or(Err(Error::ConnectTimeout))
    }

    async fn retained(&mut self) -> bool {
        let topic = format!("{}/retained", self.base);
        let kept = Message::new(&topic, "x").retain(true);
        if self.client.send(kept).await.is_err() || self.subscribe(&topic, None).await.is_err() {
            return false;
        }
        let came = self.wait_for(&topic, ANSWER).await;
        // nothing of us is left behind
        self.client.send(Message::new(&topic, "").retain(true)).await.ok();
        self.unsubscribe(&topic).await;
        came.is_ok_and(|message| message.retain)
    }

    async fn shared(&mut self) -> bool {
        let topic = format!("{}/shared", self.base);
        let filter = format!("$share/probe/{topic}");
        if self.subscribe(&filter, None).await.is_err() {
            return false;
        }
        let sent = self.client.send(Message::new(&topic, "x")).await;
        let came = self.wait_for(&topic, ANSWER).await;
        self.unsubscribe(&filter).await;
        sent.is_ok() && came.is_ok()
    }

    /// The second message travels by its alias alone.
    async fn alias(&mut self) -> bool {
        let topic = format!("{}/alias", self.base);
        if self.subscribe(&topic, None).await.is_err() {
            return false;
        }
        let mut works = true;
        for _ in 0..2 {
            let properties = Properties { topic_alias: Some(1), ..Properties::default() };
            let sent = self.client.send(Message::new(&topic, "x").properties(properties)).await;
            works &= sent.is_ok() && self.wait_for(&topic, ANSWER).await.is_ok();
        }
        self.unsubscribe(&topic).await;
        works
    }

    async fn large(&mut self) {
        // some room for topic and properties
        let limit = self.info.maximum_packet_size.and_then(|limit| usize::try_from(limit).ok());
        let size = limit.map_or(LARGE, |limit| limit.saturating_sub(1024).min(LARGE));
        let came = self.round_trip("large", None, |message| message.payload = vec![b'x'; size]).await;
        let came = came.is_ok_and(|message| message.payload.len() == size);
        self.report.add("large message", came, format!("tried with {size} bytes"));
    }

    async fn version(&mut self) -> Value {
        const TOPIC: &str = "$SYS/broker/version";
        if self.subscribe(TOPIC, None).await.is_err() {
            return Value::Null;
        }
        let came = self.wait_for(TOPIC, MOMENT).await;
        came.ok().and_then(|message| String::from_utf8(message.payload).ok()).map_or(Value::Null, Value::from)
    }
}

/// Whether the other side answers a greeting of TLS in TLS; `None`: it could not be asked.
async fn speaks_tls(transport: &Transport) -> Option<bool> {
    let ask = async {
        let mut stream = transport.connect().await.ok()?;
        stream.write_all(CLIENT_HELLO).await.ok()?;
        stream.flush().await.ok()?;
        let mut head = [0; 3];
        // whoever closes has not understood
        let is_answered = stream.read_exact(&mut head).await.is_ok();
        let [kind, major, _] = head;
        Some(is_answered && matches!(kind, ALERT | HANDSHAKE) && major == 3)
    };
    // silence is a server that waits for the rest of an MQTT packet
    timeout(ANSWER, ask).await.unwrap_or(Some(false))
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The shortest greeting of TLS 1.2 (RFC 5246, 7.4.1.2) with two cipher suites of today. The answer is a greeting or an alert,
/// either of which will do. To an MQTT server it is a packet of a kind that no client begins with.
const CLIENT_HELLO: &[u8] = &[
    HANDSHAKE, 3, 1, 0, 47, // record: version, length
    1, 0, 0, 43, // ClientHello, length
    3, 3, // TLS 1.2
    0x47, 0x72, 0x6f, 0x76, 0x65, 0x4d, 0x51, 0x20, 0x70, 0x72, 0x6f, 0x62, 0x65, 0x20, 0x61,
    0x73, // random
    0x6b, 0x73, 0x20, 0x77, 0x68, 0x65, 0x74, 0x68, 0x65, 0x72, 0x20, 0x54, 0x4c, 0x53, 0x20, 0x3f, //
    0,    // no session
    0, 4, 0xc0, 0x2f, 0xc0, 0x2b, // ECDHE with AES-128-GCM, by RSA and ECDSA
    1, 0, // no compression
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_as_long_as_it_says() {
        assert_eq!(CLIENT_HELLO.len(), 5 + 47);
    }

    #[test]
    fn a_report() {
        let mut report = Report::default();
        report.add("MQTT 3.1.1", true, "");
        report.add("maximum QoS", 2, "tried");
        report.add("version", Value::Null, "");
        let text = report.as_text("h:1", Palette::default());
        let expected = "h:1\n  MQTT 3.1.1              yes\n  maximum QoS             2  (tried)\n  \
                        version                 unknown\n";
        assert_eq!(text, expected);
        assert_eq!(report.as_json(), "{\"MQTT_3_1_1\":true,\"maximum_QoS\":2,\"version\":null}\n");
    }
}
