//! The client against servers that misbehave, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test's own failure is a failure of the test")]

#[path = "faults/kept.rs"]
mod kept;

use grovemq_client::{
    Client, Direction, Disconnect, Error, Event, Events, Message, Options, PacketNote, PacketType, Qos,
    ReasonCode, Reconnect, Subscription, Version,
};
use std::{future::Future, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const MS: Duration = Duration::from_millis(1);
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

/// A server that follows a script, one call per connection.
async fn server<F, R>(script: F) -> SocketAddr
where
    F: Fn(usize, Peer) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(connection, Peer { stream }));
        }
    });
    address
}

struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// The next packet: first byte and body.
    async fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await?;
        Ok((first, body))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn accept(&mut self) -> io::Result<()> {
        self.packet().await?;
        self.send(CONNACK).await
    }

    /// Keeps the socket until the client closes it.
    async fn linger(mut self) -> io::Result<()> {
        let mut sink = Vec::new();
        self.stream.read_to_end(&mut sink).await.map(|_| ())
    }
}

fn options(address: SocketAddr) -> Options {
    Options::new(address.ip().to_string(), address.port())
        .client_id("c")
        .reconnect(Reconnect::Never)
        .connect_timeout(500 * MS)
        .disconnect_timeout(500 * MS)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(10_000 * MS, what).await.expect("an answer within ten seconds")
}

async fn failure(options: Options) -> Error {
    within(Client::connect(options)).await.expect_err("no connection comes about")
}

async fn lost(events: &mut Events) -> Error {
    loop {
        if let Event::Disconnected(error) = within(events.next()).await.expect("an end with a reason") {
            return error;
        }
    }
}

/// What becomes of a connection on which these bytes come after CONNACK.
async fn after_connack(options: impl FnOnce(Options) -> Options, bytes: &'static [u8]) -> Error {
    let address = server(move |_, mut peer| async move {
        peer.accept().await?;
        peer.send(bytes).await?;
        peer.linger().await
    })
    .await;
    let (_client, mut events, _) = within(Client::connect(options(self::options(address)))).await.unwrap();
    lost(&mut events).await
}

#[tokio::test]
async fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let Error::Io { kind, text } = failure(options(address)).await else { panic!() };
    assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    assert!(text.starts_with(&address.to_string()), "{text}");
}

#[tokio::test]
async fn no_such_host() {
    let error = failure(Options::new("no-such-host.invalid", 1883).reconnect(Reconnect::Never)).await;
    assert!(matches!(error, Error::Resolve { .. }), "{error:?}");
}

#[tokio::test]
async fn server_that_never_answers() {
    let address = server(|_, peer| peer.linger()).await;
    assert_eq!(failure(options(address)).await, Error::Timeout(PacketType::ConnAck));
}

#[tokio::test]
async fn server_that_stops_answering() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.linger().await
    })
    .await;
    let options = options(address).keep_alive(1000 * MS).ping_timeout(200 * MS);
    let (_client, mut events, _) = within(Client::connect(options)).await.unwrap();
    assert_eq!(lost(&mut events).await, Error::Timeout(PacketType::PingResp));
}

