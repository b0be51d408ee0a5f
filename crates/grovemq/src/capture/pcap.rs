//! The file for Wireshark: what was said, in packets that are made up around it.
//!
//! Addresses are those of the client and the server, but the server's port is always that of MQTT, by which Wireshark knows what it
//! reads.

use super::Way;
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};
use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const PORT_SHOWN: u16 = 1883;
const HOPS: u8 = 64;
const WINDOW: u16 = 65535;
/// Locally administered addresses.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A connection as the file shows it.
#[derive(Debug)]
pub(super) struct Conversation {
    client: Side,
    server: Side,
}

#[derive(Debug)]
struct Side {
    address: SocketAddr,
    mac: [u8; 6],
    /// The number of the next byte it sends.
    sequence: u32,
}

impl Conversation {
    pub(super) fn new((client, server): (SocketAddr, SocketAddr)) -> Self {
        // one packet cannot go from one family to the other
        let ip = if client.is_ipv4() == server.is_ipv4() { server.ip() } else { client.ip() };
        Self {
            client: Side { address: client, mac: CLIENT_MAC, sequence: 0 },
            server: Side { address: SocketAddr::new(ip, PORT_SHOWN), mac: SERVER_MAC, sequence: 0 },
        }
    }

    fn sides(&mut self, way: Way) -> (&mut Side, &Side) {
        match way {
            Way::ToServer => (&mut self.client, &self.server),
            Way::ToClient => (&mut self.server, &self.client),
        }
    }
}

pub(super) struct PcapFile {
    writer: PcapNgWriter<BufWriter<Box<dyn Write + Send>>>,
}

impl PcapFile {
    pub(super) fn new(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let mut writer = PcapNgWriter::new(BufWriter::new(out)).map_err(io_error)?;
        let nanoseconds = InterfaceDescriptionOption::IfTsResol(9);
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: vec![nanoseconds],
        };
        writer.write_pcapng_block(interface).map_err(io_error)?;
        Ok(Self { writer })
    }

    /// The three packets that a connection begins with.
    pub(super) fn begin(&mut self, talk: &mut Conversation, at: Duration) -> io::Result<()> {
        self.segment(talk, at, Way::ToServer, &[], |header| {
            header.syn = true;
            header.ack = false;
        })?;
        self.segment(talk, at, Way::ToClient, &[], |header| header.syn = true)?;
        self.segment(talk, at, Way::ToServer, &[], |_| {})
    }

    pub(super) fn data(
        &mut self,
        talk: &mut Conversation,
        at: Duration,
        way: Way,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.segment(talk, at, way, bytes, |header| header.psh = true)
    }

    /// One side has no more to say.
    pub(super) fn end(&mut self, talk: &mut Conversation, at: Duration, way: Way) -> io::Result<()> {
        self.segment(talk, at, way, &[], |header| header.fin = true)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }

    fn segment(
        &mut self,
        talk: &mut Conversation,
        at: Duration,
        way: Way,
        bytes: &[u8],
        change: impl FnOnce(&mut TcpHeader),
    ) -> io::Result<()> {
        let (from, to) = talk.sides(way);
        let mut header = TcpHeader::new(from.address.port(), to.address.port(), from.sequence, WINDOW);
        header.ack = true;
        header.acknowledgment_number = to.sequence;
        change(&mut header);
        if !header.ack {
            header.acknowledgment_number = 0;
        }
        // the first and the last packet count as a byte each
        let len = u32::try_from(bytes.len()).unwrap_or_default() + u32::from(header.syn || header.fin);
        from.sequence = from.sequence.wrapping_add(len);
        let mut data = Vec::with_capacity(bytes.len() + 80);
        packet(from, to)?.tcp_header(header).write(&mut data, bytes).map_err(io::Error::other)?;
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: at,
            original_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data: Cow::Owned(data),
            options: Vec::new(),
        };
        self.writer.write_pcapng_block(block).map(drop).map_err(io_error)
    }
}

fn packet(from: &Side, to: &Side) -> io::Result<PacketBuilderStep<etherparse::IpHeaders>> {
    let frame = PacketBuilder::ethernet2(from.mac, to.mac);
    match (from.address.ip(), to.address.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(frame.ipv4(from.octets(), to.octets(), HOPS)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ok(frame.ipv6(from.octets(), to.octets(), HOPS)),
        _ => Err(io::Error::other("two families of addresses")),
    }
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}
