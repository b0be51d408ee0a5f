//! A request and its answer, both ends in one program, over the server in `MQTT_URL`.

use grovemq_client::{Client, Disconnect, Error, Message, Options, Qos, Subscription};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://localhost".to_owned());

    let (server, _events, _info) = Client::connect(Options::from_url(&url)?.client_id("shouter")).await?;
    let mut requests = server.subscribe_stream(Subscription::new("shout", Qos::AtLeastOnce)).await?;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let text = String::from_utf8_lossy(&request.message.payload).to_uppercase();
            // none where the message does not ask for an answer
            if let Some(answer) = request.response(text) {
                server.send(answer).await?;
            }
        }
        Ok::<(), Error>(())
    });

    let (client, _events, _info) = Client::connect(Options::from_url(&url)?.client_id("asker")).await?;
    let question = Message::new("shout", "is anybody there?").qos(Qos::AtLeastOnce);
    match client.request(question, Duration::from_secs(5)).await {
        Ok(answer) => println!("{}", String::from_utf8_lossy(&answer.message.payload)),
        Err(error) => eprintln!("{error}"),
    }
    client.disconnect(Disconnect::default()).await
}
