//! The server's side: two functions of what was said and what is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::message::{ClientFinal, ClientFirst, ServerFirst, nonce_of};
use super::{Error, ITERATIONS_MIN, KEY_BYTES, hash, sign, xor};

/// What is stored of a user, or made up for one who does not exist.
#[derive(Clone)]
pub struct Entry {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: [u8; KEY_BYTES],
    pub server_key: [u8; KEY_BYTES],
    /// `false`: no proof is right.
    pub exists: bool,
}

impl Entry {
    /// Nobody's.
    #[must_use]
    pub fn nobody() -> Self {
        let none = [0; KEY_BYTES];
        Self { salt: vec![0], iterations: ITERATIONS_MIN, stored_key: none, server_key: none, exists: false }
    }
}

/// Who has proved to know the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    pub user: String,
    /// The last message, by which the client knows that this is its server.
    pub message: String,
}

/// The answer to the client's first message. `find` is given the user's name, and gives the same for the same name.
///
/// # Errors
/// The message is none, or wants what is not done here.
pub fn challenge(
    client_first: &[u8],
    nonce: &str,
    find: impl FnOnce(&str) -> Entry,
) -> Result<String, Error> {
    let first = ClientFirst::parse(client_first)?;
    let nonce = format!("{}{nonce}", first.nonce);
    let entry = find(&first.user);
    Ok(format!("r={},s={},i={}", nonce_of(&nonce)?, STANDARD.encode(&entry.salt), entry.iterations))
}

/// The judgement on the client's second message; `server_first` is what [`challenge`] gave.
///
/// # Errors
/// A message is none, or the proof is not right.
pub fn verify(
    client_first: &[u8],
    server_first: &[u8],
    client_final: &[u8],
    find: impl FnOnce(&str) -> Entry,
) -> Result<Proven, Error> {
    let first = ClientFirst::parse(client_first)?;
    let server = ServerFirst::parse(server_first)?;
    let last = ClientFinal::parse(client_final)?;
    // somebody in between who changed the header would be found out here
    if last.binding != STANDARD.encode(first.header) {
        return Err(Error::Malformed("another header than before"));
    }
    if last.nonce != server.nonce {
        return Err(Error::Malformed("another nonce than before"));
    }
    let entry = find(&first.user);
    let said = [first.bare, server.text, last.without_proof];
    let client_key = xor(&last.proof, &sign(&entry.stored_key, said));
    let is_right = bool::from(hash(&client_key).ct_eq(&entry.stored_key));
    let signature = sign(&entry.server_key, said);
    if is_right && entry.exists {
        Ok(Proven { user: first.user, message: format!("v={}", STANDARD.encode(signature)) })
    } else {
        Err(Error::Wrong)
    }
}

/// Shows no key.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
