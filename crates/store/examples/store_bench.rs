//! How fast the store is on this disk: `cargo run --release -p grovemq-store --example store_bench [DIRECTORY]`.
//!
//! Groups of QoS 1 messages of 120 bytes for one session, each group finishing the messages of an earlier one, with a sync
//! per group; the same disk's plain `fdatasync` before and after; and the recovery of a million retained and a million
//! queued messages.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for the terminal")]
#![expect(clippy::cast_precision_loss, reason = "figures to read")]

use grovemq_codec::Qos;
use grovemq_core::journal::{QueuedImage, Record, SessionImage};
use grovemq_core::{Message, MessageRef};
use grovemq_store::{Disk, Error, Mode, Options, Store};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let dir = tempfile::Builder::new().prefix("store-bench-").tempdir_in(parent)?;
    for (size, groups) in [(1, 1000), (10, 1000), (400, 2500)] {
        let before = plain_sync(dir.path())?;
        groups_of(&dir.path().join(format!("groups-{size}")), size, groups)?;
        println!("    plain fdatasync p50 {before:.0?} before, {:.0?} after", plain_sync(dir.path())?);
    }
    recovery(&dir.path().join("recovery"), 1_000_000)?;
    Ok(())
}

/// Half of the plain ones take no longer: a small write in a file that has its size, and `fdatasync`.
fn plain_sync(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join("plain");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for n in 0..500 {
        let begun = Instant::now();
        file.write_all_at(&[7; 300], n * 300)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(quantile(&mut times, 50))
}

fn groups_of(path: &Path, size: u64, groups: u64) -> Outcome {
    let mut store = Disk::open(path, &Options { mode: Mode::Durable, ..Options::default() })?;
    store.commit(&[session(1)])?;
    let (mut times, written, cpu) = (Vec::new(), written()?, cpu()?);
    let begun = Instant::now();
    for group in 0..groups {
        let new = (group * size..(group + 1) * size).map(|seq| queued(1, seq, message("lab/t", seq)));
        let old = (group.saturating_sub(2) * size..group.saturating_sub(1) * size)
            .map(|seq| Record::Finished { session: 1, seq });
        let records: Vec<Record> = new.chain(old).collect();
        let begun = Instant::now();
        store.commit(&records)?;
        times.push(begun.elapsed());
    }
    let (took, messages) = (begun.elapsed().as_secs_f64(), (groups * size) as f64);
    println!(
        "groups of {size}: {:.0} messages/s, {:.2} µs of CPU and {:.0} bytes written per message; a commit p50 {:.0?}, p99 {:.0?}, longest {:.0?}; {} KiB on disk, {} KiB resident",
        messages / took,
        self::cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / messages,
        (self::written()? - written) as f64 / messages,
        quantile(&mut times, 50),
        quantile(&mut times, 99),
        quantile(&mut times, 100),
        store.stats().bytes >> 10,
        resident()? >> 10,
    );
    Ok(())
}

fn recovery(path: &Path, each: u64) -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { mode: Mode::Written, ..Options::default() };
    let mut store = Disk::open(path, &options)?;
    let sessions: Vec<Record> = (1..=1000).map(session).collect();
    store.commit(&sessions)?;
    let begun = Instant::now();
    for first in (0..each).step_by(500) {
        let numbers = || first..(first + 500).min(each);
        let retained =
            numbers().map(|n| Record::Retained(message(&format!("lab/bench/{}/{n}/state", n % 100), n)));
        let queued = numbers().map(|n| queued(n % 1000 + 1, n, message("lab/t", n)));
        let records: Vec<Record> = retained.chain(queued).collect();
        store.commit(&records)?;
    }
    println!("{each} retained and {each} queued messages written in {:.1?}", begun.elapsed());
    store.flush()?;
    drop(store);

    let (mut kept, before) = (Vec::new(), resident()?);
    let (begun, cpu) = (Instant::now(), cpu()?);
    let mut store = Disk::open(path, &options)?;
    let found = store.recover(&mut |saved| kept.push(saved))?;
    let took = begun.elapsed();
    println!(
        "recovered {} retained and {} queued messages of {} sessions in {took:.1?}, {:.1?} of CPU, from {} MiB; {} MiB resident with all of them, {} MiB at most",
        found.retained,
        found.queued,
        found.sessions,
        self::cpu()?.saturating_sub(cpu),
        store.stats().bytes >> 20,
        (resident()? - before) >> 20,
        status("VmHWM:")? >> 20,
    );
    match found.lost.first() {
        Some(lost) => Err(lost.to_string().into()),
        None => Ok(()),
    }
}

fn session(id: u64) -> Record {
    Record::Session(Box::new(SessionImage {
        id,
        client_id: format!("client-{id}").into(),
        username: None,
        mount: None,
        expiry: u32::MAX,
        expires: None,
        will: None,
    }))
}

fn message(topic: &str, n: u64) -> Arc<Message> {
    let mut payload = [b'.'; 120];
    payload[..8].copy_from_slice(&n.to_le_bytes());
    let qos = Qos::AtLeastOnce;
    MessageRef { topic, properties: &[], payload: &payload, qos, retain: false, expires: None }.to_shared()
}

fn queued(session: u64, seq: u64, message: Arc<Message>) -> Record {
    let image = QueuedImage { seq, message, qos: Qos::AtLeastOnce, retain: false, ids: None };
    Record::Queued(session, image)
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn written() -> std::io::Result<u64> {
    number(&std::fs::read_to_string("/proc/self/io")?, "write_bytes:")
}

fn resident() -> std::io::Result<u64> {
    status("VmRSS:")
}

fn status(field: &str) -> std::io::Result<u64> {
    Ok(number(&std::fs::read_to_string("/proc/self/status")?, field)? << 10)
}

fn number(text: &str, field: &str) -> std::io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).ok_or_else(|| std::io::Error::other(format!("no {field}")))
}

/// User and system time of this process.
fn cpu() -> Result<Duration, Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")
        .map_err(|e| Error::io(Path::new("/proc/self/stat"), "read", e))?;
    // behind the name, which is in brackets: fields 14 and 15, in hundredths of a second
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
