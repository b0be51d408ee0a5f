//! `sub --count-by`: how many messages came, instead of the messages.

use crate::colour::{Palette, Style};
use std::collections::HashMap;
use std::io::{self, Write};

/// What messages are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountBy {
    Topic,
    /// The first level of the topic.
    FirstLevel,
}

/// Topics that are counted apart; a message to a further one counts as another's.
const TOPICS_MAX: usize = 100_000;

/// Counts of messages.
#[derive(Debug)]
pub(crate) struct Tally {
    by: CountBy,
    counts: HashMap<String, u64>,
    others: u64,
}

impl Tally {
    pub(crate) fn new(by: CountBy) -> Self {
        Self { by, counts: HashMap::new(), others: 0 }
    }

    pub(crate) fn add(&mut self, topic: &str) {
        let key = match self.by {
            CountBy::Topic => topic,
            CountBy::FirstLevel => topic.split('/').next().unwrap_or_default(),
        };
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
        } else if self.counts.len() < TOPICS_MAX {
            self.counts.insert(key.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }

    /// A line for each topic, the busiest first.
    pub(crate) fn print(&self, out: &mut dyn Write, colours: Palette) -> io::Result<()> {
        let mut rows: Vec<(&str, u64)> = self.counts.iter().map(|(key, count)| (&**key, *count)).collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        for (key, count) in rows {
            writeln!(out, "{count:>8} {}", colours.paint(Style::Topic, key))?;
        }
        if self.others > 0 {
            writeln!(out, "{:>8} {}", self.others, colours.paint(Style::Aside, "(other topics)"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(by: CountBy, topics: &[&str]) -> String {
        let mut tally = Tally::new(by);
        for topic in topics {
            tally.add(topic);
        }
        let mut out = Vec::new();
        tally.print(&mut out, Palette::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_busiest_comes_first() {
        let topics = ["b/1", "a/1", "b/2", "a/1", "b/1", "b/1", ""];
        assert_eq!(shown(CountBy::Topic, &topics), "       3 b/1\n       2 a/1\n       1 \n       1 b/2\n");
        assert_eq!(shown(CountBy::FirstLevel, &topics), "       4 b\n       2 a\n       1 \n");
    }

    #[test]
    fn topics_are_bounded() {
        let mut tally = Tally::new(CountBy::Topic);
        for i in 0..TOPICS_MAX + 3 {
            tally.add(&i.to_string());
        }
        assert_eq!((tally.counts.len(), tally.others), (TOPICS_MAX, 3));
    }
}
