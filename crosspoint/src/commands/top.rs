//! `crosspoint top`: pools, nodes and streams on a terminal, as they are now.
//!
//! * `state`: what was heard and what is shown. `draw`: a frame. `tables`: its three tables.
//! * Here: the terminal, the keys and the router that is asked once a second.

mod draw;
mod state;
mod tables;

use std::io::IsTerminal as _;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::{Admin, AdminArgs, AdminError, Nodes, Overview, Pools, Sessions};
use crate::terminal::{print, print_json};
use state::{Heard, Next, State};

/// How often the router is asked.
const ASK: Duration = Duration::from_secs(1);
/// Sessions that are asked for; the live ones among them are shown.
const SESSIONS: &str = "/v1/sessions?limit=1000";
/// Keys that may wait.
const KEYS: usize = 16;

const EXAMPLES: &str = "\
Keys:
  1 2 3      pools, nodes, streams       tab       the next of them
  s          sort by the next column     r         the other way round
  ↑ ↓        scroll                      q         quit
The figures:
  SCORE      what an hour of a plain stream would cost there now, in cents: price, distance, load and errors
  $/HOUR     of a pool: all its nodes that report, used or not; of a stream: its share of a slot, and egress

Examples:
  crosspoint top
  crosspoint top --router http://10.0.0.7:7401
  crosspoint top --once --width 120 | head -20";

/// The arguments of `crosspoint top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print one frame as text, and end
    #[arg(long)]
    once: bool,
    /// Columns of that frame
    #[arg(long, requires = "once", default_value = "100", value_parser = clap::value_parser!(u16).range(40..=400))]
    width: u16,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        if self.admin.json {
            return Ok(print_json(&admin.get("/v1/overview").await?)?);
        }
        if self.once {
            let mut state = State::new(admin.address());
            state.hear(Ok(ask(&admin).await?));
            return Ok(print(&text(&state, self.width)?)?);
        }
        anyhow::ensure!(std::io::stdout().is_terminal(), "standard output is no terminal: --once prints one frame");
        watch(admin).await
    }
}

/// Asks for everything that a frame shows.
async fn ask(admin: &Admin) -> Result<Heard, AdminError> {
    let (overview, pools, nodes, sessions) = tokio::try_join!(
        admin.get("/v1/overview"),
        admin.get("/v1/pools"),
        admin.get("/v1/nodes"),
        admin.get(SESSIONS)
    )?;
    let overview: Overview = admin.read(overview)?;
    let Pools { pools } = admin.read(pools)?;
    let Nodes { nodes } = admin.read(nodes)?;
    let Sessions { mut sessions } = admin.read(sessions)?;
    sessions.retain(|session| session.state == "live");
    Ok(Heard { overview, pools, nodes, sessions })
}

/// Draws all three tables as lines of text.
fn text(state: &State, width: u16) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, draw::whole_height(state)))?;
    terminal.draw(|frame| draw::draw_whole(frame, state))?;
    Ok(lines(terminal.backend().buffer()))
}

/// Returns what is on a screen, without colours.
fn lines(screen: &Buffer) -> String {
    let lines = screen.content.chunks(usize::from(screen.area.width.max(1))).map(|line| {
        let line: String = line.iter().map(Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// Draws until somebody quits.
async fn watch(admin: Admin) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let outcome = follow(&admin, &mut terminal).await;
    ratatui::try_restore()?;
    outcome
}

async fn follow(admin: &Admin, terminal: &mut ratatui::DefaultTerminal) -> anyhow::Result<()> {
    let mut state = State::new(admin.address());
    let mut keys = keys();
    let mut ticks = interval(ASK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| draw::draw(frame, &state))?;
        tokio::select! {
            _ = ticks.tick() => {
                // A router that is away takes seconds to be given up; keys go on meanwhile.
                tokio::select! {
                    heard = ask(admin) => state.hear(heard),
                    event = keys.recv() => if press(&mut state, event) == Next::Quit { return Ok(()) },
                }
            }
            event = keys.recv() => if press(&mut state, event) == Next::Quit { return Ok(()) },
        }
    }
}

/// Reads the terminal on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Does what a key says. Whoever closes the terminal has seen enough.
fn press(state: &mut State, event: Option<Event>) -> Next {
    let Some(event) = event else { return Next::Quit };
    let Event::Key(key) = event else { return Next::Go };
    if key.kind == KeyEventKind::Release {
        return Next::Go;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Next::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Next::Quit,
        code => {
            state.press(code);
            Next::Go
        }
    }
}

#[cfg(test)]
mod tests;
