//! Requests and their answers.

use crate::{VERSIONS, connect, options, within};
use grovemq_client::{Client, Error, Message, Qos, ReasonCode, Subscription, Version};
use grovemq_tests::{Broker, SOON};
use std::time::Duration;

/// Answers each request with its own payload, doubled; in 3.x by convention.
async fn answering(client: Client, filter: &str) -> tokio::task::JoinHandle<()> {
    let subscription = Subscription::new(filter, Qos::AtLeastOnce);
    let mut requests = within(client.subscribe_stream(subscription)).await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let payload = request.message.payload.repeat(2);
            let answer = request.response(payload.clone()).unwrap_or_else(|| {
                Message::new(format!("{}/response", request.message.topic), payload).qos(Qos::AtLeastOnce)
            });
            client.send(answer).await.unwrap();
        }
    })
}

async fn requests_are_answered(broker: &Broker) {
    for (id, version) in ["1", "2", "3"].into_iter().zip(VERSIONS) {
        let (server, _) = connect(options(broker, id).version(version)).await;
        let serving = answering(server, "double/+").await;
        let (client, mut events) = connect(options(broker, "asker").version(version)).await;
        for (n, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
            let message = Message::new(format!("double/{n}"), format!("{n}")).qos(qos);
            let answer = within(client.request(message, SOON)).await.unwrap();
            assert_eq!(answer.message.payload, format!("{n}{n}").into_bytes(), "{version:?}");
        }
        assert_eq!(events.try_next(), None, "answers are no events");
        serving.abort();
    }
}

#[tokio::test]
async fn requests_are_answered_in_every_version() {
    requests_are_answered(&Broker::ours()).await;
}

#[tokio::test]
async fn requests_are_answered_over_debians_broker() {
    requests_are_answered(&Broker::debian()).await;
}

#[tokio::test]
async fn many_requests_at_once_get_each_its_own_answer() {
    let broker = Broker::ours();
    let (server, _) = connect(options(&broker, "server")).await;
    let _serving = answering(server, "double").await;
    let (client, _) = connect(options(&broker, "asker")).await;
    let asked: Vec<_> = (0..100)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let answer = client.request(Message::new("double", format!("<{n}>")), SOON).await.unwrap();
                assert_eq!(answer.message.payload, format!("<{n}><{n}>").into_bytes());
            })
        })
        .collect();
    for request in asked {
        within(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_nobody_answers_ends() {
    let broker = Broker::ours();
    let (client, _) = connect(options(&broker, "asker")).await;
    let short = Duration::from_millis(50);
    let unheard = within(client.request(Message::new("nobody", ""), short)).await;
    assert_eq!(unheard, Err(Error::NoAnswer));
    // with an acknowledgement the server can tell at once
    let told = within(client.request(Message::new("nobody", "").qos(Qos::AtLeastOnce), SOON)).await;
    let Err(Error::Refused { reason: ReasonCode::NoMatchingSubscribers, .. }) = told else {
        panic!("{told:?}")
    };
    let (old, _) = connect(options(&broker, "old").version(Version::V311)).await;
    let unheard = within(old.request(Message::new("nobody", ""), short)).await;
    assert_eq!(unheard, Err(Error::NoAnswer));
}

#[tokio::test]
async fn answers_come_where_the_user_wants_them() {
    let broker = Broker::ours();
    let (server, _) = connect(options(&broker, "server")).await;
    let _serving = answering(server, "double").await;
    let (client, _) = connect(options(&broker, "asker").response_topic("mine/answers")).await;
    let answer = within(client.request(Message::new("double", "x"), SOON)).await.unwrap();
    assert_eq!(answer.message.topic, "mine/answers");
}
