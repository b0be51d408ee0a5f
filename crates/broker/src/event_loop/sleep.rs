//! When a loop sleeps, until when, and who takes its turn meanwhile.

use super::{EventLoop, wait};
use crate::inbox::Letter;
use crate::limits::{CROWDED_PAUSE, LENT_DELIVERIES, LENT_MESSAGES};
use grovemq_core::Time;
use mio::{Events, Poll};
use std::io;
use std::time::{Duration, Instant};

impl EventLoop {
    /// Until the next turn; `None`: until somebody wakes the loop.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if self.is_busy() {
            Some(Duration::ZERO)
        } else if !self.ready.is_empty() || !self.later.is_empty() {
            Some(if self.is_crowded() { CROWDED_PAUSE } else { Duration::ZERO })
        } else {
            let now = self.now();
            // one millisecond more, so that the deadline has passed on waking
            self.deadline().map(|at| Duration::from_millis(at.0.saturating_sub(now.0) + 1))
        }
    }

    /// There is something to do even if nobody sends anything.
    fn is_busy(&self) -> bool {
        self.shard.has_work()
            || !self.mail.is_empty()
            || self.acceptor.as_ref().is_some_and(|acceptor| acceptor.is_busy())
    }

    /// When there is something to do at the latest.
    fn deadline(&self) -> Option<Time> {
        let paused = (!self.paused.is_empty()).then_some(self.paused_until);
        let retry = self.acceptor.as_ref().and_then(|acceptor| acceptor.next_timeout());
        let memory = self.neighbours.memory.next_look();
        [self.shard.next_timeout(), paused, retry, self.trim_at, memory].into_iter().flatten().min()
    }

    /// `false` when there is post and the loop must not.
    pub(super) fn fall_asleep(&mut self) -> bool {
        self.wakes_at = self.deadline();
        self.inbox.fall_asleep()
    }

    /// Looks for events and post for a while (`busy_poll`), since being woken takes longer than what there is to do then.
    pub(super) fn finds_work(&self, poll: &mut Poll, events: &mut Events) -> io::Result<bool> {
        let patience = self.neighbours.busy_poll;
        if patience.is_zero() {
            return Ok(false);
        }
        let begin = Instant::now();
        while begin.elapsed() < patience {
            wait(poll, events, Some(Duration::ZERO))?;
            if !events.is_empty() || self.inbox.has_post() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A turn in place of this loop's thread, which sleeps, for few messages of other shards or a word from the store. `false`:
    /// there is more to do, and it has to be woken.
    pub(crate) fn lent_turn(&mut self, with_mail: bool) -> bool {
        if self.stopping {
            return false;
        }
        self.inbox.collect(&mut self.letters);
        let mut messages = 0;
        let is_little = |l: &Letter| match l {
            Letter::Mail(batch) => {
                messages += batch.len();
                with_mail && !self.has_many && messages <= LENT_MESSAGES
            }
            Letter::Persisted(_) => true,
            _ => false,
        };
        if !self.letters.iter().all(is_little) {
            return false;
        }
        let now = self.now();
        self.begin_turn(now);
        self.shard.allow_filters(0);
        self.lent = true;
        for letter in self.letters.drain(..) {
            match letter {
                Letter::Mail(batch) => self.mail.push_back(batch),
                Letter::Persisted(point) => self.shard.handle_persisted(now, point),
                _ => {}
            }
        }
        self.deal_with_mail(now, LENT_DELIVERIES);
        self.settle(now);
        self.lent = false;
        self.neighbours.memory.add();
        let in_time = self.deadline().is_none_or(|at| self.wakes_at.is_some_and(|wakes| wakes <= at));
        in_time
            && !self.is_busy()
            && self.ready.is_empty()
            && self.later.is_empty()
            && self.inbox.fall_asleep()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Neighbours, WAKE};
    use super::*;
    use crate::inbox::{Arrival, Inbox, Permit};
    use crate::log::Log;
    use crate::logins::Logins;
    use crate::memory::Memory;
    use grovemq_core::observe::{Peer, Silent};
    use grovemq_core::{ListenerSettings, Router, Settings, Shard};
    use grovemq_net::Stream;
    use mio::Waker;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    /// Two loops whose threads are the test's own, and a client of each.
    struct Pair {
        loops: Vec<(Arc<Mutex<EventLoop>>, Poll)>,
        inboxes: Vec<Arc<Inbox>>,
        ids: Vec<char>,
    }

    impl Pair {
        fn new() -> Self {
            let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
            let settings = Arc::new(Settings { listeners: vec![listener], ..Settings::default() });
            let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
            let log = Log::start(&grovemq_config::Config::default().log).unwrap();
            let (requests, _) = sync_channel(1);
            let memory = Arc::new(Memory::new(None, log));
            let polls = [Poll::new().unwrap(), Poll::new().unwrap()];
            let inboxes =
                polls.each_ref().map(|p| Arc::new(Inbox::new(Waker::new(p.registry(), WAKE).unwrap())));
            let mut neighbours = Neighbours::new(Logins::new(None), requests, false, memory);
            neighbours.inboxes = inboxes.to_vec();
            let mut ids = Vec::new();
            let loops = (0..2).zip(polls).map(|(id, poll)| {
                let shard = Shard::new(id, 2, router.clone(), settings.clone(), Box::new(Silent));
                ids.extend(('a'..='z').find(|name| shard.home(&name.to_string()) == id));
                let (id, registry) = (usize::from(id), poll.registry().try_clone().unwrap());
                let event_loop =
                    EventLoop::new(id, shard, registry, neighbours.clone(), Instant::now()).unwrap();
                let event_loop = Arc::new(Mutex::new(event_loop));
                inboxes[id].set_owner(Arc::downgrade(&event_loop));
                (event_loop, poll)
            });
            Self { loops: loops.collect(), inboxes: inboxes.to_vec(), ids }
        }

        /// A client of the first, and one of the second that is subscribed to `t`.
        fn subscribed() -> (Self, UnixStream, UnixStream) {
            let mut pair = Self::new();
            let (publisher, subscriber) = (pair.client(0), pair.client(1));
            pair.say(1, &subscriber, SUBSCRIBE);
            assert_eq!(heard(&subscriber), SUBACK);
            (pair, publisher, subscriber)
        }

        /// The post says that somebody has come.
        fn arrive(&self, shard: usize) -> UnixStream {
            let (client, broker) = UnixStream::pair().unwrap();
            client.set_nonblocking(true).unwrap();
            broker.set_nonblocking(true).unwrap();
            let stream = Stream::Unix(mio::net::UnixStream::from_std(broker));
            let peer = Peer { address: None, listener: 0, secured: None };
            let arrival = Arrival { stream, peer, identity: None, permit: Permit::default(), readable: true };
            self.inboxes[shard].post(Letter::Accepted(arrival));
            client
        }

        /// A client of that shard.
        fn client(&mut self, shard: usize) -> UnixStream {
            let client = self.arrive(shard);
            let id = self.ids[shard] as u8;
            let connect = [b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01".as_slice(), &[id]].concat();
            self.say(shard, &client, &connect);
            assert_eq!(heard(&client), b"\x20\x02\0\0");
            client
        }

        /// What the client says is dealt with by its own loop, as often as that is awake.
        fn say(&mut self, shard: usize, mut client: &UnixStream, bytes: &[u8]) {
            client.write_all(bytes).unwrap();
            self.run(shard);
        }

        /// The loop's thread, until it sleeps.
        fn run(&mut self, shard: usize) {
            let (event_loop, poll) = &mut self.loops[shard];
            let mut event_loop = event_loop.lock().unwrap();
            let mut events = Events::with_capacity(64);
            loop {
                event_loop.inbox.wake_up();
                wait(poll, &mut events, Some(Duration::ZERO)).unwrap();
                event_loop.turn(&events, &mut Vec::new()).unwrap();
                if events.is_empty()
                    && event_loop.timeout() != Some(Duration::ZERO)
                    && event_loop.fall_asleep()
                {
                    return;
                }
            }
        }

        /// Whether the thread of that loop has been woken.
        fn is_woken(&mut self, shard: usize) -> bool {
            let mut events = Events::with_capacity(64);
            wait(&mut self.loops[shard].1, &mut events, Some(Duration::ZERO)).unwrap();
            events.iter().any(|e| e.token() == WAKE)
        }
    }

    fn heard(mut client: &UnixStream) -> Vec<u8> {
        let mut bytes = vec![0; 10_000];
        let n = client.read(&mut bytes).unwrap_or(0);
        bytes.truncate(n);
        bytes
    }

    const SUBSCRIBE: &[u8] = b"\x82\x06\0\x01\0\x01t\x01";
    const SUBACK: &[u8] = b"\x90\x03\0\x01\x01";

    #[test]
    fn a_message_for_a_loop_that_sleeps_is_delivered_without_it() {
        let (mut pair, publisher, subscriber) = Pair::subscribed();
        // the first one sets the time at which memory is given back, which is earlier than the thread would wake
        pair.say(0, &publisher, b"\x30\x04\0\x01t1");
        if pair.is_woken(1) {
            pair.run(1);
        }
        assert_eq!(heard(&subscriber), b"\x30\x04\0\x01t1");
        for payload in b'2'..b'9' {
            pair.say(0, &publisher, &[b"\x32\x06\0\x01t\0\x01".as_slice(), &[payload]].concat());
            assert_eq!(heard(&publisher), b"\x40\x02\0\x01");
            let packet_id = payload - b'1';
            assert_eq!(heard(&subscriber), [b"\x32\x06\0\x01t\0".as_slice(), &[packet_id, payload]].concat());
            assert!(!pair.is_woken(1), "{payload}");
        }
    }

    #[test]
    fn a_loop_that_is_awake_is_left_alone() {
        let (mut pair, publisher, subscriber) = Pair::subscribed();
        let event_loop = pair.loops[1].0.clone();
        let guard = event_loop.lock().unwrap();
        pair.say(0, &publisher, b"\x30\x04\0\x01t1");
        assert_eq!(heard(&subscriber), b"");
        assert!(pair.is_woken(1));
        drop(guard);
        pair.run(1);
        assert_eq!(heard(&subscriber), b"\x30\x04\0\x01t1");
    }

    #[test]
    fn many_messages_wake_the_thread() {
        let (mut pair, publisher, subscriber) = Pair::subscribed();
        let count = LENT_MESSAGES + 1;
        pair.say(0, &publisher, &b"\x30\x04\0\x01t1".repeat(count));
        assert_eq!(heard(&subscriber), b"");
        assert!(pair.is_woken(1));
        pair.run(1);
        assert_eq!(heard(&subscriber), b"\x30\x04\0\x01t1".repeat(count));
    }

    #[test]
    fn many_receivers_are_served_by_the_thread_from_the_second_message_on() {
        let mut pair = Pair::new();
        let publisher = pair.client(0);
        pair.ids[1] = '\0';
        let names: Vec<char> = {
            let event_loop = pair.loops[1].0.lock().unwrap();
            let homes = ('!'..='~').filter(|name| event_loop.shard.home(&name.to_string()) == 1);
            homes.take(LENT_DELIVERIES as usize + 1).collect()
        };
        let subscribers: Vec<UnixStream> = names
            .into_iter()
            .map(|name| {
                pair.ids[1] = name;
                let subscriber = pair.client(1);
                pair.say(1, &subscriber, SUBSCRIBE);
                assert_eq!(heard(&subscriber), SUBACK);
                subscriber
            })
            .collect();
        pair.say(0, &publisher, b"\x30\x04\0\x01t1");
        if pair.is_woken(1) {
            pair.run(1);
        }
        assert!(subscribers.iter().all(|s| heard(s) == b"\x30\x04\0\x01t1"));
        pair.say(0, &publisher, b"\x30\x04\0\x01t2");
        assert!(subscribers.iter().all(|s| heard(s) == b""));
        assert!(pair.is_woken(1));
        pair.run(1);
        assert!(subscribers.iter().all(|s| heard(s) == b"\x30\x04\0\x01t2"));
    }
    #[test]
    fn an_event_of_a_connection_that_ended_meanwhile_is_not_the_next_ones() {
        let (mut pair, publisher, subscriber) = Pair::subscribed();
        // the subscriber is gone, and its loop's thread has the event, but not yet the loop
        drop(subscriber);
        let mut events = Events::with_capacity(64);
        wait(&mut pair.loops[1].1, &mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.iter().any(mio::event::Event::is_read_closed));
        // another shard takes a turn, in which its connection ends
        pair.say(0, &publisher, b"\x30\x04\0\x01t1");
        assert!(pair.loops[1].0.lock().unwrap().wires.iter().all(Option::is_none));
        // a new client has its place
        let _client = pair.arrive(1);
        let mut event_loop = pair.loops[1].0.lock().unwrap();
        event_loop.turn(&events, &mut Vec::new()).unwrap();
        assert!(event_loop.wires.iter().flatten().any(|wire| !wire.ended));
    }
}
