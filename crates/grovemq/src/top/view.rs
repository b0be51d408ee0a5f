//! The picture.

use super::Scene;
use super::tree::Row;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Table, TableState};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const KEYS: &str = "↑↓ move   ⏎ open or close   s by rate or as a tree   q end";

/// What the server tells of itself, below `$SYS/`, and how it is called here.
const SYS_SHOWN: [(&str, &str); 5] = [
    ("broker/clients/connected", "clients"),
    ("broker/subscriptions/count", "subscriptions"),
    ("broker/retained messages/count", "retained"),
    ("broker/uptime", "up"),
    ("broker/version", ""),
];

pub(super) fn draw(frame: &mut Frame<'_>, scene: &Scene) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [head, server, topics, foot] = areas.areas(frame.area());
    frame.render_widget(head_line(scene), head);
    frame.render_widget(server_line(scene), server);
    let rows = scene.tree.rows(scene.is_by_rate);
    let mut state =
        TableState::default().with_selected(Some(scene.selected.min(rows.len().saturating_sub(1))));
    frame.render_stateful_widget(table(&rows), topics, &mut state);
    frame.render_widget(Paragraph::new(KEYS).style(Modifier::DIM), foot);
}

fn head_line(scene: &Scene) -> Line<'static> {
    let (messages, rate) = scene.tree.total();
    let mut spans = vec![
        Span::styled(scene.place.clone(), Modifier::BOLD),
        Span::raw(format!("   {messages} messages   {rate:.1}/s")),
    ];
    if scene.tree.others() > 0 {
        spans.push(Span::raw(format!("   {} to topics beyond count", scene.tree.others())));
    }
    if let Some(trouble) = &scene.trouble {
        spans.push(Span::styled(format!("   {trouble}"), Color::Red));
    }
    Line::from(spans)
}

/// Not every server tells, nor everybody.
fn server_line(scene: &Scene) -> Line<'static> {
    let mut parts = Vec::new();
    for (name, called) in SYS_SHOWN {
        if let Some(value) = scene.sys.get(name) {
            parts.push(if called.is_empty() { value.clone() } else { format!("{called} {value}") });
        }
    }
    Line::styled(parts.join("   "), Color::Cyan)
}

fn table(rows: &[Row]) -> Table<'static> {
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(3),
        Constraint::Length(9),
        Constraint::Length(24),
        Constraint::Length(9),
    ];
    let header = Cells::new(["topic", "value", "     /s", "", " messages"]).style(Modifier::UNDERLINED);
    Table::new(rows.iter().map(cells), widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
}

fn cells(row: &Row) -> Cells<'static> {
    let mark = match row.fold {
        Some(true) => "▸ ",
        Some(false) => "▾ ",
        None => "  ",
    };
    let name = format!("{}{mark}{}", "  ".repeat(row.depth), row.name);
    let value = row.value.as_ref().map_or(Span::raw(""), |value| {
        let colour = if value.is_retained { Color::Magenta } else { Color::Reset };
        Span::styled(value.text.clone(), colour)
    });
    let rate = if row.rate > 0.0 { format!("{:7.1}", row.rate) } else { String::new() };
    Cells::new([
        Cell::from(Span::styled(name, Color::Cyan)),
        Cell::from(value),
        Cell::from(rate),
        Cell::from(Span::styled(sparkline(&row.history), Color::Green)),
        Cell::from(format!("{:9}", row.messages)),
    ])
}

/// A bar for each second; none where nothing came.
fn sparkline(history: &[u32]) -> String {
    let highest = history.iter().copied().max().unwrap_or(0);
    let bar = |&count: &u32| {
        if count == 0 {
            return ' ';
        }
        // the highest is the last of the bars
        let index = u64::from(count - 1) * 8 / u64::from(highest.max(1));
        usize::try_from(index).ok().and_then(|index| BARS.get(index)).copied().unwrap_or('█')
    };
    history.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// The lines of the picture, without the blanks at their ends.
    fn shown(scene: &Scene) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(100, 9)).unwrap();
        terminal.draw(|frame| draw(frame, scene)).unwrap();
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let symbols: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        symbols.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    #[test]
    fn the_picture() {
        let mut scene = Scene { place: "h:1883".to_owned(), ..Scene::default() };
        scene.sys.insert("broker/clients/connected".to_owned(), "3".to_owned());
        scene.sys.insert("broker/version".to_owned(), "a broker 1.0".to_owned());
        for count in [1, 0, 2, 8] {
            (0..count).for_each(|i| scene.tree.add("plant/a", format!("value {i}").as_bytes(), false));
            scene.tree.tick();
        }
        scene.tree.add("plant/b", "ü\u{1b}[2J".as_bytes(), true);
        let lines = shown(&scene);
        assert_eq!(lines[0], "h:1883   12 messages   2.8/s");
        assert_eq!(lines[1], "clients 3   a broker 1.0");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[2]), ["topic", "value", "/s", "messages"]);
        assert_eq!(words(&lines[3]), ["▾", "plant", "2.8", "▁", "▂█", "12"]);
        assert_eq!(words(&lines[4]), ["a", "value", "7", "2.8", "▁", "▂█", "11"]);
        assert_eq!(words(&lines[5]), ["b", "ü", "[2J", "1"]);
        assert_eq!(lines[8], KEYS);

        scene.tree.fold(&["plant".to_owned()]);
        scene.trouble = Some("gone".to_owned());
        let lines = shown(&scene);
        assert!(lines[0].ends_with("   gone"), "{lines:?}");
        assert!(lines[3].starts_with("▸ plant") && lines[4].is_empty(), "{lines:?}");
        scene.is_by_rate = true;
        assert!(shown(&scene)[3].starts_with("  plant/a"));
    }

    #[test]
    fn any_window_will_do() {
        let mut scene = Scene::default();
        scene.tree.add("a", b"1", false);
        for (width, height) in [(0, 0), (1, 1), (3, 2), (20, 4)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &scene)).unwrap();
        }
    }

    #[test]
    fn bars_are_as_high_as_the_counts() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[1]), "▁");
        assert_eq!(sparkline(&[u32::MAX, 1]), "█▁");
    }
}
