//! The task of a sensor: looks at its input by the clock and publishes what changed.

use grovemq_client::{Client, Message};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::availability::Faults;
use crate::board::BoardLink;
use crate::connection::Online;
use crate::log::Log;
use crate::plan::PlannedSensor;
use crate::resource::{Probe, Reading};

/// How the clock tells the local time.
const CLOCK_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

pub(crate) struct SensorTask {
    pub(crate) sensor: PlannedSensor,
    pub(crate) board: BoardLink,
    pub(crate) client: Client,
    pub(crate) online: watch::Receiver<Online>,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

impl SensorTask {
    /// Runs until cancelled, or until the client is closed.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(self.sensor.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            let told = tokio::select! {
                _ = ticks.tick() => match self.sensor.input.probe() {
                    Some(probe) => self.look(probe, &mut last).await,
                    None => self.tell(jiff::Zoned::now().strftime(CLOCK_FORMAT).to_string()).await,
                },
                changed = self.online.changed() => match (changed, last) {
                    (Err(_), _) => return,
                    // What it is now, to a broker that has not heard of it.
                    (Ok(()), Some(reading)) => self.tell(reading.to_string()).await,
                    (Ok(()), None) => Ok(()),
                },
            };
            // A closed client is the main loop's matter.
            if told.is_err() {
                return;
            }
        }
    }

    async fn look(&self, probe: Probe, last: &mut Option<Reading>) -> Result<(), grovemq_client::Error> {
        let outcome = self.board.read(probe).await;
        match self.faults.note(&self.sensor.name, outcome) {
            Some(reading) if self.sensor.input.differs(reading, *last) => {
                *last = Some(reading);
                self.tell(reading.to_string()).await
            }
            _ => Ok(()),
        }
    }

    /// Publishes, if there is a connection: what changes meanwhile is told when there is one again.
    async fn tell(&self, text: String) -> Result<(), grovemq_client::Error> {
        let PlannedSensor { name, topic, qos, retain, .. } = &self.sensor;
        if self.online.borrow().is_none() {
            self.log.detail(format_args!("{name}: {text} (no connection)"));
            return Ok(());
        }
        self.log.detail(format_args!("{name}: {text} to {topic}"));
        let message = Message::new(topic, text).qos(*qos).retain(*retain);
        match self.client.send(message).await {
            Err(error @ grovemq_client::Error::Closed) => Err(error),
            Err(error) => {
                self.log.say(format_args!("{name}: not published: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
