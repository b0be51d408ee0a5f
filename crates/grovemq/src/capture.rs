//! `capture`: stands between clients and a server and shows what they say, as lines of text or as a file for Wireshark.
//!
//! It passes bytes on as they are, whatever it makes of them; what is no MQTT (TLS, for one) is said so once and passed on, too.

mod lines;
mod pcap;

use crate::colour::{Palette, Style};
use crate::exit::Exit;
use crate::flags::{Complaint, Low};
use jiff::Zoned;
use lines::Decoder;
use pcap::{Conversation, PcapFile};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What `capture` is to do.
#[derive(Debug)]
pub(crate) struct Capturing {
    listen: String,
    to: String,
    /// A file for Wireshark instead of lines; `-` is standard output.
    write: Option<OsString>,
    colours: Palette,
    quiet: bool,
}

impl Capturing {
    #[expect(clippy::unnecessary_wraps, reason = "as for the other tools")]
    pub(crate) fn new(low: Low) -> Result<Self, Complaint> {
        let given = low.instruments;
        Ok(Self {
            listen: given.listen.unwrap_or_else(|| "127.0.0.1:1884".to_owned()),
            to: given.to.unwrap_or_else(|| "localhost:1883".to_owned()),
            write: given.write,
            colours: low.colour.unwrap_or_default().for_stdout(),
            quiet: low.quiet,
        })
    }

    fn complain(&self, line: &str) {
        if !self.quiet {
            crate::complain(line);
        }
    }
}

/// Bytes passed on at once: no more than fit into one packet of the file.
const CHUNK_BYTES: usize = 32 << 10;
/// After a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Captures until it is told to end.
pub(crate) fn run(plan: &Capturing) -> Exit {
    let sink = match Sink::open(plan) {
        Ok(sink) => Arc::new(Mutex::new(sink)),
        Err(error) => {
            let name = plan.write.as_deref().unwrap_or_default().display();
            plan.complain(&format!("Error: {name}: {error}"));
            return Exit::FAILURE;
        }
    };
    let exit = crate::block_on(async {
        match TcpListener::bind(&plan.listen).await {
            Ok(listener) => serve(plan, &listener, &sink).await,
            Err(error) => {
                plan.complain(&format!("Error: {}: {error}", plan.listen));
                Exit::FAILURE
            }
        }
    });
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    match sink.error.take().map_or(Ok(()), Err).and_then(|()| sink.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            plan.complain(&format!("Error: {error}"));
            Exit::FAILURE
        }
        _ => exit,
    }
}

async fn serve(plan: &Capturing, listener: &TcpListener, sink: &Arc<Mutex<Sink>>) -> Exit {
    let place = listener.local_addr().map_or_else(|_| plan.listen.clone(), |address| address.to_string());
    plan.complain(&format!("Listening on {place}, passing on to {}", plan.to));
    let mut interrupted = pin!(crate::interrupted());
    let mut number = 0;
    let has_failed = || sink.lock().unwrap_or_else(PoisonError::into_inner).error.is_some();
    while !has_failed() {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    number += 1;
                    let tap = Tap { number, peer, sink: Arc::clone(sink) };
                    let _detached = tokio::spawn(relay(stream, plan.to.clone(), tap, plan.quiet));
                }
                Err(error) => {
                    plan.complain(&format!("Warning: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = &mut interrupted => break,
        }
    }
    Exit::OK
}

/// One client and its server.
struct Tap {
    number: u64,
    peer: SocketAddr,
    sink: Arc<Mutex<Sink>>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

async fn relay(client: TcpStream, to: String, tap: Tap, quiet: bool) {
    let server = match TcpStream::connect(&to).await {
        Ok(server) => server,
        Err(error) => {
            if !quiet {
                crate::complain(&format!("Error: {to}: {error}"));
            }
            return;
        }
    };
    // what was not held back before is not to be now
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let ends = (tap.peer, server.peer_addr().unwrap_or(tap.peer));
    let talk = Mutex::new(Talk { decoder: Decoder::default(), conversation: Conversation::new(ends) });
    tap.tell(&talk, Moment::Begun);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::join!(
        pass(&tap, &talk, Way::ToServer, &mut from_client, &mut to_server),
        pass(&tap, &talk, Way::ToClient, &mut from_server, &mut to_client),
    );
}

/// Passes on until there is no more. An error is an end like any other.
async fn pass(
    tap: &Tap,
    talk: &Mutex<Talk>,
    way: Way,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..len).unwrap_or_default();
        tap.tell(talk, Moment::Bytes(way, bytes));
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    tap.tell(talk, Moment::Ended(way));
    // who has gone already needs no good-bye
    to.shutdown().await.ok();
}

struct Talk {
    decoder: Decoder,
    conversation: Conversation,
}

#[derive(Clone, Copy)]
enum Moment<'a> {
    Begun,
    Bytes(Way, &'a [u8]),
    Ended(Way),
}

impl Tap {
    fn tell(&self, talk: &Mutex<Talk>, moment: Moment<'_>) {
        let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.error.is_none()
            && let Err(error) = sink.take(self, &mut talk, moment)
        {
            sink.error = Some(error);
        }
    }
}

/// Where everything goes.
struct Sink {
    kind: Kind,
    /// The first that could not be written: then there is no use in going on.
    error: Option<io::Error>,
}

enum Kind {
    Lines(io::Stdout, Palette),
    Pcap(PcapFile),
}

impl Sink {
    fn open(plan: &Capturing) -> io::Result<Self> {
        let kind = match &plan.write {
            None => Kind::Lines(io::stdout(), plan.colours),
            Some(name) if name == "-" => Kind::Pcap(PcapFile::new(Box::new(io::stdout()))?),
            Some(name) => Kind::Pcap(PcapFile::new(Box::new(File::create(name)?))?),
        };
        Ok(Self { kind, error: None })
    }

    fn take(&mut self, tap: &Tap, talk: &mut Talk, moment: Moment<'_>) -> io::Result<()> {
        match &mut self.kind {
            Kind::Pcap(file) => {
                let now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                match moment {
                    Moment::Begun => file.begin(&mut talk.conversation, now)?,
                    Moment::Bytes(way, bytes) => file.data(&mut talk.conversation, now, way, bytes)?,
                    Moment::Ended(way) => file.end(&mut talk.conversation, now, way)?,
                }
                file.flush()
            }
            Kind::Lines(out, colours) => {
                let time = Zoned::now().strftime("%H:%M:%S%.6f").to_string();
                let mut line = |way: &str, text: &str| {
                    let time = colours.paint(Style::Aside, &time);
                    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
                    let kind = colours.paint(Style::Topic, kind);
                    let space = if rest.is_empty() { "" } else { " " };
                    writeln!(out, "{time} #{} {way} {kind}{space}{rest}", tap.number)
                };
                match moment {
                    Moment::Begun => line("--", &format!("connection from {}", tap.peer)),
                    Moment::Bytes(way, bytes) => {
                        let mut lines = Vec::new();
                        talk.decoder.take(way, bytes, &mut lines);
                        lines.iter().try_for_each(|text| line(way.arrow(), text))
                    }
                    Moment::Ended(way) => line(way.arrow(), "end of stream"),
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Lines(out, _) => out.flush(),
            Kind::Pcap(file) => file.flush(),
        }
    }
}

impl Way {
    const fn arrow(self) -> &'static str {
        match self {
            Self::ToServer => "->",
            Self::ToClient => "<-",
        }
    }
}
