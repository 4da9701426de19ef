//! The form that an OpenAI-compatible server takes: small fields, then the file, straight from the disk. Its length is
//! told beforehand, for not every server takes a body in chunks.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};

/// A form around a file.
#[derive(Debug)]
pub(super) struct Form {
    boundary: String,
    before: Vec<u8>,
    length: u64,
}

impl Form {
    /// Starts a form around a file of this name, whose bytes are `header` and then `length` more.
    pub(super) fn new(fields: &[(&str, &str)], file: &str, header: &[u8], length: u64) -> Self {
        let boundary = format!("crosspoint-{:032x}", rand::random::<u128>());
        let mut before = String::new();
        for (name, value) in fields {
            before += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        before += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        Self { boundary, before: [before.as_bytes(), header].concat(), length }
    }

    /// Returns the value of its `Content-Type`.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns its length in bytes.
    pub(super) fn length(&self) -> u64 {
        (self.before.len() + self.after().len()) as u64 + self.length
    }

    /// Writes it around the file's bytes.
    pub(super) fn body<S>(self, file: S) -> reqwest::Body
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let after = self.after();
        let before = stream::iter([Ok(Bytes::from(self.before))]);
        reqwest::Body::wrap_stream(before.chain(file).chain(stream::iter([Ok(Bytes::from(after))])))
    }

    fn after(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_form_is_as_long_as_it_says_and_reads_back() {
        let form = Form::new(&[("model", "small"), ("response_format", "json")], "audio.wav", b"RI", 4);
        let (length, content_type) = (form.length(), form.content_type());
        let file = stream::iter([Ok(Bytes::from_static(b"F")), Ok(Bytes::from_static(b"F\r\n"))]);
        let body = form.body(file).collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, length);
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 5);
        assert_eq!(parts[1], "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsmall\r\n");
        assert!(parts[3].ends_with("\r\n\r\nRIFF\r\n\r\n") && parts[4] == "--\r\n", "{parts:?}");
    }
}
