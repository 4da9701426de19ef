//! Files: work in slot-seconds, earliest deadline first, done in chunks on slots that streams leave idle.

use std::collections::VecDeque;
use std::time::Duration;

use scheduler::Timestamp;
use scheduler::plan::Batch;

use super::World;
use crate::policy::FileSlots;
use crate::workload::BatchWork;

/// Deadlines are told to the planner in steps of this width.
const DEADLINE_STEP: Duration = Duration::from_secs(600);

/// Files that wait or run.
pub(super) struct Files {
    queue: VecDeque<BatchWork>,
    next: usize,
    backlog: f64,
    chunk: f64,
    slots: FileSlots,
    missed: f64,
}

impl Files {
    pub(super) fn new(chunk: Duration, slots: FileSlots) -> Self {
        Self { queue: VecDeque::new(), next: 0, backlog: 0.0, chunk: chunk.as_secs_f64(), slots, missed: 0.0 }
    }

    /// Takes in what has arrived by now, and gives up what is overdue.
    fn take_in(&mut self, arriving: &[BatchWork], now: Timestamp) {
        while let Some(work) = arriving.get(self.next).filter(|work| work.at <= now) {
            self.queue.push_back(*work);
            self.backlog += work.work;
            self.next += 1;
        }
        while let Some(late) = self.queue.front().filter(|work| work.due < now).copied() {
            self.queue.pop_front();
            self.backlog -= late.work;
            self.missed += late.work;
        }
    }

    /// Lets `slots` slots work for a while on what is due first.
    pub(super) fn work(&mut self, slots: u32, seconds: f64) {
        let mut done = f64::from(slots) * seconds;
        while done > 0.0 {
            let Some(first) = self.queue.front_mut() else { break };
            let part = done.min(first.work);
            first.work -= part;
            self.backlog -= part;
            done -= part;
            if first.work <= 0.0 {
                self.queue.pop_front();
            }
        }
    }

    /// Gives back what chunks that were broken off had done: half a chunk each, on average.
    pub(super) fn break_off(&mut self, chunks: u32) {
        if let Some(first) = self.queue.front_mut() {
            let lost = f64::from(chunks) * self.chunk / 2.0;
            first.work += lost;
            self.backlog += lost;
        }
    }

    /// Returns the slots that all work could use for the next second.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
    fn wanted(&self, now: Timestamp) -> u32 {
        match self.slots {
            FileSlots::Idle => self.backlog.max(0.0).ceil() as u32,
            FileSlots::Own => self.slots_of_their_own(now).min(self.backlog.max(0.0).ceil() as u32),
        }
    }

    /// Returns the slots that keep every deadline: what the fleet is sized for where files have slots of their own.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
    pub(super) fn slots_of_their_own(&self, now: Timestamp) -> u32 {
        scheduler::plan::batch_rate(&self.due(now)).ceil() as u32
    }

    /// Returns the work by the time that is left for it.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Batch> {
        let mut due: Vec<Batch> = Vec::new();
        for work in &self.queue {
            let left = work.due.since(now).as_secs() / DEADLINE_STEP.as_secs();
            let due_in = DEADLINE_STEP * u32::try_from(left).unwrap_or(u32::MAX);
            match due.last_mut().filter(|last| last.due_in == due_in) {
                Some(last) => last.slot_seconds += work.work,
                None => due.push(Batch { due_in, slot_seconds: work.work }),
            }
        }
        due
    }

    /// Returns the work that missed its deadline.
    pub(super) fn overdue_at(&self, now: Timestamp) -> f64 {
        self.missed + self.queue.iter().filter(|work| work.due < now).map(|work| work.work).sum::<f64>()
    }
}

impl World<'_> {
    /// Gives idle slots to files, the fullest nodes' last: nodes are asked in the order of their launch.
    pub(super) fn fill_with_files(&mut self) {
        self.files.take_in(&self.trial.workload.batch, self.now);
        let mut wanted = self.files.wanted(self.now);
        for at in 0..self.nodes.live().len() {
            let node = self.nodes.live()[at];
            let files = self.nodes.room_for_files(node).min(wanted);
            self.nodes.set_files(node, files);
            wanted -= files;
        }
    }
}
