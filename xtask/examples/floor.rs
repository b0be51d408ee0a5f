//! The floor of `cargo xtask bench`: what sockets cost, with no more of MQTT than a load generator needs.
//!
//! `floor ADDRESS` is one thread that passes the bytes of each PUBLISH on, from where they were read, to who subscribed
//! to its topic: one read and one write per connection and turn. Publishers are acknowledged at once; what receivers
//! acknowledge is nothing to it. Packet ids are passed on, which is right while a receiver has one publisher. `+` and `#`
//! count at the end of a filter alone, for all that begins like it. Nothing is checked, kept or bounded.
//!
//! `floor pub ADDRESS` is the least that publishes.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::take;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const LISTENER: Token = Token(usize::MAX);
/// Bytes per read: the first of a connection, and the most of one that has so much. Less costs more where messages are large.
const READ: Range<usize> = 4 << 10..1 << 20;
/// The most that the kernel takes in one write.
const SLICES_MAX: usize = 1024;

/// CONNECT, PUBLISH and DISCONNECT in one.
const MESSAGE: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01p\x30\x04\0\x01ab\xe0\0";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pub", address] => publish(address.parse()?)?,
        [address] => serve(address.parse()?)?,
        _ => return Err("floor [pub] ADDRESS".into()),
    }
    Ok(())
}

fn publish(address: SocketAddr) -> io::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(MESSAGE)?;
    // an end with something unread would be a reset, and might overtake the message
    stream.read_exact(&mut [0; 4])
}

fn serve(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    // whom it accepts has it from there
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut floor, mut events) = (Floor::default(), Events::with_capacity(1024));
    loop {
        let wait = (!floor.more.is_empty()).then_some(Duration::ZERO);
        match poll.poll(&mut events, wait) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        for id in take(&mut floor.more) {
            floor.read(id, false);
        }
        for event in &events {
            let Token(id) = event.token();
            if event.token() == LISTENER {
                floor.accept(&listener, poll.registry())?;
                continue;
            }
            if event.is_writable() {
                floor.unblock(id);
            }
            if event.is_readable() {
                floor.read(id, event.is_read_closed());
            }
        }
        floor.end_turn();
    }
}

#[derive(Default)]
struct Floor {
    /// By the order they came in; a number is not used again.
    connections: Vec<Option<Connection>>,
    /// What they sent, for as long as the turn lasts.
    inputs: Vec<Input>,
    /// Places in `receivers`.
    topics: HashMap<Vec<u8>, usize, RandomState>,
    /// Connections.
    receivers: Vec<Vec<usize>>,
    /// What begins like this goes to that connection.
    prefixes: Vec<(Vec<u8>, usize)>,
    /// Connections that sent something in this turn, those that sent more than was read, and those that get something.
    read: Vec<usize>,
    more: Vec<usize>,
    written: Vec<usize>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the properties that are none: 1 in MQTT 5.
    properties: usize,
    /// The PUBLISH before.
    like: Publish,
    /// Answers, and what the kernel did not take; what is before `sent` it has.
    out: Vec<u8>,
    sent: usize,
    /// What comes after that, in the inputs of others.
    pieces: Vec<(usize, Range<usize>)>,
    /// The kernel takes no more.
    blocked: bool,
    /// It said goodbye.
    over: bool,
    /// In `Floor::written`.
    noted: bool,
}

#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    filled: usize,
    /// What is before this has gone its way.
    done: usize,
    /// Bytes of the packet that is not whole yet, if that is known.
    packet: usize,
    /// Bytes to be read at a time.
    read: usize,
}