#[tokio::test]
async fn e18_bad_connack() {
    let rows: &[(&[u8], Version)] = &[
        (&[0x20, 2, 0, 0], Version::V5),
        (&[0x20, 3, 2, 0, 0], Version::V5),
        (&[0x20, 3, 0, 0x7f, 0], Version::V5),
        (&[0x20, 1, 0], Version::V311),
        (&[0x90, 3, 0, 1, 0], Version::V311),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Version::V311),
    ];
    for &(bytes, version) in rows {
        let address = server(move |_, mut peer| async move {
            peer.packet().await?;
            peer.send(bytes).await?;
            peer.linger().await
        })
        .await;
        let error = failure(options(address).version(version)).await;
        assert!(matches!(error, Error::Protocol(_)), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn refusal_is_told_with_the_code_of_3_1_1() {
    let address = server(|_, mut peer| async move {
        peer.packet().await?;
        peer.send(&[0x20, 2, 0, 5]).await
    })
    .await;
    let (_client, mut events) = Client::start(options(address).version(Version::V311));
    let Some(Event::Refused(refusal)) = within(events.next()).await else { panic!() };
    assert_eq!((refusal.reason, refusal.v3_code), (ReasonCode::NotAuthorized, Some(5)));
    let error = lost(&mut events).await;
    assert!(matches!(error, Error::Refused { packet: PacketType::Connect, .. }), "{error:?}");
    assert_eq!(within(events.next()).await, None);
}

#[tokio::test]
async fn e18_suback_with_the_wrong_count() {
    for answer in [&[0x90_u8, 3, 0, 1, 0][..], &[0x90, 5, 0, 1, 0, 0, 0]] {
        let address = server(move |_, mut peer| async move {
            peer.accept().await?;
            peer.packet().await?;
            peer.send(answer).await?;
            peer.linger().await
        })
        .await;
        let (client, mut events, _) = within(Client::connect(options(address))).await.unwrap();
        let result = within(client.subscribe(&[Subscription::new("a", Qos::AtMostOnce)])).await;
        assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
        let error = lost(&mut events).await;
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_the_server_refuses_is_an_error_and_leaves_nothing_behind() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        for answer in [&[0x90_u8, 4, 0, 1, 0, 0x87][..], &[0x90, 4, 0, 2, 0, 1]] {
            assert_eq!(peer.packet().await?.0, 0x82);
            peer.send(answer).await?;
        }
        // of the first nothing is to be ended, of the second the subscription
        assert_eq!(peer.packet().await?, (0xa2, vec![0, 3, 0, 0, 2, b'o', b'k']));
        peer.send(&[0xb0, 4, 0, 3, 0, 0]).await?;
        peer.linger().await
    })
    .await;
    let (client, mut events, _) = within(Client::connect(options(address))).await.unwrap();
    let refused = within(client.subscribe_stream(Subscription::new("no", Qos::AtMostOnce))).await;
    let Err(Error::Refused { packet: PacketType::Subscribe, reason, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, ReasonCode::NotAuthorized);
    let stream = within(client.subscribe_stream(Subscription::new("ok", Qos::AtLeastOnce))).await.unwrap();
    assert_eq!(stream.granted(), ReasonCode::GrantedQos1);
    drop(stream);
    assert_eq!(within(client.disconnect(Disconnect::default())).await, Ok(()));
    assert_eq!(lost(&mut events).await, Error::Closed);
    let wrong = within(client.subscribe_stream(Subscription::new("a/#/b", Qos::AtMostOnce))).await;
    assert!(matches!(wrong, Err(Error::Closed)), "{wrong:?}");
}

#[tokio::test]
async fn a_stream_that_is_given_up_while_asked_for_is_unsubscribed() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |_, mut peer| {
        let told = told.clone();
        async move {
            peer.accept().await?;
            peer.packet().await?;
            told.send(vec![]).map_err(io::Error::other)?;
            tokio::time::sleep(50 * MS).await;
            peer.send(&[0x90, 4, 0, 1, 0, 0]).await?;
            told.send(peer.packet().await?.1).map_err(io::Error::other)?;
            peer.linger().await
        }
    })
    .await;
    let (client, _events, _) = within(Client::connect(options(address))).await.unwrap();
    let asking = client.subscribe_stream(Subscription::new("a", Qos::AtMostOnce));
    tokio::select! {
        _ = asking => panic!("the server has not answered"),
        asked = heard.recv() => assert_eq!(asked, Some(vec![])),
    }
    assert_eq!(within(heard.recv()).await, Some(vec![0, 2, 0, 0, 1, b'a']));
}

#[tokio::test]
async fn e18_oversize_packet() {
    let announced: &[u8] = &[0x30, 0xff, 0xff, 0xff, 0x7f];
    let error = after_connack(|o| o.maximum_packet_size(1000), announced).await;
    assert_eq!(error, Error::Protocol(grovemq_client::ProtocolError::TooLarge));
}

