//! The caller's key: an `Authorization` header, or the item after `token` or `bearer` among the WebSocket subprotocols.

use axum::http::{HeaderMap, HeaderValue, header};
use session::CloseReason;
use store::Secret;

use super::Problem;
use crate::callers::authorization;

/// What the caller presented, and the subprotocol to answer with.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) key: Secret,
    pub(crate) subprotocol: Option<HeaderValue>,
}

/// Finds the key of a request.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Presented, Problem> {
    let subprotocols = subprotocols(headers);
    let (scheme, offered) = match scheme_and_key(&subprotocols) {
        Some((scheme, key)) => (Some(scheme), Some(key)),
        None => (subprotocols.first().copied(), None),
    };
    // A key is never echoed: where none was found after a scheme word, only a lone word is.
    let subprotocol = scheme.filter(|_| offered.is_some() || subprotocols.len() == 1);
    let subprotocol = subprotocol.and_then(|word| HeaderValue::from_str(word).ok());
    let key = authorization(headers).or_else(|| offered.map(Secret::new)).ok_or_else(missing)?;
    Ok(Presented { key, subprotocol })
}

fn missing() -> Problem {
    Problem::new(CloseReason::Unauthorised, "Invalid credentials. Send `Authorization: Token KEY`.")
}

fn subprotocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn scheme_and_key<'a>(items: &[&'a str]) -> Option<(&'a str, &'a str)> {
    items.windows(2).find_map(|pair| match pair {
        [scheme, key] if scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer") => {
            Some((*scheme, *key))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn scheme_words_are_read_without_case() {
        for value in ["Token k", "token k", "Bearer k", "bearer  k "] {
            let presented = presented(&with(header::AUTHORIZATION, value)).unwrap();
            assert_eq!(presented.key.expose(), "k", "{value}");
        }
    }

    #[test]
    fn a_subprotocol_key_is_found_and_only_the_scheme_is_echoed() {
        let offered = "chat, token, k, x-deepgram-session-id, 6e4d2a35";
        let presented = presented(&with(header::SEC_WEBSOCKET_PROTOCOL, offered)).unwrap();
        assert_eq!(presented.key.expose(), "k");
        assert_eq!(presented.subprotocol.unwrap(), "token");
    }

    #[test]
    fn no_key_and_an_empty_key_are_refused() {
        for headers in [HeaderMap::new(), with(header::AUTHORIZATION, "Token "), with(header::AUTHORIZATION, "k")] {
            assert_eq!(presented(&headers).unwrap_err().reason, CloseReason::Unauthorised);
        }
    }
}