/// What one that begins with the same bytes, which are those up to the end of the topic, has in common with it.
#[derive(Default)]
struct Publish {
    head: Vec<u8>,
    total: usize,
    topic: usize,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            let token = Token(self.connections.len());
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.connections.push(Some(Connection {
                stream,
                properties: 0,
                like: Publish::default(),
                out: Vec::new(),
                sent: 0,
                pieces: Vec::new(),
                blocked: false,
                over: false,
                noted: false,
            }));
            self.inputs.push(Input { read: READ.start, ..Input::default() });
        }
        Ok(())
    }

    /// Reads once in a turn; `closing` if the end is there as well.
    fn read(&mut self, id: usize, closing: bool) {
        let Some(connection) = &mut self.connections[id] else { return };
        let input = &mut self.inputs[id];
        if input.done > 0 {
            self.more.push(id);
            return;
        }
        // a large packet ends its read: then nothing has to be moved
        let end = input.read.max(input.packet);
        if input.bytes.len() < end {
            input.bytes.resize(end, 0);
        }
        match connection.stream.read(&mut input.bytes[input.filled..end]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Ok(n) if n > 0 => input.filled += n,
            _ => {
                self.connections[id] = None;
                self.read.push(id);
                return;
            }
        }
        let full = input.filled == end;
        if full {
            input.read = (2 * input.read).min(READ.end);
        }
        if full || closing {
            self.more.push(id);
        }
        self.read.push(id);
        self.deal_with(id);
    }

    /// Each whole packet: PUBLISH in runs that are alike, others one by one.
    fn deal_with(&mut self, id: usize) {
        let mut input = take(&mut self.inputs[id]);
        let Some(connection) = &mut self.connections[id] else { return };
        let (mut like, mut out) = (take(&mut connection.like), take(&mut connection.out));
        let bytes = &input.bytes[..input.filled];
        let (mut at, mut run, mut open) = (0, 0, true);
        input.packet = 0;
        while open {
            let rest = &bytes[at..];
            if like.total == 0 || rest.len() < like.total || !rest.starts_with(&like.head) {
                self.pass_on(id, like.topic, run..at);
                run = at;
                let Some((body, total)) = extent(rest) else { break };
                if rest.len() < total {
                    input.packet = total;
                    break;
                }
                if rest[0] >> 4 != 3 {
                    open = self.answer(id, rest[0], &rest[body..total], &mut out);
                    at += total;
                    run = at;
                    continue;
                }
                let topic = text(&rest[body..]);
                like = Publish {
                    head: rest[..body + 2 + topic.len()].to_vec(),
                    total,
                    topic: self.topic(topic),
                };
            }
            let qos = rest[0] >> 1 & 3;
            if qos > 0 {
                let pid = like.head.len();
                // PUBACK or PUBREC
                out.extend([0x30 + (qos << 4), 2, rest[pid], rest[pid + 1]]);
            }
            at += like.total;
        }
        input.done = at;
        self.inputs[id] = input;
        if let Some(connection) = &mut self.connections[id] {
            (connection.like, connection.out, connection.over) = (like, out, !open);
        }
        self.note(id);
    }

    /// What is no PUBLISH; false at the end.
    fn answer(&mut self, id: usize, first: u8, body: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(connection) = &mut self.connections[id] else { return false };
        match first >> 4 {
            1 => {
                connection.properties = usize::from(body[6] == 5);
                out.extend_from_slice(if body[6] == 5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] });
            }
            // PUBREC by PUBREL, that by PUBCOMP
            5 => out.extend([0x62, 2, body[0], body[1]]),
            6 => out.extend([0x70, 2, body[0], body[1]]),
            8 => {
                let properties = connection.properties;
                let mut filters = &body[2 + properties..];
                let mut codes = Vec::new();
                while !filters.is_empty() {
                    let filter = text(filters);
                    codes.push(filters[2 + filter.len()]);
                    filters = &filters[3 + filter.len()..];
                    self.subscribe(id, filter);
                }
                out.push(0x90);
                let mut len = 2 + properties + codes.len();
                while len >= 0x80 {
                    out.push(len.to_le_bytes()[0] | 0x80);
                    len >>= 7;
                }
                out.extend([len.to_le_bytes()[0], body[0], body[1]]);
                out.extend_from_slice(&[0][..properties]);
                out.extend(codes);
            }
            12 => out.extend([0xd0, 0]),
            14 => return false,
            _ => {}
        }
        true
    }

    fn subscribe(&mut self, id: usize, filter: &[u8]) {
        if let [prefix @ .., b'+' | b'#'] = filter {
            for (topic, place) in &self.topics {
                if topic.starts_with(prefix) {
                    self.receivers[*place].push(id);
                }
            }
            self.prefixes.push((prefix.to_vec(), id));
        } else {
            let place = self.topic(filter);
            self.receivers[place].push(id);
        }
    }

    /// Its place in `receivers`.
    fn topic(&mut self, topic: &[u8]) -> usize {
        if let Some(place) = self.topics.get(topic) {
            return *place;
        }
        let wide = self.prefixes.iter().filter(|(prefix, _)| topic.starts_with(prefix));
        self.receivers.push(wide.map(|(_, id)| *id).collect());
        self.topics.insert(topic.to_vec(), self.receivers.len() - 1);
        self.receivers.len() - 1
    }

    fn pass_on(&mut self, from: usize, topic: usize, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        for id in &self.receivers[topic] {
            let Some(to) = &mut self.connections[*id] else { continue };
            to.pieces.push((from, run.clone()));
            if !to.noted {
                to.noted = true;
                self.written.push(*id);
            }
        }
    }

    fn note(&mut self, id: usize) {
        if let Some(connection) = self.connections[id].as_mut().filter(|c| !c.noted) {
            connection.noted = true;
            self.written.push(id);
        }
    }

    fn unblock(&mut self, id: usize) {
        if let Some(connection) = self.connections[id].as_mut().filter(|c| c.blocked) {
            connection.blocked = false;
            self.note(id);
        }
    }

    fn end_turn(&mut self) {
        let mut written = take(&mut self.written);
        for id in written.drain(..) {
            let Some(connection) = &mut self.connections[id] else { continue };
            connection.noted = false;
            if connection.flush(&self.inputs).is_err() || connection.over {
                self.connections[id] = None;
            }
        }
        self.written = written;
        for id in self.read.drain(..) {
            let input = &mut self.inputs[id];
            if self.connections[id].is_none() {
                *input = Input::default();
            } else {
                input.bytes.copy_within(input.done..input.filled, 0);
                input.filled -= take(&mut input.done);
            }
        }
    }
}

