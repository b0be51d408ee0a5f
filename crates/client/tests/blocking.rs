//! The client without `async`.

use grovemq_client::{
    Disconnect, Error, Event, Message, Options, Qos, ReasonCode, Reconnect, Subscription, Transport,
    blocking::{Client, Events},
};
use std::{
    io,
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const MS: Duration = Duration::from_millis(1);

/// A server that answers everything, and gives messages back.
async fn serve(mut stream: DuplexStream) -> io::Result<()> {
    loop {
        let (first, len) = (stream.read_u8().await?, stream.read_u8().await?);
        let mut body = vec![0; usize::from(len)];
        stream.read_exact(&mut body).await?;
        let answer = match first >> 4 {
            1 => vec![0x20, 3, 0, 0, 0],
            3 => {
                let topic = 2 + usize::from(body[1]);
                let id: Vec<u8> = body.drain(topic..topic + 2).collect();
                [&[0x30, len - 2], &body[..], &[0x40, 2], &id[..]].concat()
            }
            8 => vec![0x90, 4, body[0], body[1], 0, 1],
            10 => vec![0xb0, 4, body[0], body[1], 0, 0],
            _ => return Ok(()),
        };
        stream.write_all(&answer).await?;
    }
}

fn options() -> Options {
    let inside = Transport::connector("inside", || async {
        let (near, far) = duplex(1000);
        tokio::spawn(serve(far));
        Ok(near)
    });
    Options::over(inside).reconnect(Reconnect::Never)
}

fn message(events: &mut Events) -> Vec<u8> {
    loop {
        if let Event::Message(received) = events.next_timeout(10_000 * MS).expect("a message") {
            return received.message.payload;
        }
    }
}

#[test]
fn each_call_waits_for_its_answer() {
    let (client, mut events, info) = Client::connect(options().client_id("c")).unwrap();
    assert_eq!(info.client_id, "c");
    let granted = client.subscribe(&[Subscription::new("a", Qos::AtLeastOnce)]).unwrap();
    assert_eq!(granted, [ReasonCode::GrantedQos1]);
    let ack = client.publish(Message::new("a", "one").qos(Qos::AtLeastOnce)).unwrap().wait().unwrap();
    assert_eq!(ack.reason, ReasonCode::Success);
    assert_eq!(message(&mut events), b"one");

    // another thread, while this one waits
    let other = client.clone();
    let sender = std::thread::spawn(move || other.send(Message::new("a", "two").qos(Qos::AtLeastOnce)));
    assert_eq!(message(&mut events), b"two");
    sender.join().unwrap().unwrap();

    assert_eq!(client.unsubscribe(&["a"]).unwrap(), [ReasonCode::Success]);
    client.disconnect(Disconnect::default()).unwrap();
    assert!(matches!(events.last(), Some(Event::Disconnected(Error::Closed))));
    assert_eq!(client.send(Message::new("a", "late")), Err(Error::Closed));
}

#[test]
fn waiting_has_an_end() {
    let (client, mut events, _) = Client::connect(options()).unwrap();
    let start = Instant::now();
    while events.next_timeout(50 * MS).is_some() {}
    assert!(start.elapsed() >= 50 * MS);
    assert_eq!(events.try_next(), None);
    client.close();
    assert!(events.any(|event| matches!(event, Event::Disconnected(_))));
}

#[test]
fn no_connection_is_an_error() {
    let nobody = Transport::connector("nobody", || async {
        Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into())
    });
    let error = Client::connect(Options::over(nobody).reconnect(Reconnect::Never)).unwrap_err();
    assert!(matches!(error, Error::Io { kind: io::ErrorKind::ConnectionRefused, .. }), "{error:?}");
}

#[test]
fn the_thread_ends_when_nobody_is_left() {
    let (ended, end) = mpsc::channel::<()>();
    let inside = Transport::connector("inside", move || {
        let ended = ended.clone();
        async move {
            let (near, far) = duplex(1000);
            tokio::spawn(async move {
                let _dropped_with_the_thread = ended;
                serve(far).await
            });
            Ok(near)
        }
    });
    drop(Client::connect(Options::over(inside).reconnect(Reconnect::Never)).unwrap());
    assert_eq!(end.recv_timeout(10_000 * MS), Err(mpsc::RecvTimeoutError::Disconnected));
}
