//! What was heard of a router, and what is shown of it.

use std::collections::VecDeque;

use ratatui::crossterm::event::KeyCode;

use crate::admin::{AdminError, Node, Overview, Pool, Session};

/// Looks that the curves remember.
const CURVE: usize = 240;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next frame.
    Go,
    /// No more.
    Quit,
}

/// Everything that one look brings.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) overview: Overview,
    pub(super) pools: Vec<Pool>,
    pub(super) nodes: Vec<Node>,
    pub(super) sessions: Vec<Session>,
}

/// Which table has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    /// The pools.
    #[default]
    Pools,
    /// The nodes.
    Nodes,
    /// The live streams.
    Streams,
}

impl View {
    /// Every view, in the order of their keys.
    pub(super) const ALL: [Self; 3] = [Self::Pools, Self::Nodes, Self::Streams];

    fn next(self) -> Self {
        match self {
            Self::Pools => Self::Nodes,
            Self::Nodes => Self::Streams,
            Self::Streams => Self::Pools,
        }
    }

    /// Returns the word for one of its rows.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Pools => "pool",
            Self::Nodes => "node",
            Self::Streams => "stream",
        }
    }
}

/// How a table is sorted, and how far it is scrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sorting {
    /// The column, counted from the left.
    pub(super) column: usize,
    /// From large to small.
    pub(super) descending: bool,
    /// Rows above the first that is shown.
    pub(super) offset: usize,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct State {
    /// The router's address.
    pub(super) router: String,
    /// What it said last.
    pub(super) heard: Option<Heard>,
    /// Why it says nothing now, and how many looks that has lasted.
    pub(super) away: Option<(String, u32)>,
    pub(super) view: View,
    sortings: [Sorting; 3],
    /// Slots in use, one a look, the last one newest.
    pub(super) used: VecDeque<u64>,
    /// Decisions, of which refused, between the last two looks.
    pub(super) lately: Option<(u64, u64)>,
    counts: Option<(u64, u64)>,
}

impl State {
    /// Starts knowing nothing.
    pub(super) fn new(router: String) -> Self {
        Self {
            router,
            heard: None,
            away: None,
            view: View::default(),
            sortings: [Sorting::default(); 3],
            used: VecDeque::new(),
            lately: None,
            counts: None,
        }
    }

    /// Takes what a look brought. What was heard before stays on the screen while the router is away.
    pub(super) fn hear(&mut self, heard: Result<Heard, AdminError>) {
        match heard {
            Ok(heard) => {
                self.count(&heard.overview);
                if self.used.len() == CURVE {
                    self.used.pop_front();
                }
                self.used.push_back(heard.overview.used_slots);
                self.heard = Some(heard);
                self.away = None;
            }
            Err(error) => {
                let looks = self.away.take().map_or(1, |(_, looks)| looks + 1);
                self.away = Some((error.to_string(), looks));
                self.counts = None;
            }
        }
    }

    fn count(&mut self, overview: &Overview) {
        let refused = overview.refused.values().sum::<u64>();
        let now = (overview.placed + refused, refused);
        // A router that was started again counts from the beginning.
        self.lately = self
            .counts
            .filter(|before| before.0 <= now.0)
            .map(|before| (now.0 - before.0, now.1.saturating_sub(before.1)));
        self.counts = Some(now);
    }

    /// Does what a key says; keys that say nothing are ignored.
    pub(super) fn press(&mut self, key: KeyCode) {
        let columns = self.columns();
        let sorting = &mut self.sortings[self.view as usize];
        match key {
            KeyCode::Char('1') => self.view = View::Pools,
            KeyCode::Char('2') => self.view = View::Nodes,
            KeyCode::Char('3') => self.view = View::Streams,
            KeyCode::Tab => self.view = self.view.next(),
            KeyCode::Char('s') => sorting.column = (sorting.column + 1) % columns,
            KeyCode::Char('r') => sorting.descending = !sorting.descending,
            KeyCode::Down | KeyCode::Char('j') => sorting.offset = sorting.offset.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => sorting.offset = sorting.offset.saturating_sub(1),
            KeyCode::Home => sorting.offset = 0,
            _ => {}
        }
        let rows = self.rows(self.view);
        let sorting = &mut self.sortings[self.view as usize];
        sorting.offset = sorting.offset.min(rows.saturating_sub(1));
    }

    fn columns(&self) -> usize {
        super::tables::columns(self.view).len()
    }

    /// Counts the rows of a table.
    pub(super) fn rows(&self, view: View) -> usize {
        let Some(heard) = &self.heard else { return 0 };
        match view {
            View::Pools => heard.pools.len(),
            View::Nodes => heard.nodes.len(),
            View::Streams => heard.sessions.len(),
        }
    }

    /// Returns how a table is sorted.
    pub(super) fn sorting(&self, view: View) -> Sorting {
        self.sortings[view as usize]
    }
}
