//! The upgrade of a leg: what the engine says right behind its answer is the beginning of its frames.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use tokio_tungstenite::tungstenite::http::{Request, StatusCode};

use super::super::OpenError;
use super::super::http::plain;
use crate::wire::{LegSocket, Pipe, leg_socket};

/// Bytes of an answer's head.
const HEAD: usize = 16 << 10;

/// Asks for the upgrade and checks the answer.
pub(super) async fn shake(mut pipe: Box<dyn Pipe>, request: Request<()>) -> Result<LegSocket, OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::TryAnother(format!("handshake failed: {error}"));
    let (request, key) = generate_request(request).map_err(|error| failed(&error))?;
    pipe.write_all(&request).await.map_err(|error| OpenError::TryAnother(plain(&error)))?;
    let mut bytes = Vec::with_capacity(1 << 10);
    while bytes.len() < HEAD {
        let read = pipe.read_buf(&mut bytes).await.map_err(|error| OpenError::TryAnother(plain(&error)))?;
        if read == 0 {
            return Err(failed(&"the connection ended"));
        }
        if let Some((head, response)) = Response::try_parse(&bytes).map_err(|error| failed(&error))? {
            check(&response, &bytes[head..], &key)?;
            return Ok(leg_socket(pipe, &bytes[head..]));
        }
    }
    Err(failed(&format!("the answer's head is longer than {HEAD} bytes")))
}

fn check(response: &Response, body: &[u8], key: &str) -> Result<(), OpenError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(OpenError::from_reply(response.status().as_u16(), body));
    }
    let is = |name: HeaderName, expected: &str| {
        response.headers().get(&name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
    };
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    let accepted = accepted.is_some_and(|accept| accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes());
    if accepted && is(UPGRADE, "websocket") && is(CONNECTION, "upgrade") {
        return Ok(());
    }
    Err(OpenError::TryAnother("handshake failed: the answer is no upgrade to WebSocket".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::Message;
    use tokio::io::duplex;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    async fn shaken(answer: impl FnOnce(&str) -> String, behind: &[u8]) -> Result<LegSocket, OpenError> {
        let (near, mut far) = duplex(4 << 10);
        let request = "ws://node/v1/listen".into_client_request().unwrap();
        let answering = async {
            let mut request = vec![0; 4 << 10];
            let read = far.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            far.write_all(&[answer(key).as_bytes(), behind].concat()).await.unwrap();
            far
        };
        let (shaken, _far) = tokio::join!(shake(Box::new(near), request), answering);
        shaken
    }

    fn upgrade(accept: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn what_comes_right_behind_the_answer_is_heard() {
        let answer = |key: &str| upgrade(&derive_accept_key(key.as_bytes()));
        let shaken = shaken(answer, &[0x81, 2, b'h', b'i']).await;
        let Some(Ok(Message::Text(text))) = shaken.unwrap().next().await else { panic!("no text") };
        assert_eq!(text.as_text(), "hi");
    }

    #[tokio::test]
    async fn an_answer_to_another_question_is_no_upgrade() {
        let refused = shaken(|_key| upgrade(&derive_accept_key(b"another")), &[]).await;
        let expected = "handshake failed: the answer is no upgrade to WebSocket";
        assert_eq!(refused.err(), Some(OpenError::TryAnother(expected.to_owned())));
    }

    #[tokio::test]
    async fn a_refusal_is_read() {
        let body = r#"{"err_msg":"no free slot"}"#;
        let answer = format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let refused = shaken(|_key| answer, &[]).await;
        assert_eq!(refused.err(), Some(OpenError::TryAnother("refused with 503: no free slot".to_owned())));
    }
}
