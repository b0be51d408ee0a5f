//! A program in a terminal of its own, with a person who types and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::SOON;

/// A running program and its terminal. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    /// The person's side.
    person: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a program whose three streams, and controlling terminal, are a new terminal.
    pub fn start(command: &Command) -> Self {
        Self::open(command, None)
    }

    /// The same, with a terminal of so many columns and rows.
    pub fn start_sized(command: &Command, columns: u16, rows: u16) -> Self {
        Self::open(command, Some((columns, rows)))
    }

    fn open(command: &Command, size: Option<(u16, u16)>) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        if let Some((columns, rows)) = size {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(&person, size).unwrap();
        }
        let program = ioctl_tiocgptpeer(&person, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let stream = || Stdio::from(program.try_clone().unwrap());
        // makes its standard input the controlling terminal, then becomes the program
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            setsid.env(name, value.unwrap_or_default());
        }
        if let Some(dir) = command.get_current_dir() {
            setsid.current_dir(dir);
        }
        let child = setsid.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let person = File::from(person);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, sink) = (person.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // an error is how a terminal ends that nobody has open any more
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Self { child, person, shown }
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this text is on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        eventually(|| self.text().contains(text), || format!("{text:?} is not shown\n{}", self.text()));
    }

    /// All that was shown so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).replace("\r\n", "\n")
    }

    /// Whether keys are shown as they are typed, and wait for the end of the line: the way a shell leaves a terminal.
    pub fn is_as_before(&self) -> bool {
        tcgetattr(&self.person).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Whether keys are not shown as they are typed.
    pub fn hides_keys(&self) -> bool {
        !tcgetattr(&self.person).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the end of the program: its exit code and all that was shown.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        let deadline = Instant::now() + SOON;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still runs\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        // the last bytes are on their way through the other thread
        std::thread::sleep(Duration::from_millis(50));
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until something is so; panics with the report if it does not come.
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool, report: impl Fn() -> String) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", report());
        std::thread::sleep(Duration::from_millis(10));
    }
}
