//! The slots that chunks of files hold: a guard for each, so that none is held longer than it is used, and none longer
//! than the router lets it.

use std::collections::HashMap;

use proto::v1::session_update::Update;
use proto::v1::{Failed, Opened, Released, Revoke};
use scheduler::{NodeId, SessionId};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::debug;

use super::Reporter;

/// Names a chunk: its own session, and its file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkId {
    pub(crate) session: SessionId,
    pub(crate) file: SessionId,
}

/// The chunks that hold a slot now.
#[derive(Debug, Default)]
pub(super) struct Chunks(HashMap<SessionId, Placed>);

#[derive(Debug)]
struct Placed {
    file: SessionId,
    node: NodeId,
    revoked: CancellationToken,
}

impl Chunks {
    /// Names the file of a chunk.
    pub(super) fn file(&self, chunk: SessionId) -> Option<String> {
        self.0.get(&chunk).map(|placed| placed.file.to_string())
    }
}

/// A slot that a chunk holds; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Hold {
    reporter: Reporter,
    chunk: ChunkId,
    node: NodeId,
    revoked: CancellationToken,
}

impl Reporter {
    /// Holds a slot for a chunk: its lease is renewed from now on.
    pub(crate) fn hold_chunk(&self, chunk: ChunkId, node: &NodeId) -> Hold {
        let revoked = CancellationToken::new();
        let placed = Placed { file: chunk.file, node: node.clone(), revoked: revoked.clone() };
        let mut outbox = self.outbox();
        outbox.held.insert(chunk.session, node.clone());
        outbox.chunks.0.insert(chunk.session, placed);
        drop(outbox);
        Hold { reporter: self.clone(), chunk, node: node.clone(), revoked }
    }

    /// Gives back a slot that was promised.
    pub(crate) fn released(&self, session: SessionId, node: &NodeId) {
        self.hint(Update::Released(Released { session: session.to_string(), node: node.to_string() }));
    }

    /// Takes back the slot of a chunk, where the chunk still holds that one.
    pub(crate) fn revoke(&self, Revoke { session, node }: &Revoke) {
        let outbox = self.outbox();
        let placed = session.parse().ok().and_then(|session| outbox.chunks.0.get(&session));
        match placed.filter(|placed| placed.node.as_str() == node) {
            Some(placed) => placed.revoked.cancel(),
            None => debug!(session, node, "a slot is taken back that no chunk holds"),
        }
    }
}

impl Hold {
    /// Resolves when the router takes the slot back.
    pub(crate) fn revoked(&self) -> WaitForCancellationFuture<'_> {
        self.revoked.cancelled()
    }

    /// Tells that the chunk was heard there.
    pub(crate) fn opened(&self, epoch: u32) {
        let (session, node, file) = self.names();
        self.reporter.hint(Update::Opened(Opened { session, node, epoch, file }));
    }

    /// Tells that the node refused or lost the chunk.
    pub(crate) fn failed(&self, cause: String) {
        let (session, node, file) = self.names();
        self.reporter.hint(Update::Failed(Failed { session, node, cause, file }));
    }

    fn names(&self) -> (String, String, Option<String>) {
        (self.chunk.session.to_string(), self.node.to_string(), Some(self.chunk.file.to_string()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut outbox = self.reporter.outbox();
        outbox.held.remove(&self.chunk.session);
        outbox.chunks.0.remove(&self.chunk.session);
        drop(outbox);
        self.reporter.released(self.chunk.session, &self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> ChunkId {
        ChunkId { session: SessionId::from_random(1), file: SessionId::from_random(2) }
    }

    fn revoke(node: &str) -> Revoke {
        Revoke { session: chunk().session.to_string(), node: node.to_owned() }
    }

    #[tokio::test]
    async fn a_slot_that_is_taken_back_is_known_to_its_chunk_alone() {
        let reporter = Reporter::default();
        let hold = reporter.hold_chunk(chunk(), &"a".parse().unwrap());
        reporter.revoke(&revoke("b"));
        reporter.revoke(&Revoke { session: "nobody".to_owned(), node: "a".to_owned() });
        assert!(!hold.revoked.is_cancelled());
        reporter.revoke(&revoke("a"));
        hold.revoked().await;
    }

    #[test]
    fn a_slot_is_given_back_once_it_is_dropped() {
        let reporter = Reporter::default();
        let hold = reporter.hold_chunk(chunk(), &"a".parse().unwrap());
        hold.opened(1);
        assert_eq!(reporter.outbox().chunks.file(chunk().session), Some(chunk().file.to_string()));
        assert!(matches!(reporter.next(), Some(Update::Opened(Opened { file: Some(_), .. }))));
        drop(hold);
        let released = Released { session: chunk().session.to_string(), node: "a".to_owned() };
        assert_eq!(reporter.next(), Some(Update::Released(released)));
        assert!(reporter.outbox().held.is_empty() && reporter.outbox().chunks.0.is_empty());
    }
}
