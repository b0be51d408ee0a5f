//! `bench`: load on a server, and how long it takes.
//!
//! The load is open-loop: when something is to happen is decided by the clock alone, and a latency counts from that moment. A
//! server that stalls is charged for all that waits meanwhile, not just for the one request that found it stalled.

mod load;
mod stats;

use crate::exit::Exit;
use crate::flags::high::{Session, message_properties};
use crate::flags::instruments::{BenchMode, Rate};
use crate::flags::{Complaint, Low, LowProperties, Tool};
use grovemq_client::{Options, Properties, Qos, Reconnect};
use load::{Phase, Role};
use stats::Stats;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// What `bench` is to do.
#[derive(Clone, Debug)]
pub(crate) struct Benching {
    mode: BenchMode,
    options: Options,
    quiet: bool,
    warning: Option<String>,
    clients: u32,
    /// Beside the clients, where those subscribe.
    publishers: u32,
    /// Connections begun in a second.
    ramp: u32,
    /// Messages in a second, of all publishers together.
    rate: Rate,
    /// Bytes of a payload.
    size: usize,
    qos: Qos,
    /// Of every message.
    properties: Properties,
    /// `%i` is the number of the client.
    topic: String,
    id_prefix: String,
    duration: Duration,
    threads: usize,
    json: bool,
}

const CLIENTS: u32 = 100;
const RAMP: u32 = 1000;
const RATE: f64 = 1000.0;
const SIZE: usize = 64;
const DURATION: Duration = Duration::from_secs(10);
const THREADS: usize = 2;
/// Unacknowledged messages of one client: a window of the usual size would hold back what is due.
const INFLIGHT: u16 = 1000;
/// Files that are open beside the clients' sockets.
const OTHER_FILES: u64 = 64;
/// How long the last messages may take after the load has ended.
const DRAIN: Duration = Duration::from_secs(5);
const PROGRESS: Duration = Duration::from_millis(500);

impl Benching {
    pub(crate) fn new(mut low: Low) -> Result<Self, Complaint> {
        let wrong = || Complaint::error("You must specify what to do: conn, pub or sub.");
        let mode = low.operands.pop().and_then(|word| BenchMode::named(&word)).ok_or_else(wrong)?;
        low.inflight_max.get_or_insert(INFLIGHT);
        let topic = low.topics.pop().unwrap_or_else(|| "grovemq-bench/%i".to_owned());
        let own_prefix = || format!("grovemq-bench-{}-", std::process::id());
        let id_prefix = low.id_prefix.take().or(low.client_id.take()).unwrap_or_else(own_prefix);
        let Session { options, quiet, warning, .. } = Session::new(&low, Tool::Bench)?;
        let LowProperties { publish, subscribe, unsubscribe, disconnect, will, connect: _ } = &low.properties;
        if [subscribe, unsubscribe, disconnect, will].iter().any(|list| !list.is_empty()) {
            return Err(Complaint::error("Only CONNECT and PUBLISH have properties here."));
        }
        let given = low.instruments;
        Ok(Self {
            mode,
            options: options.reconnect(Reconnect::Never),
            quiet,
            warning,
            clients: given.clients.unwrap_or(CLIENTS),
            publishers: if mode == BenchMode::Sub { given.publishers.unwrap_or(1) } else { 0 },
            ramp: given.ramp.unwrap_or(RAMP),
            rate: given.rate.unwrap_or(Rate::PerSecond(RATE)),
            size: given.size.unwrap_or(SIZE),
            qos: low.qos,
            properties: message_properties(publish),
            topic,
            id_prefix,
            duration: given.duration.unwrap_or(DURATION),
            threads: given.threads.unwrap_or(THREADS),
            json: low.json,
        })
    }

    fn connections(&self) -> u32 {
        self.clients.saturating_add(self.publishers)
    }

    fn complain(&self, line: &str) {
        if !self.quiet {
            crate::complain(line);
        }
    }
}

/// Makes the load, prints the result, and gives the exit code: success if nothing failed and nobody was lost.
pub(crate) fn run(plan: &Benching) -> Exit {
    if let Some(line) = &plan.warning {
        plan.complain(line);
    }
    if let Err(line) = make_room(plan.connections()) {
        plan.complain(&line);
        return Exit::FAILURE;
    }
    let (runtime, crew) = match crate::runtime().and_then(|own| Ok((own, Crew::hire(plan.threads)?))) {
        Ok(both) => both,
        Err(error) => {
            plan.complain(&format!("Error: {error}"));
            return Exit::FAILURE;
        }
    };
    let stats = Arc::new(Stats::new());
    let seconds = runtime.block_on(drive(plan, &crew, &stats));
    let report = stats.report(plan, seconds);
    let printed = crate::print(&if plan.json { report.as_json() } else { report.as_text() });
    if printed == Exit::OK && report.is_good() { Exit::OK } else { Exit::FAILURE }
}

