//! The acknowledgement state machines of QoS 1 and 2, both ends, shared by broker and client.
//!
//! ```text
//! sender    QoS 1:  AwaitPubAck ──PUBACK──► done
//!           QoS 2:  AwaitPubRec ──PUBREC──► AwaitPubComp ──PUBCOMP──► done
//!                        └──PUBREC with an error──► done
//! receiver  QoS 2:  Fresh ──PUBLISH──► AwaitPubRel ──PUBREL──► Fresh
//! ```

/// A message sent with QoS 1 or 2 and not yet done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    AwaitPubAck,
    AwaitPubRec,
    AwaitPubComp,
}

/// What the receiver of our message answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    PubAck,
    PubRec,
    /// PUBREC with a reason code of 0x80 or more.
    PubRecError,
    PubComp,
}

/// What the sender does about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderStep {
    /// Over: forget the message, free its packet id and its place in the window.
    Done,
    /// The message is theirs now: drop it, send PUBREL.
    Release,
    /// Send PUBREL again; nothing changes.
    ReleaseAgain,
    /// An answer that does not belong to this state: ignore it.
    Ignore,
}

impl Sender {
    // [MQTT-4.3.2-1] [MQTT-4.3.3-1]
    pub fn on(&mut self, answer: Answer) -> SenderStep {
        match (*self, answer) {
            (Self::AwaitPubAck, Answer::PubAck)
            | (Self::AwaitPubRec, Answer::PubRecError)
            | (Self::AwaitPubComp, Answer::PubComp) => SenderStep::Done,
            (Self::AwaitPubRec, Answer::PubRec) => {
                *self = Self::AwaitPubComp;
                SenderStep::Release
            }
            (Self::AwaitPubComp, Answer::PubRec) => SenderStep::ReleaseAgain,
            _ => SenderStep::Ignore,
        }
    }
}

/// A packet id seen in a QoS 2 PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    Fresh,
    AwaitPubRel,
}

/// What arrived with that packet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Publish,
    PubRel,
}

/// What the receiver does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverStep {
    /// First sight: pass the message on, answer PUBREC.
    Deliver,
    /// A copy: answer PUBREC only.
    AckAgain,
    /// Answer PUBCOMP; the id is free.
    Complete,
    /// Answer PUBCOMP with Packet Identifier Not Found.
    CompleteUnknown,
}

impl Receiver {
    // [MQTT-4.3.3-2]
    pub fn on(&mut self, arrival: Arrival) -> ReceiverStep {
        match (*self, arrival) {
            (Self::Fresh, Arrival::Publish) => {
                *self = Self::AwaitPubRel;
                ReceiverStep::Deliver
            }
            (Self::AwaitPubRel, Arrival::Publish) => ReceiverStep::AckAgain,
            (Self::AwaitPubRel, Arrival::PubRel) => {
                *self = Self::Fresh;
                ReceiverStep::Complete
            }
            (Self::Fresh, Arrival::PubRel) => ReceiverStep::CompleteUnknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn sender_table() {
        let mut table = String::new();
        for state in [Sender::AwaitPubAck, Sender::AwaitPubRec, Sender::AwaitPubComp] {
            for answer in [Answer::PubAck, Answer::PubRec, Answer::PubRecError, Answer::PubComp] {
                let mut s = state;
                let step = s.on(answer);
                writeln!(table, "{state:?} {answer:?} -> {step:?} {s:?}").unwrap();
            }
        }
        print!("{table}");
        assert_eq!(
            table,
            "AwaitPubAck PubAck -> Done AwaitPubAck\n\
             AwaitPubAck PubRec -> Ignore AwaitPubAck\n\
             AwaitPubAck PubRecError -> Ignore AwaitPubAck\n\
             AwaitPubAck PubComp -> Ignore AwaitPubAck\n\
             AwaitPubRec PubAck -> Ignore AwaitPubRec\n\
             AwaitPubRec PubRec -> Release AwaitPubComp\n\
             AwaitPubRec PubRecError -> Done AwaitPubRec\n\
             AwaitPubRec PubComp -> Ignore AwaitPubRec\n\
             AwaitPubComp PubAck -> Ignore AwaitPubComp\n\
             AwaitPubComp PubRec -> ReleaseAgain AwaitPubComp\n\
             AwaitPubComp PubRecError -> Ignore AwaitPubComp\n\
             AwaitPubComp PubComp -> Done AwaitPubComp\n"
        );
    }

    #[test]
    fn receiver_table() {
        let mut table = String::new();
        for state in [Receiver::Fresh, Receiver::AwaitPubRel] {
            for arrival in [Arrival::Publish, Arrival::PubRel] {
                let mut s = state;
                let step = s.on(arrival);
                writeln!(table, "{state:?} {arrival:?} -> {step:?} {s:?}").unwrap();
            }
        }
        print!("{table}");
        assert_eq!(
            table,
            "Fresh Publish -> Deliver AwaitPubRel\n\
             Fresh PubRel -> CompleteUnknown Fresh\n\
             AwaitPubRel Publish -> AckAgain AwaitPubRel\n\
             AwaitPubRel PubRel -> Complete Fresh\n"
        );
    }
}
