//! `passwd`: the command itself is a matter of `grovemq-auth`.

use crate::Call;
use crate::exit::Exit;
use grovemq_auth::passwd::{self, StdTerminal};

/// `passwd`, `mosquitto_passwd`
pub(crate) fn run(call: &Call) -> Exit {
    Exit::from_code(passwd::run(&call.args, &mut StdTerminal::default()))
}

/// The text of the original, by whatever name it is called.
pub(crate) fn help(_program: &str) -> String {
    passwd::USAGE.to_owned()
}
