//! Our library.

use crate::{Flow, INFLIGHT, Job, Measured, PAYLOAD, TOPIC, Watch};
use anyhow::{Context, Result};
use grovemq_client::{Client, Disconnect, Event, Message, Options, Qos, Reconnect, Subscription, Version};
use std::rc::Rc;

pub(crate) async fn run(job: Job, flow: Rc<Flow>) -> Result<Measured> {
    let version = if job.version == 5 { Version::V5 } else { Version::V311 };
    let qos = Qos::from_u8(job.qos).context("QoS")?;
    let options = |id: &str| {
        Options::new("127.0.0.1", job.port)
            .client_id(id)
            .version(version)
            .inflight_max(INFLIGHT)
            .reconnect(Reconnect::Never)
    };
    let (subscriber, mut events, _) = Client::connect(options("ours-in")).await?;
    subscriber.subscribe(&[Subscription::new(TOPIC, qos)]).await?;
    let (publisher, publisher_events, _) = Client::connect(options("ours-out")).await?;
    drop(publisher_events);

    let watch = Watch::start();
    let sending = tokio::task::spawn_local({
        let (publisher, flow) = (publisher.clone(), Rc::clone(&flow));
        async move {
            for sent in 0..job.messages {
                flow.wait(sent).await;
                publisher.send(Message::new(TOPIC, vec![b'x'; PAYLOAD]).qos(qos)).await?;
            }
            anyhow::Ok(())
        }
    });
    loop {
        match events.next().await.context("the connection ended")? {
            Event::Message(_) if flow.count() == job.messages => break,
            Event::Disconnected(error) => return Err(error.into()),
            _ => {}
        }
    }
    let measured = watch.stop();
    sending.await??;
    publisher.disconnect(Disconnect::default()).await?;
    Ok(measured)
}
