//! The same resources over CoAP: read or observe sensors and actuators, set actuators.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grovemq_coap::{Code, Endpoint, Format, Limits, Link, Method, Request, RequestId, Response, link_format};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep_until;

use crate::config::{Input, Payload, Sensor};
use crate::log::Log;
use crate::plan::Plan;
use crate::rule::Act;

/// Where the list of resources stands.
const LIST: &str = ".well-known/core";
/// Orders to actuators that wait; above, 5.03.
const ORDERS_MAX: usize = 64;
/// Larger than any datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// The face cannot be shown.
#[derive(Debug)]
pub struct OpenError {
    address: SocketAddr,
    source: io::Error,
}

/// What an actuator was told to do, and where to say whether it does.
pub(crate) struct Order {
    /// Which one of the plan.
    pub(crate) actuator: usize,
    pub(crate) payload: Vec<u8>,
    pub(crate) outcome: oneshot::Sender<Result<(), String>>,
}

/// What the resources are at: the tasks of the thing write it, the face reads it. Without a face nothing is kept.
#[derive(Clone, Default)]
pub(crate) struct Present(Option<Arc<Shared>>);

struct Shared {
    states: Mutex<Vec<State>>,
    news: Notify,
    actuators_from: usize,
}

#[derive(Default)]
struct State {
    /// `None` until there was a first reading.
    payload: Option<Vec<u8>>,
    /// Observers do not know of it yet.
    is_new: bool,
}

/// The socket and all conversations over it.
pub(crate) struct Face {
    socket: UdpSocket,
    endpoint: Endpoint,
    resources: Vec<Resource>,
    present: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    log: Log,
}

/// A resource's place and form.
struct Resource {
    path: String,
    link: Link,
    format: Format,
    max_age: u32,
    /// The number of the actuator.
    actuator: Option<usize>,
}

/// An actuator's verdict on an order.
type Outcome = (RequestId, Result<(), String>);

impl Present {
    pub(crate) fn sensor(&self, index: usize, payload: &str) {
        if let Some(shared) = &self.0 {
            shared.set(index, payload.into());
        }
    }

    pub(crate) fn actuator(&self, index: usize, payload: &[u8]) {
        if let Some(shared) = &self.0 {
            shared.set(shared.actuators_from + index, payload.to_vec());
        }
    }

    /// An actuator does what nobody has told it in a message.
    pub(crate) fn act(&self, index: usize, act: &Act) {
        self.actuator(index, act.as_payload().as_bytes());
    }
}

