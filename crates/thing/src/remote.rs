//! A board behind a socket: transfers on a simulated bus between two programs.
//!
//! A request is the address of the device, one byte that is 0 for a write and 1 for a read, the number of bytes, and the
//! bytes of a write. An answer is one byte, 0 for a transfer that was acknowledged and 1 for one that was not, and after
//! 0 the bytes of a read.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource, Operation};
use grovemq_grovepi::simulated::SimulatedBoard;

const WRITE: u8 = 0;
const READ: u8 = 1;
const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// How long an answer may take.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(2);

/// The thing's end: a bus whose devices are in another program. It connects with the first transfer, and again after a
/// failure.
#[derive(Debug)]
pub struct RemoteBus {
    path: PathBuf,
    stream: Option<Socket>,
}

/// Why a transfer failed.
#[derive(Debug)]
pub enum RemoteError {
    /// No device has acknowledged.
    Refused,
    /// There is no program behind the socket.
    Away(io::Error),
}

impl RemoteBus {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), stream: None }
    }

    fn transfer(&mut self, address: u8, operation: &mut Operation<'_>) -> Result<(), RemoteError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.path).map_err(RemoteError::Away)?,
        };
        let outcome = exchange(&mut stream, address, operation);
        if !matches!(outcome, Err(RemoteError::Away(_))) {
            self.stream = Some(stream);
        }
        outcome
    }
}

/// The board's end: serves one thing until it goes.
pub fn serve(stream: &mut (impl Read + Write), board: &SimulatedBoard) -> io::Result<()> {
    let mut board = board.clone();
    let mut head = [0; 3];
    loop {
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            outcome => outcome?,
        }
        let [address, operation, count] = head;
        let mut bytes = vec![0; usize::from(count)];
        let mut answer = Vec::with_capacity(bytes.len() + 1);
        match operation {
            WRITE => {
                stream.read_exact(&mut bytes)?;
                answer.push(if board.write(address, &bytes).is_ok() { DONE } else { REFUSED });
            }
            READ => match board.read(address, &mut bytes) {
                Ok(()) => {
                    answer.push(DONE);
                    answer.extend(&bytes);
                }
                Err(_) => answer.push(REFUSED),
            },
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "neither a write nor a read")),
        }
        stream.write_all(&answer)?;
    }
}

fn exchange(
    stream: &mut (impl Read + Write),
    address: u8,
    operation: &mut Operation<'_>,
) -> Result<(), RemoteError> {
    let too_long = || RemoteError::Away(io::Error::new(io::ErrorKind::InvalidInput, "more than 255 bytes"));
    let (code, count) = match operation {
        Operation::Write(bytes) => (WRITE, bytes.len()),
        Operation::Read(buffer) => (READ, buffer.len()),
    };
    let mut request = vec![address, code, u8::try_from(count).map_err(|_| too_long())?];
    if let Operation::Write(bytes) = operation {
        request.extend_from_slice(bytes);
    }
    stream.write_all(&request).map_err(RemoteError::Away)?;
    let mut outcome = [REFUSED];
    stream.read_exact(&mut outcome).map_err(RemoteError::Away)?;
    if outcome != [DONE] {
        return Err(RemoteError::Refused);
    }
    match operation {
        Operation::Read(buffer) => stream.read_exact(buffer).map_err(RemoteError::Away),
        Operation::Write(_) => Ok(()),
    }
}

#[cfg(unix)]
type Socket = std::os::unix::net::UnixStream;

#[cfg(unix)]
fn connect(path: &Path) -> io::Result<Socket> {
    let stream = Socket::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(not(unix))]
type Socket = std::net::TcpStream;

#[cfg(not(unix))]
fn connect(_: &Path) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets here"))
}

impl i2c::ErrorType for RemoteBus {
    type Error = RemoteError;
}

impl I2c for RemoteBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), RemoteError> {
        operations.iter_mut().try_for_each(|operation| self.transfer(address, operation))
    }
}

impl i2c::Error for RemoteError {
    fn kind(&self) -> i2c::ErrorKind {
        match self {
            Self::Refused => i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Away(_) => i2c::ErrorKind::Other,
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("no device has acknowledged"),
            Self::Away(error) => write!(f, "no board behind the socket: {error}"),
        }
    }
}

impl std::error::Error for RemoteError {}
