//! What the service manager is told where there is one: that the broker is ready, reads its configuration again, stops,
//! and is alive.

use grovemq_broker::{Log, Pulse};
use sd_notify::NotifyState;
use std::net::SocketAddr;

/// Addresses named in the status; it is one line.
const NAMED_MAX: usize = 4;

/// The service manager that started this process, by `$NOTIFY_SOCKET`; without one nothing happens.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    log: Log,
}

impl Service {
    pub(crate) fn new(log: &Log) -> Self {
        Self { log: log.clone() }
    }

    /// The sockets are open and clients are served.
    pub(crate) fn ready(&self, addresses: &[SocketAddr]) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status(addresses))]);
    }

    /// The configuration is being read again; [`Service::ready`] or [`Service::unchanged`] follows.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(e) => self.log.warning(format!("Warning: No clock for the service manager: {e}.")),
        }
    }

    /// The new configuration is not in force.
    pub(crate) fn unchanged(&self) {
        let status = "The last reload found mistakes, the settings before it stay in force: see the log.";
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Clients are being sent away.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Stopping.")]);
    }

    /// Says from now on that the broker is alive, as often as the service manager wants to hear it, as long as every
    /// event loop turns.
    pub(crate) fn watch(&self, pulse: Pulse) {
        let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else { return };
        let service = self.clone();
        let watch = move || {
            loop {
                if pulse.beats(period / 4) {
                    service.tell(&[NotifyState::Watchdog]);
                }
                std::thread::sleep(period / 4);
            }
        };
        // the process may end in the middle of it: nothing is lost
        if let Err(e) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
            self.log.error(format!("Error: No thread for the service manager's watchdog: {e}."));
        }
    }

    fn tell(&self, what: &[NotifyState<'_>]) {
        if let Err(e) = sd_notify::notify(what) {
            self.log.warning(format!("Warning: The service manager cannot be told: {e}."));
        }
    }
}

fn status(addresses: &[SocketAddr]) -> String {
    let mut named: Vec<String> = addresses.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if addresses.len() > NAMED_MAX {
        named.push(format!("{} more", addresses.len() - NAMED_MAX));
    }
    match named.as_slice() {
        [] => "Running.".into(),
        named => format!("Listening on {}.", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_short() {
        let addresses: Vec<SocketAddr> =
            (1..=6).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(status(&[]), "Running.");
        assert_eq!(status(&addresses[..1]), "Listening on 127.0.0.1:1.");
        assert_eq!(
            status(&addresses),
            "Listening on 127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3, 127.0.0.1:4, 2 more."
        );
    }
}
