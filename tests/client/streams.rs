//! Messages by subscription.

use crate::{QUALITIES, VERSIONS, connect, options, within};
use grovemq_client::{Event, Message, Options, Qos, Subscription};
use grovemq_tests::{Broker, Kind};

async fn streams_get_their_own(broker: &Broker) {
    for version in VERSIONS {
        for qos in QUALITIES {
            let (client, mut events) = connect(options(broker, "streams").version(version)).await;
            let garden = Subscription::new("garden/#", qos);
            let mut garden = within(client.subscribe_stream(garden)).await.unwrap();
            let mut house = within(client.subscribe_stream(Subscription::new("house", qos))).await.unwrap();
            within(client.subscribe(&[Subscription::new("rest", qos)])).await.unwrap();
            for topic in ["garden/1", "rest", "house", "garden/2"] {
                let message = Message::new(topic, topic).qos(qos);
                within(client.publish(message).await.unwrap()).await.unwrap();
            }
            for topic in ["garden/1", "garden/2"] {
                let received = within(garden.next()).await.unwrap();
                assert_eq!(
                    (received.message.topic.as_str(), received.message.qos),
                    (topic, qos),
                    "{version:?}"
                );
            }
            assert_eq!(within(house.next()).await.unwrap().message.topic, "house");
            let Some(Event::Message(rest)) = within(events.next()).await else { panic!() };
            assert_eq!(rest.message.topic, "rest");

            // an ended stream is an ended subscription
            drop(garden);
            within(client.publish(Message::new("garden/3", "").qos(qos)).await.unwrap()).await.unwrap();
            within(client.publish(Message::new("rest", "last").qos(qos)).await.unwrap()).await.unwrap();
            let Some(Event::Message(rest)) = within(events.next()).await else { panic!() };
            assert_eq!(rest.message.payload, b"last");
            within(client.disconnect(grovemq_client::Disconnect::default())).await.unwrap();
            assert_eq!(within(house.next()).await, None);
        }
    }
}

#[tokio::test]
async fn each_subscription_has_its_stream() {
    streams_get_their_own(&Broker::ours()).await;
}

#[tokio::test]
async fn each_subscription_has_its_stream_with_debians_broker() {
    streams_get_their_own(&Broker::debian()).await;
}

#[tokio::test]
async fn a_stream_goes_on_after_the_broker_was_gone() {
    let broker = Broker::ours();
    let (client, mut events) = connect(options(&broker, "stays")).await;
    let mut stream = within(client.subscribe_stream(Subscription::new("a", Qos::AtLeastOnce))).await.unwrap();
    let broker = broker.kill_and_restart(Kind::Ours);
    while !matches!(within(events.next()).await.unwrap(), Event::Connected(_)) {}
    let (other, _) = connect(options(&broker, "other")).await;
    // the subscription may be made again a moment after this
    let message = Message::new("a", "again").qos(Qos::AtLeastOnce).retain(true);
    within(other.publish(message).await.unwrap()).await.unwrap();
    assert_eq!(within(stream.next()).await.unwrap().message.payload, b"again");
}

/// Far more than the stream may hold: the server waits, nothing is lost and nothing piles up.
#[tokio::test]
async fn a_slow_reader_is_waited_for() {
    const MESSAGES: usize = 2000;
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\nmax_queued_messages 10000\n");
    let small = |options: Options| options.events_bytes_max(1000);
    let (client, _events) = connect(small(options(&broker, "slow"))).await;
    let mut stream = within(client.subscribe_stream(Subscription::new("a", Qos::AtLeastOnce))).await.unwrap();
    let (other, _) = connect(options(&broker, "fast")).await;
    for n in 0..MESSAGES {
        let message = Message::new("a", n.to_string()).qos(Qos::AtLeastOnce);
        within(other.send(message)).await.unwrap();
    }
    for n in 0..MESSAGES {
        let received = within(stream.next()).await.unwrap();
        assert_eq!(received.message.payload, n.to_string().into_bytes());
    }
}
