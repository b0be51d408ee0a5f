//! `top`: what passes over a server, on a terminal: topics with their last values and rates, and what the server tells of itself.

mod tree;
mod view;

use crate::exit::Exit;
use crate::flags::high::Session;
use crate::flags::{Complaint, Low, Tool};
use crate::watch;
use grovemq_client::{Client, Event, Events, Qos, Subscription};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tree::Tree;

/// What `top` is to do.
#[derive(Debug)]
pub(crate) struct Topping {
    session: Session,
    filters: Vec<String>,
    /// What the server tells of itself is among the topics, too.
    shows_sys: bool,
    qos: Qos,
    place: String,
}

impl Topping {
    pub(crate) fn new(low: Low) -> Result<Self, Complaint> {
        let session = Session::new(&low, Tool::Top)?;
        let (host, port) = crate::flags::transport::place(&low);
        let place = format!("{host}:{port}");
        let mut filters = if low.topics.is_empty() { vec!["#".to_owned()] } else { low.topics };
        let shows_sys = filters.iter().any(|filter| filter.starts_with(SYS));
        filters.push(format!("{SYS}#"));
        Ok(Self { session, filters, shows_sys, qos: low.qos, place })
    }
}

const SYS: &str = "$SYS/";
/// Values of the server that are kept.
const SYS_MAX: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);
/// Between two pictures.
const FRAME: Duration = Duration::from_millis(100);
/// Keys that wait.
const KEYS_MAX: usize = 64;
/// Rows that a page key moves by.
const PAGE: usize = 10;

/// Shows it until the user has seen enough.
pub(crate) fn run(plan: &Topping) -> Exit {
    plan.session.warn();
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        plan.session.complain("Error: top needs a terminal; sub --count-by topic does without.");
        return Exit::FAILURE;
    }
    crate::block_on(async {
        let (client, events) = match watch::connect(&plan.session).await {
            Ok((client, events, _)) => (client, events),
            Err(exit) => return exit,
        };
        let shown = match ratatui::try_init() {
            Ok(terminal) => show(plan, &client, events, terminal).await,
            Err(error) => Err(error),
        };
        ratatui::restore();
        client.close();
        match shown {
            Ok(()) => Exit::OK,
            Err(error) => {
                plan.session.complain(&format!("Error: {error}"));
                Exit::FAILURE
            }
        }
    })
}

/// Everything that is to be seen.
#[derive(Debug, Default)]
struct Scene {
    place: String,
    /// What is wrong with the connection.
    trouble: Option<String>,
    tree: Tree,
    /// The last values below `$SYS/`.
    sys: BTreeMap<String, String>,
    /// The topic under the cursor.
    selected: usize,
    is_by_rate: bool,
}

impl Scene {
    fn take(&mut self, event: Event, shows_sys: bool) {
        match event {
            Event::Message(received) => {
                let message = received.message;
                if let Some(name) = message.topic.strip_prefix(SYS) {
                    let value = tree::preview(&message.payload);
                    if self.sys.len() < SYS_MAX || self.sys.contains_key(name) {
                        self.sys.insert(name.to_owned(), value);
                    }
                    if !shows_sys {
                        return;
                    }
                }
                self.tree.add(&message.topic, &message.payload, message.retain);
            }
            Event::Connected(_) => self.trouble = None,
            Event::Refused(refusal) => self.trouble = Some(refusal.reason.to_string()),
            Event::Disconnected(error) => self.trouble = Some(format!("{error}; trying again")),
            Event::SubscriptionLost { filter, reason } => {
                self.trouble = Some(format!("'{filter}': {reason}"));
            }
            _ => {}
        }
    }

    /// Whether the user has seen enough.
    fn press(&mut self, key: KeyEvent) -> bool {
        let last = self.tree.rows(self.is_by_rate).len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Down => self.selected += 1,
            KeyCode::Up => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected += PAGE,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Char('s') => self.is_by_rate = !self.is_by_rate,
            KeyCode::Enter | KeyCode::Left | KeyCode::Right => self.fold(),
            _ => {}
        }
        self.selected = self.selected.min(last);
        false
    }

    /// Opens or closes what is under the cursor.
    fn fold(&mut self) {
        let path = self.tree.rows(self.is_by_rate).get(self.selected).map(|row| row.path.clone());
        if let Some(path) = path {
            self.tree.fold(&path);
        }
    }
}

async fn show(
    plan: &Topping,
    client: &Client,
    mut events: Events,
    mut terminal: DefaultTerminal,
) -> io::Result<()> {
    let mut scene = Scene { place: plan.place.clone(), ..Scene::default() };
    let filters: Vec<Subscription> =
        plan.filters.iter().map(|filter| Subscription::new(filter.as_str(), plan.qos)).collect();
    let mut subscribing = pin!(client.subscribe(&filters));
    let mut is_subscribing = true;
    let mut interrupted = pin!(crate::interrupted());
    let mut keys = keys();
    let mut seconds = interval(SECOND);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = true;
    loop {
        tokio::select! {
            event = events.next() => {
                let mut next = event;
                if next.is_none() {
                    return Ok(());
                }
                while let Some(event) = next {
                    scene.take(event, plan.shows_sys);
                    next = events.try_next();
                }
                is_stale = true;
            }
            answer = &mut subscribing, if is_subscribing => {
                is_subscribing = false;
                let mut refused = answer.into_iter().flatten().zip(&plan.filters).filter(|(code, _)| code.is_error());
                if let Some((code, filter)) = refused.next() {
                    scene.trouble = Some(format!("'{filter}': {code}"));
                }
            }
            key = keys.recv() => match key {
                Some(Some(key)) => {
                    if scene.press(key) {
                        return Ok(());
                    }
                    is_stale = true;
                }
                // the window has another size
                Some(None) => is_stale = true,
                None => return Ok(()),
            },
            _ = seconds.tick() => {
                scene.tree.tick();
                is_stale = true;
            }
            _ = frames.tick(), if is_stale => {
                terminal.draw(|frame| view::draw(frame, &scene))?;
                is_stale = false;
            }
            () = &mut interrupted => return Ok(()),
        }
    }
}

/// Keys as they are pressed, and `None` for what else there is to redraw for. A thread of its own waits for them, and is not waited
/// for.
fn keys() -> mpsc::Receiver<Option<KeyEvent>> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                event::Event::Key(key) if key.kind == KeyEventKind::Press => Some(key),
                event::Event::Resize(..) => None,
                _ => continue,
            };
            if sender.blocking_send(key).is_err() {
                return;
            }
        }
    });
    receiver
}
