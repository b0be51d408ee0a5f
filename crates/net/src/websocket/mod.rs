//! MQTT over WebSocket: the server's end.
//!
//! Frames are taken apart in the reader's own buffer, and a frame's header is written before the caller's bytes: no
//! payload is copied or kept here.

mod frame;
mod upgrade;

pub use frame::{Decoder, Violation};
pub use upgrade::{Accepted, REQUEST_BYTES_MAX, Rejected, parse};

use crate::Stream;
use frame::{CLOSE_NORMAL, CONTROL_BYTES_MAX, binary_header, close_frame, pong_header};
use std::io::{self, ErrorKind, IoSlice, Read, Write};

/// Most slices written at once, the frame's header not counted.
const SLICES_MAX: usize = 64;
/// The longest frame sent; more goes into the next one.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// A pong and a header.
const PENDING_BYTES_MAX: usize = CONTROL_BYTES_MAX + 2 + 10;

/// A WebSocket that has been opened.
#[derive(Debug)]
pub struct WebSocket {
    inner: Stream,
    decoder: Decoder,
    /// Came with the request, before anything from `inner`.
    ahead: Vec<u8>,
    more: bool,
    /// The client has closed; nothing follows.
    ended: bool,
    output: Output,
}

/// What is under way to the client.
#[derive(Debug)]
struct Output {
    /// Headers and control frames, to be sent before anything else.
    pending: [u8; PENDING_BYTES_MAX],
    from: usize,
    to: usize,
    /// Payload bytes that the frame begun still needs.
    owed: usize,
    /// The answer to a ping.
    pong: Option<Box<[u8]>>,
    /// A close frame was the last one.
    closing: bool,
}

impl WebSocket {
    pub(crate) fn new(inner: Stream, ahead: Vec<u8>) -> Self {
        let output =
            Output { pending: [0; PENDING_BYTES_MAX], from: 0, to: 0, owed: 0, pong: None, closing: false };
        Self { inner, decoder: Decoder::default(), more: !ahead.is_empty(), ahead, ended: false, output }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Stream {
        &mut self.inner
    }

    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    pub(crate) fn has_unsent(&self) -> bool {
        let o = &self.output;
        o.from < o.to || (o.pong.is_some() && o.owed == 0) || self.inner.has_unsent()
    }

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.close(CLOSE_NORMAL);
        self.inner.shutdown_write()
    }

    /// Payload of data frames. One read of the stream below; what belongs to no message counts as nothing.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let ahead = !self.ahead.is_empty();
        let result = if ahead { Ok(self.take_ahead(buffer)) } else { self.inner.read(buffer) };
        // what came with the request says nothing of the socket, which has not been asked yet
        let full = result.as_ref().is_ok_and(|n| *n > 0 && *n == buffer.len());
        self.more = ahead || full || self.inner.has_more();
        let n = result?;
        if n == 0 {
            return Ok(0);
        }
        let result = self.decoder.decode(buffer.get_mut(..n).unwrap_or_default());
        if let Some(ping) = self.decoder.take_ping() {
            self.output.pong = Some(ping.into());
            self.flush().ok();
        }
        let n = match result {
            Ok(n) => n,
            Err(violation) => {
                self.close(violation.code);
                self.ended = true;
                return Err(io::Error::new(ErrorKind::InvalidData, violation.what));
            }
        };
        if let Some(code) = self.decoder.closed() {
            self.close(code);
            self.ended = true;
            self.more = true;
            return Ok(n);
        }
        if n == 0 {
            // the end of the stream may stand right behind a frame without payload
            self.more = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(n)
    }

    /// Writes the bytes as one frame, or as the next part of the frame begun.
    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total: usize = slices.iter().map(|s| s.len()).sum();
        if self.output.closing || total == 0 {
            return Ok(total);
        }
        if self.output.owed == 0 {
            self.send_pending()?;
            self.output.put_pong();
            self.output.begin_frame(total.min(FRAME_BYTES_MAX));
        }
        loop {
            let n = self.output.write(&mut self.inner, slices)?;
            if n > 0 {
                if self.output.owed == 0 && self.output.pong.is_some() {
                    self.flush().ok();
                }
                return Ok(n);
            }
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.send_pending()?;
        if self.output.owed == 0 && self.output.put_pong() {
            self.send_pending()?;
        }
        self.inner.flush()
    }

