//! A running program whose output is collected line by line, can be waited for, and which never outlives its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

/// How a program ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; 128 + the signal's number if a signal ended it, as a shell says it.
    pub code: i32,
    /// All of standard output, byte for byte.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: String,
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}, stdout {:?}, stderr {:?}", self.code, self.text(), self.stderr)
    }
}

impl Finished {
    /// Standard output as text, invalid bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same, if the exit code is 0; else a panic with everything it printed.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(
            self.code,
            0,
            "exit code {}\nstdout:\n{}\nstderr:\n{}",
            self.code,
            self.text(),
            self.stderr
        );
        self
    }
}

impl Program {
    /// Starts a command with all three streams piped. Standard input stays open until [`Program::close_stdin`] or the end.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let stdout = Stream::of(child.stdout.take().unwrap());
        let stderr = Stream::of(child.stderr.take().unwrap());
        Program { name, stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Starts a command, gives it these bytes on standard input, and waits for its end.
    #[track_caller]
    pub fn run(command: &mut Command, input: &[u8], within: Duration) -> Finished {
        let mut program = Program::start(command);
        program.type_bytes(input);
        program.close_stdin();
        program.finish(within)
    }

    /// Writes to standard input. A program that has already gone does not mind.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        let Some(stdin) = &mut self.stdin else { panic!("standard input of {} was closed", self.name) };
        match stdin.write_all(bytes).and_then(|()| stdin.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => panic!("typing to {}: {e}", self.name),
            _ => {}
        }
    }

    /// Writes one line to standard input.
    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// The program reads end of file from here on.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// SIGINT, as Ctrl+C sends it.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM, as a service manager sends it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP, the request to reload.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGKILL: gone without a word, as after a power cut.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for the program's end, at most so long; then kills it and panics.
    #[track_caller]
    pub fn finish(mut self, within: Duration) -> Finished {
        let Some(status) = self.wait(within) else {
            self.kill();
            panic!("{} still runs after {within:?}\n{}", self.name, self.transcript())
        };
        Finished { code: exit_code(status), stdout: self.stdout.rest(), stderr: lossy(&self.stderr.rest()) }
    }

    /// Waits until a line of standard error contains this text, and returns that line (the first such line).
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str, within: Duration) -> String {
        self.wait_for(&self.stderr, text, within)
    }

    /// Waits until a line of standard output contains this text, and returns that line (the first such line).
    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str, within: Duration) -> String {
        self.wait_for(&self.stdout, text, within)
    }

    /// The whole lines of standard output so far.
    pub fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// The whole lines of standard error so far.
    pub fn stderr_lines(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it not ended yet?
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it said so far, for the report of a failure.
    pub fn transcript(&self) -> String {
        format!(
            "{} said on stdout:\n{}\non stderr:\n{}",
            self.name,
            lossy(&self.stdout.bytes()),
            lossy(&self.stderr.bytes())
        )
    }

    #[track_caller]
    fn wait_for(&self, stream: &Stream, text: &str, within: Duration) -> String {
        stream
            .wait_for(text, within)
            .unwrap_or_else(|| panic!("no line with {text:?} within {within:?}\n{}", self.transcript()))
    }

    fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // a process that has gone by itself is what the signal wanted
        kill_process(pid, signal).ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One output of the child, read by a thread of its own so that the child never blocks on a full pipe.
#[derive(Debug)]
struct Stream {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    read: Mutex<Collected>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn of(source: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            loop {
                let n = match source.fill_buf() {
                    Ok([]) | Err(_) => break,
                    Ok(chunk) => {
                        theirs.read.lock().unwrap().bytes.extend_from_slice(chunk);
                        chunk.len()
                    }
                };
                source.consume(n);
                theirs.grew.notify_all();
            }
            theirs.read.lock().unwrap().ended = true;
            theirs.grew.notify_all();
        });
        Stream { shared, reader: Some(reader) }
    }

    /// All of it; the child has ended. A grandchild that still holds the pipe is not waited for longer than a moment.
    fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut read = self.shared.read.lock().unwrap();
        while !read.ended && Instant::now() < deadline {
            read = self.shared.grew.wait_timeout(read, Duration::from_millis(50)).unwrap().0;
        }
        if read.ended {
            drop(self.reader.take().map(JoinHandle::join));
        }
        std::mem::take(&mut read.bytes)
    }

    fn wait_for(&self, text: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut read = self.shared.read.lock().unwrap();
        loop {
            if let Some(line) = whole_lines(&read.bytes).into_iter().find(|line| line.contains(text)) {
                return Some(line);
            }
            let now = Instant::now();
            if read.ended || now >= deadline {
                return None;
            }
            read = self.shared.grew.wait_timeout(read, deadline - now).unwrap().0;
        }
    }

    fn lines(&self) -> Vec<String> {
        whole_lines(&self.shared.read.lock().unwrap().bytes)
    }

    fn bytes(&self) -> Vec<u8> {
        self.shared.read.lock().unwrap().bytes.clone()
    }
}

fn whole_lines(bytes: &[u8]) -> Vec<String> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    bytes[..whole].split_inclusive(|&b| b == b'\n').map(|line| lossy(line).trim_end().to_owned()).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOON;

    #[test]
    fn output_input_and_exit_code_are_those_of_the_program() {
        let mut cat = Command::new("sh");
        cat.args(["-c", "echo ready >&2; cat; exit 3"]);
        let mut program = Program::start(&mut cat);
        assert_eq!(program.wait_for_stderr("read", SOON), "ready");
        program.type_line("one");
        assert_eq!(program.wait_for_stdout("one", SOON), "one");
        program.type_bytes(b"two");
        program.close_stdin();
        let end = program.finish(SOON);
        assert_eq!(end, Finished { code: 3, stdout: b"one\ntwo".to_vec(), stderr: "ready\n".into() });
    }

    #[test]
    fn a_signal_is_reported_as_a_shell_reports_it() {
        let program = Program::start(Command::new("sleep").arg("60"));
        program.terminate();
        assert_eq!(program.finish(SOON).code, 143);
    }

    #[test]
    #[should_panic(expected = "no line with \"never\"")]
    fn waiting_for_a_line_that_never_comes_ends_with_the_program() {
        Program::start(&mut Command::new("true")).wait_for_stdout("never", Duration::from_secs(60));
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let program = Program::start(Command::new("sleep").arg("60"));
        let entry = format!("/proc/{}", program.pid());
        assert!(std::path::Path::new(&entry).exists());
        drop(program);
        assert!(!std::path::Path::new(&entry).exists());
    }
}
