//! Certificates whose files change are used without being told to.

use crate::limits::WATCH_PERIOD;
use crate::log::Log;
use crate::tls::Entries;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// Looks at the files now and then, until the other end of `stop` is gone.
pub(crate) fn run(entries: &Entries, log: &Log, stop: &Receiver<()>) {
    let mut changed = None;
    while stop.recv_timeout(WATCH_PERIOD) == Err(RecvTimeoutError::Timeout) {
        let now = entries.fingerprint();
        if now == entries.seen() {
            changed = None;
        } else if changed.as_ref() == Some(&now) {
            // nobody has written for a while: certificate and key belong together
            changed = None;
            if reload(entries, log) {
                log.info("Certificates have changed on disk and are in use now.");
            }
        } else {
            changed = Some(now);
        }
    }
}

/// Reads all certificates again; what is wrong goes to the log.
pub(crate) fn reload(entries: &Entries, log: &Log) -> bool {
    match entries.reload() {
        Ok(warnings) => {
            for warning in warnings {
                log.warning(warning);
            }
            true
        }
        Err(errors) => {
            for error in errors {
                log.error(error);
            }
            log.error("Error: No certificate was reloaded, the previous ones stay in use.");
            false
        }
    }
}
