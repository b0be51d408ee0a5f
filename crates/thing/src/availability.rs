//! Whether the thing is there and well, told on one retained topic.

use std::collections::BTreeSet;
use std::sync::Arc;

use grovemq_client::{Client, Message};
use tokio::sync::watch;

use crate::connection::Online;
use crate::log::Log;

pub(crate) const ONLINE: &str = "online";
pub(crate) const OFFLINE: &str = "offline";

/// Which resources the board fails. Clones look at the same set.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    names: Arc<watch::Sender<BTreeSet<String>>>,
    log: Log,
}

/// A message for the availability topic. Retained, so that those who come later know too.
pub(crate) fn message(topic: &str, text: impl Into<String>) -> Message {
    Message::new(topic, text.into()).retain(true)
}

impl Faults {
    pub(crate) fn new(log: Log) -> Self {
        Self { names: Arc::new(watch::Sender::default()), log }
    }

    /// Notes how the last work of a resource went and returns its value; the log is told of changes only.
    pub(crate) fn note<T>(&self, name: &str, outcome: Result<T, String>) -> Option<T> {
        let failed = outcome.is_err();
        let changed = self.names.send_if_modified(|names| {
            if failed { names.insert(name.to_owned()) } else { names.remove(name) }
        });
        match outcome {
            Ok(value) => {
                if changed {
                    self.log.say(format_args!("{name}: works again"));
                }
                Some(value)
            }
            Err(failure) => {
                if changed {
                    self.log.say(format_args!("{name}: {failure}; its value stays as it was"));
                }
                None
            }
        }
    }

    /// Publishes the state at each connection and each change, until cancelled.
    pub(crate) async fn publish(self, client: Client, topic: String, mut online: watch::Receiver<Online>) {
        let mut names = self.names.subscribe();
        loop {
            let text = text(&names.borrow_and_update());
            // A closed client is the main loop's matter.
            if online.borrow_and_update().is_some() && client.send(message(&topic, text)).await.is_err() {
                return;
            }
            let changed = tokio::select! {
                changed = names.changed() => changed,
                changed = online.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

fn text(failing: &BTreeSet<String>) -> String {
    if failing.is_empty() {
        return ONLINE.to_owned();
    }
    let names: Vec<_> = failing.iter().map(String::as_str).collect();
    format!("degraded: {}", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn changes_are_told_once_and_the_text_names_the_failing() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let faults = Faults::new(Log::new(false, move |line| sink.lock().unwrap().push(line.to_owned())));
        assert_eq!(text(&faults.names.borrow()), "online");
        assert_eq!(faults.note("b", Ok(1)), Some(1));
        assert_eq!(faults.note::<()>("b", Err("no board".to_owned())), None);
        assert_eq!(faults.note::<()>("b", Err("no board".to_owned())), None);
        assert_eq!(faults.note::<()>("a", Err("timeout".to_owned())), None);
        assert_eq!(text(&faults.names.borrow()), "degraded: a b");
        assert_eq!(faults.note("b", Ok(())), Some(()));
        assert_eq!(text(&faults.names.borrow()), "degraded: a");
        assert_eq!(
            *lines.lock().unwrap(),
            [
                "b: no board; its value stays as it was",
                "a: timeout; its value stays as it was",
                "b: works again"
            ]
        );
    }
}
