//! Stores that fail while the broker runs: a disk that is full, refuses, or stalls. Nothing is acknowledged that is not
//! safe, nobody else notices, and it goes on when the disk does.
//!
//! The disk's failures are `strace`'s: it puts them in the place of the store thread's calls.

use crate::OURS;
use grovemq_tests::peer::Peer;
use grovemq_tests::{Broker, Kind, Program, SOON, peers};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the broker says when its store does not take a group, and when it does again.
const FAILED: &str = "Error: The store failed";
const AGAIN: &str = "The store takes changes again.";

fn durable(broker: &Broker, id: &str, present: &str) -> Peer {
    Peer::connect(
        broker.port(),
        &format!("\"MQTT\" 04 00 0000 \"{id}\""),
        &format!("CONNACK{{{present} 00}}"),
    )
}

/// An absent client that wants what is published on `t`.
fn absent(broker: &Broker) {
    let mut receiver = durable(broker, "receiver", "00");
    receiver.subscribe_v3("t", 1);
    receiver.send("DISCONNECT{}");
    receiver.closed();
}

/// A client whom the store does not concern notices nothing.
fn nobody_else_notices(broker: &Broker, peer: &mut Peer) {
    for _ in 0..20 {
        peer.send("PUBLISH{\"other\" 'x'}");
        peer.expect("PUBLISH{\"other\" 'x'}");
        peer.ping();
    }
    // nor one who comes only now; what nobody keeps is acknowledged
    let mut late = Peer::v3(broker.port(), "late");
    late.send("PUBLISH1{\"nobody\" 0001 'x'}");
    late.expect("PUBACK{0001}");
}

fn bystander(broker: &Broker) -> Peer {
    let mut peer = Peer::v3(broker.port(), "bystander");
    peer.subscribe_v3("other", 0);
    peer
}

/// The number of the broker's thread of that name.
fn thread(broker: &Broker, wanted: &str) -> String {
    let tasks = PathBuf::from(format!("/proc/{}/task", broker.program().pid()));
    let named =
        |path: &Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == wanted);
    let mut all = std::fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
    let task = all.find(|path| named(path)).expect("there is such a thread");
    task.file_name().unwrap().to_str().unwrap().to_owned()
}

/// From now on, until it is dropped, the store's calls end so.
fn inject(broker: &Broker, what: &[&str]) -> Program {
    inject_into(&thread(broker, "store"), what)
}

fn inject_into(thread: &str, what: &[&str]) -> Program {
    let mut command = peers::debian("strace");
    command.args(["-p", thread]);
    command.args(what.iter().flat_map(|what| ["-e", what]));
    let strace = Program::start(&mut command);
    strace.wait_for_stderr("attached", SOON);
    strace
}

/// The store's thread is itself again.
fn leave_alone(strace: Program) {
    strace.interrupt();
    strace.finish(SOON);
}

/// E06: acknowledgements wait as long as the disk does, and only they.
#[test]
fn e06_strace_a_sync_that_stalls_holds_up_acknowledgements_and_nothing_else() {
    let broker = Broker::start(Kind::Ours, OURS);
    absent(&broker);
    let mut other = bystander(&broker);
    let mut publisher = Peer::v3(broker.port(), "publisher");
    let strace = inject(&broker, &["trace=fdatasync", "inject=fdatasync:delay_enter=600000000"]);
    publisher.send("PUBLISH1{\"t\" 0001 'one'}");
    nobody_else_notices(&broker, &mut other);
    // its own connection lives, too
    publisher.send("PUBLISH1{\"t\" 0002 'two'}");
    publisher.ping();
    leave_alone(strace);
    publisher.expect("PUBACK{0001} PUBACK{0002}");
    let broker = broker.kill_and_restart(Kind::Ours);
    durable(&broker, "receiver", "01")
        .expect("PUBLISH1+dup{\"t\" 0001 'one'} PUBLISH1+dup{\"t\" 0002 'two'}");
}

/// E05: what a failed sync left on the disk nobody knows; the group is written again elsewhere before it counts.
#[test]
fn e05_strace_after_a_failed_sync_the_group_is_written_anew() {
    let broker = Broker::start(Kind::Ours, OURS);
    absent(&broker);
    let mut publisher = Peer::v3(broker.port(), "publisher");
    let strace = inject(&broker, &["trace=fdatasync,pwrite64", "inject=fdatasync:error=EIO:when=1"]);
    publisher.send("PUBLISH1{\"t\" 0001 'one'}");
    broker.wait_for_log(FAILED);
    publisher.expect("PUBACK{0001}");
    broker.wait_for_log(AGAIN);
    strace.interrupt();
    let calls = strace.finish(SOON).stderr;
    let (_, after) = calls.split_once("INJECTED").expect("a sync failed");
    assert!(after.contains("pwrite64"), "only a write makes it safe:\n{calls}");
    let broker = broker.kill_and_restart(Kind::Ours);
    durable(&broker, "receiver", "01").expect("PUBLISH1+dup{\"t\" 0001 'one'}");
}

