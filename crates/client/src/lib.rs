//! MQTT client: async or blocking, reconnecting, MQTT 3.1, 3.1.1 and 5; over TCP, TLS, WebSocket, Unix sockets, a SOCKS5
//! proxy or any stream.
//!
//! One task owns the connection; [`Client`] is a cheap handle to it and [`Events`] is what it tells. The task lives
//! until both are dropped, [`Client::disconnect`] is called, or the policy in [`Reconnect`] ends it. Any runtime of tokio
//! will do, one with a single thread as well. Without `async`: [`blocking`].
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
//! # Connecting
//!
//! [`Options`] is complete from the start: where the server is goes into its constructor, everything else has a default.
//! What cannot be is an error of [`Client::connect`], not a panic.
//!
//! ```no_run
//! use grovemq_client::{Options, Reconnect, Tls, Transport, Version, WebSocket};
//! use std::time::Duration;
//!
//! # fn example() -> Result<(), grovemq_client::Error> {
//! let plain = Options::new("broker.example", 1883);
//! let url = Options::from_url("mqtts://porch:secret@broker.example")?;
//! let tls = Tls::builder().ca_file("ca.pem").client_certificate("porch.pem", "porch.key").build()?;
//! let web = Transport::tcp("broker.example", 443).tls(tls).websocket(WebSocket::default());
//! let web = Options::over(web).version(Version::V311).keep_alive(Duration::from_secs(30)).reconnect(
//!     Reconnect::Backoff { min: Duration::from_millis(100), max: Duration::from_secs(10) },
//! );
//! # Ok(())
//! # }
//! ```
//!
//! When the connection is lost, the task connects again after a growing, jittered delay; subscriptions are made again
//! if the server has lost the session, unacknowledged messages are sent again, and meanwhile requests wait in a queue with
//! bounds ([`Options::queue_max`]). [`Client::connect`] waits for the first connection, [`Client::start`] for nothing.
//!
//! # Publishing
//!
//! [`Client::publish`] waits for room only and gives a [`Publication`], a future of the acknowledgement: await it,
//! keep many of them, or drop it. [`Client::send`] is for those who never want to know. Offline, a full queue is
//! [`Error::QueueFull`]; online, the caller is made to wait, which is the back-pressure of a slow server.
//!
//! # Messages, all or by subscription
//!
//! Messages come as [`Event::Message`], or, if they match a filter of [`Client::subscribe_stream`], from that stream:
//!
//! ```no_run
//! # use grovemq_client::{Client, Qos, Subscription};
//! # async fn example(client: Client) -> Result<(), grovemq_client::Error> {
//! let mut lights = client.subscribe_stream(Subscription::new("garden/+/light", Qos::AtLeastOnce)).await?;
//! let mut doors = client.subscribe_stream(Subscription::new("house/+/door", Qos::AtLeastOnce)).await?;
//! loop {
//!     tokio::select! {
//!         Some(light) = lights.next() => println!("{}", light.message.topic),
//!         Some(door) = doors.next() => println!("{}", door.message.topic),
//!         else => return Ok(()),
//!     }
//! }
//! # }
//! ```
//!
//! Take events in one task and await publications in another, or do both by turns: when events or a stream pile up
//! beyond [`Options::events_bytes_max`], the socket is not read, and acknowledgements wait as well. Whoever wants no
//! events drops [`Events`].
//!
//! # Requests and answers
//!
//! ```no_run
//! # use grovemq_client::{Client, Message};
//! # use std::time::Duration;
//! # async fn example(client: Client) -> Result<(), grovemq_client::Error> {
//! let answer = client.request(Message::new("garden/pump/state", ""), Duration::from_secs(2)).await?;
//! println!("{:?}", answer.message.payload);
//! # Ok(())
//! # }
//! ```
//!
//! The other side answers with [`Received::response`].
//!
//! # Losing nothing
//!
//! - [`Options::session_expiry`] (in 3.x [`Options::clean_start`]) lets the server keep its half of the session.
//! - [`Options::store`] keeps ours: `QoS` 1 and 2 then survive a restart of the program, too. [`FileStore`] is a file.
//! - [`Options::manual_ack`] leaves it to [`Client::ack`] to say when a message has been worked off. Until then the
//!   server counts it as open, at most [`Options::receive_maximum`] of them, and sends it again to the next run.
//!
//! ```no_run
//! # use grovemq_client::{Client, FileStore, Options, Qos, Subscription};
//! # async fn example() -> Result<(), grovemq_client::Error> {
//! let store = FileStore::open("porch.session")?;
//! let options = Options::new("localhost", 1883).client_id("porch").store(store).manual_ack(true);
//! let (client, _events, _info) = Client::connect(options).await?;
//! let mut work = client.subscribe_stream(Subscription::new("work/#", Qos::ExactlyOnce)).await?;
//! while let Some(received) = work.next().await {
//!     // … work it off, then
//!     if let Some(token) = received.ack {
//!         client.ack(token).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Ending
//!
//! [`Client::disconnect`] waits until everything given before is sent and acknowledged, for a bounded time, and says
//! good-bye; [`Client::close`] says it at once. Dropping all handles is as `disconnect`, without waiting for it.
//!
//! # Cancel safety
//!
//! Every future here may be dropped at any point. Of one that sends ([`Client::publish`], [`Client::send`],
//! [`Client::subscribe`], …) the request has been handed over whole or not at all; one that was handed over is carried out, and
//! only its outcome goes unheard. [`Events::next`] and [`Messages::next`] take something only when they return it, so
//! they may stand in `tokio::select!`. A dropped [`Client::subscribe_stream`] leaves no subscription behind.
//!
//! # Errors
//!
//! The variant of [`Error`] says whose fault it was: the server broke the protocol or refused, the network failed, a limit
//! of our own was reached, or the request itself was wrong. Whatever a server sends, nothing here panics, and nothing is
//! allocated for what it merely announces.
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
