//! Logins on their way to a verdict: the queue, the threads that check them, and the delay of those from an address where
//! many have failed.

use crate::guesses::{Guesses, Source};
use crate::inbox::{Inbox, Letter};
use crate::limits::{LOGIN_THREADS, LOGINS_MAX, LOGINS_WAITING_MAX};
use crate::log::Log;
use crate::security::{Gate, Gates};
use grovemq_auth::password::PasswordFile;
use grovemq_auth::scram;
use grovemq_config::LogType;
use grovemq_core::access::{Login, Words};
use grovemq_core::{Key, Verdict};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A login to check, and where the answer goes.
#[derive(Debug)]
pub(crate) struct LoginJob {
    pub(crate) key: Key,
    pub(crate) listener: u16,
    /// `None` for clients that have none; they are never delayed.
    pub(crate) address: Option<IpAddr>,
    pub(crate) login: Login,
    pub(crate) reply: Arc<Inbox>,
}

/// The way to the threads that check logins, away from the event loops: a hash may take a tenth of a second. They end with
/// the last copy.
#[derive(Clone, Debug)]
pub(crate) struct Logins(Arc<Entrance>);

#[derive(Debug)]
struct Entrance(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<LoginJob>,
    /// By the time when their delay is over, and a number.
    waiting: BTreeMap<(Instant, u64), LoginJob>,
    delayed: u64,
    guesses: Guesses,
    closed: bool,
}

impl Logins {
    /// Starts the threads. `delay_max`: how long a login is delayed at most; `None` is not at all.
    pub(crate) fn start(gates: &Gates, delay_max: Option<Duration>, log: &Log) -> io::Result<Self> {
        let logins = Self::new(delay_max);
        for n in 0..LOGIN_THREADS {
            let (queue, gates, log) = (logins.0.0.clone(), gates.clone(), log.clone());
            std::thread::Builder::new()
                .name(format!("login-{n}"))
                .spawn(move || check_logins(&queue, &gates, &log))?;
        }
        Ok(logins)
    }

