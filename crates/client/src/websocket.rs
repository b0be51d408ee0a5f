//! MQTT over WebSocket.

use crate::{Error, transport::Stream};
use futures_core::Stream as _;
use futures_sink::Sink;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Bytes, ClientRequestBuilder, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Uri, uri::PathAndQuery},
        protocol::WebSocketConfig,
    },
};

/// The longest frame we send.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// What to ask a WebSocket server for; the default is the path `/mqtt`.
#[derive(Clone, Debug)]
pub struct WebSocket {
    path: PathAndQuery,
    headers: Vec<(HeaderName, HeaderValue)>,
    message_bytes_max: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self { path: PathAndQuery::from_static("/mqtt"), headers: Vec::new(), message_bytes_max: 64 << 20 }
    }
}

impl WebSocket {
    /// With this path (and query), which begins with a slash; another is [`Error::Setup`].
    pub fn new(path: &str) -> Result<Self, Error> {
        let wrong = || Error::Setup(format!("'{path}' is no path of a WebSocket"));
        let path = PathAndQuery::try_from(path).ok().filter(|_| path.starts_with('/')).ok_or_else(wrong)?;
        Ok(Self { path, ..Self::default() })
    }

    /// A header of the request; may be called many times. A wrong one is [`Error::Setup`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let wrong = || Error::Setup(format!("'{name}: {value}' is no header"));
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        self.headers.push((name, HeaderValue::try_from(value).map_err(|_| wrong())?));
        Ok(self)
    }

    /// The longest WebSocket message taken, in bytes; 64 MiB if not given. A message holds a part of a packet, or
    /// several.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        port: Option<u16>,
        tls: bool,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Error> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let (scheme, usual) = if tls { ("wss", 443) } else { ("ws", 80) };
        let authority = match port {
            Some(port) if port != usual => format!("{host}:{port}"),
            _ => host,
        };
        let uri =
            Uri::builder().scheme(scheme).authority(authority).path_and_query(self.path.clone()).build();
        let uri = uri.map_err(|e| Error::Setup(format!("WebSocket: {e}")))?;
        // [MQTT-6.0.0-3]
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt").into_client_request();
        let mut request = request.map_err(told)?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .write_buffer_size(0)
            .max_frame_size(Some(self.message_bytes_max))
            .max_message_size(Some(self.message_bytes_max));
        let (frames, _response) =
            client_async_with_config(request, stream, Some(config)).await.map_err(told)?;
        Ok(Box::new(FramedBytes { frames, unread: Bytes::new() }))
    }
}

fn told(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => error.into(),
        error => Error::WebSocket(error.to_string()),
    }
}

/// A stream of bytes cut into binary messages, whose borders mean nothing. [MQTT-6.0.0-2]
struct FramedBytes {
    frames: WebSocketStream<Box<dyn Stream>>,
    /// The rest of the message read last.
    unread: Bytes,
}

impl AsyncRead for FramedBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.frames).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                // [MQTT-6.0.0-1]
                Some(Ok(Message::Text(_))) => {
                    let wrong = Error::WebSocket("a text message, where MQTT is binary".to_owned());
                    return Poll::Ready(Err(io::Error::other(wrong)));
                }
                // pings are answered below us, and a close ends the stream
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = room.remaining().min(self.unread.len());
        room.put_slice(&self.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FramedBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.frames).poll_ready(cx)).map_err(failed)?;
        let frame = bytes.get(..FRAME_BYTES_MAX).unwrap_or(bytes);
        let message = Message::Binary(Bytes::copy_from_slice(frame));
        Pin::new(&mut self.frames).start_send(message).map_err(failed)?;
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_close(cx).map_err(failed)
    }
}

fn failed(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        // the server closed without the frame for it: nothing unusual for MQTT
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
        | tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed => io::ErrorKind::UnexpectedEof.into(),
        error => io::Error::other(Error::WebSocket(error.to_string())),
    }
}
