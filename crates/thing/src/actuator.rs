//! The task of an actuator: shows the newest value that was asked for.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::availability::Faults;
use crate::board::BoardLink;
use crate::log::Log;
use crate::resource::Drive;

/// Pause before a value is tried again that the board did not take.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct ActuatorTask {
    pub(crate) name: String,
    /// Values that come quicker than the board takes them are left out, the last one never.
    pub(crate) wanted: watch::Receiver<Drive>,
    pub(crate) board: BoardLink,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

impl ActuatorTask {
    /// Runs until cancelled, or until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        while self.wanted.changed().await.is_ok() {
            loop {
                let drive = *self.wanted.borrow_and_update();
                let outcome = self.board.drive(drive).await;
                if self.faults.note(&self.name, outcome).is_some() {
                    self.log.detail(format_args!("{}: {drive}", self.name));
                    break;
                }
                tokio::select! {
                    () = sleep(RETRY) => {}
                    changed = self.wanted.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}
