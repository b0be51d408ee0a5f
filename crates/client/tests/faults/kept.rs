//! A session that outlives the program: each client here is one run of it.

use super::{CONNACK, MS, Peer, lost, options, server, within};
use grovemq_client::{
    Change, Client, Disconnect, Error, Event, FileStore, Message, Options, Qos, Reconnect, SessionStore,
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

/// With the session present.
const RESUMED: &[u8] = &[0x20, 3, 1, 0, 0];

fn kept(address: SocketAddr, dir: &TempDir) -> Options {
    options(address).store(FileStore::open(dir.path().join("session")).unwrap())
}

/// Keeps what the server sees, and answers by this script.
async fn resumed(mut peer: Peer) -> io::Result<Peer> {
    let (_, connect) = peer.packet().await?;
    assert_eq!(connect[7] & 2, 0, "no clean start");
    peer.send(RESUMED).await?;
    Ok(peer)
}

#[tokio::test]
async fn what_was_never_sent_is_sent_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let nobody: SocketAddr =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let backoff = Reconnect::Backoff { min: 10_000 * MS, max: 10_000 * MS };
    let (client, mut events) = Client::start(kept(nobody, &dir).reconnect(backoff));
    for (payload, qos) in [("1", Qos::AtLeastOnce), ("lost", Qos::AtMostOnce), ("2", Qos::ExactlyOnce)] {
        client.send(Message::new("a", payload).qos(qos).retain(true)).await.unwrap();
    }
    lost(&mut events).await;
    client.close();
    while within(events.next()).await.is_some() {}

    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |_, mut peer| {
        let told = told.clone();
        async move {
            peer.accept().await?;
            for _ in 0..2 {
                told.send(peer.packet().await?).map_err(io::Error::other)?;
            }
            peer.linger().await
        }
    })
    .await;
    let (_client, _events, _) = within(Client::connect(kept(address, &dir))).await.unwrap();
    assert_eq!(within(heard.recv()).await, Some((0x33, vec![0, 1, b'a', 0, 1, 0, b'1'])));
    assert_eq!(within(heard.recv()).await, Some((0x35, vec![0, 1, b'a', 0, 2, 0, b'2'])));
}

#[tokio::test]
async fn what_the_server_took_over_is_not_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |connection, mut peer| {
        let told = told.clone();
        async move {
            if connection == 0 {
                peer.accept().await?;
                peer.packet().await?; // QoS 2, taken over
                peer.packet().await?; // QoS 1, unanswered
                peer.send(&[0x50, 2, 0, 1]).await?;
                told.send(peer.packet().await?).map_err(io::Error::other)?;
                return peer.linger().await;
            }
            let mut peer = resumed(peer).await?;
            for _ in 0..2 {
                told.send(peer.packet().await?).map_err(io::Error::other)?;
            }
            peer.send(&[0x70, 2, 0, 1, 0x40, 2, 0, 2]).await?;
            told.send(peer.packet().await?).map_err(io::Error::other)
        }
    })
    .await;
    let (client, mut events, _) = within(Client::connect(kept(address, &dir))).await.unwrap();
    client.send(Message::new("a", "2").qos(Qos::ExactlyOnce)).await.unwrap();
    client.send(Message::new("a", "1").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(within(heard.recv()).await, Some((0x62, vec![0, 1])));
    client.close();
    while within(events.next()).await.is_some() {}

    let (client, mut events, _) = within(Client::connect(kept(address, &dir))).await.unwrap();
    assert_eq!(within(heard.recv()).await, Some((0x62, vec![0, 1])), "PUBREL alone");
    assert_eq!(within(heard.recv()).await, Some((0x3a, vec![0, 1, b'a', 0, 2, 0, b'1'])), "with DUP");
    within(client.disconnect(Disconnect::default())).await.unwrap();
    assert_eq!(within(heard.recv()).await, Some((0xe0, vec![])), "all is acknowledged");
    while within(events.next()).await.is_some() {}
    assert_eq!(FileStore::open(dir.path().join("session")).unwrap().load().unwrap(), []);
}

#[tokio::test]
async fn what_was_received_once_is_not_delivered_twice() {
    const PUBLISH: [u8; 9] = [0x34, 7, 0, 1, b'a', 0, 7, 0, b'!'];
    let dir = tempfile::tempdir().unwrap();
    let address = server(|connection, peer| async move {
        let mut peer = resumed(peer).await?;
        if connection == 0 {
            peer.send(&PUBLISH).await?;
            assert_eq!(peer.packet().await?, (0x50, vec![0, 7]));
            return peer.linger().await;
        }
        let mut again = PUBLISH;
        again[0] |= 8;
        peer.send(&again).await?;
        assert_eq!(peer.packet().await?, (0x50, vec![0, 7]));
        peer.send(&[0x62, 2, 0, 7]).await?;
        assert_eq!(peer.packet().await?, (0x70, vec![0, 7]));
        peer.send(&[0x30, 5, 0, 1, b'b', 0, b'?']).await?;
        peer.linger().await
    })
    .await;
    for (run, payload) in [b"!", b"?"].into_iter().enumerate() {
        let (client, mut events, _) = within(Client::connect(kept(address, &dir))).await.unwrap();
        let Some(Event::Message(received)) = within(events.next()).await else { panic!("run {run}") };
        assert_eq!(received.message.payload, payload);
        if run == 0 {
            // the acknowledgement is on its way when nothing else is
            within(client.disconnect(Disconnect::default())).await.unwrap();
        }
    }
}

/// Refuses while it is told to.
#[derive(Debug)]
struct Broken(Arc<AtomicBool>);

impl SessionStore for Broken {
    fn load(&self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        Ok(vec![(1, b"damaged".to_vec())])
    }

    fn commit(&self, _: &[Change]) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_sent_until_it_can() {
    let address = server(|connection, mut peer| async move {
        peer.accept().await?;
        let next = peer.packet().await;
        if connection == 0 {
            assert!(next.is_err() || next? == (0xe0, vec![]), "sent without being kept");
            return Ok(());
        }
        let (kind, body) = next?;
        assert_eq!(kind, 0x32);
        peer.send(&[0x40, 2, body[3], body[4]]).await?;
        peer.linger().await
    })
    .await;
    let full = Arc::new(AtomicBool::new(false));
    let backoff = Reconnect::Backoff { min: 10 * MS, max: 20 * MS };
    let options = options(address).reconnect(backoff).store(Broken(Arc::clone(&full)));
    let (client, mut events, _) = within(Client::connect(options)).await.unwrap();
    full.store(true, Ordering::SeqCst);
    let publication = client.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    let error = lost(&mut events).await;
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    full.store(false, Ordering::SeqCst);
    assert!(within(publication).await.is_ok());
}

#[tokio::test]
async fn a_session_to_be_kept_needs_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let address = server(|_, mut peer| async move { peer.send(CONNACK).await }).await;
    let error = within(Client::connect(kept(address, &dir).client_id(""))).await.unwrap_err();
    assert!(matches!(error, Error::Setup(_)), "{error:?}");
}