    fn take_ahead(&mut self, buffer: &mut [u8]) -> usize {
        let n = self.ahead.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.ahead.drain(..n)) {
            *to = from;
        }
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        n
    }

    /// A close frame, unless another frame is in the way; nothing is sent after it.
    fn close(&mut self, code: u16) {
        if !self.output.closing && self.output.owed == 0 && self.send_pending().is_ok() {
            // 1005 and others must not be sent (RFC 6455, 7.4.1)
            let code = if matches!(code, 1004..=1006 | 1015) || code < 1000 { 1002 } else { code };
            self.output.put(&close_frame(code));
            self.send_pending().ok();
        }
        self.output.closing = true;
    }

    fn send_pending(&mut self) -> io::Result<()> {
        while self.output.from < self.output.to {
            self.output.write(&mut self.inner, &[])?;
        }
        Ok(())
    }
}

impl Output {
    fn put(&mut self, bytes: &[u8]) {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if let Some(place) = self.pending.get_mut(self.to..self.to + bytes.len()) {
            place.copy_from_slice(bytes);
            self.to += bytes.len();
        }
    }

    fn put_pong(&mut self) -> bool {
        let Some(pong) = self.pong.take() else { return false };
        self.put(&pong_header(pong.len()));
        self.put(&pong);
        true
    }

    fn begin_frame(&mut self, len: usize) {
        let (header, n) = binary_header(len);
        self.put(header.get(..n).unwrap_or_default());
        self.owed = len;
    }

    /// One write of what is pending and as much of the slices as the frame holds. Returns the payload bytes taken.
    fn write(&mut self, inner: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let pending = self.pending.get(self.from..self.to).unwrap_or_default();
        let mut all = [IoSlice::new(&[]); SLICES_MAX + 1];
        let mut count = 0;
        let mut room = self.owed;
        let parts = slices.iter().take(SLICES_MAX).map(|s| &**s);
        for (place, part) in all.iter_mut().zip(core::iter::once(pending).chain(parts)) {
            let part = if count == 0 { part } else { part.get(..room).unwrap_or(part) };
            *place = IoSlice::new(part);
            room -= if count == 0 { 0 } else { part.len() };
            count += 1;
        }
        let n = match inner.write_vectored(all.get(..count).unwrap_or_default()) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => 0,
            Err(e) => return Err(e),
        };
        let of_pending = n.min(self.to - self.from);
        self.from += of_pending;
        let payload = n - of_pending;
        self.owed -= payload;
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair(ahead: &[u8]) -> (UnixStream, WebSocket) {
        let (client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let inner = Stream::Unix(mio::net::UnixStream::from_std(server));
        (client, WebSocket::new(inner, ahead.to_vec()))
    }

    /// A final frame whose mask is 0.
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn would_block(result: &io::Result<usize>) -> bool {
        result.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    /// An empty socket is said to be empty, however full the read before it was: the loop would turn for nothing.
    #[test]
    fn after_a_read_that_filled_the_space_the_socket_is_empty() {
        let (mut client, mut socket) = pair(&[]);
        let bytes = frame(2, b"hello");
        client.write_all(&bytes).unwrap();
        let mut space = vec![0; bytes.len()];
        assert_eq!(socket.read(&mut space).unwrap(), 5);
        assert!(socket.has_more());
        assert!(would_block(&socket.read(&mut space)));
        assert!(!socket.has_more());
    }

    /// Neither a ping nor what came with the request hides the end of the stream behind it.
    #[test]
    fn the_end_is_seen_behind_what_is_no_payload() {
        for ahead in [&[][..], &frame(9, b"p"), &frame(2, b"x")] {
            let (mut client, mut socket) = pair(ahead);
            if ahead.is_empty() {
                client.write_all(&frame(9, b"p")).unwrap();
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut space = [0; 100];
            let first = socket.read(&mut space);
            assert!(would_block(&first) || first.unwrap() == 1);
            assert!(socket.has_more());
            assert_eq!(socket.read(&mut space).unwrap(), 0);
        }
    }
}
