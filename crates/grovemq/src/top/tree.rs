//! The topics as a tree that counts.

use std::collections::{BTreeMap, VecDeque};

/// Levels of a topic that are nodes of their own; the rest is one.
const DEPTH_MAX: usize = 32;
/// Nodes of the tree; a message that would need more is counted apart.
const NODES_MAX: usize = 20_000;
/// Seconds that a rate is remembered for.
const HISTORY: usize = 24;
/// Characters of a value.
const PREVIEW_CHARS: usize = 200;
/// Seconds that a rate is the mean of.
const MEAN: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    nodes: usize,
    /// Messages to topics for which there was no room.
    others: u64,
}

/// A topic, or what topics begin with; it counts its own messages and those below it.
#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<String, Self>,
    value: Option<Value>,
    is_folded: bool,
    messages: u64,
    this_second: u32,
    /// The latest last.
    history: VecDeque<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub text: String,
    pub is_retained: bool,
}

/// A line of the picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The levels from the root to here.
    pub path: Vec<String>,
    /// The levels shown, which may be one of many or all of them.
    pub name: String,
    pub depth: usize,
    /// Whether there is something below that can be shown or not.
    pub fold: Option<bool>,
    pub value: Option<Value>,
    pub messages: u64,
    /// Messages in a second.
    pub rate: f64,
    pub history: Vec<u32>,
}

impl Tree {
    pub(super) fn add(&mut self, topic: &str, payload: &[u8], is_retained: bool) {
        let levels: Vec<&str> = topic.splitn(DEPTH_MAX, '/').collect();
        let missing = levels.len() - self.root.known(&levels);
        if self.nodes + missing > NODES_MAX {
            self.others = self.others.saturating_add(1);
            return;
        }
        self.nodes += missing;
        let mut node = &mut self.root;
        node.count();
        for level in levels {
            node = node.children.entry(level.to_owned()).or_default();
            node.count();
        }
        node.value = Some(Value { text: preview(payload), is_retained });
    }

    /// A second is over.
    pub(super) fn tick(&mut self) {
        self.root.tick();
    }

    /// Shows what is below this node, or does not any more.
    pub(super) fn fold(&mut self, path: &[String]) {
        let mut node = &mut self.root;
        for level in path {
            let Some(child) = node.children.get_mut(level) else { return };
            node = child;
        }
        if !node.children.is_empty() {
            node.is_folded = !node.is_folded;
        }
    }

    /// The lines: the tree as it is, or all topics by their rates.
    pub(super) fn rows(&self, is_by_rate: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        self.root.rows(&mut Vec::new(), is_by_rate, &mut rows);
        if is_by_rate {
            rows.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.messages.cmp(&a.messages)));
        }
        rows
    }

    /// Messages so far, and in a second.
    pub(super) fn total(&self) -> (u64, f64) {
        (self.root.messages.saturating_add(self.others), self.root.rate())
    }

    pub(super) fn others(&self) -> u64 {
        self.others
    }
}

impl Node {
    fn count(&mut self) {
        self.messages = self.messages.saturating_add(1);
        self.this_second = self.this_second.saturating_add(1);
    }

    fn tick(&mut self) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(std::mem::take(&mut self.this_second));
        self.children.values_mut().for_each(Self::tick);
    }

    /// How many of the levels are there already.
    fn known(&self, levels: &[&str]) -> usize {
        let mut node = self;
        let mut known = 0;
        while let Some(child) = levels.get(known).and_then(|level| node.children.get(*level)) {
            node = child;
            known += 1;
        }
        known
    }

    fn rate(&self) -> f64 {
        let seconds = self.history.len().min(MEAN);
        let sum: u64 = self.history.iter().rev().take(MEAN).map(|count| u64::from(*count)).sum();
        if seconds == 0 {
            return 0.0;
        }
        f64::from(u32::try_from(sum).unwrap_or(u32::MAX)) / f64::from(u32::try_from(seconds).unwrap_or(1))
    }

    /// Recursion ends after [`DEPTH_MAX`] levels.
    fn rows(&self, path: &mut Vec<String>, is_flat: bool, rows: &mut Vec<Row>) {
        for (name, node) in &self.children {
            path.push(name.clone());
            if !is_flat || node.value.is_some() {
                rows.push(Row {
                    path: path.clone(),
                    name: if is_flat { path.join("/") } else { name.clone() },
                    depth: if is_flat { 0 } else { path.len() - 1 },
                    fold: (!is_flat && !node.children.is_empty()).then_some(node.is_folded),
                    value: node.value.clone(),
                    messages: node.messages,
                    rate: node.rate(),
                    history: node.history.iter().copied().collect(),
                });
            }
            if is_flat || !node.is_folded {
                node.rows(path, is_flat, rows);
            }
            path.pop();
        }
    }
}

