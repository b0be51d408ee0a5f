//! The state machine of enhanced authentication (MQTT 5, 4.12), from the server's side.
//!
//! ```text
//! CONNECT ──► Judging ──proven──► Agreed ──AUTH 0x19──► JudgingAgain ──proven──► Agreed
//!             │     ▲                                   │          ▲
//!         challenge │                               challenge      │
//!             ▼     │                                   ▼          │
//!             Asking ──AUTH 0x18                        AskingAgain ──AUTH 0x18
//! ```
//!
//! Judging, the driver has the client's words; asking, it is the client's turn. Before [`Exchange::Agreed`] there is no
//! CONNACK and nothing but the exchange goes on; from then on other packets flow whatever the exchange does.

use crate::Time;
use crate::access::Login;

/// Where an exchange stands. A client that named no method in CONNECT has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    Judging,
    Asking,
    Agreed,
    JudgingAgain,
    AskingAgain,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// AUTH with 0x18 from the client.
    Continue,
    /// AUTH with 0x19 from the client.
    Again,
    /// AUTH with 0x00 from the client, which only servers send.
    Success,
    /// The driver wants to know more.
    Challenge,
    /// The driver is content.
    Proven,
    /// The driver is not, or took too long, or the client did.
    Refused,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give the driver the client's words.
    Judge,
    /// Send AUTH with 0x18.
    Ask,
    /// Send CONNACK: the client is in.
    Admit,
    /// Send AUTH with 0x00.
    Confirm,
    /// Send CONNACK with the reason, and close.
    TurnAway,
    /// Send DISCONNECT with the reason, and close.
    CutOff,
    /// The client breaks the protocol.
    Violation,
    /// It comes too late to matter.
    Ignore,
}

impl Exchange {
    pub(crate) fn on(&mut self, turn: Turn) -> Step {
        let (next, step) = match (*self, turn) {
            (Self::Judging, Turn::Challenge) => (Self::Asking, Step::Ask), // [MQTT-4.12.0-2]
            (Self::Asking, Turn::Continue) => (Self::Judging, Step::Judge),
            (Self::Judging, Turn::Proven) => (Self::Agreed, Step::Admit),
            (Self::Judging | Self::Asking, Turn::Refused) => (*self, Step::TurnAway), // [MQTT-4.12.0-4]
            (Self::JudgingAgain, Turn::Challenge) => (Self::AskingAgain, Step::Ask),
            (Self::Agreed, Turn::Again) | (Self::AskingAgain, Turn::Continue) => {
                (Self::JudgingAgain, Step::Judge)
            }
            (Self::JudgingAgain, Turn::Proven) => (Self::Agreed, Step::Confirm),
            (Self::JudgingAgain | Self::AskingAgain, Turn::Refused) => (*self, Step::CutOff), // [MQTT-4.12.1-2]
            (_, Turn::Challenge | Turn::Proven | Turn::Refused) => (*self, Step::Ignore),
            _ => (*self, Step::Violation),
        };
        *self = next;
        step
    }
}

/// An exchange with what has been said in it.
#[derive(Debug)]
pub(crate) struct Dialogue {
    pub(crate) exchange: Exchange,
    /// What the driver is given each time. Between exchanges nothing has been said in it, and it holds the user's name.
    pub(crate) login: Login,
    /// AUTH packets of the client in this exchange.
    pub(crate) rounds: u8,
    /// When a re-authentication must be over.
    pub(crate) deadline: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn table() {
        use Exchange::{Agreed, Asking, AskingAgain, Judging, JudgingAgain};
        let mut table = String::new();
        for state in [Judging, Asking, Agreed, JudgingAgain, AskingAgain] {
            for turn in
                [Turn::Continue, Turn::Again, Turn::Success, Turn::Challenge, Turn::Proven, Turn::Refused]
            {
                let mut s = state;
                let step = s.on(turn);
                writeln!(table, "{state:?} {turn:?} -> {step:?} {s:?}").unwrap();
            }
        }
        print!("{table}");
        assert_eq!(
            table,
            "Judging Continue -> Violation Judging\n\
             Judging Again -> Violation Judging\n\
             Judging Success -> Violation Judging\n\
             Judging Challenge -> Ask Asking\n\
             Judging Proven -> Admit Agreed\n\
             Judging Refused -> TurnAway Judging\n\
             Asking Continue -> Judge Judging\n\
             Asking Again -> Violation Asking\n\
             Asking Success -> Violation Asking\n\
             Asking Challenge -> Ignore Asking\n\
             Asking Proven -> Ignore Asking\n\
             Asking Refused -> TurnAway Asking\n\
             Agreed Continue -> Violation Agreed\n\
             Agreed Again -> Judge JudgingAgain\n\
             Agreed Success -> Violation Agreed\n\
             Agreed Challenge -> Ignore Agreed\n\
             Agreed Proven -> Ignore Agreed\n\
             Agreed Refused -> Ignore Agreed\n\
             JudgingAgain Continue -> Violation JudgingAgain\n\
             JudgingAgain Again -> Violation JudgingAgain\n\
             JudgingAgain Success -> Violation JudgingAgain\n\
             JudgingAgain Challenge -> Ask AskingAgain\n\
             JudgingAgain Proven -> Confirm Agreed\n\
             JudgingAgain Refused -> CutOff JudgingAgain\n\
             AskingAgain Continue -> Judge JudgingAgain\n\
             AskingAgain Again -> Violation AskingAgain\n\
             AskingAgain Success -> Violation AskingAgain\n\
             AskingAgain Challenge -> Ignore AskingAgain\n\
             AskingAgain Proven -> Ignore AskingAgain\n\
             AskingAgain Refused -> CutOff AskingAgain\n"
        );
    }
}