#[tokio::test]
async fn e18_connack_twice() {
    let error = after_connack(|o| o, CONNACK).await;
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn e18_answers_to_nothing_we_asked() {
    let rows: &[&'static [u8]] = &[
        &[0x90, 4, 0, 9, 0, 0],
        &[0xb0, 4, 0, 9, 0, 0],
        &[0x90, 2, 0, 0],
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x36, 0],
        &[0x10, 0],
    ];
    for &bytes in rows {
        let error = after_connack(|o| o, bytes).await;
        assert!(matches!(error, Error::Protocol(_)), "{bytes:x?}: {error:?}");
    }
    // an acknowledgement too many is harmless
    let error = after_connack(|o| o, &[0x40, 2, 0, 9, 0x70, 2, 0, 9, 0xe0, 0]).await;
    assert!(matches!(error, Error::ServerClosed { .. }), "{error:?}");
}

/// Noise that begins like each packet there is: an error or silence, never a panic, and the next connection is good.
#[tokio::test]
async fn e18_noise_for_an_answer() {
    const ROUNDS: usize = 100;
    let address = server(|connection, mut peer| async move {
        peer.accept().await?;
        if connection < ROUNDS {
            let mut state = connection as u64 + 1;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .take(60)
            .collect();
            let first = u8::try_from(connection % 16).unwrap_or(0) << 4;
            peer.send(&[&[first, 30], &noise[..]].concat()).await?;
            return Ok(());
        }
        peer.send(&[0x30, 5, 0, 1, b'a', 0, b'!']).await?;
        peer.linger().await
    })
    .await;
    let backoff = Reconnect::Backoff { min: MS, max: MS };
    let (_client, mut events, _) =
        within(Client::connect(options(address).reconnect(backoff))).await.unwrap();
    let mut connections = 1;
    while connections <= ROUNDS {
        if let Event::Connected(_) = within(events.next()).await.expect("it goes on") {
            connections += 1;
        }
    }
    loop {
        match within(events.next()).await.expect("it goes on") {
            Event::Message(received) if received.message.payload == b"!" => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn close_in_the_middle_of_a_packet() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.send(&[0x30, 100, 0, 1, b'a']).await
    })
    .await;
    let (_client, mut events, _) = within(Client::connect(options(address))).await.unwrap();
    assert_eq!(lost(&mut events).await, Error::ConnectionLost);
}

#[tokio::test]
async fn reset_in_the_middle_of_a_packet() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.packet().await?;
        peer.send(&[0x30, 100, 0, 1, b'a']).await?;
        peer.stream.set_zero_linger()
    })
    .await;
    let (client, mut events, _) = within(Client::connect(options(address))).await.unwrap();
    let publication = client.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    let error = lost(&mut events).await;
    assert!(matches!(error, Error::Io { kind: io::ErrorKind::ConnectionReset, .. }), "{error:?}");
    assert_eq!(within(publication).await, Err(error));
    assert!(matches!(client.publish(Message::new("a", "x")).await, Err(Error::Closed)));
}

#[tokio::test]
async fn servers_reason_outlives_its_closed_socket() {
    let error = after_connack(|o| o, &[0xe0, 2, 0x8b, 0]).await;
    assert_eq!(error, Error::ServerClosed { reason: ReasonCode::ServerShuttingDown, text: None });
}

