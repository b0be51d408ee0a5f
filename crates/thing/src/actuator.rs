//! The task of an actuator: does the newest that was asked for.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::availability::Faults;
use crate::board::{BoardLink, Failure};
use crate::config::{Actuator, Output};
use crate::gpio::GpioOutput;
use crate::log::Log;
use crate::program;
use crate::rule::{Act, Follower};

/// Pause before something is tried again that could not be done.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct ActuatorTask {
    name: String,
    /// What comes quicker than it can be done is left out, the last one never.
    wanted: watch::Receiver<Act>,
    safe: Act,
    timeout: Option<Duration>,
    sink: Sink,
    faults: Faults,
    log: Log,
}

enum Sink {
    Board(BoardLink),
    Gpio(GpioOutput),
    Command(Duration),
}

impl ActuatorTask {
    pub(crate) fn new(
        actuator: &Actuator,
        wanted: watch::Receiver<Act>,
        board: &BoardLink,
        faults: Faults,
        log: Log,
    ) -> Self {
        let safe = Follower::new(actuator).safe();
        let sink = match &actuator.output {
            Output::Gpio(line) => Sink::Gpio(GpioOutput::new(line.clone(), safe == Act::Gpio(true))),
            Output::Command(program) => Sink::Command(program.timeout),
            _ => Sink::Board(board.clone()),
        };
        Self { name: actuator.name.clone(), wanted, safe, timeout: actuator.timeout, sink, faults, log }
    }

    /// Runs until cancelled, or until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        if matches!(self.sink, Sink::Gpio(_)) {
            // dark from the start, as what is on the board
            let safe = self.safe.clone();
            drop(self.sink.set(&safe).await);
        }
        loop {
            let silence = async {
                match self.timeout {
                    Some(timeout) => sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() || self.follow().await.is_err() {
                        return;
                    }
                }
                () = silence => {
                    self.log.say(format_args!("{}: nothing heard for too long: {}", self.name, self.safe));
                    let outcome = self.sink.set(&self.safe).await;
                    self.faults.note(&self.name, outcome);
                    // until something is heard again there is nothing to be done
                    if self.wanted.changed().await.is_err() || self.follow().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Does what is wanted, however long it takes; an error if nobody wants anything any more.
    async fn follow(&mut self) -> Result<(), watch::error::RecvError> {
        loop {
            let act = self.wanted.borrow_and_update().clone();
            let outcome = self.sink.set(&act).await;
            if self.faults.note(&self.name, outcome).is_some() {
                self.log.detail(format_args!("{}: {act}", self.name));
                return Ok(());
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                changed = self.wanted.changed() => changed?,
            }
        }
    }
}

impl Sink {
    async fn set(&mut self, act: &Act) -> Result<(), Failure> {
        match (self, act) {
            (Self::Board(board), Act::Board(drive)) => board.drive(drive.clone()).await,
            (Self::Gpio(output), Act::Gpio(high)) => output.set(*high),
            (Self::Command(patience), Act::Run(arguments)) => {
                program::output(arguments, *patience).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
