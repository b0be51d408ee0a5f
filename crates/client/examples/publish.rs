//! Publishes one message and waits until the server has it: `publish [TOPIC [TEXT]]`, to the server in `MQTT_URL`.

use grovemq_client::{Client, Disconnect, Error, Message, Options, Qos};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().unwrap_or_else(|| "garden/1/light".to_owned());
    let text = args.next().unwrap_or_else(|| "on".to_owned());
    let url = std::env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://localhost".to_owned());

    let (client, _events, _info) = Client::connect(Options::from_url(&url)?).await?;
    let ack = client.publish(Message::new(topic, text).qos(Qos::AtLeastOnce)).await?.await?;
    println!("the server has it: {}", ack.reason);
    client.disconnect(Disconnect::default()).await
}
