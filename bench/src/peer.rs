//! rumqttc, as its documentation has it: an event loop that is polled beside the handle.

use crate::{Flow, INFLIGHT, Job, Measured, PAYLOAD, TOPIC, Watch};
use anyhow::{Context, Result};
use std::{rc::Rc, time::Duration};

/// Requests between handle and event loop, as many as ours has.
const REQUESTS: usize = 1024;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

pub(crate) async fn run(job: Job, flow: Rc<Flow>) -> Result<Measured> {
    if job.version == 5 { run_v5(job, flow).await } else { run_v4(job, flow).await }
}

async fn run_v4(job: Job, flow: Rc<Flow>) -> Result<Measured> {
    use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet};

    let qos = rumqttc::qos(job.qos).ok().context("QoS")?;
    let client = |id: &str| {
        let mut options = MqttOptions::new(id, "127.0.0.1", job.port);
        options.set_keep_alive(KEEP_ALIVE).set_inflight(INFLIGHT);
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        (client, events)
    };
    async fn until(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) -> Result<()> {
        loop {
            if matches!(events.poll().await?, Event::Incoming(packet) if wanted(&packet)) {
                return Ok(());
            }
        }
    }

    let (subscriber, mut incoming) = client("peer-in");
    subscriber.subscribe(TOPIC, qos).await?;
    until(&mut incoming, |packet| matches!(packet, Packet::SubAck(_))).await?;
    let (publisher, mut outgoing) = client("peer-out");
    until(&mut outgoing, |packet| matches!(packet, Packet::ConnAck(_))).await?;

    let watch = Watch::start();
    let driving = tokio::task::spawn_local(async move { while outgoing.poll().await.is_ok() {} });
    let sending = tokio::task::spawn_local({
        let flow = Rc::clone(&flow);
        async move {
            for sent in 0..job.messages {
                flow.wait(sent).await;
                publisher.publish(TOPIC, qos, false, vec![b'x'; PAYLOAD]).await?;
            }
            anyhow::Ok(publisher)
        }
    });
    loop {
        if matches!(incoming.poll().await?, Event::Incoming(Packet::Publish(_)))
            && flow.count() == job.messages
        {
            break;
        }
    }
    let measured = watch.stop();
    let _publisher = sending.await??;
    driving.abort();
    Ok(measured)
}

async fn run_v5(job: Job, flow: Rc<Flow>) -> Result<Measured> {
    use rumqttc::NetworkOptions;
    use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions, mqttbytes, mqttbytes::v5::Packet};

    let qos = mqttbytes::qos(job.qos).context("QoS")?;
    let client = |id: &str| {
        let mut options = MqttOptions::new(id, "127.0.0.1", job.port);
        options.set_keep_alive(KEEP_ALIVE).set_outgoing_inflight_upper_limit(INFLIGHT);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        AsyncClient::new(options, REQUESTS)
    };
    async fn until(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) -> Result<()> {
        loop {
            if matches!(events.poll().await?, Event::Incoming(packet) if wanted(&packet)) {
                return Ok(());
            }
        }
    }

    let (subscriber, mut incoming) = client("peer-in");
    subscriber.subscribe(TOPIC, qos).await?;
    until(&mut incoming, |packet| matches!(packet, Packet::SubAck(_))).await?;
    let (publisher, mut outgoing) = client("peer-out");
    until(&mut outgoing, |packet| matches!(packet, Packet::ConnAck(_))).await?;

    let watch = Watch::start();
    let driving = tokio::task::spawn_local(async move { while outgoing.poll().await.is_ok() {} });
    let sending = tokio::task::spawn_local({
        let flow = Rc::clone(&flow);
        async move {
            for sent in 0..job.messages {
                flow.wait(sent).await;
                publisher.publish(TOPIC, qos, false, vec![b'x'; PAYLOAD]).await?;
            }
            anyhow::Ok(publisher)
        }
    });
    loop {
        if matches!(incoming.poll().await?, Event::Incoming(Packet::Publish(_)))
            && flow.count() == job.messages
        {
            break;
        }
    }
    let measured = watch.stop();
    let _publisher = sending.await??;
    driving.abort();
    Ok(measured)
}
