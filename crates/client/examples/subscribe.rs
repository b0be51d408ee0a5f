//! Prints the messages of some subscriptions, each from its own stream: `subscribe [FILTER…]`, from the server in
//! `MQTT_URL`. It comes back by itself when the server was away.

use grovemq_client::{Client, Error, Event, Options, Qos, Subscription};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut filters: Vec<String> = std::env::args().skip(1).collect();
    if filters.is_empty() {
        filters.push("#".to_owned());
    }
    let url = std::env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://localhost".to_owned());

    let (client, mut events, _info) = Client::connect(Options::from_url(&url)?).await?;
    for filter in filters {
        let mut messages = client.subscribe_stream(Subscription::new(&filter, Qos::AtLeastOnce)).await?;
        tokio::spawn(async move {
            while let Some(received) = messages.next().await {
                let message = received.message;
                println!("[{filter}] {}: {}", message.topic, String::from_utf8_lossy(&message.payload));
            }
        });
    }
    // what is left tells how the connection fares
    while let Some(event) = events.next().await {
        match event {
            Event::Disconnected(error) => eprintln!("{error}"),
            Event::Reconnecting { delay } => eprintln!("trying again in {delay:?}"),
            Event::Connected(info) => eprintln!("back again as {}", info.client_id),
            _ => {}
        }
    }
    Ok(())
}
