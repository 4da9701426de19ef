//! What a node owes: by this it is told that it hangs, for a connection that stands proves nothing.

use scheduler::Timestamp;

/// What a node is to answer, however little audio it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    None,
    /// A control message: a final or an event answers it.
    Control,
    /// `CloseStream`: only the close does.
    Close,
}

/// What a node was sent since it last spoke, and since when it owes a word for that.
#[derive(Debug)]
pub(crate) struct Owed {
    enough: u64,
    bytes: u64,
    question: Question,
    since: Option<Timestamp>,
}

impl Owed {
    /// Starts with nothing owed. A node need not speak before it was sent `enough` bytes of audio.
    pub(crate) fn nothing(enough: u64) -> Self {
        Self { enough, bytes: 0, question: Question::None, since: None }
    }

    /// Counts audio in something else from now on, of which a node need not speak before it was sent `enough`.
    pub(crate) fn count_in(&mut self, enough: u64) {
        (self.enough, self.bytes) = (enough, 0);
    }

    /// Notes audio that was sent.
    pub(crate) fn add_audio(&mut self, bytes: usize, now: Timestamp) {
        self.bytes += bytes as u64;
        self.note_debt(now);
    }

    /// Notes a control message that was sent.
    pub(crate) fn add_question(&mut self, now: Timestamp) {
        if self.question == Question::None {
            self.question = Question::Control;
        }
        self.note_debt(now);
    }

    /// Notes that `CloseStream` was sent.
    pub(crate) fn add_close(&mut self, now: Timestamp) {
        self.question = Question::Close;
        self.note_debt(now);
    }

    /// Notes that the node spoke about the audio so far.
    pub(crate) fn note_progress(&mut self, now: Timestamp) {
        self.pass_on(0, now);
    }

    /// Notes that the node spoke and that this may answer a control message.
    pub(crate) fn note_answer(&mut self, now: Timestamp) {
        if self.question == Question::Control {
            self.question = Question::None;
        }
        self.pass_on(0, now);
    }

    /// Passes the debt to a new node, which is sent `bytes` of audio again.
    pub(crate) fn pass_on(&mut self, bytes: usize, now: Timestamp) {
        self.bytes = bytes as u64;
        self.since = None;
        self.note_debt(now);
    }

    /// Returns since when the node owes a word, if it does.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    fn note_debt(&mut self, now: Timestamp) {
        if self.bytes >= self.enough || self.question != Question::None {
            self.since.get_or_insert(now);
        }
    }
}
