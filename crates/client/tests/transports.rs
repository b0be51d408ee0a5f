//! The client over each transport, with a server of a few lines at the other end.
#![expect(clippy::unwrap_used, reason = "a test's own failure is a failure of the test")]

use grovemq_client::{
    Client, Disconnect, Error, Event, Message, Options, Qos, Reconnect, Socks5, Tls, TlsBuilder, TlsVersion,
    Transport, WebSocket,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::{
    Bytes, Message as Frame,
    handshake::server::{Request, Response},
    http::HeaderValue,
};

const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("an end within twenty seconds")
}

/// A server that answers CONNECT and gives each PUBLISH of `QoS` 1 back as one of `QoS` 0, then acknowledges it.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let first = stream.read_u8().await?;
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = stream.read_u8().await?;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut body = vec![0; len];
        stream.read_exact(&mut body).await?;
        match first {
            0x10 => stream.write_all(CONNACK).await?,
            0x32 => {
                let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let id = body.drain(topic..topic + 2).collect::<Vec<_>>();
                let mut len = body.len();
                let mut packet = vec![0x30];
                while len >= 0x80 {
                    packet.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
                    len >>= 7;
                }
                packet.push(u8::try_from(len).unwrap());
                packet.extend(&body);
                packet.extend([0x40, 2, id[0], id[1]]);
                stream.write_all(&packet).await?;
            }
            0xe0 => {
                stream.shutdown().await?;
                return Ok(());
            }
            _ => {}
        }
        stream.flush().await?;
    }
}

fn once(transport: Transport) -> Options {
    Options::over(transport).client_id("c").reconnect(Reconnect::Never)
}

/// Messages of many sizes go there and come back.
async fn works(transport: Transport) {
    let (client, mut events, _) = within(Client::connect(once(transport))).await.unwrap();
    for size in [0, 1, 125, 126, 65_535, 65_536, 700_000] {
        let payload: Vec<u8> = (0..size).map(|i: usize| u8::try_from(i % 251).unwrap()).collect();
        let message = Message::new("a", payload.clone()).qos(Qos::AtLeastOnce);
        let publication = within(client.publish(message)).await.unwrap();
        let back = loop {
            match within(events.next()).await.unwrap() {
                Event::Message(received) => break received.message.payload,
                Event::Disconnected(error) => panic!("{size}: {error}"),
                _ => {}
            }
        };
        assert!(back == payload, "{size}");
        within(publication).await.unwrap();
    }
    within(client.disconnect(Disconnect::default())).await.unwrap();
}

async fn failure(transport: Transport) -> Error {
    within(Client::connect(once(transport).connect_timeout(Duration::from_secs(5))))
        .await
        .expect_err("no connection")
}

/// Serves one connection after the other; gives the port.
async fn listen<F, R>(serve: F) -> u16
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// An authority, a server's certificate for `localhost` and a client's, as files.
struct Papers {
    dir: TempDir,
}

impl Papers {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.crt", authority.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(authority, key);
        for (name, host) in [("server", "localhost"), ("client", "somebody")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            write(&format!("{name}.crt"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn trust(&self) -> TlsBuilder {
        Tls::builder().ca_file(self.path("ca.crt"))
    }

    fn acceptor(&self, with_client: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions();
        let builder = if with_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.path("ca.crt")).unwrap()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.unwrap().with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.path("server.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    async fn listen(&self, with_client: bool) -> u16 {
        let acceptor = self.acceptor(with_client);
        listen(move |stream| {
            let acceptor = acceptor.clone();
            async move { echo(acceptor.accept(stream).await?).await }
        })
        .await
    }
}

#[tokio::test]
async fn tcp() {
    works(Transport::tcp("localhost", listen(echo).await)).await;
}

#[tokio::test]
async fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mqtt.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { echo(listener.accept().await.unwrap().0).await });
    works(Transport::unix(&path)).await;

    let error = failure(Transport::unix(dir.path().join("none"))).await;
    assert!(
        matches!(&error, Error::Io { kind: io::ErrorKind::NotFound, text } if text.contains("none: ")),
        "{error:?}"
    );
}

/// Holds everything back until it is flushed.
struct Hoarder {
    inner: DuplexStream,
    held: Vec<u8>,
}

impl AsyncRead for Hoarder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, room)
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, held } = &mut *self;
        while !held.is_empty() {
            let written = std::task::ready!(Pin::new(&mut *inner).poll_write(cx, held))?;
            held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn ones_own_stream_is_flushed() {
    works(Transport::connector("inside", || async {
        let (inner, far) = duplex(1000);
        tokio::spawn(echo(far));
        Ok(Hoarder { inner, held: Vec::new() })
    }))
    .await;
}

#[tokio::test]
async fn ones_own_stream_is_asked_for_again_when_it_is_lost() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let transport = Transport::connector("inside", move || {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let (near, far) = duplex(1000);
            match turn {
                0 => return Err(io::ErrorKind::ConnectionRefused.into()),
                1 => drop(far),
                _ => drop(tokio::spawn(echo(far))),
            }
            Ok(near)
        }
    });
    let soon = Duration::from_millis(1);
    let options = Options::over(transport).reconnect(Reconnect::Backoff { min: soon, max: soon });
    let (client, _events, _) = within(Client::connect(options)).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    within(client.disconnect(Disconnect::default())).await.unwrap();
}

