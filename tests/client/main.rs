//! The client library against brokers, ours and Debian's alike. The name of a test says when it needs Debian's.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test's own failure is a failure of the test")]

mod dialogues;
mod restarts;
mod streams;

use grovemq_client::{Client, Events, Options, Qos, Reconnect, Version};
use grovemq_tests::{Broker, SOON};
use std::time::Duration;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const QUALITIES: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

fn options(broker: &Broker, id: &str) -> Options {
    Options::new("127.0.0.1", broker.port())
        .client_id(id)
        .reconnect(Reconnect::Backoff { min: Duration::from_millis(20), max: Duration::from_millis(100) })
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("an end in time")
}

async fn connect(options: Options) -> (Client, Events) {
    let (client, events, _) = within(Client::connect(options)).await.unwrap();
    (client, events)
}
