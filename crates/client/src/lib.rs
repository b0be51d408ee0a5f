//! MQTT client: async, reconnecting, MQTT 3.1, 3.1.1 and 5.
//!
//! One task owns the connection; [`Client`] is a cheap handle to it and [`Events`] is what it tells. The task lives
//! until both are dropped, [`Client::disconnect`] is called, or the policy in [`Reconnect`] ends it.
//!
//! ```no_run
//! use grovemq_client::{Client, Event, Message, Options, Qos, Subscription};
//!
//! # async fn example() -> Result<(), grovemq_client::Error> {
//! let (client, mut events, _info) = Client::connect(Options::new("localhost", 1883).client_id("porch")).await?;
//! client.subscribe(&[Subscription::new("garden/+/light", Qos::AtLeastOnce)]).await?;
//! let ack = client.publish(Message::new("garden/1/light", "on").qos(Qos::AtLeastOnce)).await?.await?;
//! println!("published: {}", ack.reason);
//!
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Message(received) => println!("{}: {:?}", received.message.topic, received.message.payload),
//!         Event::Disconnected(error) => eprintln!("{error}; trying again"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without `async`: [`blocking`].
//!
//! Take events in one task and await publications in another, or do both by turns: when events pile up beyond
//! [`Options::events_bytes_max`], the socket is not read and acknowledgements wait as well. Whoever wants no events
//! drops [`Events`].
#![forbid(unsafe_code)]

mod backoff;
pub mod blocking;
mod driver;
mod error;
mod handle;
mod inbox;
mod keeper;
mod mailbox;
mod messages;
mod options;
mod replies;
mod scram;
mod store;
mod streams;
mod tcp;
mod tls;
mod transport;
mod url;
mod websocket;

pub use error::Error;
pub use grovemq_codec::{
    Error as ProtocolError, PacketType, Qos, ReasonCode, RetainHandling, SubscribeOptions, Version, topic,
};
pub use grovemq_core::client::{
    AckToken, Change, ConnAckInfo, Direction, Disconnect, Message, PacketNote, Properties, PublishAck,
    Received, Refusal, Subscribe, Subscription, Unsubscribe, Will,
};
pub use handle::{Client, Event, Events, Publication};
pub use messages::Messages;
pub use options::{Options, Reconnect};
pub use store::{FileStore, SessionStore};
pub use tls::{Tls, TlsBuilder, TlsVersion};
pub use transport::{Socks5, Transport};
pub use websocket::WebSocket;
