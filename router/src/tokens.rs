//! The tokens that open the door for agents: whoever may report a node may send callers' audio anywhere, so a router that
//! strangers can reach asks for one. The file is read again at each call, so that tokens change without a restart.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Characters of the shortest token that is taken: 20 random ones are beyond guessing.
const SHORTEST: usize = 20;

/// Says why a file holds no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("cannot read router.agent_token_file {}: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Nothing is in it.
    #[error("router.agent_token_file {} holds no token: write one on a line of its own, such as `openssl rand -hex 32` prints", .0.display())]
    Empty(PathBuf),
    /// One of its tokens could be guessed.
    #[error("router.agent_token_file {} holds a token of {length} characters, expected at least {SHORTEST}", .file.display())]
    Short {
        /// The file.
        file: PathBuf,
        /// How long the token is.
        length: usize,
    },
}

/// The file of tokens, one on each line: any of them opens, so that one can follow another.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Option<PathBuf>);

impl Tokens {
    /// Opens the door for everybody, or for whoever has a token of the file.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// Looks at the file once, so that a mistake in it stops the start.
    ///
    /// # Errors
    /// Fails on a file that cannot be read, and on one without a token or with a short one.
    pub(crate) async fn check(&self) -> Result<(), TokensError> {
        match &self.0 {
            Some(file) => read(file).await.map(drop),
            None => Ok(()),
        }
    }

    /// Tells whether anybody may report.
    pub(crate) fn are_off(&self) -> bool {
        self.0.is_none()
    }

    /// Lets a call in, if it brings a token.
    ///
    /// # Errors
    /// Fails with what the agent's owner must do.
    pub(crate) async fn admit(&self, call: &MetadataMap) -> Result<(), Status> {
        let Some(file) = &self.0 else { return Ok(()) };
        let known = read(file).await.map_err(|error| Status::unavailable(error.to_string()))?;
        let header = call.get("authorization").map(|value| value.as_bytes());
        let Some(token) = header.and_then(|value| value.strip_prefix(b"Bearer ")) else {
            return Err(Status::unauthenticated(
                "this router wants a token from agents and got none: set agent.token_file, or --token-file, to a file \
                 with a token of router.agent_token_file",
            ));
        };
        if opens(&known, token) {
            return Ok(());
        }
        Err(Status::unauthenticated(
            "the agent's token is not one of this router's: write a token of router.agent_token_file into the agent's \
             token file",
        ))
    }
}

/// Tells whether a token is one of these, in a time that does not tell how much of it was right.
fn opens(known: &[String], token: &[u8]) -> bool {
    let digest = Sha256::digest(token);
    let same = |known: &String| Sha256::digest(known.as_bytes()).ct_eq(&digest);
    known.iter().map(same).fold(subtle::Choice::from(0), |found, same| found | same).into()
}

async fn read(file: &Path) -> Result<Vec<String>, TokensError> {
    let unreadable = |cause| TokensError::Unreadable { file: file.to_owned(), cause };
    let text = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
    let tokens: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match tokens.iter().map(String::len).min() {
        None => Err(TokensError::Empty(file.to_owned())),
        Some(length) if length < SHORTEST => Err(TokensError::Short { file: file.to_owned(), length }),
        Some(_) => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const OLD: &str = "0123456789abcdef0123";
    const NEW: &str = "a-token-of-tomorrow-4711";

    fn file(text: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    async fn said(tokens: &Tokens, token: Option<&str>) -> Option<String> {
        let mut call = MetadataMap::new();
        if let Some(token) = token {
            call.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        tokens.admit(&call).await.err().map(|status| status.message().to_owned())
    }

    #[tokio::test]
    async fn any_token_of_the_file_opens_and_nothing_else_does() {
        let (_folder, file) = file(&format!("{OLD}\n\n  {NEW}  \n"));
        let tokens = Tokens::new(Some(file));
        assert_eq!((said(&tokens, Some(OLD)).await, said(&tokens, Some(NEW)).await), (None, None));
        for wrong in ["", "0123456789abcdef012", "0123456789abcdef0123 "] {
            let said = said(&tokens, Some(wrong)).await.unwrap();
            assert!(said.starts_with("the agent's token is not one of this router's"), "{wrong}: {said}");
        }
        assert!(said(&tokens, None).await.unwrap().contains("--token-file"));
        assert_eq!(said(&Tokens::new(None), None).await, None, "off: everybody may");
    }

    #[tokio::test]
    async fn a_token_that_is_taken_out_opens_no_more() {
        let (_folder, file) = file(&format!("{OLD}\n{NEW}\n"));
        let tokens = Tokens::new(Some(file.clone()));
        std::fs::write(file, NEW).unwrap();
        assert!(said(&tokens, Some(OLD)).await.is_some());
    }

    #[tokio::test]
    async fn a_file_that_would_open_to_nobody_or_everybody_is_refused() {
        let (_folder, empty) = file("\n");
        assert!(matches!(Tokens::new(Some(empty)).check().await, Err(TokensError::Empty(_))));
        let (_folder, short) = file("hunter2");
        assert!(matches!(Tokens::new(Some(short)).check().await, Err(TokensError::Short { length: 7, .. })));
        let nowhere = Tokens::new(Some("/nowhere/tokens".into())).check().await.unwrap_err().to_string();
        assert!(nowhere.starts_with("cannot read router.agent_token_file /nowhere/tokens: No such file"), "{nowhere}");
    }
}