    /// Without threads: nothing is checked.
    pub(crate) fn new(delay_max: Option<Duration>) -> Self {
        let (ready, waiting, guesses) = (VecDeque::new(), BTreeMap::new(), Guesses::new(delay_max));
        let state = State { ready, waiting, delayed: 0, guesses, closed: false };
        Self(Arc::new(Entrance(Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() }))))
    }

    pub(crate) fn set_delay_max(&self, delay_max: Option<Duration>) {
        self.0.0.lock().guesses.set_delay_max(delay_max);
    }

    /// Has a login checked, now or later; `false` when too many wait already.
    #[must_use]
    pub(crate) fn submit(&self, job: LoginJob) -> bool {
        let queue = &*self.0.0;
        let admitted = queue.lock().admit(job);
        if admitted {
            queue.changed.notify_one();
        }
        admitted
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next login to check; `None` when there will be none.
    fn next(&self) -> Option<LoginJob> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            // who guesses comes after all others
            if let Some(job) = state.ready.pop_front() {
                return Some(job);
            }
            let now = Instant::now();
            match state.waiting.first_key_value().map(|((due, _), _)| *due) {
                Some(due) if due <= now => {
                    let (_, job) = state.waiting.pop_first()?;
                    if let Some(source) = job.source() {
                        state.guesses.end_wait(source);
                    }
                    return Some(job);
                }
                Some(due) => {
                    let woken = self.changed.wait_timeout(state, due - now);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl State {
    fn admit(&mut self, job: LoginJob) -> bool {
        let source = job.source().filter(|_| job.is_first() && !self.guesses.is_empty());
        let delay = source.and_then(|source| {
            let now = Instant::now();
            Some((source, now + self.guesses.delay(now, source)?))
        });
        let Some((source, due)) = delay else {
            let room = self.ready.len() < LOGINS_MAX;
            if room {
                self.ready.push_back(job);
            }
            return room;
        };
        let room = self.waiting.len() < LOGINS_WAITING_MAX && self.guesses.begin_wait(source);
        if room {
            self.delayed += 1;
            self.waiting.insert((due, self.delayed), job);
        }
        room
    }
}

impl LoginJob {
    fn source(&self) -> Option<Source> {
        self.address.map(Source::of)
    }

    /// It is not the middle of an exchange.
    fn is_first(&self) -> bool {
        self.login.words.as_ref().is_none_or(|words| words.said.len() == 1)
    }
}

fn check_logins(queue: &Queue, gates: &Gates, log: &Log) {
    while let Some(job) = queue.next() {
        let file = {
            let gates = gates.read().unwrap_or_else(PoisonError::into_inner);
            gates.get(usize::from(job.listener)).and_then(Gate::passwords_now)
        };
        let verdict = judge(file.as_deref(), &job.login);
        if verdict == Verdict::Deny
            && let Some((source, address)) = job.source().zip(job.address)
            && queue.lock().guesses.fail(Instant::now(), source)
        {
            tell(log, address);
        }
        job.reply.post(Letter::Verdict(job.key, verdict));
    }
}

fn tell(log: &Log, address: IpAddr) {
    let address = address.to_canonical().to_string();
    let text = format!("Logins from {address} are delayed: too many have failed.");
    log.event(LogType::Notice, "logins_delayed", text, |f| {
        f.text("address", &address);
    });
}

fn judge(file: Option<&PasswordFile>, login: &Login) -> Verdict {
    match (file, login) {
        (Some(file), Login { words: Some(words), .. }) => judge_words(file, words),
        (Some(file), Login { username: Some(user), password, .. })
            if file.verify(user, password.as_deref().unwrap_or_default()) =>
        {
            Verdict::Allow
        }
        _ => Verdict::Deny,
    }
}

/// One turn of an authentication exchange. It is as if everybody had an entry for SCRAM, as soon as somebody has.
fn judge_words(file: &PasswordFile, words: &Words) -> Verdict {
    if &*words.method != scram::METHOD || !file.offers_scram() {
        return Verdict::UnknownMethod;
    }
    let find = |user: &str| file.scram(user).unwrap_or_else(scram::Entry::nobody);
    match &words.said[..] {
        [first] => {
            let Ok(nonce) = scram::new_nonce() else { return Verdict::Unavailable };
            scram::challenge(first, &nonce, find)
                .map_or(Verdict::Deny, |challenge| Verdict::Challenge(challenge.into_bytes()))
        }
        [first, challenge, last] => match scram::verify(first, challenge, last, find) {
            Ok(proven) => Verdict::Proven { username: proven.user, data: proven.message.into_bytes() },
            Err(_) => Verdict::Deny,
        },
        _ => Verdict::Deny,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LOGIN_FAILURES_FREE, LOGINS_WAITING_PER_ADDRESS};
    use mio::{Poll, Token, Waker};

    const LONGEST: Option<Duration> = Some(Duration::from_secs(8));

    /// A login from 192.0.2.`host`, by a user of that name.
    fn job(host: u8) -> LoginJob {
        let poll = Poll::new().unwrap();
        let reply = Arc::new(Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let login =
            Login { client_id: "c".into(), username: Some(host.to_string()), password: None, words: None };
        let address = Some(IpAddr::from([192, 0, 2, host]));
        LoginJob { key: Key { index: 0, generation: 0 }, listener: 0, address, login, reply }
    }

    fn logins_after_failures(host: u8) -> Logins {
        let logins = Logins::new(LONGEST);
        let source = job(host).source().unwrap();
        for _ in 0..LOGIN_FAILURES_FREE {
            logins.0.0.lock().guesses.fail(Instant::now(), source);
        }
        logins
    }

    fn next(logins: &Logins) -> String {
        logins.0.0.next().and_then(|job| job.login.username).unwrap()
    }

    #[test]
    fn d14_who_guesses_waits_and_lets_others_go_first() {
        let logins = logins_after_failures(1);
        let start = Instant::now();
        for host in [1, 2, 3] {
            assert!(logins.submit(job(host)));
        }
        assert_eq!([next(&logins), next(&logins)], ["2", "3"]);
        assert_eq!(next(&logins), "1");
        assert!(start.elapsed() >= crate::limits::LOGIN_DELAY_MIN);
    }

    #[test]
    fn d14_an_exchange_waits_once() {
        let logins = logins_after_failures(1);
        let words =
            |said: &[&[u8]]| Words { method: "m".into(), said: said.iter().map(|s| s.to_vec()).collect() };
        for said in [&[b"first".as_slice()][..], &[b"first", b"challenge", b"last"]] {
            let mut job = job(1);
            job.login.words = Some(words(said));
            assert!(logins.submit(job));
        }
        let state = logins.0.0.lock();
        assert_eq!((state.waiting.len(), state.ready.len()), (1, 1));
    }

    #[test]
    fn d14_those_who_wait_are_bounded() {
        let logins = logins_after_failures(1);
        let admitted = (0..100).filter(|_| logins.submit(job(1))).count();
        assert_eq!(admitted, usize::from(LOGINS_WAITING_PER_ADDRESS));
        assert!(logins.submit(job(2)), "others are not concerned");
    }

    #[test]
    fn without_event_loops_the_threads_end() {
        let logins = Logins::new(None);
        let queue = logins.0.0.clone();
        let thread = std::thread::spawn(move || queue.next().is_none());
        drop(logins);
        assert!(thread.join().unwrap());
    }
}
