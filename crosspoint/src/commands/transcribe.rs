//! `crosspoint transcribe`: files to text, as any caller of the proxy would do it.
//!
//! * `upload`: a whole file over HTTP; `progress`: how far it is. `stream`: a WAV file over a WebSocket at the speed of speech,
//!   over one `connection` after another; `memory`: what it takes to go on after a lost one.
//! * `transcript`: what comes back, and how it is written. `failure`: what can go wrong, said to people.

mod connection;
mod failure;
mod live;
mod memory;
mod progress;
mod proxy;
mod stream;
mod transcript;
mod upload;
mod wav;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use crate::admin::{Admin, AdminError, Session};
use crate::explanation;
use crate::terminal::{Paint, Style, is_watched, note, print};
use crate::words::count;
use failure::Failure;
use live::{Interims, Pace, Show, Sink};
use proxy::Proxy;
use transcript::Transcript;

/// How often, and how many times, the router is asked for a session that it still counts.
const LEDGER_WAIT: Duration = Duration::from_millis(100);
const LEDGER_TRIES: u32 = 10;

const EXAMPLES: &str = "\
Examples:
  crosspoint transcribe meeting.wav
  crosspoint transcribe --format srt talk.wav > talk.srt
  crosspoint transcribe --stream meeting.wav               word for word, as it is spoken
  crosspoint transcribe --stream --pace 0 meeting.wav      as fast as it goes
  crosspoint transcribe --stream --url http://a:8080 --url http://b:8080 meeting.wav
                                                           goes on at b when a is lost, and loses no word
  CROSSPOINT_KEY=… crosspoint transcribe --url http://speech.example:8080 --explain *.wav";

/// The arguments of `crosspoint transcribe`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, independent of each other")]
pub(crate) struct Args {
    /// Audio files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Stream a WAV file over a WebSocket instead of sending the file
    #[arg(long)]
    stream: bool,
    /// Speed of a stream: 1 is the speed of speech, 0 as fast as it goes
    #[arg(long, value_name = "FACTOR", default_value = "1.0", requires = "stream")]
    pace: Pace,
    /// Write what is still being said, too, where nobody watches the screen; on a screen it appears anyway
    #[arg(long, requires = "stream")]
    interims: bool,
    /// How the transcript is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    ledger: Ledger,
}

/// Whom to ask, and for what.
#[derive(Debug, clap::Args)]
struct Service {
    /// Address of the proxy; a stream whose proxy is lost goes on at the next one that is given
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    urls: Vec<String>,
    /// API key
    #[arg(long, env = "CROSSPOINT_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Model, or another name for one
    #[arg(long, default_value = "nova-3")]
    model: String,
    /// Language spoken, such as en or en-US
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
}

/// Who knows afterwards who served it.
#[derive(Debug, clap::Args)]
struct Ledger {
    /// Show who served it, why, and what it cost; shown on a terminal anyway
    #[arg(long)]
    explain: bool,
    /// Admin address of the router, for that
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7401")]
    router: String,
}

/// How a transcript is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An utterance a line
    Text,
    /// Deepgram's response
    Json,
    /// Subtitles (.srt)
    Srt,
    /// Subtitles for the web (.vtt)
    Vtt,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.check()?;
        let proxies = self.service.proxies()?;
        let mut failed = 0;
        for file in &self.files {
            match Box::pin(self.transcribe(&proxies, file)).await {
                Ok(session) => self.ledger.explain(session.as_deref()).await,
                Err(failure) if self.files.len() == 1 => return Err(failure),
                Err(failure) if crate::terminal::is_closed(&failure) => return Err(failure),
                Err(failure) => {
                    failed += 1;
                    note(&format!("{} {}: {failure:#}", Paint::stderr().paint(Style::Red, "failed:"), file.display()));
                }
            }
        }
        anyhow::ensure!(failed == 0, "{failed} of {} failed", count(self.files.len(), "file"));
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        let subtitles = matches!(self.format, Format::Srt | Format::Vtt);
        anyhow::ensure!(
            !subtitles || self.files.len() == 1,
            "subtitles of {} cannot share one output: give one file at a time",
            count(self.files.len(), "file")
        );
        Ok(())
    }

    /// Transcribes one file to standard output and returns the session that did it, if the proxy named it.
    async fn transcribe(&self, proxies: &[Proxy], file: &Path) -> anyhow::Result<Option<String>> {
        if self.files.len() > 1 && self.format == Format::Text {
            print(&format!("==> {} <==", file.display()))?;
        }
        let transcript = if self.stream {
            // Text is written as it comes; the other formats need the whole of it.
            let show = Show {
                finals: if self.format == Format::Text { Sink::Print } else { Sink::Keep },
                interims: if self.interims { Interims::Lines } else { Interims::Hidden },
            };
            Box::pin(stream::transcribe(proxies, file, self.pace, show)).await?
        } else {
            Box::pin(upload::transcribe(proxies.first().ok_or(Failure::NoProxy)?, file)).await?
        };
        if !(self.stream && self.format == Format::Text) {
            print(&transcript.written(self.format))?;
        }
        if transcript.is_silent() {
            note("no speech was heard");
        }
        Ok(transcript.session().map(str::to_owned))
    }
}

impl Service {
    fn proxies(&self) -> Result<Vec<Proxy>, Failure> {
        let mut query = vec![("model", self.model.clone()), ("punctuate", "true".to_owned())];
        query.extend(self.language.clone().map(|language| ("language", language)));
        self.urls.iter().map(|url| Proxy::at(url, self.key.clone(), query.clone())).collect()
    }
}

impl Ledger {
    /// Explains a session on standard error, where that was asked for or somebody watches.
    async fn explain(&self, session: Option<&str>) {
        if !self.explain && !is_watched() {
            return;
        }
        match (session, self.explain) {
            (Some(session), insist) => match self.session(session).await {
                Ok(session) => note(&explanation::in_short(&session, Paint::stderr())),
                Err(error) if insist => note(&format!("cannot explain session {session}: {error}")),
                Err(_) => {}
            },
            (None, true) => note("cannot explain: the proxy did not name the session"),
            (None, false) => {}
        }
    }

    /// Asks the router for a session, a few times while its bill is still on its way.
    async fn session(&self, id: &str) -> Result<Session, AdminError> {
        let admin = Admin::at(&self.router)?;
        let path = format!("/v1/sessions/{id}");
        let mut answer = admin.get(&path).await;
        for _ in 1..LEDGER_TRIES {
            match &answer {
                Ok(session) if session["state"] != "ended" => {}
                Err(AdminError::Refused { status: 404, .. }) => {}
                Ok(_) | Err(_) => break,
            }
            tokio::time::sleep(LEDGER_WAIT).await;
            answer = admin.get(&path).await;
        }
        admin.read(answer?)
    }
}

impl Transcript {
    fn written(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
            Format::Srt => self.srt(),
            Format::Vtt => self.vtt(),
        }
    }
}
