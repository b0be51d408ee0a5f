//! Messages that outlive the program that sent them.

use crate::{QUALITIES, connect, options, within};
use grovemq_client::{Client, Event, FileStore, Message, Qos, Subscription, Version};
use grovemq_tests::{Broker, Kind, scratch};

/// The broker is away, the program ends, the broker comes back, the program runs again.
async fn messages_outlive_the_program(kind: Kind) {
    for version in [Version::V311, Version::V5] {
        let broker = Broker::start(kind, "allow_anonymous true\n");
        let dir = scratch();
        let kept = |broker: &Broker| {
            let store = FileStore::open(dir.path().join("session")).unwrap();
            options(broker, "sender").version(version).store(store)
        };
        let (client, mut events) = connect(kept(&broker)).await;
        broker.program().kill();
        while !matches!(within(events.next()).await.unwrap(), Event::Disconnected(_)) {}
        for qos in QUALITIES {
            within(client.send(Message::new("a", format!("{qos:?}")).qos(qos))).await.unwrap();
        }
        within(client.subscribe(&[])).await.unwrap_err(); // everything before it has been taken
        client.close();
        while within(events.next()).await.is_some() {}

        let broker = broker.kill_and_restart(kind);
        let (reader, _events) = connect(options(&broker, "reader").version(version)).await;
        let all = Subscription::new("a", Qos::ExactlyOnce);
        let mut stream = within(reader.subscribe_stream(all)).await.unwrap();
        let (client, _, _) = within(Client::connect(kept(&broker))).await.unwrap();
        within(client.publish(Message::new("a", "last").qos(Qos::ExactlyOnce)).await.unwrap()).await.unwrap();
        for wanted in ["AtLeastOnce", "ExactlyOnce", "last"] {
            let received = within(stream.next()).await.unwrap();
            assert_eq!(received.message.payload, wanted.as_bytes(), "{version:?}");
        }
    }
}

#[tokio::test]
async fn messages_outlive_the_program_that_sent_them() {
    messages_outlive_the_program(Kind::Ours).await;
}

#[tokio::test]
async fn messages_outlive_the_program_with_debians_broker() {
    messages_outlive_the_program(Kind::Debian).await;
}

/// The server keeps messages for a program that is away; the next run opens its streams after it has connected.
async fn kept_messages_find_their_streams(kind: Kind) {
    for version in [Version::V311, Version::V5] {
        let broker = Broker::start(kind, "allow_anonymous true\n");
        let dir = scratch();
        let kept = || {
            let store = FileStore::open(dir.path().join("session")).unwrap();
            options(&broker, "reader").version(version).store(store).manual_ack(true)
        };
        let all = || Subscription::new("a/#", Qos::AtLeastOnce);
        let (client, mut events) = connect(kept()).await;
        let stream = within(client.subscribe_stream(all())).await.unwrap();
        stream.detach();
        within(client.disconnect(grovemq_client::Disconnect::default())).await.unwrap();
        while within(events.next()).await.is_some() {}

        let (sender, _events) = connect(options(&broker, "sender")).await;
        for n in 0..10 {
            let message = Message::new(format!("a/{n}"), "").qos(Qos::AtLeastOnce);
            within(within(sender.publish(message)).await.unwrap()).await.unwrap();
        }
        let (client, _events) = connect(kept()).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let mut stream = within(client.subscribe_stream(all())).await.unwrap();
        for n in 0..10 {
            let received = within(stream.next()).await.unwrap();
            assert_eq!(received.message.topic, format!("a/{n}"), "{version:?}");
            within(client.ack(received.ack.unwrap())).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_the_server_kept_finds_its_stream() {
    kept_messages_find_their_streams(Kind::Ours).await;
}

#[tokio::test]
async fn what_debians_broker_kept_finds_its_stream() {
    kept_messages_find_their_streams(Kind::Debian).await;
}