#[tokio::test]
async fn tls_with_all_of_it() {
    let papers = Papers::new();
    let port = papers.listen(true).await;
    let keys = papers.path("keys.log");
    let tls = Tls::builder()
        .ca_dir(papers.dir.path())
        .client_certificate(papers.path("client.crt"), papers.path("client.key"))
        .alpn("mqtt")
        .key_log_file(&keys);
    works(Transport::tcp("localhost", port).tls(tls.clone().build().unwrap())).await;
    let written = std::fs::read_to_string(&keys).unwrap();
    assert!(written.contains("CLIENT_TRAFFIC_SECRET_0 "), "{written}");

    let old = tls.maximum_version(TlsVersion::V1_2).build().unwrap();
    works(Transport::tcp("localhost", port).tls(old)).await;
    let written = std::fs::read_to_string(&keys).unwrap();
    assert!(written.contains("\nCLIENT_RANDOM "), "{written}");

    let url = format!("mqtts://u:p@localhost:{port}");
    let identity = papers.trust().client_certificate(papers.path("client.crt"), papers.path("client.key"));
    let options = Options::from_url_with_tls(&url, identity.build().unwrap()).unwrap();
    within(Client::connect(options.reconnect(Reconnect::Never))).await.unwrap();
}

#[tokio::test]
async fn tls_that_does_not_come_about() {
    let papers = Papers::new();
    let (open, closed) = (papers.listen(false).await, papers.listen(true).await);
    let other = Papers::new();
    let at = |host: &str, port, tls: TlsBuilder| Transport::tcp(host, port).tls(tls.build().unwrap());
    let rows = [
        (at("127.0.0.1", open, papers.trust()), "not valid for name"),
        (at("localhost", open, papers.trust().server_name("elsewhere.example")), "not valid for name"),
        (at("localhost", open, other.trust()), "invalid peer certificate"),
        (at("localhost", open, other.trust().without_host_name_check()), "invalid peer certificate"),
        (at("localhost", open, papers.trust().alpn("http/1.1")), "NoApplicationProtocol"),
        (at("localhost", closed, papers.trust()), "CertificateRequired"),
    ];
    for (transport, expected) in rows {
        let error = failure(transport).await;
        let (Error::Tls(text) | Error::TlsRefused(text)) = &error else { panic!("{expected}: {error:?}") };
        assert!(text.contains(expected), "{expected}: {error:?}");
    }
    works(at("127.0.0.1", open, papers.trust().without_host_name_check())).await;
    works(at("127.0.0.1", open, papers.trust().server_name("localhost"))).await;
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_or_says_nothing() {
    let papers = Papers::new();
    let tls = || papers.trust().build().unwrap();
    let talker = listen(|mut stream| async move { stream.write_all(b"220 who is there?\r\n").await }).await;
    let error = failure(Transport::tcp("localhost", talker).tls(tls())).await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");

    let mute = listen(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    let options =
        once(Transport::tcp("localhost", mute).tls(tls())).connect_timeout(Duration::from_millis(200));
    assert_eq!(within(Client::connect(options)).await.unwrap_err(), Error::ConnectTimeout);

    let hasty = listen(|_| async { Ok(()) }).await;
    let error = failure(Transport::tcp("localhost", hasty).tls(tls())).await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

#[test]
fn wrong_papers_are_named() {
    let papers = Papers::new();
    let (ca, key) = (papers.path("ca.crt"), papers.path("client.key"));
    std::fs::write(papers.path("empty"), "").unwrap();
    std::fs::create_dir(papers.path("nothing")).unwrap();
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(papers.path("sealed.key"), sealed).unwrap();
    let rows = [
        (Tls::builder().ca_file(papers.path("none")), "none: No such file"),
        (Tls::builder().ca_file(papers.path("empty")), "empty: no certificate in it"),
        (Tls::builder().ca_file(&key), "client.key: no certificate in it"),
        (Tls::builder().ca_dir(papers.path("nothing")), "nothing: no trusted certificate found"),
        (Tls::builder().ca_dir(&ca), "ca.crt: Not a directory"),
        (papers.trust().client_certificate(&ca, &ca), "ca.crt: no private key in it"),
        (papers.trust().client_certificate(papers.path("server.crt"), &key), "server.crt, "),
        (
            papers.trust().client_certificate(&ca, papers.path("sealed.key")),
            "sealed.key: the key is encrypted",
        ),
        (papers.trust().server_name("two words"), "'two words' cannot be the name"),
        (papers.trust().ciphers("WRONG"), "Check cipher list \"WRONG\""),
        (papers.trust().alpn(""), "an ALPN protocol has 1 to 255 bytes"),
        (papers.trust().key_log_file(papers.path("nowhere/keys")), "nowhere/keys: No such file"),
        (
            papers.trust().minimum_version(TlsVersion::V1_3).maximum_version(TlsVersion::V1_2),
            "TLS versions: ",
        ),
    ];
    for (builder, expected) in rows {
        let error = builder.build().unwrap_err();
        assert!(matches!(&error, Error::Setup(text) if text.contains(expected)), "{expected}: {error:?}");
    }
}

/// A WebSocket server that cuts what it sends into messages of `cut` bytes and mixes in pings.
async fn framed(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, cut: usize) -> io::Result<()> {
    use futures_core::Stream as _;
    use futures_sink::Sink as _;
    use std::future::poll_fn;
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
        assert_eq!(request.headers()["x-grove"], "oak");
        assert_eq!(request.uri(), "/a?b=c");
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.map_err(io::Error::other)?;
    let (mut near, far) = duplex(1 << 20);
    tokio::spawn(echo(far));
    let mut back = vec![0; cut];
    loop {
        tokio::select! {
            frame = poll_fn(|cx| Pin::new(&mut socket).poll_next(cx)) => match frame {
                Some(Ok(Frame::Binary(bytes))) => near.write_all(&bytes).await?,
                Some(Ok(Frame::Pong(word))) => assert_eq!(word, "still there?"),
                _ => return Ok(()),
            },
            len = near.read(&mut back) => {
                let frames = match len? {
                    0 => vec![Frame::Close(None)],
                    len => vec![
                        Frame::Binary(Bytes::copy_from_slice(&back[..len])),
                        Frame::Ping("still there?".into()),
                        Frame::Binary(Bytes::new()),
                    ],
                };
                for frame in frames {
                    poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx)).await.map_err(io::Error::other)?;
                    Pin::new(&mut socket).start_send(frame).map_err(io::Error::other)?;
                }
                poll_fn(|cx| Pin::new(&mut socket).poll_flush(cx)).await.map_err(io::Error::other)?;
            }
        }
    }
}

fn asking() -> WebSocket {
    WebSocket::new("/a?b=c").unwrap().header("X-Grove", "oak").unwrap()
}

#[tokio::test]
async fn websocket_messages_need_not_end_where_packets_end() {
    for cut in [7, 1000, 100_000] {
        let port = listen(move |stream| framed(stream, cut)).await;
        works(Transport::tcp("localhost", port).websocket(asking())).await;
    }
}

#[tokio::test]
async fn websocket_inside_of_tls() {
    let papers = Papers::new();
    let acceptor = papers.acceptor(false);
    let port = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move { framed(acceptor.accept(stream).await?, 5000).await }
    })
    .await;
    works(Transport::tcp("localhost", port).tls(papers.trust().build().unwrap()).websocket(asking())).await;
}

