//! The server's side of CoAP (RFC 7252), with observation (RFC 7641) and transfers in blocks (RFC 7959).
//!
//! An [`Endpoint`] opens no socket and reads no clock: datagrams and the time go in, [`Request`]s and datagrams come out. It
//! knows that a confirmable message is acknowledged, that a copy of a request is answered but not done again, and that a
//! notification is repeated until it is acknowledged or its observer is given up. What the resources are, its user knows.
//!
//! Invariant: everything a peer can make grow has a bound in [`Limits`]. An answer to a stranger's datagram has at most one
//! block of payload.
#![forbid(unsafe_code)]

mod blocks;
mod endpoint;
mod exchange;
mod links;
mod message;
mod observers;
mod seen;
mod transmissions;

pub use coap_lite::{RequestType as Method, ResponseType as Code};
pub use endpoint::{Endpoint, Limits};
pub use exchange::RequestId;
pub use links::{Link, link_format};
pub use message::{Format, Request, Response};
pub use observers::Lost;
