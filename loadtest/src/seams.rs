//! What a seam costs with a real engine: real speech, whose node is killed in the middle of it, at many points, beside the
//! same speech left alone.
//!
//! * The recordings are joined to one stream. A round sends it up to a cut point, waits until the engine has heard about
//!   that much, kills the node that serves (`kill -9`), and sends the rest. The node is started again before the next
//!   round; rounds without a fault come between them.
//! * The word error rate is that of the whole transcript against what was said. Rounds are paired with the mean of those
//!   without a fault; the interval is that of 10,000 bootstrap samples of the rounds.
//! * Before that, the engine alone hears the same speech from different points on: how far its words' times stray from
//!   one run to the next is what a new leg's alignment must bear.

mod call;
mod jitter;
mod recording;
mod report;
mod score;
mod stage;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use jitter::Jitter;
pub use report::{Interval, Report, Round};
pub use score::Differences;

use crate::caller::CallError;
use crate::children::ChildError;
use crate::progress::{Phase, Progress};
use call::Call;
use recording::Recording;
use stage::Stage;

/// Rounds without a fault.
const UNBROKEN: u16 = 5;
/// Points from which the engine hears the speech for itself.
const STARTS: u32 = 12;
/// No cut is nearer to either end of the speech.
const EDGE: Duration = Duration::from_millis(700);

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose roles are started as child processes.
    pub binary: PathBuf,
    /// WAV files, each with what is said in it in a `.txt` beside it.
    pub files: Vec<PathBuf>,
    /// Cut points, spread evenly.
    pub cuts: NonZeroU16,
}

/// The price could not be measured.
#[derive(Debug, Error)]
pub enum SeamsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no WAV file.
    #[error("cannot hear {path}: {source}")]
    Sound {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: audio::AudioError,
    },
    /// There is too little speech to cut.
    #[error("the recordings last {seconds:.1} s and hold {words} words: give at least 3 s of speech")]
    Short {
        /// How long they last.
        seconds: f64,
        /// Words in the texts beside them.
        words: usize,
    },
    /// One of the processes did not start, or could not be ended.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A stream was not opened.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A stream broke, or ended otherwise than it should.
    #[error("a stream went wrong: {what}{log}")]
    Broken {
        /// How.
        what: String,
        /// The end of the proxy's log, after a line break, or nothing.
        log: String,
    },
    /// The router cannot be asked.
    #[error("cannot ask the router: {0}")]
    Router(#[from] reqwest::Error),
    /// The nodes are not there.
    #[error("the nodes did not become known in {} s", .0.as_secs())]
    Unknown(Duration),
    /// The runtime cannot be made.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

/// Measures the engine's jitter and the price of a seam. Blocks until it is done.
///
/// # Errors
/// Fails when a file cannot be used, or a process or a stream does not do as it should.
pub fn run(options: &Options, progress: Progress) -> Result<Report, SeamsError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SeamsError::Runtime)?;
    runtime.block_on(measure(options, progress))
}

async fn measure(options: &Options, progress: Progress) -> Result<Report, SeamsError> {
    let recording = Recording::read(&options.files)?;
    let phase = progress.phase("starting two nodes with the real engine");
    let mut stage = Stage::start(&options.binary).await?;
    let jitter = jitter(&stage, &recording, &phase).await?;
    let mut report = Report::new(&recording, jitter);
    let cuts = recording.cuts(options.cuts, EDGE);
    let every = (cuts.len() / usize::from(UNBROKEN)).max(1);
    for (number, cut) in cuts.iter().enumerate() {
        if number.is_multiple_of(every) {
            report.take(None, &unbroken(&stage, &recording).await?);
        }
        phase.say(format!("cut {} of {}, at {:.2} s", number + 1, cuts.len(), cut.as_secs_f64()));
        report.take(Some(*cut), &broken(&mut stage, &recording, *cut).await?);
    }
    drop(phase);
    stage.stop().await?;
    Ok(report.concluded())
}

/// Lets the engine hear the speech from different points on.
async fn jitter(stage: &Stage, recording: &Recording, phase: &Phase) -> Result<Jitter, SeamsError> {
    let whole = Call::open(stage.engine(), None).await?.speak(recording.sound()).await?;
    let mut jitter = Jitter::default();
    for number in 1..=STARTS {
        let start = recording.length() * number / (STARTS + 4);
        phase.say(format!("the engine alone, from {:.2} s on", start.as_secs_f64()));
        let part = Call::open(stage.engine(), None).await?.speak(recording.from(start)).await?;
        jitter.compare(&whole.words, &part.words, start);
    }
    Ok(jitter)
}

async fn unbroken(stage: &Stage, recording: &Recording) -> Result<Vec<String>, SeamsError> {
    let call = Call::open(stage.door(), Some(stage::KEY)).await?;
    Ok(call.speak(recording.sound()).await.map_err(|error| stage.explain(error))?.transcript)
}

/// Speaks while the node that serves is killed at `cut`, and starts it again.
async fn broken(stage: &mut Stage, recording: &Recording, cut: Duration) -> Result<Vec<String>, SeamsError> {
    let call = Call::open(stage.door(), Some(stage::KEY)).await?;
    let session = call.session().to_owned();
    let node = stage.serving(&session).await?;
    let told = call.speak_around(recording.cut(cut), stage.kill(node)).await.map_err(|error| stage.explain(error))?;
    if stage.legs(&session).await? < 2 {
        return Err(stage.explain(SeamsError::Broken { what: "it never moved".to_owned(), log: String::new() }));
    }
    stage.mend().await?;
    Ok(told.transcript)
}
