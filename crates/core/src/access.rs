//! What the core asks of the outside about who may do what.

use std::fmt::Debug;
use std::sync::Arc;

/// A client as access rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Receive messages of a topic.
    Read,
    /// Publish to a topic.
    Write,
}

/// Access rules. Asked on the event loop: must answer at once and without blocking.
pub trait Authorize: Send + Sync + Debug {
    /// `Err` holds the reason: the deciding rule, or that there is none.
    fn check(&self, who: Who<'_>, access: Access, topic: &str) -> Result<(), String>;
}

/// An author whose right to publish can be asked again later.
#[derive(Clone, Debug)]
pub struct Source {
    pub client_id: Box<str>,
    pub username: Option<Box<str>>,
    /// `None`: it may publish everything.
    pub access: Option<Arc<dyn Authorize>>,
    /// A bridge, which brought the message from another broker.
    pub bridge: bool,
}

impl Source {
    pub fn may_write(&self, topic: &str) -> bool {
        let who = Who { client_id: &self.client_id, username: self.username.as_deref() };
        self.access.as_ref().is_none_or(|a| a.check(who, Access::Write, topic).is_ok())
    }
}

/// A client's credentials, to be checked away from the event loop.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Vec<u8>>,
    /// Enhanced authentication (MQTT 5) in place of a password. With it, `username` is whom the client claims to be or was
    /// found to be before, and nobody else may come of it.
    pub words: Option<Words>,
}

/// What was said in an authentication exchange.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// The Authentication Method.
    pub method: Box<str>,
    /// The Authentication Data of the client, of the server, of the client and so on. The last is the client's.
    pub said: Vec<Vec<u8>>,
}

impl Debug for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Words").field("method", &self.method).field("said", &self.said.len()).finish()
    }
}

impl Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("words", &self.words)
            .finish()
    }
}
