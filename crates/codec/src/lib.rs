//! MQTT 3.1, 3.1.1 and 5 on the wire.
//!
//! One codec for all versions: the [`Version`] is a value. Parsing borrows from the bytes it reads and allocates
//! nothing; after a packet has parsed, its strings are valid UTF-8 without NUL, its topics and filters are legal,
//! its lengths agree. Nothing here can panic on any input.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod frame;
mod packet;
mod property;
mod reason;
mod wire;

pub mod topic;

pub use error::{EncodeError, Error};
pub use frame::{Frame, PacketType, VARINT_MAX, decode_frame, frame_len};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filters, FiltersIter, Packet, Publish, PublishRun, PublishView,
    Qos, ReasonCodes, ReasonCodesIter, RetainHandling, RunLimits, RunShape, SubAck, Subscribe,
    SubscribeOptions, Topics, TopicsIter, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties,
    PublishProperties, SubscribeProperties, SubscriptionIds, SubscriptionIdsIter, UserProperties,
    UserPropertiesIter, WillProperties, write_block_len,
};
pub use reason::ReasonCode;
