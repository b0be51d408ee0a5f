//! The client's part of SCRAM-SHA-256: what goes into CONNECT and AUTH, and the work in between.

use crate::{Error, ProtocolError, Version, handle::Reply, replies::answer};
use grovemq_auth::scram::{self, Answer, Client};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::task::{JoinHandle, spawn_blocking};

/// Who logs in.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The exchanges of a connection, one after the other.
#[derive(Debug)]
pub(crate) struct Exchange {
    login: Login,
    client: Option<Client>,
    /// The answer in the making: it takes milliseconds, or as long as the server wants it to, within bounds.
    work: Option<JoinHandle<Result<Answer, scram::Error>>>,
    /// Who waits for the end of a re-authentication.
    waiting: Option<Reply<()>>,
}

impl Exchange {
    pub(crate) fn new(login: Login) -> Self {
        Self { login, client: None, work: None, waiting: None }
    }

    /// The first words of an exchange; what was before is forgotten.
    pub(crate) fn begin(&mut self, version: Version) -> Result<Vec<u8>, Error> {
        self.stop(&Error::ConnectionLost);
        if version < Version::V5 {
            return Err(Error::Invalid("SCRAM needs MQTT 5"));
        }
        let nonce = scram::new_nonce()?;
        let client = Client::new(&self.login.username, &self.login.password, &nonce)
            .map_err(|_| Error::Invalid("user name or password that SCRAM cannot take"))?;
        let first = client.first().into_bytes();
        self.client = Some(client);
        Ok(first)
    }

    /// Whether a re-authentication is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Somebody wants to hear of the end of the exchange that was just begun.
    pub(crate) fn wait(&mut self, reply: Reply<()>) {
        self.waiting = Some(reply);
    }

    /// The server's challenge. Words without an exchange lead nowhere, and the server's patience ends first.
    pub(crate) fn challenged(&mut self, challenge: Vec<u8>) {
        if let Some(client) = self.client.take() {
            self.work = Some(spawn_blocking(move || client.answer(&challenge)));
        }
    }

    /// The answer, once it is made.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let Poll::Ready(done) = Pin::new(work).poll(cx) else { return Poll::Pending };
        self.work = None;
        Poll::Ready(match done {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(scram::Error::Malformed(what) | scram::Error::Unsupported(what))) => {
                Err(Error::Protocol(ProtocolError::Protocol(what)))
            }
            Ok(Err(_)) | Err(_) => Err(Error::Protocol(ProtocolError::Protocol("SCRAM challenge"))),
        })
    }

    /// The server has agreed, and proved itself.
    pub(crate) fn confirmed(&mut self) {
        if let Some(reply) = self.waiting.take() {
            answer(reply, Ok(()));
        }
    }

    /// The connection is over.
    pub(crate) fn stop(&mut self, error: &Error) {
        (self.client, self.work) = (None, None);
        if let Some(reply) = self.waiting.take() {
            answer(reply, Err(error.clone()));
        }
    }
}
