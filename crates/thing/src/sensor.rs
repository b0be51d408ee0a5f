//! The task of a sensor: looks at its source by the clock and publishes what is worth it.

use grovemq_client::{Client, Message};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::availability::Faults;
use crate::board::BoardLink;
use crate::connection::Online;
use crate::face::Present;
use crate::log::Log;
use crate::plan::PlannedSensor;
use crate::signal::Signal;
use crate::source::Source;
use crate::value::Value;

pub(crate) struct SensorTask {
    pub(crate) planned: PlannedSensor,
    pub(crate) board: BoardLink,
    pub(crate) client: Client,
    pub(crate) index: usize,
    pub(crate) present: Present,
    pub(crate) online: watch::Receiver<Online>,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

impl SensorTask {
    /// Runs until cancelled, or until the client is closed.
    pub(crate) async fn run(mut self) {
        let sensor = &self.planned.sensor;
        let mut source = Source::new(&sensor.input, &self.board);
        let mut signal = Signal::new(sensor);
        let mut ticks = interval(sensor.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let worth = tokio::select! {
                _ = ticks.tick() => {
                    let outcome = source.read().await;
                    let reading = self.faults.note(&self.planned.sensor.name, outcome);
                    reading.and_then(|reading| signal.feed(reading, Instant::now()))
                }
                changed = self.online.changed() => match changed {
                    Err(_) => return,
                    // What it is now, to a broker that has not heard of it.
                    Ok(()) => signal.again(Instant::now()),
                },
            };
            // A closed client is the main loop's matter.
            if let Some(value) = worth
                && self.tell(&value).await.is_err()
            {
                return;
            }
        }
    }

    /// Publishes, if there is a connection: what changes meanwhile is told when there is one again.
    async fn tell(&self, value: &Value) -> Result<(), grovemq_client::Error> {
        let PlannedSensor { sensor, topic } = &self.planned;
        let name = &sensor.name;
        let payload = value.payload(sensor.payload, sensor.unit.as_deref());
        self.present.sensor(self.index, &payload);
        if self.online.borrow().is_none() {
            self.log.detail(format_args!("{name}: {value} (no connection)"));
            return Ok(());
        }
        self.log.detail(format_args!("{name}: {value} to {topic}"));
        let message = Message::new(topic, payload).qos(sensor.qos).retain(sensor.retain);
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
