//! `cargo xtask bench scaling`: pairs of clients with one shard and with two, each shard with the same small share of a processor.
//!
//! Where the load generator and the broker share two processors, a second shard has what the generator leaves over, and a rate
//! says nothing of what the shards cost each other. With the event loops held to a share each, they are what limits, and the
//! generator has room. The share is a quota of the kernel's scheduler (control groups, version 1), by thread.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::brokers::{Peer, Server};
use super::page::Row;
use super::scenarios::{Better, PLAIN, Scenario};
use super::{LIMIT, Options, median, number};
use crate::shell::{output, program};

pub(super) const NAME: &str = "scaling";

/// Microseconds of a processor that a shard may use in each period: short ones, so that a share is no burst and a long pause.
const QUOTA_US: u32 = 1000;
const PERIOD_US: u32 = 5000;

/// Event loops are threads of this name and a number.
const THREAD: &str = "shard-";
const PATIENCE: Duration = Duration::from_secs(5);

/// A ratio of rates, each of which is off by a tenth now and then.
const ROUNDS_MIN: usize = 5;

struct Case {
    title: &'static str,
    qos: &'static str,
    /// For each shard, so that one and two are measured for about as long.
    messages: u32,
    /// Names of the rates with one shard and with two, and of their ratio.
    figures: [&'static str; 3],
}

const CASES: [Case; 2] = [
    Case {
        title: "QoS 0, 100 pairs, each shard 20 % of a processor",
        qos: "0",
        messages: 1_500_000,
        figures: ["qos0-1", "qos0-2", "qos0"],
    },
    Case {
        title: "QoS 1, 100 pairs, each shard 20 % of a processor",
        qos: "1",
        messages: 600_000,
        figures: ["qos1-1", "qos1-2", "qos1"],
    },
];

const SHARDS: [(u32, Scenario); 2] = [
    (1, Scenario { name: NAME, lines: &[(Peer::Ours, "shards 1\n")], ..PLAIN }),
    (2, Scenario { name: NAME, lines: &[(Peer::Ours, "shards 2\n")], ..PLAIN }),
];

/// A window that does not run empty while the shards wait for their next period.
#[rustfmt::skip]
const PAIRS: [&str; 9] = [
    "throughput", "--shape", "pair", "--publishers", "100", "--subscribers", "100", "--window", "20000",
];

/// The rates of both in turns, and their ratio.
pub(super) fn measure(options: &Options) -> Result<Vec<Row>> {
    let Some(cpu) = controller(&std::fs::read_to_string("/proc/self/mounts")?) else {
        println!("LEFT OUT {NAME}: there are no control groups, version 1, with the controller `cpu`");
        return Ok(Vec::new());
    };
    if !rustix::process::geteuid().is_root() {
        println!("LEFT OUT {NAME}: root alone may give each thread a share of a processor");
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for case in &CASES {
        let mut samples = SHARDS.map(|_| Vec::new());
        let rounds = if options.quick { 1 } else { options.rounds.max(ROUNDS_MIN) };
        for round in 1..=rounds {
            for ((shards, scenario), rates) in SHARDS.iter().zip(&mut samples) {
                let said = once(case, *shards, scenario, &cpu, options).context(case.title)?;
                print!("{NAME} {round}/{rounds} shards {shards}, QoS {}: {said}", case.qos);
                rates.extend(number(&said, "delivered ", "/s"));
            }
        }
        let [one, two] = samples.map(median);
        let ratio = one.zip(two).map(|(one, two)| two / one);
        let units = ["deliveries/s, one shard", "deliveries/s, two shards", "times as many with two"];
        for ((figure, unit), value) in case.figures.into_iter().zip(units).zip([one, two, ratio]) {
            let values = value.map(|value| (Peer::Ours, value)).into_iter().collect();
            rows.push(Row { scenario: NAME, title: case.title, figure, unit, better: Better::More, values });
        }
    }
    Ok(rows)
}

fn once(case: &Case, shards: u32, scenario: &Scenario, cpu: &Path, options: &Options) -> Result<String> {
    let server = Server::start(Peer::Ours, &options.ours, scenario)?;
    let pid = server.child.id();
    let mut groups = Vec::new();
    for (thread, name) in event_loops(pid, usize::try_from(shards)?)? {
        groups.push(Share::give(cpu.join(format!("grovemq-bench-{pid}-{name}")), &thread)?);
    }
    let (target, pid) = (server.address.to_string(), pid.to_string());
    let mut mqload = program(&options.mqload, &["--target", &target, "--limit", LIMIT, "--pid", &pid]);
    let messages = case.messages * shards / if options.quick { 4 } else { 1 };
    mqload.args(PAIRS).args(["--qos", case.qos, "--messages", &messages.to_string()]);
    let said = output(mqload.env("RUST_BACKTRACE", "0").stdin(Stdio::null()))?;
    // its threads first, then their groups
    drop(server);
    drop(groups);
    if number(&said, "lost ", ",") != Some(0.0) {
        bail!("messages were lost:\n{said}");
    }
    Ok(said)
}

/// Id and name of these threads, as soon as all of them are there: the broker listens before they are.
fn event_loops(pid: u32, count: usize) -> Result<Vec<(String, String)>> {
    let started = Instant::now();
    loop {
        let mut found = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?;
            // one that has ended meanwhile is none of them
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if name.starts_with(THREAD) {
                found.push((thread.file_name().to_string_lossy().into_owned(), name.trim().to_owned()));
            }
        }
        if found.len() == count {
            return Ok(found);
        }
        if started.elapsed() > PATIENCE {
            bail!("{} threads are named {THREAD}*, not {count}", found.len());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A group of one thread with a quota, removed when it is dropped after that thread's end.
struct Share(PathBuf);

impl Share {
    fn give(group: PathBuf, thread: &str) -> Result<Self> {
        std::fs::create_dir(&group).with_context(|| group.display().to_string())?;
        let share = Self(group);
        for (file, value) in [
            ("cpu.cfs_period_us", &*PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", &QUOTA_US.to_string()),
            ("tasks", thread),
        ] {
            std::fs::write(share.0.join(file), value).with_context(|| format!("{file} of a group"))?;
        }
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir(&self.0) {
            eprintln!("{} stays: {e}", self.0.display());
        }
    }
}

/// Where the scheduler's controller is mounted.
fn controller(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = kind == "cgroup" && options.split(',').any(|option| option == "cpu");
        is_it.then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_found_among_the_mounts() {
        let first = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                     cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0\n";
        assert_eq!(controller(first), None);
        let both = [first, "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"].concat();
        assert_eq!(controller(&both), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
    }

    #[test]
    fn figures_have_a_name_each() {
        let mut names: Vec<_> = CASES.iter().flat_map(|case| case.figures).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 3 * CASES.len());
    }
}
