//! SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they know a password, and neither sends it.
//!
//! ```text
//! client                                   server
//!   n,,n=user,r=abc                ──►
//!                                  ◄──     r=abcXYZ,s=salt,i=4096
//!   c=biws,r=abcXYZ,p=proof        ──►
//!                                  ◄──     v=signature
//! ```
//!
//! Nothing here draws a random number: nonces are handed in (see [`new_nonce`]). The server keeps nothing but the
//! messages that went by: [`challenge`] and [`verify`] are functions of them and of what is stored. Channel binding
//! (`SCRAM-SHA-256-PLUS`) is not spoken: of the client's first words, `n,,` and `y,,` are taken and `p=…` is refused.
//! Nobody can act as somebody else: an authorization identity (`a=…`) is refused.

mod client;
mod message;
mod server;

pub use client::{Answer, Client};
pub use server::{Entry, Proven, challenge, verify};

use std::borrow::Cow;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The name of the mechanism, as an MQTT Authentication Method.
pub const METHOD: &str = "SCRAM-SHA-256";
/// Bytes of a key, a proof and a signature.
pub const KEY_BYTES: usize = 32;
/// Bytes of the longest message taken from the other side.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes of the longest user name and the longest password, before and after their preparation.
pub const NAME_BYTES_MAX: usize = 1024;
/// Characters of the longest nonce, both sides' together.
pub const NONCE_BYTES_MAX: usize = 256;
/// Bytes of the longest salt.
pub const SALT_BYTES_MAX: usize = 64;
/// The fewest iterations: what RFC 7677 asks for. A server that wants fewer makes guessing cheap.
pub const ITERATIONS_MIN: u32 = 4096;
/// The most iterations, well below a second of one core: a server must not be able to keep a client busy.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Random bytes in a new nonce.
const NONCE_RANDOM_BYTES: usize = 18;

/// What is derived from a password.
#[derive(Clone, Copy)]
struct Keys {
    client: [u8; KEY_BYTES],
    stored: [u8; KEY_BYTES],
    server: [u8; KEY_BYTES],
}

/// What a server stores of a password: the `StoredKey` and the `ServerKey`. Costs what the iterations cost.
///
/// # Errors
/// The password cannot be prepared.
pub fn stored_keys(
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<([u8; KEY_BYTES], [u8; KEY_BYTES]), Error> {
    let keys = Keys::derive(&prepare(password)?, salt, iterations);
    Ok((keys.stored, keys.server))
}

/// A nonce that nobody can foresee.
///
/// # Errors
/// The system gave no random bytes.
pub fn new_nonce() -> io::Result<String> {
    let mut bytes = [0; NONCE_RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// A user name or password in the form in which SCRAM compares it (`SASLprep`, RFC 4013).
///
/// # Errors
/// It is empty, too long, or has a character that the form does not allow.
pub fn prepare(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::Forbidden("more than 1024 bytes"));
    }
    let prepared =
        stringprep::saslprep(text).map_err(|_| Error::Forbidden("a character that SASLprep forbids"))?;
    match prepared.len() {
        0 => Err(Error::Forbidden("empty")),
        1..=NAME_BYTES_MAX => Ok(prepared),
        _ => Err(Error::Forbidden("more than 1024 bytes")),
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The other side's message does not follow the grammar or is beyond a bound.
    Malformed(&'static str),
    /// The other side wants what is not done here.
    Unsupported(&'static str),
    /// A user name or password that cannot be used.
    Forbidden(&'static str),
    /// The proof or the signature is not right.
    Wrong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(what) => write!(f, "malformed SCRAM message: {what}"),
            Error::Unsupported(what) => write!(f, "not supported in SCRAM: {what}"),
            Error::Forbidden(what) => write!(f, "user name or password not usable with SCRAM: {what}"),
            Error::Wrong => f.write_str("the proof is not right"),
        }
    }
}

impl std::error::Error for Error {}

impl Keys {
    /// `password` is prepared.
    fn derive(password: &str, salt: &[u8], iterations: u32) -> Keys {
        let mut salted = [0; KEY_BYTES];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
        let client = hmac(&salted, &[b"Client Key"]);
        Keys { client, stored: hash(&client), server: hmac(&salted, &[b"Server Key"]) }
    }
}

fn hash(bytes: &[u8]) -> [u8; KEY_BYTES] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 of the parts put together.
pub(crate) fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    // 32 bytes are within the block's 64, so the key is taken as it is
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Signs everything said so far with this key: client-first-bare, server-first, client-final-without-proof.
fn sign(key: &[u8; KEY_BYTES], said: [&str; 3]) -> [u8; KEY_BYTES] {
    let [first, second, third] = said;
    hmac(key, &[first.as_bytes(), b",", second.as_bytes(), b",", third.as_bytes()])
}

fn xor(a: &[u8; KEY_BYTES], b: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let mut out = *a;
    for (out, b) in out.iter_mut().zip(b) {
        *out ^= b;
    }
    out
}

#[cfg(test)]
mod tests;
