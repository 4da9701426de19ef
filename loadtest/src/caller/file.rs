//! A caller with a file: one POST, one answer.

use std::time::Duration;

use audio::coded::Voice;
use audio::wav;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::time::Instant;

use super::message::hear_file;
use super::{CallError, Caller, FileOutcome, Speech, tally};

impl Caller {
    /// Sends a speech as a WAV file and waits for its text. The whole file is made in memory first; its pace and frame do
    /// not matter.
    ///
    /// # Errors
    /// Fails when the file is refused, or not answered within the caller's patience.
    pub async fn post(&self, speech: Speech) -> Result<FileOutcome, CallError> {
        let file = wav_file(speech);
        let began = Instant::now();
        let answer = tokio::time::timeout(self.patience, self.upload(file)).await;
        let body = answer.unwrap_or_else(|_elapsed| Err(self.late()))?;
        let text = hear_file(&body).map_err(|_garbage| self.unreachable(&"its answer is no transcript"))?;
        Ok(FileOutcome { tally: tally(speech.script, &text), text, took: began.elapsed() })
    }

    async fn upload(&self, file: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let failed = |error: reqwest::Error| self.unreachable(&error);
        let client = reqwest::Client::builder().no_proxy().build().map_err(failed)?;
        let url = format!("http://{}/v1/listen?model=nova-3", self.address);
        let mut request = client.post(url).header(CONTENT_TYPE, "audio/wav").body(file);
        if let Some(authorization) = self.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(failed)?;
        if status == 200 { Ok(body.to_vec()) } else { Err(self.refused(status, &body)) }
    }
}

/// Speaks the whole speech into a file.
fn wav_file(speech: Speech) -> Vec<u8> {
    let mut sound = Vec::new();
    let mut voice = Voice::new(speech.script, speech.format);
    let second = usize::try_from(speech.format.rate.samples_in(Duration::from_secs(1))).unwrap_or(usize::MAX);
    while voice.speak(second, &mut sound) > 0 {}
    let mut file = wav::header(speech.format, u32::try_from(sound.len()).ok()).to_vec();
    file.append(&mut sound);
    file
}