impl Shared {
    fn set(&self, index: usize, payload: Vec<u8>) {
        if let Some(state) = self.states().get_mut(index) {
            *state = State { payload: Some(payload), is_new: true };
        }
        self.news.notify_one();
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Face {
    /// Opens the socket. Gives the face, what to tell it, and the orders that come through it.
    pub(crate) async fn open(
        address: SocketAddr,
        plan: &Plan,
        log: &Log,
    ) -> Result<(Self, Present, mpsc::Receiver<Order>), OpenError> {
        let socket = UdpSocket::bind(address).await.map_err(|source| OpenError { address, source })?;
        let sensors = plan.sensors.iter().map(|planned| Resource::of_sensor(&planned.sensor));
        let actuators = plan.actuators.iter().enumerate();
        let actuators = actuators.map(|(index, planned)| Resource::of_actuator(index, planned));
        let resources: Vec<_> = sensors.chain(actuators).collect();
        let present = Arc::new(Shared {
            states: Mutex::new(resources.iter().map(|_| State::default()).collect()),
            news: Notify::new(),
            actuators_from: plan.sensors.len(),
        });
        let (orders, wanted) = mpsc::channel(ORDERS_MAX);
        let endpoint = Endpoint::new(Limits::default(), RandomState::new().hash_one(address));
        let local = socket.local_addr().unwrap_or(address);
        log.say(format_args!("resources are at coap://{local}/ too"));
        let face = Self { socket, endpoint, resources, present: present.clone(), orders, log: log.clone() };
        Ok((face, Present(Some(present)), wanted))
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self) {
        let (verdicts, mut outcomes) = mpsc::channel(ORDERS_MAX);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let present = self.present.clone();
        loop {
            self.flush().await;
            let tick = self.endpoint.next_tick();
            tokio::select! {
                // an error is of an earlier datagram, which its receiver did not want
                received = self.socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    if let Some(request) = self.endpoint.receive(Instant::now(), from, datagram) {
                        self.serve(request, &verdicts);
                    }
                },
                () = present.news.notified() => self.tell_news(),
                Some((id, outcome)) = outcomes.recv() => {
                    let response = match outcome {
                        Ok(()) => Response::new(Code::Changed),
                        Err(why) => Response::error(Code::BadRequest, &why),
                    };
                    self.endpoint.respond(Instant::now(), id, &response);
                }
                () = until(tick) => self.endpoint.tick(Instant::now()),
            }
        }
    }

    async fn flush(&mut self) {
        while let Some((to, datagram)) = self.endpoint.datagram() {
            // what cannot be sent is repeated like what was lost
            drop(self.socket.send_to(&datagram, to).await);
        }
        // observers that are no more need no farewell: nothing is kept for them elsewhere
        while self.endpoint.lost().is_some() {}
    }

    fn tell_news(&mut self) {
        let now = Instant::now();
        let changed: Vec<_> =
            self.present.states().iter_mut().map(|state| std::mem::take(&mut state.is_new)).collect();
        for (index, _) in changed.into_iter().enumerate().filter(|(_, is_new)| *is_new) {
            let Some(resource) = self.resources.get(index) else { continue };
            let (news, path) = (self.representation(index, resource), resource.path.clone());
            self.endpoint.notify(now, &path, None, &news);
        }
    }

    fn serve(&mut self, request: Request, verdicts: &mpsc::Sender<Outcome>) {
        let path = request.path.join("/");
        let Request { id, from, method, .. } = request;
        self.log.detail(format_args!("{method:?} /{} from {from}", path.escape_debug()));
        let response = if path == LIST {
            self.list(&request)
        } else if let Some(index) = self.resources.iter().position(|resource| resource.path == path) {
            match self.resources.get(index) {
                Some(resource) if method == Method::Get => self.representation(index, resource),
                Some(Resource { actuator: Some(actuator), .. })
                    if matches!(method, Method::Put | Method::Post) =>
                {
                    match self.order(*actuator, request, verdicts) {
                        Some(refusal) => refusal,
                        None => return,
                    }
                }
                _ => Response::new(Code::MethodNotAllowed),
            }
        } else {
            Response::error(Code::NotFound, "no such resource; /.well-known/core has them all")
        };
        self.endpoint.respond(Instant::now(), id, &response);
    }

    fn list(&self, request: &Request) -> Response {
        if request.method != Method::Get {
            return Response::new(Code::MethodNotAllowed);
        }
        let links: Vec<_> = self.resources.iter().map(|resource| resource.link.clone()).collect();
        Response::content(Format::LINKS, link_format(&links, &request.query))
    }

    fn representation(&self, index: usize, resource: &Resource) -> Response {
        match self.present.states().get(index).and_then(|state| state.payload.clone()) {
            Some(payload) => Response::content(resource.format, payload).max_age(resource.max_age),
            None => Response::error(Code::ServiceUnavailable, "nothing was read yet").max_age(1),
        }
    }

    /// Hands an order on; its outcome is answered later, a refusal at once.
    fn order(&self, actuator: usize, request: Request, verdicts: &mpsc::Sender<Outcome>) -> Option<Response> {
        let (outcome, wait) = oneshot::channel();
        let order = Order { actuator, payload: request.payload, outcome };
        if self.orders.try_send(order).is_err() {
            return Some(Response::new(Code::ServiceUnavailable));
        }
        let verdicts = verdicts.clone();
        tokio::spawn(async move {
            let outcome = wait.await.unwrap_or_else(|_| Err("the thing is ending".to_owned()));
            drop(verdicts.send((request.id, outcome)).await);
        });
        None
    }
}

impl Resource {
    fn of_sensor(sensor: &Sensor) -> Self {
        let folder = if sensor.input == Input::Clock { "stuff" } else { "sensors" };
        let seconds = sensor.interval.max(Duration::from_secs(1)).as_secs();
        let max_age = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self::new(folder, &sensor.name, "sensor", sensor.payload, max_age, None)
    }

    fn of_actuator(index: usize, planned: &crate::plan::PlannedActuator) -> Self {
        let actuator = &planned.actuator;
        // it may change at any time
        Self::new("actuators", &actuator.name, "actuator", actuator.payload, 1, Some(index))
    }

    fn new(
        folder: &str,
        name: &str,
        kind: &str,
        payload: Payload,
        max_age: u32,
        actuator: Option<usize>,
    ) -> Self {
        let format = match payload {
            Payload::Text => Format::TEXT,
            Payload::Json => Format::JSON,
        };
        let link = Link {
            path: vec![folder.to_owned(), name.to_owned()],
            kind: Some(kind.to_owned()),
            format: Some(format.0),
            observable: true,
            ..Link::default()
        };
        Self { path: format!("{folder}/{name}"), link, format, max_age, actuator }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot serve CoAP at {}: {}", self.address, self.source)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
