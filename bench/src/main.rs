//! One publisher, one subscriber, one client library: `grovemq-bench LIBRARY VERSION QOS PORT MESSAGES`.
//!
//! Both ends run in one thread, as a small program would have them. Prints messages per second and, for both ends
//! together, microseconds of processor time per message. `cargo xtask bench client` runs it in turns with its peer.

#![forbid(unsafe_code)]

mod ours;
mod peer;

use anyhow::{Context, Result, bail};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Bytes of a payload.
const PAYLOAD: usize = 100;

/// How far the publisher may be ahead of the subscriber, so that no broker has reason to drop anything.
const AHEAD_MAX: u64 = 4096;

/// Unacknowledged messages on their way, the same for both libraries.
const INFLIGHT: u16 = 100;

const TOPIC: &str = "bench/client/topic";

/// After so long without an end, something was lost.
const LIMIT: Duration = Duration::from_secs(60);

/// What both libraries are asked to do.
#[derive(Clone, Copy)]
struct Job {
    version: u8,
    qos: u8,
    port: u16,
    messages: u64,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [library, version, qos, port, messages] = args.as_slice() else {
        bail!("usage: grovemq-bench ours|rumqttc 4|5 0|1|2 PORT MESSAGES");
    };
    let job = Job {
        version: version.parse()?,
        qos: qos.parse()?,
        port: port.parse()?,
        messages: messages.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let work = async {
        let flow = Rc::new(Flow::default());
        match library.as_str() {
            "ours" => ours::run(job, flow).await,
            "rumqttc" => peer::run(job, flow).await,
            other => bail!("unknown library {other}"),
        }
    };
    let measured = local.block_on(&runtime, async { tokio::time::timeout(LIMIT, work).await });
    let Measured { took, cpu } = measured.context("messages were lost, or it is far too slow")??;
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let messages = job.messages as f64;
    println!("{:.0} {:.3}", messages / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / messages);
    Ok(())
}

struct Measured {
    took: Duration,
    cpu: Duration,
}

/// The clocks, started.
struct Watch {
    start: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { start: Instant::now(), cpu: cpu_time() }
    }

    fn stop(&self) -> Measured {
        Measured { took: self.start.elapsed(), cpu: cpu_time() - self.cpu }
    }
}

/// Processor time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Keeps the publisher near the subscriber.
#[derive(Default)]
struct Flow {
    received: Cell<u64>,
    moved: Notify,
}

impl Flow {
    fn count(&self) -> u64 {
        let received = self.received.get() + 1;
        self.received.set(received);
        if received.is_multiple_of(AHEAD_MAX / 4) {
            self.moved.notify_one();
        }
        received
    }

    async fn wait(&self, sent: u64) {
        while sent >= self.received.get() + AHEAD_MAX {
            self.moved.notified().await;
        }
    }
}
