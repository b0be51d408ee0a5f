//! The byte stream to the server: what it runs over, and what is wrapped around it.

use crate::{Error, Options, tcp, tls::Tls, websocket::WebSocket};
use std::{fmt, io, net::IpAddr, path::PathBuf, pin::Pin, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_socks::tcp::Socks5Stream;

/// The way to a server: a link, TLS over it or not, and WebSocket over that or not.
///
/// ```
/// use grovemq_client::{Options, Tls, Transport, WebSocket};
///
/// # fn example() -> Result<(), grovemq_client::Error> {
/// let tls = Tls::builder().ca_file("ca.crt").build()?;
/// let options = Options::over(Transport::tcp("broker.example", 443).tls(tls).websocket(WebSocket::default()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Transport {
    link: Link,
    tls: Option<Tls>,
    websocket: Option<WebSocket>,
}

impl Transport {
    /// `host` is a name or an IPv4 or IPv6 address (without brackets). Up to 16 addresses of a name are tried.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::from(Link::Tcp { host: host.into(), port, proxy: None })
    }

    /// TCP through a proxy, which looks up the name.
    pub fn socks5(proxy: Socks5, host: impl Into<String>, port: u16) -> Self {
        Self::from(Link::Tcp { host: host.into(), port, proxy: Some(proxy) })
    }

    /// A Unix domain socket. For TLS and WebSocket the server is called `localhost`.
    #[cfg(unix)]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::from(Link::Unix(path.into()))
    }

    /// Any stream: `connect` is called for each connection, and again when it is lost. `host` is what the server is
    /// called in TLS and WebSocket.
    ///
    /// The client writes in large pieces, calls `flush` after the last of them and `shutdown` at the end.
    ///
    /// ```
    /// use grovemq_client::{Options, Transport};
    ///
    /// let options = Options::over(Transport::connector("inside", || async {
    ///     let (near, far) = tokio::io::duplex(4096);
    ///     tokio::spawn(serve(far));
    ///     Ok(near)
    /// }));
    /// # async fn serve(_: tokio::io::DuplexStream) {}
    /// ```
    pub fn connector<F, R, S>(host: impl Into<String>, connect: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connect = move || -> Opening {
            let opening = connect();
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Stream>) })
        };
        Self::from(Link::Own { host: host.into(), connect: Connect(Arc::new(connect)) })
    }

    /// Encrypted. The certificate has to be for the host, unless [`Tls`] says otherwise.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// In the frames of WebSocket, inside of TLS where there is both.
    #[must_use]
    pub fn websocket(mut self, websocket: WebSocket) -> Self {
        self.websocket = Some(websocket);
        self
    }

    /// What the server is called in TLS and WebSocket.
    fn host(&self) -> &str {
        match &self.link {
            Link::Tcp { host, .. } | Link::Own { host, .. } => host,
            #[cfg(unix)]
            Link::Unix(_) => "localhost",
        }
    }

    fn port(&self) -> Option<u16> {
        match &self.link {
            Link::Tcp { port, .. } => Some(*port),
            _ => None,
        }
    }

    /// Opens it as a client does before CONNECT, for those who have more to do with the bytes.
    pub async fn connect(&self) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Error> {
        self.open(None, true).await
    }

    async fn open(&self, bind: Option<IpAddr>, nodelay: bool) -> Result<Box<dyn Stream>, Error> {
        let mut stream = self.link.open(bind, nodelay).await?;
        if let Some(tls) = &self.tls {
            stream = tls.connect(self.host(), stream).await?;
        }
        if let Some(websocket) = &self.websocket {
            stream = websocket.connect(self.host(), self.port(), self.tls.is_some(), stream).await?;
        }
        Ok(stream)
    }
}

impl From<Link> for Transport {
    fn from(link: Link) -> Self {
        Self { link, tls: None, websocket: None }
    }
}

/// A SOCKS5 proxy (RFC 1928).
#[derive(Clone)]
pub struct Socks5 {
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

impl Socks5 {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, login: None }
    }

    /// Name and password (RFC 1929), each of 1 to 255 bytes; others are [`Error::Setup`].
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Result<Self, Error> {
        let (user, password) = (user.into(), password.into());
        if ![&user, &password].iter().all(|text| (1..=255).contains(&text.len())) {
            return Err(Error::Setup("user and password of a SOCKS5 proxy have 1 to 255 bytes".to_owned()));
        }
        self.login = Some((user, password));
        Ok(self)
    }

    async fn open(
        &self,
        host: &str,
        port: u16,
        bind: Option<IpAddr>,
        nodelay: bool,
    ) -> Result<TcpStream, Error> {
        let socket = tcp::open(&self.host, self.port, bind, nodelay).await?;
        let target = (host, port);
        let through = match &self.login {
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(socket, target, user, password).await
            }
            None => Socks5Stream::connect_with_socket(socket, target).await,
        };
        match through {
            Ok(stream) => Ok(stream.into_inner()),
            Err(tokio_socks::Error::Io(error)) => Err(error.into()),
            Err(error) => Err(Error::Proxy(format!("{}:{}: {error}", self.host, self.port))),
        }
    }
}

impl fmt::Debug for Socks5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map(|(user, _)| user);
        f.debug_struct("Socks5")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &user)
            .finish()
    }
}

/// What a connection runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens the transport within the connect timeout.
pub(crate) async fn open(options: &Options) -> Result<Box<dyn Stream>, Error> {
    let opening = options.transport.open(options.bind_address, options.tcp_nodelay);
    timeout(options.connect_timeout, opening).await.map_err(|_| Error::ConnectTimeout)?
}

#[derive(Clone, Debug)]
enum Link {
    Tcp {
        host: String,
        port: u16,
        proxy: Option<Socks5>,
    },
    #[cfg(unix)]
    Unix(PathBuf),
    Own {
        host: String,
        connect: Connect,
    },
}

impl Link {
    async fn open(&self, bind: Option<IpAddr>, nodelay: bool) -> Result<Box<dyn Stream>, Error> {
        Ok(match self {
            Self::Tcp { host, port, proxy: None } => Box::new(tcp::open(host, *port, bind, nodelay).await?),
            Self::Tcp { host, port, proxy: Some(proxy) } => {
                Box::new(proxy.open(host, *port, bind, nodelay).await?)
            }
            #[cfg(unix)]
            Self::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                Box::new(stream.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?)
            }
            Self::Own { connect, .. } => (connect.0)().await?,
        })
    }
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

#[derive(Clone)]
struct Connect(Arc<dyn Fn() -> Opening + Send + Sync>);

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connector")
    }
}
