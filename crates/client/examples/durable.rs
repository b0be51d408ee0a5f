//! Nothing is lost: each message is acknowledged when it is worked off, and the session, kept in a file, outlives the
//! program as well as the server. `durable FILE`, with the server in `MQTT_URL`.

use grovemq_client::{Client, Error, FileStore, Message, Options, Qos, Subscription};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "durable.session".to_owned());
    let url = std::env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://localhost".to_owned());
    let options = Options::from_url(&url)?
        .client_id("durable")
        .store(FileStore::open(path)?)
        .manual_ack(true)
        .receive_maximum(100);

    let (client, _events, info) = Client::connect(options).await?;
    println!("{}", if info.session_present { "the session goes on" } else { "a new session" });
    let mut work = client.subscribe_stream(Subscription::new("work/+", Qos::AtLeastOnce)).await?;
    while let Some(received) = work.next().await {
        let done = format!("{} bytes", received.message.payload.len());
        let report = received.message.topic.replace("work/", "done/");
        // kept before it is sent: it may be handed over and forgotten
        client.send(Message::new(report, done).qos(Qos::ExactlyOnce)).await?;
        if let Some(token) = received.ack {
            client.ack(token).await?;
        }
    }
    Ok(())
}