#[tokio::test]
async fn e19_comes_back_resubscribes_and_sends_again() {
    let address = server(|connection, mut peer| async move {
        peer.accept().await?;
        let (kind, _) = peer.packet().await?;
        assert_eq!(kind, 0x82, "SUBSCRIBE first, on each new session");
        if connection == 0 {
            peer.send(&[0x90, 4, 0, 1, 0, 0]).await?;
            assert_eq!(peer.packet().await?.0, 0x32);
            return Ok(()); // No PUBACK: gone.
        }
        peer.send(&[0x90, 4, 0, 3, 0, 0]).await?;
        let (kind, body) = peer.packet().await?;
        assert_eq!((kind, &body[3..5]), (0x32, &[0, 4][..]), "a new session: no DUP");
        peer.send(&[0x40, 2, body[3], body[4]]).await?;
        peer.send(&[0x30, 5, 0, 1, b'a', 0, b'!']).await?;
        peer.linger().await
    })
    .await;
    let backoff = Reconnect::Backoff { min: 10 * MS, max: 50 * MS };
    let (client, mut events, _) = within(Client::connect(options(address).reconnect(backoff))).await.unwrap();
    within(client.subscribe(&[Subscription::new("a", Qos::AtMostOnce)])).await.unwrap();
    let publication = client.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(within(publication).await.map(|ack| ack.packet_id.map(u16::from)), Ok(Some(4)));
    let mut seen = Vec::new();
    loop {
        match within(events.next()).await.unwrap() {
            Event::Disconnected(error) => seen.push(error.to_string()),
            Event::Reconnecting { delay } => assert!((5 * MS..=10 * MS).contains(&delay), "{delay:?}"),
            Event::Connected(_) => seen.push("again".into()),
            Event::Message(received) => {
                assert_eq!(received.message.payload, b"!");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["the connection was lost", "again"]);
}

#[tokio::test]
async fn e19_reconnecting_slows_down() {
    let address = server(|_, mut peer| async move {
        peer.packet().await?;
        Ok(())
    })
    .await;
    let backoff = Reconnect::Backoff { min: 20 * MS, max: 100 * MS };
    let (_client, mut events) = Client::start(options(address).reconnect(backoff));
    let mut delays = Vec::new();
    while delays.len() < 5 {
        if let Event::Reconnecting { delay } = within(events.next()).await.unwrap() {
            delays.push(delay);
        }
    }
    for (delay, base) in delays.iter().zip([20, 40, 80, 100, 100]) {
        assert!((base * MS / 2..=base * MS).contains(delay), "{delays:?}");
    }
}

#[tokio::test]
async fn e19_offline_queue_is_bounded() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let backoff = Reconnect::Backoff { min: 60_000 * MS, max: 60_000 * MS };
    let (client, mut events) = Client::start(options(address).reconnect(backoff).queue_max(2, 1000));
    lost(&mut events).await;
    let _waits = [client.publish(Message::new("a", "1")).await, client.publish(Message::new("a", "2")).await];
    let third = client.publish(Message::new("a", "3")).await.unwrap();
    assert_eq!(within(third).await, Err(Error::QueueFull));
    let started = std::time::Instant::now();
    let result = within(client.disconnect(Disconnect::default())).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(started.elapsed() < 5000 * MS, "the delay is not sat out");
}

#[tokio::test]
async fn e19_ids_run_out_and_come_back() {
    const ALL: usize = 65_535;
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        let (mut read, mut write) = peer.stream.into_split();
        let mut packets = vec![0; ALL * 9];
        read.read_exact(&mut packets).await?;
        write.write_all(&[0x40, 2, 0, 5]).await?;
        let mut next = [0; 9];
        read.read_exact(&mut next).await?;
        assert_eq!(next, [0x32, 7, 0, 1, b'a', 0, 5, 0, b'x'], "the one id that is free again");
        write.write_all(&[0x40, 2, 0, 5]).await?;
        read.read_to_end(&mut packets).await.map(|_| ())
    })
    .await;
    let options = options(address).inflight_max(u16::MAX).queue_max(10, 1 << 20);
    let (client, _events, _) = within(Client::connect(options)).await.unwrap();
    let message = || Message::new("a", "x").qos(Qos::AtLeastOnce);
    for _ in 0..ALL {
        within(client.send(message())).await.unwrap();
    }
    let ack = within(within(client.publish(message())).await.unwrap()).await.unwrap();
    assert_eq!(ack.packet_id.map(u16::from), Some(5));
}

#[tokio::test]
async fn e19_requests_for_nothing_are_errors() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.linger().await
    })
    .await;
    let (client, _events, _) = within(Client::connect(options(address))).await.unwrap();
    assert!(matches!(within(client.subscribe(&[])).await, Err(Error::Invalid(_))));
    assert!(matches!(within(client.unsubscribe::<&str>(&[])).await, Err(Error::Invalid(_))));
    let wild = within(client.publish(Message::new("a/+", ""))).await.unwrap();
    assert!(matches!(within(wild).await, Err(Error::Invalid(_))));
    let nowhere = within(client.request(Message::new("", ""), 100 * MS)).await;
    assert!(matches!(nowhere, Err(Error::Invalid(_))), "{nowhere:?}");
}

