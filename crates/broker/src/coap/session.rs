//! One peer's session with the broker.

use super::{House, Terms};
use crate::inbox::{Arrival, Letter, Permit};
use crate::limits::COAP_LOGIN_TIME_MAX;
use grovemq_client::{
    Client, Disconnect, Error, Event, Events, Message, Options, PacketType, Qos, ReasonCode, Reconnect,
    RetainHandling, Subscription, Transport,
};
use grovemq_coap::{Code, Format, RequestId, Response};
use grovemq_core::access::{Access, Who};
use grovemq_core::observe::Peer;
use grovemq_net::Stream;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as Pair;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Bytes of messages that wait for the gateway, before the broker is read from more slowly.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// Publications under way.
const INFLIGHT_MAX: u16 = 64;

/// Who speaks: nobody goes on under another's password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// What a session is asked to do.
#[derive(Debug)]
pub(super) enum Ask {
    /// `done` is the answer to success.
    Publish {
        id: RequestId,
        message: Message,
        done: Code,
    },
    Read {
        id: RequestId,
        topic: String,
    },
    Observe {
        id: RequestId,
        topic: String,
    },
    /// It is observed no more.
    Forget {
        topic: String,
    },
}

/// What a session tells its gateway.
#[derive(Debug)]
pub(super) enum Told {
    /// `observes`: the topic whose observation begins with it, or does not.
    Answer {
        id: RequestId,
        response: Response,
        observes: Option<String>,
    },
    News {
        topic: String,
        payload: Vec<u8>,
    },
    /// There is no session any more, and why.
    Ended(Response),
}

/// A session before it is connected.
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) caller: Caller,
    pub(super) house: House,
    pub(super) terms: Arc<Mutex<Terms>>,
    pub(super) permit: Permit,
    pub(super) told: mpsc::Sender<(u64, Told)>,
}

/// The same once it is.
struct Desk {
    number: u64,
    client: Client,
    caller: Caller,
    client_id: String,
    house: House,
    terms: Arc<Mutex<Terms>>,
    told: mpsc::Sender<(u64, Told)>,
}

impl Session {
    /// Runs until the other end of `asks` is dropped, or the broker ends it.
    pub(super) async fn run(self, mut asks: mpsc::Receiver<Ask>) {
        let Self { number, caller, house, terms, permit, told } = self;
        let client_id = format!("coap-{}-{number}", caller.address);
        let listener = terms.lock().unwrap_or_else(PoisonError::into_inner).number;
        let peer = Peer { address: Some(caller.address), listener, secured: None };
        let options = options(&house, &caller, &client_id, peer, permit);
        let why = match Client::connect(options).await {
            Err(e) => refusal(&e),
            Ok((client, mut events, _)) => {
                let desk = Desk { number, client, caller, client_id, house, terms, told: told.clone() };
                let end = tokio::select! {
                    () = desk.obey(&mut asks) => None,
                    error = desk.relay(&mut events) => Some(refusal(&error)),
                };
                let Some(why) = end else {
                    drop(desk.client.disconnect(Disconnect::default()).await);
                    return;
                };
                why
            }
        };
        asks.close();
        while let Some(ask) = asks.recv().await {
            let (id, observes) = match ask {
                Ask::Publish { id, .. } | Ask::Read { id, .. } => (id, None),
                Ask::Observe { id, topic } => (id, Some(topic)),
                Ask::Forget { .. } => continue,
            };
            let answer = Told::Answer { id, response: why.clone(), observes };
            drop(told.send((number, answer)).await);
        }
        drop(told.send((number, Told::Ended(why))).await);
    }
}

impl Desk {
    async fn obey(&self, asks: &mut mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            let (id, response, observes) = match ask {
                Ask::Publish { id, message, done } => {
                    if let Some(refusal) = self.publish(id, message, done).await {
                        (id, refusal, None)
                    } else {
                        continue;
                    }
                }
                Ask::Read { id, topic } => (id, self.read(&topic), None),
                Ask::Observe { id, topic } => (id, self.observe(&topic).await, Some(topic)),
                Ask::Forget { topic } => {
                    // without a connection nothing is left to be forgotten
                    drop(self.client.unsubscribe(&[topic]).await);
                    continue;
                }
            };
            self.tell(Told::Answer { id, response, observes }).await;
        }
    }

    /// What the broker says by itself; gives the reason why.
    async fn relay(&self, events: &mut Events) -> Error {
        while let Some(event) = events.next().await {
            match event {
                Event::Message(received) => {
                    let Message { topic, payload, .. } = received.message;
                    self.tell(Told::News { topic, payload }).await;
                }
                Event::Disconnected(error) => return error,
                _ => {}
            }
        }
        Error::Closed
    }

    /// The outcome is answered later, a refusal at once.
    async fn publish(&self, id: RequestId, message: Message, done: Code) -> Option<Response> {
        // of QoS 0 the broker would not say it
        if !self.may(Access::Write, &message.topic) {
            return Some(forbidden());
        }
        let publication = match self.client.publish(message).await {
            Ok(publication) => publication,
            Err(e) => return Some(refusal(&e)),
        };
        let (number, told) = (self.number, self.told.clone());
        tokio::spawn(async move {
            let response = match publication.await {
                Ok(_) => Response::new(done),
                Err(e) => refusal(&e),
            };
            drop(told.send((number, Told::Answer { id, response, observes: None })).await);
        });
        None
    }

    fn read(&self, topic: &str) -> Response {
        if !self.may(Access::Read, topic) {
            return forbidden();
        }
        match self.house.retained(&self.terms(), topic) {
            // it may be another one at any time
            Some(payload) => content(payload).max_age(1),
            None => Response::error(Code::NotFound, "no message is retained for this topic"),
        }
    }

    async fn observe(&self, topic: &str) -> Response {
        if !self.may(Access::Read, topic) {
            return forbidden();
        }
        let subscription = Subscription::new(topic, Qos::AtLeastOnce).retain_handling(RetainHandling::Never);
        match self.client.subscribe(&[subscription]).await {
            Ok(codes) => match codes.into_iter().find(|code| code.is_error()) {
                Some(reason) => refused(PacketType::Subscribe, reason),
                None => content(self.house.retained(&self.terms(), topic).unwrap_or_default()),
            },
            Err(e) => refusal(&e),
        }
    }

    fn may(&self, access: Access, topic: &str) -> bool {
        let who = Who { client_id: &self.client_id, username: self.caller.username.as_deref() };
        self.house.may(&self.terms(), who, access, topic)
    }

    fn terms(&self) -> Terms {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn tell(&self, told: Told) {
        // a gateway that has ended drops the session as well
        drop(self.told.send((self.number, told)).await);
    }
}

