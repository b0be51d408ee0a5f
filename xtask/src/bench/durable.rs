//! `cargo xtask bench --durable`: what it costs that a message is on disk before it is acknowledged, beside what this disk takes
//! for the smallest thing it can be asked.
//!
//! Publishers send one message of QoS 1 at a time, for a session that is away, and wait for each acknowledgement. The
//! same folder's plain `fdatasync` is measured before and after. Needs nothing but the release build.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::number;
use crate::shell::{cargo, execute, program, target};

const PAYLOAD: [u8; 100] = [b'.'; 100];
const PUBLISHERS: [usize; 3] = [1, 10, 100];
/// Messages sent before any acknowledgement is waited for, where speed is not what is measured.
const BATCH: usize = 1000;
/// QoS 0 messages that may be under way.
const WINDOW: u64 = 50_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures and prints.
pub(super) fn run(args: &[&str]) -> Result<()> {
    let options = Options::parse(args)?;
    if options.ours == super::release_build() {
        execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    }
    let parent = options.dir.clone().unwrap_or_else(target);
    let dir = tempfile::Builder::new().prefix("bench-durable-").tempdir_in(parent)?;
    let (time, many) =
        if options.quick { (Duration::from_secs(1), 50_000) } else { (Duration::from_secs(10), 1_000_000) };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.trim());
    println!("| what | p50 | p99 | rate | written to disk |\n|---|---:|---:|---:|---:|");
    for publishers in PUBLISHERS {
        // each time anew: others may use the disk, too
        plain_sync(dir.path(), time / 2)?.print("plain `fdatasync` of 300 bytes");
        let folder = dir.path().join(publishers.to_string());
        let broker = Broker::start(&options.ours, &folder)?;
        broker.subscriber_that_leaves()?;
        broker.publish_for(time, publishers)?.print(&format!("acknowledgements to {publishers} publishers"));
    }
    plain_sync(dir.path(), time / 2)?.print("plain `fdatasync` again");

    let broker = Broker::start(&options.ours, &dir.path().join("beside"))?;
    broker.subscriber_that_leaves()?;
    let alone = broker.rate_of_qos0("alone", time)?;
    let over = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let load = (0..10).map(|_| scope.spawn(|| broker.publish_until(&over))).collect::<Vec<_>>();
        let rate = broker.rate_of_qos0("beside", time);
        over.store(true, Ordering::Relaxed);
        for publisher in load {
            publisher.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))??;
        }
        rate
    })?;
    println!(
        "\nQoS 0, 1→1: {alone:.0}/s alone, {beside:.0}/s beside 10 publishers whose messages are stored"
    );
    drop(broker);
    restart(&options.ours, &dir.path().join("restart"), many)
}

struct Options {
    ours: PathBuf,
    /// A folder on the disk to be measured.
    dir: Option<PathBuf>,
    quick: bool,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self { ours: super::release_build(), dir: None, quick: false };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || args.next().copied().with_context(|| format!("{arg} takes a path"));
            match arg {
                "--binary" => options.ours = value()?.into(),
                "--dir" => options.dir = Some(value()?.into()),
                "--quick" => options.quick = true,
                other => bail!("--durable goes with --binary, --dir and --quick, not `{other}`"),
            }
        }
        Ok(options)
    }
}

/// How long each of many took, and what that wrote.
struct Figures {
    times: Vec<Duration>,
    whole: Duration,
    bytes: Option<u64>,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures to read")]
    fn print(mut self, what: &str) {
        self.times.sort_unstable();
        let count = self.times.len();
        let at = |percent: usize| self.times.get(count * percent / 100).copied().unwrap_or_default();
        let rate = count as f64 / self.whole.as_secs_f64();
        let bytes = self.bytes.map_or_else(String::new, |b| format!("{:.0} B each", b as f64 / count as f64));
        println!("| {what} | {:.2?} | {:.2?} | {rate:.0}/s | {bytes} |", at(50), at(99));
    }
}

/// A small write in a file that has its size, and `fdatasync`, again and again.
fn plain_sync(dir: &Path, time: Duration) -> Result<Figures> {
    let path = dir.join("plain");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    for place in (0..3000).cycle() {
        let start = Instant::now();
        file.write_all_at(&[7; 300], place * 300)?;
        file.sync_data()?;
        times.push(start.elapsed());
        if begun.elapsed() > time {
            break;
        }
    }
    std::fs::remove_file(path)?;
    Ok(Figures { times, whole: begun.elapsed(), bytes: None })
}

/// How soon a broker listens again that was killed with so many retained and so many queued messages.
fn restart(ours: &Path, dir: &Path, many: usize) -> Result<()> {
    let broker = Broker::start(ours, dir)?;
    broker.subscriber_that_leaves()?;
    broker.fill(many, 0x33, |n| format!("kept/{}/{n}", n % 1000))?;
    broker.fill(many, 0x32, |_| "lab/t".to_owned())?;
    drop(broker);
    let begun = Instant::now();
    let broker = Broker::start(ours, dir)?;
    let took = begun.elapsed();
    let (cpu, size) = (broker.cpu_seconds()?, broker.size()?);
    println!(
        "Restart with {many} retained and {many} queued messages: listening after {took:.2?}, \
         {cpu:.2} s of CPU time, {size}"
    );
    Ok(())
}

/// Killed when it is dropped.
struct Broker {
    child: Child,
    address: SocketAddr,
}

