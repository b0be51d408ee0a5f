//! Without `async`: publishes a message, prints those that come within a second, from the server in `MQTT_URL`.

use grovemq_client::{Disconnect, Error, Message, Options, Qos, Subscription, blocking::Client};
use std::time::Duration;

fn main() -> Result<(), Error> {
    let url = std::env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://localhost".to_owned());

    let (client, _events, _info) = Client::connect(Options::from_url(&url)?)?;
    let mut messages = client.subscribe_stream(Subscription::new("garden/#", Qos::AtLeastOnce))?;
    client.publish(Message::new("garden/1/light", "on").qos(Qos::AtLeastOnce))?.wait()?;
    while let Some(received) = messages.next_timeout(Duration::from_secs(1)) {
        println!("{}: {}", received.message.topic, String::from_utf8_lossy(&received.message.payload));
    }
    client.disconnect(Disconnect::default())
}