#[tokio::test]
async fn what_was_given_before_disconnect_is_delivered_first() {
    let address = server(|_, mut peer| async move {
        tokio::time::sleep(50 * MS).await;
        peer.accept().await?;
        let (_, body) = peer.packet().await?;
        tokio::time::sleep(50 * MS).await;
        peer.send(&[0x40, 2, body[3], body[4]]).await?;
        assert_eq!(peer.packet().await?, (0xe0, vec![]));
        peer.linger().await
    })
    .await;
    let (client, mut events) = Client::start(options(address));
    let publication = client.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(within(client.disconnect(Disconnect::default())).await, Ok(()));
    assert!(within(publication).await.is_ok());
    assert_eq!(lost(&mut events).await, Error::Closed);
}

#[tokio::test]
async fn close_waits_for_nothing() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.linger().await
    })
    .await;
    let (client, mut events, _) = within(Client::connect(options(address))).await.unwrap();
    let publication = client.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    client.close();
    assert_eq!(within(publication).await, Err(Error::Closed));
    assert_eq!(lost(&mut events).await, Error::Closed);
}

#[tokio::test]
async fn dropping_both_ends_says_goodbye() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |_, mut peer| {
        let told = told.clone();
        async move {
            peer.accept().await?;
            told.send(peer.packet().await?).map_err(io::Error::other)
        }
    })
    .await;
    drop(within(Client::connect(options(address))).await.unwrap());
    assert_eq!(within(heard.recv()).await, Some((0xe0, vec![])));
}

#[tokio::test]
async fn last_packet_arrives_under_a_flood() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |_, mut peer| {
        let told = told.clone();
        async move {
            peer.accept().await?;
            let flood = [0x30, 5, 0, 1, b'a', 0, b'!'].repeat(10_000);
            let (mut read, mut write) = peer.stream.into_split();
            let flooding = tokio::spawn(async move { while write.write_all(&flood).await.is_ok() {} });
            tokio::time::sleep(200 * MS).await;
            let reset = flooding.is_finished();
            let mut goodbye = Vec::new();
            let _end = read.read_to_end(&mut goodbye).await;
            flooding.abort();
            told.send((reset, goodbye)).map_err(io::Error::other)
        }
    })
    .await;
    let options = options(address).events_bytes_max(1);
    let (client, _events, _) = within(Client::connect(options)).await.unwrap();
    tokio::time::sleep(50 * MS).await;
    assert_eq!(within(client.disconnect(Disconnect::default())).await, Ok(()));
    assert_eq!(within(heard.recv()).await, Some((false, vec![0xe0, 0])));
}

#[tokio::test]
async fn slow_user_stops_the_server_not_the_memory() {
    const MESSAGES: usize = 2000;
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let address = server(move |_, mut peer| {
        let told = told.lock().unwrap().take();
        async move {
            peer.accept().await?;
            let mut packet = vec![0x30, 0x84, 0x80, 0x04, 0, 1, b'a', 0];
            packet.resize(4 + 0x10004, b'x');
            for n in 0..MESSAGES {
                if timeout(500 * MS, peer.send(&packet)).await.is_err() {
                    told.unwrap().send(n).unwrap();
                    return peer.linger().await;
                }
            }
            Ok(())
        }
    })
    .await;
    let options = options(address).events_bytes_max(1 << 20);
    let (_client, mut events, _) = within(Client::connect(options)).await.unwrap();
    let stalled = within(heard).await.unwrap();
    assert!(stalled < MESSAGES, "the server could send everything");
    for _ in 0..stalled {
        assert!(matches!(within(events.next()).await, Some(Event::Message(_))));
    }
}

#[tokio::test]
async fn trace_shows_packets_both_ways() {
    let address = server(|_, mut peer| async move {
        peer.accept().await?;
        peer.linger().await
    })
    .await;
    let (client, mut events, _) = within(Client::connect(options(address).trace(true))).await.unwrap();
    within(client.publish(Message::new("a", "hello").retain(true)).await.unwrap()).await.unwrap();
    let mut notes = Vec::new();
    while notes.len() < 3 {
        if let Some(Event::Packet(direction, note)) = within(events.next()).await {
            notes.push((direction, note));
        }
    }
    let publish = PacketNote::Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: true,
        packet_id: 0,
        topic: "a".into(),
        payload_len: 5,
    };
    assert_eq!(
        notes,
        [
            (Direction::Sent, PacketNote::Connect),
            (Direction::Received, PacketNote::ConnAck { code: 0 }),
            (Direction::Sent, publish)
        ]
    );
}
