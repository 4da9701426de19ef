//! Files on servers of other makers: every format of both caller APIs, exact; and every way to answer badly.

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::Child;
use crate::support::http::{Answer, Refusal, post, transcribe};
use crate::support::proxy::{Proxy, agent};
use crate::support::router::Router;
use crate::support::speech::{ensure_clean, file, query, sound, transcript};
use crate::support::stream::knock;
use crate::support::stub::{Maker, Manner, Stub};
use crate::support::until;
use crate::support::up::KEY;

/// The key that the stubs may want; nothing may ever say it.
const ENGINE_KEY: &str = "canary-engine-key-5b1f";
const MODELS: &str = "models: { speaches: { languages: [en] }, vllm: { languages: [en-US] }, \
    no-times: { languages: [en-US] }, whisper: { languages: [en-US] }, both: { languages: [en] } }";

/// More than any test needs: a router counts a slot that it promised for a while though its file is done.
const SLOTS: &str = "slots: 50";

const SEGMENTS_ONLY: &str = "the engine gives no word times: those of captions are spread over its segments";
const NO_TIMES: &str = "the engine gives no times: those of captions and segments are spread over the audio";

/// A router, a proxy and some engines.
struct Fleet {
    router: Router,
    proxy: Proxy,
    agents: Vec<Child>,
    folder: TempDir,
}

impl Fleet {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("key");
        std::fs::write(&key, format!("{ENGINE_KEY}\n"))?;
        let router = Router::configured(MODELS, "127.0.0.1:0").await?;
        let keys = format!("engine_keys: {{ on-prem: \"{}\" }}", key.display());
        let proxy = Proxy::start(&[router.url()], &keys, MODELS).await?;
        Ok(Self { router, proxy, agents: Vec::new(), folder })
    }

    /// Starts an agent before a stub and waits until the router knows the node.
    async fn join(&mut self, stub: &Stub, maker: Maker, (pool, model): (&str, &str)) -> anyhow::Result<()> {
        self.agent(stub, maker, (pool, model), SLOTS).await?;
        self.reports(pool, "serving").await?;
        Ok(())
    }

    async fn agent(&mut self, stub: &Stub, maker: Maker, at: (&str, &str), more: &str) -> anyhow::Result<()> {
        let ((pool, model), url) = (at, format!("http://{}", stub.address));
        let yaml = format!(
            "node: {pool}-1, pool: {pool}, routers: [{}], models: [{model}], \
             engine: {{ url: \"{url}\", api: openai, models: {{ {model}: \"{}\" }}, {more} }}",
            self.router.url(),
            maker.model(),
        );
        self.agents.push(agent(&yaml).await?);
        Ok(())
    }

    /// Waits until the node of a pool reports this state.
    async fn reports(&self, pool: &str, state: &str) -> anyhow::Result<Value> {
        until("report", async || {
            let answer = self.router.ask("nodes").await?;
            let mut nodes = answer["nodes"].as_array().context("a list of nodes")?.iter();
            Ok(nodes.find(|node| node["pool"] == pool && node["state"] == state).cloned())
        })
        .await
    }

    fn logs(&self) -> String {
        let agents = self.agents.iter().map(Child::log);
        [self.router.log(), self.proxy.log()].into_iter().chain(agents).collect()
    }
}

fn warning(answer: &Answer) -> Option<String> {
    answer.header("x-crosspoint-warning")
}

fn number(value: &Value) -> anyhow::Result<f64> {
    value.as_f64().with_context(|| format!("no number: {value}"))
}

/// Checks that words come in order, inside the audio, as they were spoken.
fn ensure_placed(script: Script, words: &Value) -> anyhow::Result<()> {
    let words = words.as_array().context("words")?;
    anyhow::ensure!(words.len() == usize::from(script.words), "{} words", words.len());
    for (word, spoken) in words.iter().zip(script.words()) {
        anyhow::ensure!(word["word"] == spoken.text, "{word} is no {spoken:?}");
        let (start, end) = (number(&word["start"])?, number(&word["end"])?);
        let (from, to) = (spoken.start.as_secs_f64(), spoken.end.as_secs_f64());
        anyhow::ensure!((start - from).abs() < 0.05 && (end - to).abs() < 0.05, "{word} is no {spoken:?}");
    }
    Ok(())
}

