//! A connection's bytes: what an event loop knows of a stream, and one read of it.

use crate::inbox::Permit;
use grovemq_core::Key;
use grovemq_core::observe::Cause;
use grovemq_net::Stream;
use std::io::{ErrorKind, Read};

/// A connection as the loop sees it.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact about the stream, and they combine freely"
)]
pub(crate) struct Wire {
    pub(crate) key: Key,
    pub(crate) stream: Stream,
    pub(crate) permit: Permit,
    /// Bytes read and not yet consumed: an unfinished packet, or what waits for its turn.
    pub(crate) rest: Vec<u8>,
    /// There may be more to read.
    pub(crate) readable: bool,
    /// The other side has closed; what it sent before is still to be read.
    pub(crate) ended: bool,
    /// `rest` holds whole packets.
    pub(crate) unread: bool,
    /// In `EventLoop::ready` or `EventLoop::later`.
    pub(crate) queued: bool,
    /// Nothing may be read until a verdict.
    pub(crate) waiting: bool,
    /// In `EventLoop::paused`: nothing is read for a moment.
    pub(crate) paused: bool,
    /// The socket took less than we had.
    pub(crate) blocked: bool,
}

#[inline]
pub(crate) fn wire(wires: &mut [Option<Wire>], key: Key) -> Option<&mut Wire> {
    wires.get_mut(key.index as usize)?.as_mut().filter(|w| w.key == key)
}

/// One read. `None`: nothing there now. Notes whether more may follow.
pub(crate) fn read_some(wire: &mut Wire, space: &mut [u8]) -> Result<Option<usize>, Cause> {
    loop {
        match wire.stream.read(space) {
            Ok(0) => {
                wire.readable = false;
                return Err(Cause::StreamEnded);
            }
            Ok(n) => {
                // a short read has emptied the socket; its next byte raises a new event, an end seen before does not
                wire.readable = n == space.len() || wire.ended || wire.stream.has_more();
                return Ok(Some(n));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                wire.readable = wire.stream.has_more();
                return Ok(None);
            }
            Err(e) => {
                wire.readable = false;
                let framing = e.kind() == ErrorKind::InvalidData;
                return Err(if framing { Cause::Protocol("bad framing") } else { Cause::StreamError });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_little_memory() {
        assert!(size_of::<Option<Wire>>() <= 80);
    }
}