fn options(house: &House, caller: &Caller, client_id: &str, peer: Peer, permit: Permit) -> Options {
    let inbox = house.inbox.clone();
    // there is one attempt only, which takes it
    let permit = Arc::new(Mutex::new(permit));
    let transport = Transport::connector("inside", move || {
        let (inbox, permit) = (inbox.clone(), permit.clone());
        async move {
            let inbox = inbox.ok_or(io::ErrorKind::NotConnected)?;
            let (near, far) = Pair::pair()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            let permit = std::mem::take(&mut *permit.lock().unwrap_or_else(PoisonError::into_inner));
            let stream = Stream::Unix(mio::net::UnixStream::from_std(far));
            inbox.post(Letter::Accepted(Arrival { stream, peer, identity: None, permit, readable: true }));
            UnixStream::from_std(near)
        }
    });
    let options = Options::over(transport)
        .client_id(client_id)
        .clean_start(true)
        .keep_alive(Duration::ZERO)
        .adapt(true)
        .inflight_max(INFLIGHT_MAX)
        .events_bytes_max(WAITING_BYTES_MAX)
        .connack_timeout(COAP_LOGIN_TIME_MAX)
        .reconnect(Reconnect::Never);
    match &caller.username {
        Some(user) => options.credentials(user, caller.password.clone().map(String::into_bytes)),
        None => options,
    }
}

/// A message as a representation.
pub(super) fn content(payload: Vec<u8>) -> Response {
    let format = if std::str::from_utf8(&payload).is_ok() { Format::TEXT } else { Format::OCTETS };
    Response::content(format, payload)
}

fn forbidden() -> Response {
    Response::error(Code::Forbidden, "the rules do not allow it")
}

/// What is said of a failure.
fn refusal(error: &Error) -> Response {
    match error {
        Error::Refused { packet, reason, .. } => refused(*packet, *reason),
        Error::ServerClosed { reason: reason @ ReasonCode::NotAuthorized, .. } => {
            refused(PacketType::Connect, *reason)
        }
        Error::Unsupported(reason) => refused(PacketType::Publish, *reason),
        Error::TooLarge { .. } => Response::error(Code::RequestEntityTooLarge, &error.to_string()),
        Error::Invalid(_) => Response::error(Code::BadRequest, &error.to_string()),
        _ => Response::error(Code::ServiceUnavailable, &error.to_string()),
    }
}

fn refused(packet: PacketType, reason: ReasonCode) -> Response {
    let code = match reason {
        ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized | ReasonCode::Banned
            if packet == PacketType::Connect =>
        {
            Code::Unauthorized
        }
        ReasonCode::NotAuthorized => Code::Forbidden,
        ReasonCode::PacketTooLarge => Code::RequestEntityTooLarge,
        ReasonCode::RetainNotSupported => Code::MethodNotAllowed,
        ReasonCode::TopicNameInvalid | ReasonCode::TopicFilterInvalid | ReasonCode::PayloadFormatInvalid => {
            Code::BadRequest
        }
        _ => Code::ServiceUnavailable,
    };
    Response::error(code, &reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_code() {
        for (packet, reason, code) in [
            (PacketType::Connect, ReasonCode::NotAuthorized, Code::Unauthorized),
            (PacketType::Connect, ReasonCode::ServerBusy, Code::ServiceUnavailable),
            (PacketType::Publish, ReasonCode::NotAuthorized, Code::Forbidden),
            (PacketType::Publish, ReasonCode::QuotaExceeded, Code::ServiceUnavailable),
            (PacketType::Subscribe, ReasonCode::TopicFilterInvalid, Code::BadRequest),
        ] {
            let response = refusal(&Error::Refused { packet, reason, text: None });
            assert_eq!(response.code, code, "{packet:?} {reason:?}");
        }
        assert_eq!(refusal(&Error::ConnectionLost).code, Code::ServiceUnavailable);
    }

    #[test]
    fn text_is_what_can_be_read_as_text() {
        assert_eq!(content("21.5 °C".into()).format, Some(Format::TEXT));
        assert_eq!(content(vec![0xff]).format, Some(Format::OCTETS));
    }
}