/// What is known of times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Words,
    Segments,
    Nothing,
}

impl Times {
    fn warning(self) -> Option<String> {
        match self {
            Self::Words => None,
            Self::Segments => Some(SEGMENTS_ONLY.to_owned()),
            Self::Nothing => Some(NO_TIMES.to_owned()),
        }
    }
}

#[tokio::test]
async fn every_server_serves_every_format_of_both_apis() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let key = format!("{SLOTS}, key: \"{}\"", fleet.folder.path().join("key").display());
    let mut stubs = Vec::new();
    for (maker, pool, model, wanted, times) in [
        (Maker::Speaches, "on-prem", "speaches", Some(ENGINE_KEY), Times::Words),
        (Maker::Vllm, "coreweave-us-east", "vllm", None, Times::Segments),
        (Maker::VllmWithoutTimes, "aws-us-west-2", "no-times", None, Times::Nothing),
        (Maker::WhisperCpp, "gcp-europe-west4", "whisper", None, Times::Words),
    ] {
        let stub = Stub::start(maker, wanted).await?;
        fleet.agent(&stub, maker, (pool, model), if wanted.is_some() { &key } else { SLOTS }).await?;
        let node = fleet.reports(pool, "serving").await?;
        assert_eq!((&node["api"], &node["models"]), (&json!("openai"), &json!([model])));
        assert_eq!((&node["hard_slots"], &node["soft_slots"]), (&json!(50), &json!(50)));
        stubs.push((stub, model, times));
    }
    let fleet = &fleet;
    let checks = (40..).zip(&stubs).map(async |(session, (stub, model, times))| {
        let script = Script { session, words: 30 };
        listened(fleet, script, model, *times).await.with_context(|| format!("{model} by /v1/listen"))?;
        let answered = transcribed(fleet, script, model, *times).await;
        answered.with_context(|| format!("{model} by /v1/audio/transcriptions"))?;
        let upload = stub.last_upload()?;
        anyhow::ensure!(upload.file_name == "audio.wav" && upload.field("language") == Some("en"), "{upload:?}");
        anyhow::ensure!(upload.headers.contains_key("content-length"), "sent in chunks");
        anyhow::Ok(())
    });
    try_join_all(checks).await?;
    let page = fleet.proxy.metrics().await?;
    assert!(page.contains("crosspoint_proxy_sessions_total{work=\"file\",reason=\"completed\"} 28"), "{page}");
    let said = format!("{}{page}", fleet.logs());
    assert!(!said.contains(ENGINE_KEY), "the engine's key was said");
    Ok(())
}

/// Deepgram's dialect: as a file, and as raw audio.
async fn listened(fleet: &Fleet, script: Script, model: &str, times: Times) -> anyhow::Result<()> {
    let wants = format!("model={model}&language=en&punctuate=true&utterances=true&paragraphs=true");
    let upload = file(script, Format::SPEECH, None)?;
    let answer = post(&fleet.proxy, &wants, upload).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    anyhow::ensure!(warning(&answer) == times.warning(), "{:?}", warning(&answer));
    let body = answer.json()?;
    let channel = &body["results"]["channels"][0];
    ensure_clean(script, transcript(channel))?;
    let best = &channel["alternatives"][0];
    match times {
        Times::Words => ensure_placed(script, &best["words"])?,
        Times::Segments | Times::Nothing => anyhow::ensure!(best["words"] == json!([]), "{best}"),
    }
    let metadata = &body["metadata"];
    let length = script.duration().as_secs_f64();
    anyhow::ensure!((number(&metadata["duration"])? - length).abs() < 0.01, "{metadata}");
    anyhow::ensure!(metadata["request_id"] == answer.request_id()?.as_str(), "{metadata}");
    anyhow::ensure!(metadata["sha256"].as_str().is_some_and(|hash| hash.len() == 64), "{metadata}");
    anyhow::ensure!(metadata["warnings"][0]["message"].as_str() == times.warning().as_deref(), "{metadata}");
    let said = body["results"]["utterances"].as_array().context("utterances")?.iter();
    let said: Vec<_> = said.filter_map(|utterance| utterance["transcript"].as_str()).collect();
    ensure_clean(script, &said.join(" "))?;
    ensure_clean(script, best["paragraphs"]["transcript"].as_str().context("paragraphs")?)?;
    let record = fleet.router.record(&answer.request_id()?).await?;
    anyhow::ensure!((number(&record["audio_seconds"])? - length).abs() < 0.01, "{record}");

    let raw = format!("{}&language=en", query(Format::SPEECH).replace("nova-3", model));
    let answer = post(&fleet.proxy, &raw, sound(script, Format::SPEECH)).await?;
    ensure_clean(script, transcript(&answer.json()?["results"]["channels"][0]))
}

