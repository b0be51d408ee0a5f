//! The life of a thing.

use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;

use grovemq_client::{Client, Disconnect, Version};
use grovemq_grovepi::simulated::SimulatedBoard;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::availability;
use crate::board::{BoardChoice, BoardLink, OpenError};
use crate::config::{BoardSetting, Config};
use crate::connection::{Connection, End};
use crate::face::{self, Face, Order, Present};
use crate::log::Log;
use crate::plan::Plan;
use crate::topic::{Place, PlaceError};

/// Why a thing ended before it was told to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configured interface is not there.
    Machine(PlaceError),
    /// A template asks for what this machine has not.
    Place { resource: String, source: PlaceError },
    /// A filled template is not legal to publish to.
    TopicName { resource: String, topic: String },
    /// A filled template is not legal to subscribe to.
    TopicFilter { resource: String, filter: String },
    /// The board cannot be opened.
    Board(OpenError),
    /// The socket for CoAP cannot be opened.
    Coap(face::OpenError),
    /// The client gave up for good.
    Client(grovemq_client::Error),
}

/// How long the board may take to darken its lamps, and the broker to answer UNSUBSCRIBE.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs a thing until `shutdown` resolves. Then its actuators go dark, it unsubscribes and says good-bye.
///
/// While the broker is away it goes on and tries again, without end; once there is a connection, every sensor tells
/// its present state. While the board is away, sensors keep their last value.
///
/// On the availability topic stands, retained: `online`; `degraded: <names>` while the board fails these resources;
/// `offline` after the end, by the will also after an end without good-bye.
///
/// Needs a tokio runtime with I/O and time enabled.
pub async fn run(
    config: Config,
    board: BoardChoice,
    log: Log,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let place =
        Place::of_this_machine(config.interface.as_deref(), config.address).map_err(Error::Machine)?;
    let absent = match (&config.board, &board) {
        (BoardSetting::Auto, BoardChoice::Simulated(_)) => format!("no {}: ", BoardSetting::DEFAULT_BUS),
        _ => String::new(),
    };
    let coap = config.coap;
    let plan = Plan::new(config, &place)?;
    let (probes, safe) = (plan.probes(), plan.safe_drives());
    // a board that has nothing to do is not looked for
    let board = if probes.is_empty() && safe.is_empty() {
        BoardChoice::Simulated(SimulatedBoard::default())
    } else {
        log.say(format_args!("{absent}using {board}"));
        board
    };
    for (name, topic) in plan.topics() {
        log.say(format_args!("{name} {topic}"));
    }
    let mut tasks = JoinSet::new();
    // its other end keeps the thing waiting for orders that never come
    let (_idle, mut orders) = mpsc::channel(1);
    let mut present = Present::default();
    if let Some(address) = coap {
        let face;
        (face, present, orders) = Face::open(address, &plan, &log).await.map_err(Error::Coap)?;
        tasks.spawn(face.run());
    }
    let (link, board_end) = board.start(probes, safe)?;
    let mut life = Life { plan, link, board_end, present, orders, log };
    let mut shutdown = pin!(shutdown);
    let mut version = life.plan.first_version();
    loop {
        match life.connection(version, shutdown.as_mut()).await? {
            Next::FallBack => version = Version::V311,
            Next::End(client, online) => return life.goodbye(client, online).await,
        }
    }
}

struct Life {
    plan: Plan,
    link: BoardLink,
    board_end: oneshot::Receiver<()>,
    present: Present,
    orders: mpsc::Receiver<Order>,
    log: Log,
}

/// What comes after a client.
enum Next {
    /// The broker does not speak MQTT 5.
    FallBack,
    /// The thing was told to end; whether the client is connected.
    End(Client, bool),
}

impl Life {
    /// One client's life with all its reconnections.
    async fn connection<S: Future<Output = ()>>(
        &mut self,
        version: Version,
        mut shutdown: Pin<&mut S>,
    ) -> Result<Next, Error> {
        let mut connection = Connection::start(&self.plan, version, &self.link, &self.present, &self.log);
        let end = tokio::select! {
            () = shutdown.as_mut() => None,
            end = connection.listen(&mut self.orders) => Some(end),
        };
        let (client, online) = connection.release();
        match end {
            None => Ok(Next::End(client, online)),
            Some(End::VersionRefused) => {
                client.close();
                self.log.say("the broker does not speak MQTT 5; going on with 3.1.1");
                Ok(Next::FallBack)
            }
            Some(End::Gone(error)) => Err(Error::Client(error)),
        }
    }

    /// Lamps dark, unsubscribe, DISCONNECT. The tasks are gone already; what fails now fails for good.
    async fn goodbye(self, client: Client, online: bool) -> Result<(), Error> {
        let Self { plan, link, board_end, log, .. } = self;
        log.say("ending: actuators off");
        drop(link);
        if timeout(GOODBYE, board_end).await.is_err() {
            log.say("the board did not confirm that the actuators are off");
        }
        plan.run_safe_programs().await;
        if !online {
            client.close();
            return Ok(());
        }
        drop(client.send(availability::message(&plan.availability, availability::OFFLINE)).await);
        // The answer to this tells that the broker has dealt with the message as well.
        let filters: Vec<_> =
            plan.subscriptions().into_iter().map(|subscription| subscription.filter).collect();
        if !filters.is_empty() {
            drop(timeout(GOODBYE, client.unsubscribe(&filters)).await);
        }
        match client.disconnect(Disconnect::default()).await {
            Ok(()) => log.say("disconnected"),
            Err(error) => log.say(format_args!("no clean good-bye: {error}")),
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { resource, source } => write!(f, "{resource}: {source}"),
            Self::Machine(source) => source.fmt(f),
            Self::TopicName { resource, topic } => {
                write!(f, "{resource}: `{topic}` is no topic that can be published to")
            }
            Self::TopicFilter { resource, filter } => {
                write!(f, "{resource}: `{filter}` is no topic that can be subscribed to")
            }
            Self::Board(source) => source.fmt(f),
            Self::Coap(source) => source.fmt(f),
            Self::Client(source) => write!(f, "the connection ended for good: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Place { source, .. } | Self::Machine(source) => Some(source),
            Self::TopicName { .. } | Self::TopicFilter { .. } => None,
            Self::Board(source) => Some(source),
            Self::Coap(source) => Some(source),
            Self::Client(source) => Some(source),
        }
    }
}

impl From<OpenError> for Error {
    fn from(source: OpenError) -> Self {
        Self::Board(source)
    }
}

#[cfg(test)]
mod tests;
