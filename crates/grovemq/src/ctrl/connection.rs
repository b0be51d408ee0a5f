//! A connection to a broker's `$CONTROL` topics: one request, one answer.

use super::{Failure, answer, table::Module};
use crate::exit::Exit;
use crate::flags::high::Session;
use crate::json::Json;
use crate::watch::{self, Watch};
use grovemq_client::blocking::{Client, Events};
use grovemq_client::{Disconnect, Error, Event, Message, Qos, Subscription, Version};
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    events: Events,
    watch: Watch,
    version: Version,
    debug: bool,
    qos: Qos,
    /// Answers to these are listened for.
    modules: Vec<&'static str>,
    /// Show what goes and what comes.
    verbose: bool,
    /// Number of the last request; none where requests are not told apart.
    requests: Option<u64>,
    is_over: bool,
}

/// How to talk with a broker, beside the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub qos: Qos,
    pub verbose: bool,
    /// Number the requests: others get the answers as well, and theirs are not for us.
    pub numbered: bool,
}

impl Connection {
    /// Connects, and waits until the broker has agreed.
    pub(super) fn open(session: &Session, manner: Manner) -> Result<Self, Failure> {
        let (client, events) = Client::start(session.options.clone()).map_err(|error| lost(&error))?;
        let mut connection = Self {
            client,
            events,
            watch: Watch::new(session),
            version: session.version,
            debug: session.debug,
            qos: manner.qos,
            modules: Vec::new(),
            verbose: manner.verbose,
            requests: manner.numbered.then_some(0),
            is_over: false,
        };
        while let Some(event) = connection.events.next() {
            match event {
                Event::Connected(info) => {
                    connection.tell(|watch, out| watch.connected(out, &info.client_id));
                    return Ok(connection);
                }
                Event::Refused(refusal) => {
                    connection.tell(|watch, out| watch.release(out));
                    let (line, exit) = watch::refused(&refusal);
                    return Err(Failure { line, exit, original: 0 });
                }
                other => connection.pass(other)?,
            }
        }
        Err(lost(&Error::Closed))
    }

    /// Sends a request and waits for the answer: the part of it that is about this command.
    pub(super) fn ask(
        &mut self,
        module: &Module,
        command: &str,
        members: Vec<(String, Json)>,
    ) -> Result<Json, Failure> {
        let response_topic = format!("{}/response", module.topic);
        self.listen(module.name, &response_topic)?;
        self.requests = self.requests.map(|number| number + 1);
        let correlation = self.requests.map(|number| format!("{}-{number}", std::process::id()));
        let payload = request(command, members, correlation.as_deref());
        if self.verbose {
            crate::complain(&String::from_utf8_lossy(&payload));
        }
        let publication = self.client.publish(Message::new(module.topic, payload).qos(self.qos));
        match publication.and_then(grovemq_client::blocking::Publication::wait) {
            Ok(_) => {}
            Err(Error::Refused { reason, .. }) => {
                return Err(Failure {
                    line: format!("Publish error: {reason}"),
                    exit: Exit::FAILURE,
                    original: 0,
                });
            }
            Err(error) => return Err(self.ended(&error)),
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.next_timeout(left) {
                Some(Event::Message(received)) if received.message.topic == response_topic => {
                    let payload = &received.message.payload;
                    if self.verbose {
                        crate::complain(&String::from_utf8_lossy(payload));
                    }
                    let answer: Json = serde_json::from_slice(payload)
                        .map_err(|_| Failure::told("Error: Payload not JSON."))?;
                    if let Some(found) = answer::find(&answer, command, correlation.as_deref()) {
                        return Ok(found.clone());
                    }
                }
                Some(Event::Disconnected(error)) => {
                    self.is_over = true;
                    return Err(unanswered(&error));
                }
                Some(event) => self.pass(event)?,
                None => {
                    let line = format!("Error: The broker does not answer on {response_topic}.");
                    return Err(Failure { line, exit: Exit::TIMED_OUT, original: 27 });
                }
            }
        }
    }

    /// Whether nothing more can be asked.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Says good-bye.
    pub(super) fn close(mut self) {
        // whatever is wrong with the connection now, what was asked has been answered
        self.client.disconnect(Disconnect::default()).ok();
        while let Some(event) = self.events.try_next() {
            if self.pass(event).is_err() {
                break;
            }
        }
    }

    fn listen(&mut self, module: &'static str, topic: &str) -> Result<(), Failure> {
        if self.modules.contains(&module) {
            return Ok(());
        }
        let codes = self.client.subscribe(&[Subscription::new(topic, self.qos)]);
        let codes = codes.map_err(|error| self.ended(&error))?;
        if let Some(code) = codes.iter().find(|code| code.is_error()) {
            let line = match self.version {
                Version::V5 => format!("Subscribe error: {code}"),
                _ => "Subscribe error: Subscription refused.".to_owned(),
            };
            return Err(Failure { line, exit: Exit::FAILURE, original: 0 });
        }
        self.modules.push(module);
        Ok(())
    }

    /// Why a request failed: what the connection said of its end says more.
    fn ended(&mut self, error: &Error) -> Failure {
        self.is_over = true;
        while let Some(event) = self.events.try_next() {
            if let Event::Disconnected(error) = event {
                return unanswered(&error);
            }
        }
        unanswered(error)
    }

    /// An event that nobody waits for.
    fn pass(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Disconnected(error) => {
                self.is_over = true;
                Err(lost(&error))
            }
            Event::Packet(direction, note) => {
                self.tell(|watch, out| watch.packet(out, direction, &note));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Watch, &mut dyn std::io::Write) -> std::io::Result<()>) {
        if self.debug {
            // with nobody there to read it, the work is done all the same
            tell(&mut self.watch, &mut std::io::stderr().lock()).ok();
        }
    }
}

/// `{"commands":[{"command":…}]}`
fn request(command: &str, members: Vec<(String, Json)>, correlation: Option<&str>) -> Vec<u8> {
    let mut all = vec![("command".to_owned(), Json::text(command))];
    all.extend(members);
    all.extend(correlation.map(|data| ("correlationData".to_owned(), Json::text(data))));
    Json::object([("commands", Json::Array(vec![Json::Object(all)]))]).line()
}

/// The end of a connection on which an answer was awaited.
fn unanswered(error: &Error) -> Failure {
    let Error::ServerClosed { reason, .. } = error else { return lost(error) };
    Failure::told(format!(
        "Error: The broker ended the connection ({reason}) instead of answering. It may have been done: a broker drops \
         clients whose rights change."
    ))
}

fn lost(error: &Error) -> Failure {
    let (_, line, exit) = watch::lost(error);
    // where the network fails, the original ends with what its library says of such errors
    let original = match error {
        Error::Io { .. } | Error::ConnectTimeout => 14,
        Error::Resolve { .. } => 15,
        _ => 7,
    };
    Failure { line, exit, original }
}
