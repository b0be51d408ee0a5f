//! The subscriptions as a tree, as the original prints it: a line for each level, with those who subscribed to it.

use grovemq_broker::Subscribed;
use std::fmt::Write as _;

/// Deeper filters stand in one line, so that nobody can make the tree as wide as it is deep.
const LEVELS_MAX: usize = 50;

pub(crate) fn tree(mut all: Vec<Subscribed>) -> String {
    let path = |s: &Subscribed| -> Vec<String> {
        let whole = match &s.group {
            Some(group) => format!("$share/{group}/{}", s.filter),
            None => s.filter.to_string(),
        };
        let parts = if whole.split('/').count() > LEVELS_MAX { 1 } else { LEVELS_MAX };
        whole.splitn(parts, '/').map(str::to_owned).collect()
    };
    all.sort_by_cached_key(|s| (path(s), s.client_id.clone()));
    let mut text = String::new();
    let mut shown: Vec<String> = Vec::new();
    for subscribed in &all {
        let path = path(subscribed);
        if path != shown {
            let same = path.iter().zip(&shown).take_while(|(a, b)| a == b).count();
            for (depth, level) in path.iter().enumerate().skip(same) {
                let _infallible = write!(text, "\n{:width$}{level}", "", width = (depth + 2) * 2);
            }
            shown = path;
        }
        let _infallible = write!(text, " ({}, {})", subscribed.client_id, subscribed.qos);
    }
    text.push('\n');
    text.trim_start_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_level() {
        let subscribed = |filter: &str, group: Option<&str>, client: &str, qos| Subscribed {
            filter: filter.into(),
            group: group.map(Box::from),
            client_id: client.into(),
            qos,
        };
        let deep = vec!["x"; 51].join("/");
        let all = vec![
            subscribed("a/b", None, "two", 1),
            subscribed(&deep, None, "one", 0),
            subscribed("a", None, "one", 0),
            subscribed("a/b", None, "one", 2),
            subscribed("a/b", Some("g"), "three", 0),
            subscribed("#", None, "one", 0),
        ];
        let expected = format!(
            "    # (one, 0)\n    $share\n      g\n        a\n          b (three, 0)\n    \
             a (one, 0)\n      b (one, 2) (two, 1)\n    {deep} (one, 0)\n"
        );
        assert_eq!(tree(all), expected);
        assert_eq!(tree(Vec::new()), "");
    }
}
