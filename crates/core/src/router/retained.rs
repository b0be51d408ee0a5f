//! Retained messages, ordered by topic so that a wildcard subscription can be answered in slices.

use crate::access::Source;
use crate::{Message, Time};
use grovemq_codec::topic;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// The last message of each topic that was published with RETAIN.
#[derive(Debug, Default)]
pub struct Retained {
    messages: BTreeSet<Kept>,
    bytes: usize,
    /// Of those, how many and how many bytes are the broker's own.
    own: (usize, usize),
}

/// How much clients may have retained; the broker's own topics do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub messages: usize,
    /// Of topics, properties and payloads.
    pub bytes: usize,
}

impl Quota {
    pub const NONE: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

/// A place in a walk over the topics that match a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    Start,
    After(Box<str>),
    End,
}

impl Retained {
    /// Stores, or deletes where the payload is empty. `false` when the table is full.
    // [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7]
    pub fn set(&mut self, message: Arc<Message>, messages_max: usize) -> bool {
        self.set_from(message, None, Quota { messages: messages_max, ..Quota::NONE })
    }

    /// The same for a message that is given out only while its author may still write its topic.
    pub fn set_from(&mut self, message: Arc<Message>, source: Option<Arc<Source>>, max: Quota) -> bool {
        if message.payload().is_empty() {
            self.remove(message.topic());
            return true;
        }
        if !self.has_room_for(message.topic(), message.size(), max) {
            return false;
        }
        self.bytes += message.size();
        if is_own(message.topic()) {
            self.own = (self.own.0 + 1, self.own.1 + message.size());
        }
        if let Some(old) = self.messages.replace(Kept { message, source }) {
            self.forget(&old.message);
        }
        true
    }

    pub fn remove(&mut self, topic: &str) {
        if let Some(old) = self.messages.take(topic.as_bytes()) {
            self.forget(&old.message);
        }
    }

    fn forget(&mut self, gone: &Message) {
        self.bytes -= gone.size();
        if is_own(gone.topic()) {
            self.own = (self.own.0 - 1, self.own.1 - gone.size());
        }
    }

    pub fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        self.messages.get(topic.as_bytes()).map(|kept| &kept.message)
    }

    /// Appends matching messages to `found`, looking at no more than `budget` topics; moves the cursor on. Those that the
    /// bridge `except` has brought are left out.
    pub fn collect(
        &self,
        filter: &str,
        except: Option<&str>,
        cursor: &mut Cursor,
        mut budget: usize,
        found: &mut Vec<Arc<Message>>,
    ) {
        if budget == 0 {
            return;
        }
        if !topic::is_wildcard(filter) {
            let kept = self.messages.get(filter.as_bytes()).filter(|kept| kept.is_for(except));
            found.extend(kept.map(|kept| kept.message.clone()));
            *cursor = Cursor::End;
            return;
        }
        let prefix = literal_prefix(filter);
        let start = match cursor {
            Cursor::Start => Bound::Included(prefix.as_bytes()),
            Cursor::After(last) => Bound::Excluded(last.as_bytes()),
            Cursor::End => return,
        };
        let mut last = None;
        for kept in self.messages.range::<[u8], _>((start, Bound::Unbounded)) {
            let name = kept.message.topic();
            if !name.starts_with(prefix) {
                break;
            }
            if budget == 0 {
                *cursor = last.map_or(Cursor::End, |t: &str| Cursor::After(t.into()));
                return;
            }
            budget -= 1;
            last = Some(name);
            if topic::matches(filter, name) && kept.is_for(except) {
                found.push(kept.message.clone());
            }
        }
        *cursor = Cursor::End;
    }

    /// Whether there is room for a message of that size, or it replaces one that is no smaller.
    pub fn has_room_for(&self, topic: &str, size: usize, max: Quota) -> bool {
        let (messages, bytes) = (self.len() - self.own.0, self.bytes - self.own.1);
        match self.get(topic).map(|old| old.size()) {
            _ if is_own(topic) => true,
            Some(old) => size <= old || bytes - old + size <= max.bytes,
            None => messages < max.messages && bytes.saturating_add(size) <= max.bytes,
        }
    }

    /// Drops expired messages and gives them; looks at no more than `budget` topics from the cursor on.
    pub fn sweep(&mut self, now: Time, cursor: &mut Cursor, budget: usize) -> Vec<Arc<Message>> {
        let start = match cursor {
            Cursor::After(last) => Bound::Excluded(last.as_bytes()),
            Cursor::Start | Cursor::End => Bound::Unbounded,
        };
        let slice = self.messages.range::<[u8], _>((start, Bound::Unbounded)).take(budget);
        let (mut seen, mut last, mut dead) = (0, None, Vec::new());
        for Kept { message: m, .. } in slice {
            seen += 1;
            last = Some(m);
            if m.is_expired(now) {
                dead.push(m.clone());
            }
        }
        *cursor = match last {
            Some(m) if seen == budget => Cursor::After(m.topic().into()),
            _ => Cursor::Start,
        };
        for m in &dead {
            self.remove(m.topic());
        }
        dead
    }

    /// Whether it is worth while to look for what the filter selects: something has its topic, or the beginning of it
    /// that is no wildcard.
    pub fn may_match(&self, filter: &str) -> bool {
        if !topic::is_wildcard(filter) {
            return self.get(filter).is_some();
        }
        let prefix = literal_prefix(filter);
        let mut from = self.messages.range::<[u8], _>((Bound::Included(prefix.as_bytes()), Bound::Unbounded));
        from.next().is_some_and(|kept| kept.message.topic_bytes().starts_with(prefix.as_bytes()))
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Topics, properties and payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The broker's own topics: there are only so many of them.
fn is_own(topic: &str) -> bool {
    topic.starts_with("$SYS/")
}

/// The part of a filter before its first wildcard level, which every matching topic begins with. For `a/#` that is
/// `a`, because `a` itself matches.
fn literal_prefix(filter: &str) -> &str {
    let wildcard = filter.find(['+', '#']).unwrap_or(filter.len());
    let prefix = filter.get(..wildcard).unwrap_or_default();
    if filter.ends_with("/#") && prefix.len() + 1 == filter.len() {
        prefix.strip_suffix('/').unwrap_or(prefix)
    } else {
        prefix
    }
}

/// Compares by topic.
#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    source: Option<Arc<Source>>,
}

impl Kept {
    /// It may be given out, and did not come from the bridge `except`.
    fn is_for(&self, except: Option<&str>) -> bool {
        let echo = |s: &Source| s.bridge && except == Some(&*s.client_id);
        self.source.as_ref().is_none_or(|s| !echo(s) && s.may_write(self.message.topic()))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.message.topic_bytes() == other.message.topic_bytes()
    }
}

impl Eq for Kept {}

impl Borrow<[u8]> for Kept {
    fn borrow(&self) -> &[u8] {
        self.message.topic_bytes()
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.message.topic_bytes().cmp(other.message.topic_bytes())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