#[tokio::test]
async fn websocket_servers_that_are_none() {
    const TEXT: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let port = listen(|mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(TEXT).await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let error = failure(Transport::tcp("localhost", port).websocket(asking())).await;
    assert!(matches!(&error, Error::WebSocket(text) if text.contains("404")), "{error:?}");

    // [MQTT-6.0.0-4]: who does not choose the subprotocol does not speak MQTT
    let port = listen(|stream| async move {
        tokio_tungstenite::accept_async(stream).await.map(drop).map_err(io::Error::other)
    })
    .await;
    let error = failure(Transport::tcp("localhost", port).websocket(asking())).await;
    assert!(matches!(&error, Error::WebSocket(_)), "{error:?}");
}

#[tokio::test]
async fn websocket_messages_that_are_none_of_mqtt() {
    use futures_sink::Sink as _;
    let rows = [(Frame::text("hello"), "text message"), (Frame::binary(vec![0; 101]), "too long")];
    for (frame, expected) in rows {
        let port = listen(move |stream| {
            let frame = frame.clone();
            #[expect(clippy::result_large_err, reason = "the library's signature")]
            let agree = |_: &Request, mut response: Response| {
                response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
                Ok(response)
            };
            async move {
                let mut socket = tokio_tungstenite::accept_hdr_async(stream, agree).await.unwrap();
                Pin::new(&mut socket).start_send(frame).unwrap();
                std::future::poll_fn(|cx| Pin::new(&mut socket).poll_flush(cx)).await.unwrap();
                std::future::pending().await
            }
        })
        .await;
        let websocket = asking().message_bytes_max(100);
        let error = failure(Transport::tcp("localhost", port).websocket(websocket)).await;
        assert!(matches!(&error, Error::WebSocket(text) if text.contains(expected)), "{error:?}");
    }
}

#[test]
fn wrong_requests_are_refused() {
    for path in ["", "mqtt", "http://h/", "/a b", "/\n"] {
        assert!(matches!(WebSocket::new(path), Err(Error::Setup(_))), "{path}");
    }
    for (name, value) in [("", "x"), ("a b", "x"), ("a", "x\r\nb: c")] {
        assert!(matches!(WebSocket::default().header(name, value), Err(Error::Setup(_))), "{name}");
    }
}

/// A proxy that wants this login (RFC 1929) or none, checks the name it is to look up, and leads to `port`.
async fn proxy(mut stream: TcpStream, login: Option<&[u8]>, port: u16) -> io::Result<()> {
    let mut methods = vec![0; 2];
    stream.read_exact(&mut methods).await?;
    let mut methods = vec![0; usize::from(methods[1])];
    stream.read_exact(&mut methods).await?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, method]).await?;
    if let Some(login) = login {
        let mut given = vec![0; login.len()];
        stream.read_exact(&mut given).await?;
        let verdict = u8::from(given != login);
        stream.write_all(&[1, verdict]).await?;
    }
    let mut request = [0; 18];
    stream.read_exact(&mut request).await?;
    if &request[..16] != b"\x05\x01\0\x03\x0bfar.example" {
        return stream.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    let mut onward = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}

#[tokio::test]
async fn socks5_proxies() {
    let server = listen(echo).await;
    let free = listen(move |stream| proxy(stream, None, server)).await;
    let guarded = listen(move |stream| proxy(stream, Some(b"\x01\x02me\x04open"), server)).await;
    let through = |port, login: Option<(&str, &str)>, host: &str| {
        let proxy = Socks5::new("localhost", port);
        let proxy = match login {
            Some((user, password)) => proxy.login(user, password).unwrap(),
            None => proxy,
        };
        Transport::socks5(proxy, host, 1884)
    };
    works(through(free, None, "far.example")).await;
    works(through(guarded, Some(("me", "open")), "far.example")).await;
    let refusals = [
        through(free, None, "bad.example"),
        through(guarded, None, "far.example"),
        through(guarded, Some(("me", "shut")), "far.example"),
    ];
    for transport in refusals {
        let error = failure(transport).await;
        assert!(matches!(&error, Error::Proxy(text) if text.starts_with("localhost:")), "{error:?}");
    }
    assert!(Socks5::new("h", 1).login("", "x").is_err());
}
