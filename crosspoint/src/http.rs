//! What every HTTP client here needs: bodies with a bound, errors in one sentence.

use std::error::Error as _;

use reqwest::Response;

/// The longest answer that is read, in bytes: a day of words fits well.
pub(crate) const LONGEST: usize = 256 * 1024 * 1024;

/// Reads a whole body.
///
/// # Errors
/// Fails in words when the connection breaks or the body is too long.
pub(crate) async fn body(mut reply: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(block) = reply.chunk().await.map_err(|error| root_cause(&error))? {
        if body.len() + block.len() > LONGEST {
            return Err(format!("the answer is longer than {LONGEST} bytes"));
        }
        body.extend_from_slice(&block);
    }
    Ok(body)
}

/// Returns the innermost reason, which is the one that says something, without its number: `connection refused`.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut words = error.to_string();
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}
