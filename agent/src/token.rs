//! The token that routers want from agents. Its file is read again at each call, so that it can change while agents run.

use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

/// Where the token is, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token(Option<PathBuf>);

/// Says why there is no token to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("cannot read agent.token_file {}: {error}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What is in it is no token.
    #[error("expected one token of visible characters on one line in agent.token_file {}", .0.display())]
    NoToken(PathBuf),
}

impl Token {
    /// Takes the token of a file; none without one.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// Returns its file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Puts it into a call.
    ///
    /// # Errors
    /// Fails when its file cannot be read or holds none.
    pub(crate) async fn sign<T>(&self, message: T) -> Result<Request<T>, TokenError> {
        let mut call = Request::new(message);
        if let Some(file) = &self.0 {
            call.metadata_mut().insert("authorization", read(file).await?);
        }
        Ok(call)
    }
}

async fn read(file: &Path) -> Result<MetadataValue<Ascii>, TokenError> {
    let unreadable = |error| TokenError::Unreadable { file: file.to_owned(), error };
    let text = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
    let token = text.trim();
    let no_token = || TokenError::NoToken(file.to_owned());
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(no_token());
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| no_token())?;
    value.set_sensitive(true);
    Ok(value)
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        Self::unauthenticated(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_goes_with_the_call_and_never_into_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "canary-token-4711\n").unwrap();
        let call = Token::new(Some(file)).sign(()).await.unwrap();
        assert_eq!(call.metadata().get("authorization").unwrap().to_str().unwrap(), "Bearer canary-token-4711");
        assert!(!format!("{call:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_file_that_holds_no_token_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for bad in ["", "\n", "two\ntokens", "two tokens"] {
            std::fs::write(&file, bad).unwrap();
            assert!(matches!(Token::new(Some(file.clone())).sign(()).await, Err(TokenError::NoToken(_))), "{bad:?}");
        }
        let gone = Token::new(Some("/nowhere/token".into())).sign(()).await.unwrap_err().to_string();
        assert!(gone.starts_with("cannot read agent.token_file /nowhere/token: No such file"), "{gone}");
    }
}