/// The beginning of a payload, without anything that a terminal would obey.
pub(super) fn preview(payload: &[u8]) -> String {
    // a character has four bytes at most
    let beginning = payload.get(..4 * PREVIEW_CHARS).unwrap_or(payload);
    let text = String::from_utf8_lossy(beginning);
    text.chars().take(PREVIEW_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tree: &Tree, is_by_rate: bool) -> Vec<String> {
        let indented = |row: &Row| format!("{}{}", " ".repeat(row.depth), row.name);
        tree.rows(is_by_rate).iter().map(indented).collect()
    }

    #[test]
    fn topics_become_a_tree_that_counts() {
        let mut tree = Tree::default();
        for (topic, payload) in
            [("a/b", "1"), ("a/b", "2"), ("a/c", "x\n\u{1b}"), ("a", "top"), ("/", "empty")]
        {
            tree.add(topic, payload.as_bytes(), false);
        }
        assert_eq!(names(&tree, false), ["", " ", "a", " b", " c"]);
        let rows = tree.rows(false);
        let shown = |i: usize| (rows[i].messages, rows[i].value.as_ref().map(|value| value.text.as_str()));
        assert_eq!((shown(0), shown(1)), ((1, None), (1, Some("empty"))));
        assert_eq!((shown(2), shown(3), shown(4)), ((4, Some("top")), (2, Some("2")), (1, Some("x  "))));
        tree.fold(&["a".to_owned()]);
        assert_eq!(names(&tree, false), ["", " ", "a"]);
        assert_eq!(tree.rows(false)[2].fold, Some(true));
    }

    #[test]
    fn rates_are_of_the_last_seconds() {
        let mut tree = Tree::default();
        for count in [10, 0, 4] {
            (0..count).for_each(|_| tree.add("a/busy", b"", false));
            tree.add("a/calm", b"", false);
            tree.tick();
        }
        assert_eq!(names(&tree, true), ["a/busy", "a/calm"]);
        let rows = tree.rows(true);
        assert_eq!(rows[0].history, [10, 0, 4]);
        assert!((rows[0].rate - 14.0 / 3.0).abs() < 1e-9 && (rows[1].rate - 1.0).abs() < 1e-9);
        for _ in 0..HISTORY {
            tree.tick();
        }
        assert_eq!(tree.rows(true)[0].history, [0; HISTORY]);
        assert!(tree.total() == (17, 0.0));
    }

    #[test]
    fn what_the_network_says_is_bounded() {
        let mut tree = Tree::default();
        tree.add(&"/".repeat(60_000), &[b'x'; 10_000], false);
        let rows = tree.rows(false);
        assert_eq!(rows.len(), DEPTH_MAX);
        assert_eq!(rows.last().and_then(|row| row.value.clone()).unwrap().text.len(), PREVIEW_CHARS);
        for i in 0..NODES_MAX + 5 {
            tree.add(&i.to_string(), b"", false);
        }
        assert_eq!((tree.nodes, tree.others()), (NODES_MAX, 5 + u64::try_from(DEPTH_MAX).unwrap()));
        tree.add("1", b"known", false);
        assert_eq!(tree.nodes, NODES_MAX);
    }
}