/// E04: as after a remount, nothing can be written any more; then it can.
#[test]
fn e04_strace_a_disk_that_becomes_read_only_stops_acknowledgements_and_nothing_else() {
    let broker = Broker::start(Kind::Ours, OURS);
    absent(&broker);
    let mut other = bystander(&broker);
    let mut publisher = Peer::v3(broker.port(), "publisher");
    let calls = "openat,fallocate,pwrite64,fdatasync";
    let strace = inject(&broker, &[&format!("trace={calls}"), &format!("inject={calls}:error=EROFS")]);
    publisher.send("PUBLISH1{\"t\" 0001 'one'}");
    let line = broker.wait_for_log(FAILED);
    assert!(line.contains("Read-only file system"), "{line}");
    nobody_else_notices(&broker, &mut other);
    publisher.ping();
    leave_alone(strace);
    publisher.expect("PUBACK{0001}");
    let broker = broker.kill_and_restart(Kind::Ours);
    durable(&broker, "receiver", "01").expect("PUBLISH1+dup{\"t\" 0001 'one'}");
}

/// E04: a small file system that fills up. What waits for an absent client can be fetched, which makes room.
#[test]
fn e04_a_full_disk_stops_acknowledgements_until_there_is_room() {
    const BYTES: usize = 20_000;
    let Some(disk) = SmallDisk::mount() else { return };
    let broker = Broker::start(Kind::Ours, &OURS.replace("{dir}", disk.path().to_str().unwrap()));
    absent(&broker);
    let mut other = bystander(&broker);
    let mut publisher = Peer::v3(broker.port(), "publisher").with_patience(Duration::from_millis(200));
    let text = "x".repeat(BYTES);
    let (mut sent, mut acknowledged) = (0u16, 0u16);
    let is_full = |broker: &Broker| broker.program().stderr_lines().iter().any(|line| line.contains(FAILED));
    while !is_full(&broker) {
        sent += 1;
        assert!(usize::from(sent) * BYTES < SmallDisk::BYTES, "more went in than there is room for");
        publisher.send(&format!("PUBLISH1{{\"t\" {sent:04x} '{text}'}}"));
        while acknowledged < sent && !is_full(&broker) {
            acknowledged += u16::from(publisher.try_packet().is_some());
        }
    }
    let line = broker.wait_for_log(FAILED);
    assert!(line.contains("no space left on the disk"), "{line}");
    nobody_else_notices(&broker, &mut other);
    let mut receiver = durable(&broker, "receiver", "01");
    for id in 1..=sent {
        receiver.expect(&format!("PUBLISH1{{\"t\" {id:04x} '{text}'}}"));
        receiver.send(&format!("PUBACK{{{id:04x}}}"));
    }
    broker.wait_for_log(AGAIN);
    let mut publisher = publisher.with_patience(SOON);
    for id in acknowledged + 1..=sent {
        publisher.expect(&format!("PUBACK{{{id:04x}}}"));
    }
    receiver.ping();
    let broker = broker.kill_and_restart(Kind::Ours);
    durable(&broker, "receiver", "01").ping();
}

/// A file system of its own in memory, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    const BYTES: usize = 4 << 20;

    /// `None`, and a word about it, where that is not allowed.
    fn mount() -> Option<Self> {
        let dir = grovemq_tests::scratch();
        let size = format!("size={}", Self::BYTES);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "grovemq-test"]).arg(dir.path());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        println!("LEFT OUT: no right to mount a file system here; as root, this test fills one up");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a broker of a failed test may still have it open
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

/// E13: half a broker is worse than none. One that loses a thread says so and ends, for its supervisor to start it anew;
/// what it has acknowledged is there then.
#[test]
fn e13_strace_a_broker_that_loses_a_thread_ends() {
    let broker = Broker::start(Kind::Ours, OURS);
    absent(&broker);
    let mut publisher = Peer::v3(broker.port(), "publisher");
    publisher.send("PUBLISH1{\"t\" 0001 'x'}");
    publisher.expect("PUBACK{0001}");
    let calls = "/^epoll_p?wait$";
    let what = [format!("trace={calls}"), format!("inject={calls}:error=EBADF")];
    let strace = inject_into(&thread(&broker, "shard-0"), &what.each_ref().map(String::as_str));
    broker.wait_for_log("Error: Thread shard-0 failed: Bad file descriptor");
    publisher.closed();
    // with the broker it has nobody left to look at
    strace.finish(SOON);
    let broker = broker.kill_and_restart(Kind::Ours);
    durable(&broker, "receiver", "01").expect("PUBLISH1+dup{\"t\" 0001 'x'}");
}
