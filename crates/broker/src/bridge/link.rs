//! The ways to both brokers: the other one over TCP or TLS, ours through a pair of sockets inside the process.

use super::{Manner, Plan, Setup};
use crate::inbox::{Arrival, Letter, Permit};
use grovemq_client::{Message, Options, Qos, Reconnect, Transport, Version, Will};
use grovemq_config::{Bridge, BridgeAddress, BridgeStart};
use grovemq_core::observe::Peer;
use grovemq_net::Stream;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as Pair;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::sync::{mpsc, oneshot};

/// From the first look at the name to the end of the TLS handshake, and again for CONNACK.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The client asks for a stream and is made to wait until it is time.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
/// A name may have this many addresses; the rest is not tried.
const ADDRESSES_MAX: usize = 16;
/// Silence after a PINGREQ that ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Publications without acknowledgement, in all; the relay keeps fewer.
pub(super) const QUEUE_MAX: usize = 100_000;

/// A client's request for a stream to the other broker.
pub(super) type Request = oneshot::Sender<io::Result<Cut>>;

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// A stream that ends when it is told to.
pub(super) struct Cut {
    wire: Box<dyn Wire>,
    /// `None`: it has ended.
    end: Option<oneshot::Receiver<()>>,
}

impl Cut {
    /// With what ends it.
    pub(super) fn new(wire: Box<dyn Wire>) -> (Self, oneshot::Sender<()>) {
        let (knife, end) = oneshot::channel();
        (Self { wire, end: Some(end) }, knife)
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = &mut self.end
            && Pin::new(end).poll(cx).is_ready()
        {
            self.end = None;
        }
        if self.end.is_none() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.wire).poll_read(cx, room) }
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

/// The client of our own broker: a durable session that is asked for as little as possible, and never acknowledges on its
/// own.
pub(super) fn local_options(setup: &Setup, plan: &Plan) -> Options {
    let inbox = setup.inboxes.first().cloned();
    let transport = Transport::connector("inside", move || {
        let inbox = inbox.clone();
        async move {
            let inbox = inbox.ok_or(io::ErrorKind::NotConnected)?;
            let (near, far) = Pair::pair()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            inbox.post(Letter::Accepted(Arrival {
                stream: Stream::Unix(mio::net::UnixStream::from_std(far)),
                peer: Peer::INSIDE,
                identity: None,
                permit: Permit::default(),
                readable: true,
            }));
            UnixStream::from_std(near)
        }
    });
    let bridge = &plan.bridge;
    let expiry = if bridge.local_cleansession { 0 } else { u32::MAX };
    // what starts a lazy bridge has to come here first
    let lazy = bridge.start_type == BridgeStart::Lazy;
    let window = if lazy { setup.limits.window.max(bridge.threshold) } else { setup.limits.window };
    let options = Options::over(transport)
        .client_id(bridge.local_client_id(&setup.host_name))
        .clean_start(bridge.local_cleansession)
        .session_expiry(expiry)
        .keep_alive(Duration::ZERO)
        .receive_maximum(window)
        .manual_ack(true)
        .adapt(true)
        .queue_max(QUEUE_MAX, usize::MAX / 2)
        .reconnect(Reconnect::Backoff { min: Duration::from_millis(10), max: Duration::from_secs(1) });
    credentials(options, bridge.local_username.as_ref(), bridge.local_password.as_ref())
}

/// The client of the other broker. It asks for each stream through `requests`, and gets it when it is time to connect.
pub(super) fn remote_options(
    setup: &Setup,
    plan: &Plan,
    manner: Manner,
    requests: mpsc::UnboundedSender<Request>,
) -> Options {
    let transport = Transport::connector("bridge", move || {
        let requests = requests.clone();
        async move {
            let (request, stream) = oneshot::channel();
            requests.send(request).map_err(|_| io::ErrorKind::NotConnected)?;
            stream.await.map_err(|_| io::ErrorKind::NotConnected)?
        }
    });
    let bridge = &plan.bridge;
    let mut options = Options::over(transport)
        .version(manner.version)
        .client_id(bridge.remote_client_id(&setup.host_name))
        .clean_start(bridge.cleansession)
        .keep_alive(bridge.keepalive_interval)
        .ping_timeout(bridge.keepalive_interval.min(PING_TIMEOUT))
        .manual_ack(true)
        .adapt(true)
        .bridge(manner.private && manner.version != Version::V5)
        .inflight_max(setup.limits.window)
        .queue_max(QUEUE_MAX, usize::MAX / 2)
        .maximum_packet_size(setup.limits.packet_bytes_max)
        .connect_timeout(FOR_EVER)
        .connack_timeout(CONNECT_TIMEOUT)
        .reconnect(Reconnect::Backoff { min: Duration::ZERO, max: Duration::ZERO });
    if manner.version == Version::V5 {
        let receive_maximum = bridge.receive_maximum.unwrap_or(setup.limits.window);
        options = options
            .receive_maximum(receive_maximum)
            .receive_tolerance(u16::MAX)
            .topic_alias_maximum(bridge.max_topic_alias);
        if bridge.session_expiry_interval > 0 {
            options = options.session_expiry(bridge.session_expiry_interval);
        }
    }
    if let Some(bytes) = bridge.max_packet_size {
        options = options.outgoing_packet_max(bytes);
    }
    if bridge.notifications && !bridge.notifications_local_only {
        let message =
            Message::new(plan.state_topic(setup), "0").qos(manner.will_qos).retain(manner.will_retain);
        options = options.will(Will { message, delay: None });
    }
    credentials(options, bridge.remote_username.as_ref(), bridge.remote_password.as_ref())
}

fn credentials(options: Options, username: Option<&String>, password: Option<&String>) -> Options {
    let password = password.map(|password| password.clone().into_bytes());
    match username {
        Some(username) => options.credentials(username, password),
        None => options,
    }
}

/// A stream to one of the other broker's addresses, ready for CONNECT. `resolved` is called when the name has been
/// looked up.
pub(super) async fn open(
    plan: &Plan,
    address: &BridgeAddress,
    resolved: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<Box<dyn Wire>, String> {
    let (bridge, target) = (plan.bridge.clone(), address.clone());
    let mut transport = Transport::connector(address.host.clone(), move || {
        let (bridge, target, resolved) = (bridge.clone(), target.clone(), resolved.clone());
        async move { open_tcp(&bridge, &target, &resolved).await }
    });
    if let Some(tls) = &plan.tls {
        transport = transport.tls(tls.clone());
    }
    match tokio::time::timeout(CONNECT_TIMEOUT, transport.connect()).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("Connection timed out".into()),
    }
}

async fn open_tcp(bridge: &Bridge, address: &BridgeAddress, resolved: &impl Fn()) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> =
        lookup_host((address.host.as_str(), address.port)).await?.take(ADDRESSES_MAX).collect();
    resolved();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in found {
        match connect(bridge, address).await {
            Ok(stream) => return Ok(stream),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

async fn connect(bridge: &Bridge, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(ip) = bridge.bind_address {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    if let Some(keepalive) = bridge.tcp_keepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.counter);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    if bridge.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(bridge.tcp_user_timeout)?;
    }
    Ok(stream)
}

/// Answers when the first address accepts connections again.
pub(super) async fn first_answers(bridge: Bridge) {
    let Some(first) = bridge.addresses.first() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(super::FIRST_RETRY).await;
        let attempt = open_tcp(&bridge, first, &|| {});
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            return;
        }
    }
}

/// `QoS` of what tells the bridge's state.
pub(super) const STATE_QOS: Qos = Qos::AtLeastOnce;
