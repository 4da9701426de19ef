//! One connection to a proxy's `/v1/listen`.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::failure::{Failure, RequestId};
use super::proxy::{Proxy, request_id};

/// The longest to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest to wait for a sign of life.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// A connection that is open.
pub(super) type Socket = WebSocketStream<TcpStream>;

/// Opens a connection to a proxy with this wish.
///
/// # Errors
/// Fails where the proxy is not there, or refuses.
pub(super) async fn connect(proxy: &Proxy, mut url: Url) -> Result<(Socket, RequestId), Failure> {
    let unreachable = |cause: String| Failure::Unreachable { url: proxy.address().to_owned(), cause };
    // The scheme of an http address can always be changed to ws.
    let _ = url.set_scheme("ws");
    let mut request = url.as_str().into_client_request().map_err(|error| unreachable(error.to_string()))?;
    if let Some(authorization) = proxy.authorization()? {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    let opened = timeout(CONNECT, TcpStream::connect(proxy.host_and_port())).await;
    let tcp = opened.map_err(|_| unreachable(format!("no answer for {} s", CONNECT.as_secs())))?;
    let tcp = tcp.map_err(|error| unreachable(Failure::plain(&error)))?;
    // Small frames must not wait for each other; where this cannot be set they do, and nothing breaks.
    let _ = tcp.set_nodelay(true);
    let greeted = timeout(SILENCE, tokio_tungstenite::client_async(request, tcp)).await;
    match greeted.map_err(|_| unreachable(format!("no answer for {} s", SILENCE.as_secs())))? {
        Ok((socket, response)) => Ok((socket, request_id(response.headers()))),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(proxy.refusal(response.status().as_u16(), response.headers(), body))
        }
        Err(error) => Err(unreachable(error.to_string())),
    }
}