/// `OpenAI`'s dialect, in every format.
async fn transcribed(fleet: &Fleet, script: Script, model: &str, times: Times) -> anyhow::Result<()> {
    let upload = file(script, Format::SPEECH, None)?;
    let ask = async |more: &[(&str, &str)]| {
        let answer =
            transcribe(&fleet.proxy, &[&[("model", model), ("language", "en")], more].concat(), &upload).await?;
        anyhow::ensure!(answer.status == 200, "{more:?}: {answer:?}");
        anyhow::Ok(answer)
    };
    let answer = ask(&[("response_format", "json")]).await?;
    ensure_clean(script, answer.json()?["text"].as_str().context("a text")?)?;
    anyhow::ensure!(warning(&answer).is_none(), "there are no times in a text");
    ensure_clean(script, ask(&[("response_format", "text")]).await?.text()?.trim_end())?;
    for format in ["srt", "vtt"] {
        let answer = ask(&[("response_format", format)]).await?;
        anyhow::ensure!(warning(&answer) == times.warning(), "{format}: {:?}", warning(&answer));
        let lines = answer.text()?.lines().filter(|line| !line.contains("-->") && line.parse::<u32>().is_err());
        let text: Vec<_> = lines.filter(|line| !line.is_empty() && *line != "WEBVTT").collect();
        ensure_clean(script, &text.join(" ")).with_context(|| format!("{format} of {model}"))?;
    }
    let both = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")];
    let answer = ask(&[&[("response_format", "verbose_json")], &both[..]].concat()).await?;
    anyhow::ensure!(warning(&answer) == times.warning(), "{:?}", warning(&answer));
    let body = answer.json()?;
    anyhow::ensure!(body["language"] == "english", "{body}");
    anyhow::ensure!((number(&body["duration"])? - script.duration().as_secs_f64()).abs() < 0.01, "{body}");
    match times {
        Times::Words => ensure_placed(script, &body["words"])?,
        Times::Segments | Times::Nothing => anyhow::ensure!(body["words"] == json!([]), "{body}"),
    }
    let segments = body["segments"].as_array().context("segments")?.iter();
    let texts: Vec<_> = segments.filter_map(|segment| segment["text"].as_str()).collect();
    ensure_clean(script, texts.concat().trim_start())
}

