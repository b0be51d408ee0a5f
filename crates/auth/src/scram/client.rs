//! The client's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::{ServerFirst, escape, nonce_of};
use super::{Error, Keys, prepare, sign, xor};

/// One exchange, as the client sees it.
#[derive(Clone)]
pub struct Client {
    password: String,
    nonce: String,
    /// The first message without its header.
    bare: String,
}

/// What the client answers to the challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message to send.
    pub message: String,
    /// The server's last message, if the server knows the password as well. Anything else is an impostor's.
    pub expected: String,
}

impl Client {
    /// An exchange with a nonce that was never used before.
    ///
    /// # Errors
    /// User name or password cannot be prepared, or the nonce is none.
    pub fn new(user: &str, password: &str, nonce: &str) -> Result<Self, Error> {
        let bare = format!("n={},r={}", escape(&prepare(user)?), nonce_of(nonce)?);
        Ok(Self { password: prepare(password)?.into_owned(), nonce: nonce.to_owned(), bare })
    }

    /// The message that begins it.
    #[must_use]
    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The answer to the server's first message. Costs what the server's iterations cost.
    ///
    /// # Errors
    /// The message is none, is meant for somebody else, or asks for too little or too much work.
    pub fn answer(&self, server_first: &[u8]) -> Result<Answer, Error> {
        let server = ServerFirst::parse(server_first)?;
        // a nonce without a part of the server's own would let it replay an old exchange
        if server.nonce.strip_prefix(&*self.nonce).is_none_or(str::is_empty) {
            return Err(Error::Malformed("the nonce is not ours with more behind it"));
        }
        let keys = Keys::derive(&self.password, &server.salt, server.iterations);
        let without_proof = format!("c={},r={}", STANDARD.encode("n,,"), server.nonce);
        let said = [&*self.bare, server.text, &*without_proof];
        let proof = xor(&keys.client, &sign(&keys.stored, said));
        Ok(Answer {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            expected: format!("v={}", STANDARD.encode(sign(&keys.server, said))),
        })
    }
}

/// Shows no password.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("bare", &self.bare).finish_non_exhaustive()
    }
}
