//! Exit codes, all of them.

use grovemq_client::ReasonCode;
use std::process::ExitCode;

/// How a command ends. The numbers are those of the original tools: below 32 they are its library's error numbers,
/// 1 to 5 also stand for a refusal in MQTT 3.x, from 128 on for one in MQTT 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    pub(crate) const OK: Self = Self(0);
    /// A wrong option, a file that cannot be read, a server that cannot be reached.
    pub(crate) const FAILURE: Self = Self(1);
    /// A wrong option or command of `grovemq` itself.
    pub(crate) const USAGE: Self = Self(2);
    /// The server, or the connection, broke the protocol.
    pub(crate) const PROTOCOL: Self = Self(2);
    /// The broker's configuration or command line is wrong.
    pub(crate) const INVALID: Self = Self(3);
    /// The server took its leave.
    pub(crate) const NO_CONNECTION: Self = Self(4);
    pub(crate) const CONNECTION_LOST: Self = Self(7);
    /// No TLS with this server.
    pub(crate) const TLS: Self = Self(8);
    pub(crate) const PROXY: Self = Self(16);
    /// The waiting time of `-W` is over.
    pub(crate) const TIMED_OUT: Self = Self(27);

    /// The end of a command that keeps its codes to itself; what no process can say becomes a failure.
    pub(crate) fn from_code(code: i32) -> Self {
        u8::try_from(code).map_or(Self::FAILURE, Self)
    }

    /// The server refused the connection; `v3_code` is the return code where MQTT 3.x was spoken.
    pub(crate) fn refused(reason: ReasonCode, v3_code: Option<u8>) -> Self {
        Self(v3_code.unwrap_or(reason as u8))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