/// Threads with a runtime each, which clients are dealt out to: a client stays where it is, and no thread waits for
/// another.
struct Crew {
    handles: Vec<Handle>,
    /// The threads end when it is dropped.
    _leave: watch::Sender<()>,
}

impl Crew {
    fn hire(threads: usize) -> io::Result<Self> {
        let (leave, left) = watch::channel(());
        let mut handles = Vec::new();
        for number in 0..threads {
            let runtime = crate::runtime()?;
            handles.push(runtime.handle().clone());
            let mut left = left.clone();
            std::thread::Builder::new().name(format!("load-{number}")).spawn(move || {
                runtime.block_on(async { while left.changed().await.is_ok() {} });
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles, _leave: leave })
    }

    /// One after the other, without end.
    fn in_turns(&self) -> impl Iterator<Item = &Handle> {
        self.handles.iter().cycle()
    }
}

/// Each connection is an open file.
#[cfg(unix)]
fn make_room(connections: u32) -> Result<(), String> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let needed = u64::from(connections) + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("Error: {error}"))?;
    if soft >= needed {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).map_err(|error| format!("Error: {error}"))?;
    if hard >= needed {
        return Ok(());
    }
    Err(format!(
        "Error: {connections} clients need {needed} open files, and {hard} are allowed (ulimit -Hn)."
    ))
}

#[cfg(not(unix))]
fn make_room(_connections: u32) -> Result<(), String> {
    Ok(())
}

/// All of it; gives how many seconds the load lasted.
async fn drive(plan: &Benching, crew: &Crew, stats: &Arc<Stats>) -> f64 {
    let (phase, phases) = watch::channel(Phase::Connecting);
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, thread) in (0..plan.connections()).zip(crew.in_turns()) {
        let role = match plan.mode {
            BenchMode::Conn => Role::Idle,
            BenchMode::Sub if number < plan.clients => Role::Subscriber,
            BenchMode::Sub | BenchMode::Pub => Role::Publisher,
        };
        let due = begun + Duration::from_secs_f64(f64::from(number) / f64::from(plan.ramp));
        let client = load::Client::new(plan, number, role, due, Arc::clone(stats), phases.clone());
        tasks.spawn_on(client.run(), thread);
    }
    let mut progress = Progress::new(plan, begun);
    let mut interrupted = pin!(crate::interrupted());
    let all_settled = async {
        while stats.settled() < u64::from(plan.connections()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let mut is_interrupted = tokio::select! {
        () = all_settled => false,
        () = &mut interrupted => true,
        () = progress.show(stats) => false,
    };
    // connections that have just come about get their acknowledgements out of the way
    let start = Instant::now() + Duration::from_millis(10);
    let end = start + plan.duration;
    if !is_interrupted && stats.connected() > 0 {
        let _everybody_is_gone = phase.send(Phase::Running { start, end });
        tokio::select! {
            () = sleep_until(end) => {}
            () = &mut interrupted => is_interrupted = true,
            () = progress.show(stats) => {}
        }
    }
    let seconds = Instant::now().saturating_duration_since(start).as_secs_f64();
    let _everybody_is_gone = phase.send(Phase::Ending);
    let all_gone = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = all_gone => {}
        () = sleep(DRAIN + Duration::from_secs(1)) => {}
        () = &mut interrupted, if !is_interrupted => {}
    }
    progress.clear();
    seconds
}

/// A line on the terminal that is written again and again.
struct Progress {
    is_on: bool,
    begun: Instant,
}

impl Progress {
    fn new(plan: &Benching, begun: Instant) -> Self {
        Self { is_on: !plan.quiet && io::stderr().is_terminal(), begun }
    }

    /// Never ends.
    async fn show(&mut self, stats: &Stats) {
        loop {
            sleep(PROGRESS).await;
            if self.is_on {
                let line = stats.progress(self.begun.elapsed());
                write(&format!("\r\x1b[K{line}"));
            }
        }
    }

    fn clear(&self) {
        if self.is_on {
            write("\r\x1b[K");
        }
    }
}

/// Who cannot see how it goes will see the result.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}