impl Broker {
    fn start(ours: &Path, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = dir.join("broker.conf");
        let lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\nlog_type error\npersistence true\n\
             persistence_location {}\nmax_queued_messages 0\n",
            address.port(),
            dir.display()
        );
        std::fs::write(&file, lines)?;
        let mut command = program(ours, &["broker", "-c"]);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut broker = Self { child: command.spawn()?, address };
        let begun = Instant::now();
        while broker.connect("probe", true).is_err() {
            if begun.elapsed() > PATIENCE || broker.child.try_wait()?.is_some() {
                bail!("nobody answers at {address}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(broker)
    }

    fn connect(&self, client_id: &str, clean: bool) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let flags = if clean { 2 } else { 0 };
        let body = [&text("MQTT")[..], &[4, flags, 0, 0], &text(client_id)].concat();
        stream.write_all(&packet(0x10, &body))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer[0] != 0x20 || answer[3] != 0 {
            bail!("refused: {answer:?}");
        }
        Ok(stream)
    }

    /// For it all messages are stored.
    fn subscriber_that_leaves(&self) -> Result<()> {
        let mut stream = self.connect("away", false)?;
        stream.write_all(&packet(0x82, &[&[0, 1][..], &text("lab/#"), &[1]].concat()))?;
        stream.read_exact(&mut [0; 5])?;
        Ok(stream.write_all(&packet(0xe0, &[]))?)
    }

    fn publish_for(&self, time: Duration, publishers: usize) -> Result<Figures> {
        let (over, before) = (AtomicBool::new(false), self.written()?);
        let begun = Instant::now();
        let times = thread::scope(|scope| {
            let all = (0..publishers).map(|_| scope.spawn(|| self.publish_until(&over))).collect::<Vec<_>>();
            thread::sleep(time);
            over.store(true, Ordering::Relaxed);
            let mut times = Vec::new();
            for publisher in all {
                times.extend(publisher.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))??);
            }
            Ok::<_, anyhow::Error>(times)
        })?;
        Ok(Figures { times, whole: begun.elapsed(), bytes: Some(self.written()? - before) })
    }

    /// One message at a time.
    fn publish_until(&self, over: &AtomicBool) -> Result<Vec<Duration>> {
        let mut stream = self.connect("", true)?;
        let message = packet(0x32, &[&text("lab/t")[..], &[0, 1], &PAYLOAD].concat());
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut [0; 4])?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// Many messages of QoS 1, many at a time.
    fn fill(&self, many: usize, first: u8, topic: impl Fn(usize) -> String) -> Result<()> {
        let mut stream = self.connect("", true)?;
        for batch in 0..many.div_ceil(BATCH) {
            let numbers = batch * BATCH..((batch + 1) * BATCH).min(many);
            let mut answers = vec![0; 4 * numbers.len()];
            let message = |n| packet(first, &[&text(&topic(n))[..], &[0, 1], &PAYLOAD].concat());
            let bytes: Vec<u8> = numbers.flat_map(message).collect();
            stream.write_all(&bytes)?;
            stream.read_exact(&mut answers)?;
        }
        Ok(())
    }

    /// Messages per second from one client to another, over a topic that no earlier ones are still under way to.
    #[expect(clippy::cast_precision_loss, reason = "figures to read")]
    fn rate_of_qos0(&self, topic: &str, time: Duration) -> Result<f64> {
        let mut subscriber = self.connect("", true)?;
        subscriber.write_all(&packet(0x82, &[&[0, 1][..], &text(topic), &[0]].concat()))?;
        subscriber.read_exact(&mut [0; 5])?;
        let mut publisher = self.connect("", true)?;
        let message = packet(0x30, &[&text(topic)[..], &PAYLOAD].concat());
        let batch = message.repeat(100);
        let (arrived, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let begun = Instant::now();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut buffer, mut bytes) = (vec![0; 64 << 10], 0);
                while !over.load(Ordering::Relaxed) {
                    bytes += subscriber.read(&mut buffer)?;
                    arrived.store((bytes / message.len()) as u64, Ordering::Relaxed);
                }
                Ok::<_, std::io::Error>(())
            });
            let mut sent = 0;
            while begun.elapsed() < time {
                if sent - arrived.load(Ordering::Relaxed) < WINDOW {
                    publisher.write_all(&batch)?;
                    sent += 100;
                } else {
                    thread::sleep(Duration::from_micros(50));
                }
            }
            over.store(true, Ordering::Relaxed);
            // so that there is something to read
            publisher.write_all(&batch)?;
            reader.join().map_err(|_| anyhow::anyhow!("the subscriber panicked"))??;
            Ok(arrived.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
        })
    }

    /// Bytes it has caused to be written to disk.
    fn written(&self) -> Result<u64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(line.context("no write_bytes")?.trim().parse()?)
    }

    /// User and system, of all its threads, in ticks of 10 ms.
    fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').context("no name")?.1.split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    }

    fn size(&self) -> Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = number(&status, "VmRSS:", "kB").context("no VmRSS")?;
        Ok(format!("{:.0} MiB resident", kib / 1024.0))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Of less than 16,384 bytes.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let low = u8::try_from(len % 128).unwrap_or_default();
    let high = u8::try_from(len / 128).unwrap_or_default();
    let header = if high == 0 { vec![first, low] } else { vec![first, low | 0x80, high] };
    [&header[..], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap_or_default();
    [&len.to_be_bytes()[..], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_say_how_long_they_are() {
        assert_eq!(packet(0xe0, &[]), [0xe0, 0]);
        assert_eq!(packet(0x30, &[0; 127])[..2], [0x30, 127]);
        assert_eq!(packet(0x30, &[0; 300])[..3], [0x30, 0xac, 2]);
        assert_eq!(text("ab"), [0, 2, b'a', b'b']);
    }

    #[test]
    fn options_are_checked() {
        assert!(Options::parse(&["--quick", "--dir", "x"]).is_ok_and(|o| o.quick && o.dir.is_some()));
        assert!(Options::parse(&["--dir"]).is_err());
        assert!(Options::parse(&["--rounds", "3"]).is_err());
    }
}