impl Connection {
    /// Writes what there is; what the kernel does not take is kept.
    fn flush(&mut self, inputs: &[Input]) -> io::Result<()> {
        let mut done = 0;
        while !self.blocked && (self.sent < self.out.len() || done < self.pieces.len()) {
            let own = IoSlice::new(&self.out[self.sent..]);
            let pieces = self.pieces[done..].iter().take(SLICES_MAX - 1);
            let pieces = pieces.map(|(from, run)| IoSlice::new(&inputs[*from].bytes[run.clone()]));
            let result = match (own.is_empty(), &self.pieces[done..]) {
                (true, [(from, run)]) => self.stream.write(&inputs[*from].bytes[run.clone()]),
                (false, []) => self.stream.write(&own),
                _ => self.stream.write_vectored(&[own].into_iter().chain(pieces).collect::<Vec<_>>()),
            };
            let mut n = match result {
                Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                other => other?,
            };
            self.blocked = n == 0;
            let own = n.min(self.out.len() - self.sent);
            (self.sent, n) = (self.sent + own, n - own);
            while n > 0 {
                let run = &mut self.pieces[done].1;
                let taken = n.min(run.len());
                (run.start, n) = (run.start + taken, n - taken);
                done += usize::from(run.start == run.end);
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        for (from, run) in self.pieces.drain(..).skip(done) {
            self.out.extend_from_slice(&inputs[from].bytes[run]);
        }
        Ok(())
    }
}

/// Where the body of a packet begins and where it ends, as soon as its head is there.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (i, byte) in bytes.iter().enumerate().skip(1) {
        len |= usize::from(byte & 0x7f) << (7 * (i - 1));
        if byte & 0x80 == 0 {
            return Some((i + 1, i + 1 + len));
        }
    }
    None
}

/// The bytes after their number.
fn text(bytes: &[u8]) -> &[u8] {
    &bytes[2..2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01p";

    /// Connected to a floor of its own, like all that get this address.
    fn client(address: SocketAddr) -> TcpStream {
        let mut stream = (0..500)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                TcpStream::connect(address).ok()
            })
            .expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(CONNECT).unwrap();
        expect(&mut stream, &[0x20, 2, 0, 0]);
        stream
    }

    fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == bytes, "{:?} is not {:?}", &got[..got.len().min(40)], &bytes[..bytes.len().min(40)]);
    }

    fn start() -> SocketAddr {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::thread::spawn(move || serve(address));
        address
    }

    #[test]
    fn what_is_published_comes_out_as_it_went_in() {
        let address = start();
        let (mut exact, mut wide) = (client(address), client(address));
        exact.write_all(b"\x82\x08\0\x01\0\x03a/b\x01").unwrap();
        wide.write_all(b"\x82\x08\0\x02\0\x03a/#\x01").unwrap();
        expect(&mut exact, &[0x90, 3, 0, 1, 1]);
        expect(&mut wide, &[0x90, 3, 0, 2, 1]);
        // more than one read and one write take
        let large = [&b"\x32\x87\x80\xc0\x01\0\x03a/b\0\x07"[..], &vec![7; 3 << 20]].concat();
        let (small, other) = (b"\x32\x08\0\x03a/b\0\x08x", b"\x32\x08\0\x03a/c\0\x09x");
        let all = [small.repeat(100), large.clone(), small.to_vec()].concat();
        let mut publisher = client(address);
        let mut sender = publisher.try_clone().unwrap();
        let sent = [&all[..], other].concat();
        let sending =
            std::thread::spawn(move || sent.chunks(99_991).try_for_each(|part| sender.write_all(part)));
        expect(&mut exact, &all);
        expect(&mut wide, &[&all[..], other].concat());
        sending.join().unwrap().unwrap();
        let acknowledged = [[0x40, 2, 0, 8].repeat(100), vec![0x40, 2, 0, 7, 0x40, 2, 0, 8, 0x40, 2, 0, 9]];
        expect(&mut publisher, &acknowledged.concat());
    }

    #[test]
    fn acknowledgements_are_answered_and_the_end_is_an_end() {
        let address = start();
        let mut stream = client(address);
        stream.write_all(b"\x34\x08\0\x03a/b\0\x07x\x62\x02\0\x07\x50\x02\0\x08\xe0\0").unwrap();
        expect(&mut stream, b"\x50\x02\0\x07\x70\x02\0\x07\x62\x02\0\x08");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        publish(address).unwrap();
    }
}