#[tokio::test]
async fn a_stream_is_refused_where_only_files_are_heard() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let stub = Stub::start(Maker::Vllm, None).await?;
    fleet.join(&stub, Maker::Vllm, ("on-prem", "vllm")).await?;
    let raw = query(Format::SPEECH).replace("nova-3", "vllm");
    let answer = knock(&fleet.proxy, &raw, &[("authorization", &format!("Token {KEY}"))]).await?.refused()?;
    let text = "this model hears files only: send the audio as a file";
    assert_eq!(answer.refusal()?, Refusal::new(400, "FILES_ONLY", text));
    let record = fleet.router.record(&answer.request_id()?).await?;
    assert_eq!((&record["reason"], &record["refusal"]), (&json!("files_only"), &json!("files_only")));
    let rejected = record["rejected"].as_array().context("rejections")?;
    assert!(rejected.iter().any(|group| group["pool"] == "on-prem" && group["reason"] == "files_only"), "{record}");
    assert!(stub.uploads().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_server_that_dies_with_a_file_costs_the_caller_nothing() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let (dying, living) = (Stub::start(Maker::WhisperCpp, None).await?, Stub::start(Maker::Speaches, None).await?);
    dying.set(Manner::Dies);
    // The cheapest pool is asked first.
    fleet.join(&dying, Maker::WhisperCpp, ("on-prem", "both")).await?;
    fleet.join(&living, Maker::Speaches, ("gcp-europe-west4", "both")).await?;
    let script = Script { session: 51, words: 20 };
    let answer = post(&fleet.proxy, "model=both", file(script, Format::SPEECH, None)?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    ensure_clean(script, transcript(&answer.json()?["results"]["channels"][0]))?;
    let record = fleet.router.record(&answer.request_id()?).await?;
    let attempts = record["attempts"].as_array().context("attempts")?.iter();
    let tried: Vec<_> = attempts.map(|attempt| (attempt["node"].as_str(), attempt["outcome"].as_str())).collect();
    let expected = [(Some("on-prem-1"), Some("failed")), (Some("gcp-europe-west4-1"), Some("opened"))];
    assert_eq!(tried, expected, "{record}");
    assert_eq!((dying.uploads().len(), living.uploads().len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn what_a_server_hears_at_once_is_never_exceeded() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let stub = Stub::start(Maker::WhisperCpp, None).await?;
    fleet.agent(&stub, Maker::WhisperCpp, ("on-prem", "whisper"), "slots: 2").await?;
    fleet.reports("on-prem", "serving").await?;
    stub.set(Manner::Waits);
    let script = Script { session: 52, words: 4 };
    let upload = file(script, Format::SPEECH, None)?;
    let send = || post(&fleet.proxy, "model=whisper", upload.clone());
    let third = async {
        until("two files at the server", async || Ok((stub.uploads().len() == 2).then_some(()))).await?;
        let refused = send().await?;
        (0..2).for_each(|_| stub.go_on());
        anyhow::Ok(refused)
    };
    let (first, second, third) = tokio::try_join!(send(), send(), third)?;
    assert_eq!((first.status, second.status), (200, 200));
    let text = "every node that may serve this request is full, please try again";
    assert_eq!(third.refusal()?, Refusal::new(503, "SERVICE_UNAVAILABLE", text).retry());
    stub.set(Manner::Hears);
    until("room again", async || Ok((send().await?.status == 200).then_some(()))).await
}

#[tokio::test]
async fn a_server_that_loads_its_model_gets_nothing_until_it_is_well() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let stub = Stub::start(Maker::WhisperCpp, None).await?;
    stub.set(Manner::Loads);
    fleet.agent(&stub, Maker::WhisperCpp, ("on-prem", "whisper"), SLOTS).await?;
    fleet.reports("on-prem", "starting").await?;
    let answer = transcribe(&fleet.proxy, &[("model", "whisper")], b"RIFF").await?;
    assert_eq!(answer.status, 503, "{answer:?}");
    stub.set(Manner::Hears);
    fleet.reports("on-prem", "serving").await?;
    let script = Script { session: 53, words: 4 };
    let answer = transcribe(&fleet.proxy, &[("model", "whisper")], &file(script, Format::SPEECH, None)?).await?;
    ensure_clean(script, answer.json()?["text"].as_str().context("a text")?)?;
    stub.set(Manner::Loads);
    fleet.reports("on-prem", "failing").await?;
    Ok(())
}

/// Answers that no caller may see, and what the record says of each: status, type, body, cause.
fn unusable(length: f64) -> Vec<(u16, &'static str, String, String)> {
    let json = "application/json";
    let nonsense = |what: &str| format!("the answer makes no sense: {what}");
    let word = |start: &str, end: &str| {
        let word = format!(r#"{{"word":" so","start":{start},"end":{end},"probability":0.5}}"#);
        format!(r#"{{"text":"so","duration":1.0,"words":[{word}]}}"#)
    };
    vec![
        (
            200,
            json,
            r#"{"error":{"message":"CUDA out of memory"}}"#.to_owned(),
            nonsense(r#"an error: {"message":"CUDA out of memory"}"#),
        ),
        (200, "text/html", "<html>Bad Gateway</html>".to_owned(), nonsense("expected value at line 1 column 1")),
        (200, json, "{}".to_owned(), nonsense("no text")),
        (200, json, word("-3.0", "1.0"), nonsense("a time of -3 s")),
        (200, json, word("99.0", "99.5"), nonsense(&format!("a time of 99 s in {length} s of audio"))),
        (200, json, word("NaN", "1.0"), nonsense("expected value at line 1 column 60")),
        (
            200,
            json,
            format!(r#"{{"text":"{}"}}"#, "so ".repeat(9_000)),
            nonsense(&format!("9000 words in {length} s of audio")),
        ),
        (200, json, "x".repeat((64 << 20) + 1), "answer over 67108864 bytes".to_owned()),
        (307, "text/plain", "elsewhere".to_owned(), "refused with 307: elsewhere".to_owned()),
        (401, json, r#"{"detail":"Invalid API key"}"#.to_owned(), "refused with 401: Invalid API key".to_owned()),
        (
            404,
            json,
            r#"{"detail":"Model 'x' is not installed locally."}"#.to_owned(),
            "refused with 404: Model 'x' is not installed locally.".to_owned(),
        ),
        (
            422,
            json,
            r#"{"detail":[{"type":"enum","loc":["body","language"],"msg":"Input should be 'af'"}]}"#.to_owned(),
            "refused with 422: Input should be 'af'".to_owned(),
        ),
        (500, "text/plain", "Internal Server Error".to_owned(), "refused with 500: Internal Server Error".to_owned()),
        (
            503,
            json,
            r#"{"error":{"message":"engine is dead","code":503}}"#.to_owned(),
            "refused with 503: engine is dead".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn bad_answers_never_reach_a_caller() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let stub = Stub::start(Maker::Speaches, None).await?;
    fleet.join(&stub, Maker::Speaches, ("on-prem", "speaches")).await?;
    let script = Script { session: 54, words: 4 };
    let upload = file(script, Format::SPEECH, None)?;
    for (status, kind, body, cause) in unusable(script.duration().as_secs_f64()) {
        stub.set(Manner::Says(status, kind, body));
        let answer = post(&fleet.proxy, "model=speaches", upload.clone()).await?;
        let expected = Refusal::new(503, "SERVICE_UNAVAILABLE", "no node is available, please try again").retry();
        assert_eq!(answer.refusal().with_context(|| cause.clone())?, expected, "{cause}");
        let record = fleet.router.record(&answer.request_id()?).await?;
        assert_eq!(record["attempts"], json!([{"node": "on-prem-1", "outcome": "failed", "cause": cause}]));
    }
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"failed to read audio data"}"#,
            Refusal::new(400, "Bad Request", "failed to read audio data"),
        ),
        (
            413,
            r#"{"error":{"message":"Maximum file size exceeded","code":413}}"#,
            Refusal::new(413, "PAYLOAD_TOO_LARGE", "Maximum file size exceeded"),
        ),
    ] {
        stub.set(Manner::Says(status, "application/json", body.to_owned()));
        let answer = post(&fleet.proxy, "model=speaches", upload.clone()).await?;
        assert_eq!(answer.refusal()?, expected);
    }
    stub.set(Manner::Hears);
    let answer = post(&fleet.proxy, "model=speaches", upload).await?;
    ensure_clean(script, transcript(&answer.json()?["results"]["channels"][0]))
}
