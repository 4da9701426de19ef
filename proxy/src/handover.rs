//! Handover: a proxy that starts beside another one is given its listeners, and the other one drains. The kernel's queue of
//! new connections belongs to the listener and not to a process, so nobody who connects meanwhile is refused or reset. With
//! `SO_REUSEPORT` each process has a queue of its own, and what waits in the one that is closed is lost.
//!
//! ```text
//! new ──── connects to proxy.handover ────▶ old
//! new ◀─── a byte, and the listeners ────── old
//! new ──── a byte, once it serves ────────▶ old: accepts no more, and drains
//! ```
//! A new process that fails in between hangs up, and the old one goes on. Only processes of the same user are given anything.
//!
//! * [`Inherited`]: what the new process is given. [`Estate`]: what the old one gives. `wire`: bytes with descriptors.

mod wire;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::{BindError, Bound, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The first byte of the old process: the version of what it says.
const VERSION: u8 = 1;
/// What the new process says once it serves.
const SERVES: u8 = b'.';
/// How long the old process may take to give, and the new one, which starts meanwhile, to take.
const GIVING: Duration = Duration::from_secs(2);
const TAKING: Duration = Duration::from_secs(60);

/// Says why listeners cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The process before this one does not do as it should.
    #[error("cannot take over from the proxy at {}: {cause}: is it stopped? End it, or start without proxy.handover", path.display())]
    Predecessor {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The next process would not find this one.
    #[error("cannot listen on {}, which is proxy.handover: {cause}: does its directory exist, and may it be written to?", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// What the process before this one gave.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    listeners: Vec<std::net::TcpListener>,
    predecessor: Option<UnixStream>,
}

impl Inherited {
    /// Asks whoever listens at `path` for its listeners; where nobody does there are none.
    pub(crate) async fn ask(path: Option<&Path>) -> Result<Self, HandoverError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let Ok(predecessor) = UnixStream::connect(path).await else { return Ok(Self::default()) };
        let given =
            timeout(GIVING, given(&predecessor)).await.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
        let listeners = given.map_err(|cause| HandoverError::Predecessor { path: path.to_owned(), cause })?;
        info!(listeners = listeners.len(), "another proxy hands its listeners over");
        Ok(Self { listeners, predecessor: Some(predecessor) })
    }

    /// Returns the listener of an address: the one that was given, or a new one.
    ///
    /// # Errors
    /// Fails when none was given and the address cannot be listened on.
    pub(crate) async fn bound(
        &mut self,
        purpose: &'static str,
        address: std::net::SocketAddr,
    ) -> Result<Bound, BindError> {
        let is_there = |listener: &std::net::TcpListener| listener.local_addr().is_ok_and(|there| there == address);
        let found = self.listeners.iter().position(is_there).map(|found| self.listeners.swap_remove(found));
        match found.map(TcpListener::from_std) {
            Some(Ok(listener)) => Ok(Bound { listener, address }),
            Some(Err(_)) | None => Bound::bind(purpose, address).await,
        }
    }

    /// Tells the process before this one that it is no longer needed.
    pub(crate) async fn serves(self) {
        let Some(mut predecessor) = self.predecessor else { return };
        if let Err(error) = predecessor.write_all(&[SERVES]).await {
            warn!(%error, "the proxy before this one did not hear that it may go");
        }
    }
}

/// Checks that the other process runs as the same user.
fn ensure_ours(other: &UnixStream) -> io::Result<()> {
    let (uid, own) = (other.peer_cred()?.uid(), rustix::process::getuid().as_raw());
    if uid == own { Ok(()) } else { Err(io::Error::other(format!("it runs as user {uid}, not {own}"))) }
}

async fn given(predecessor: &UnixStream) -> io::Result<Vec<std::net::TcpListener>> {
    ensure_ours(predecessor)?;
    let (version, descriptors) = wire::receive(predecessor).await?;
    if version != VERSION {
        return Err(io::Error::other(format!("expected handover version {VERSION}, got {version}")));
    }
    descriptors.into_iter().map(listening).collect()
}

fn listening(descriptor: OwnedFd) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What the next process is given, and where it asks.
#[derive(Debug)]
pub(crate) struct Estate {
    door: UnixListener,
    path: PathBuf,
    /// Where the door is until this process serves: the one before is found at `path` until then.
    draft: PathBuf,
    listeners: Vec<OwnedFd>,
}

impl Estate {
    /// Prepares to hand `listeners` over to whoever asks at `path`.
    ///
    /// # Errors
    /// Fails where the socket cannot be made.
    pub(crate) fn prepare(path: &Path, listeners: &[&TcpListener]) -> Result<Self, HandoverError> {
        let draft = path.with_extension(format!("{:08x}.new", rand::random::<u32>()));
        let made = || -> io::Result<Self> {
            let door = UnixListener::bind(&draft)?;
            std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
            let listeners = listeners.iter().map(|listener| listener.as_fd().try_clone_to_owned());
            let listeners = listeners.collect::<io::Result<_>>()?;
            Ok(Self { door, path: path.to_owned(), draft: draft.clone(), listeners })
        };
        made().map_err(|cause| HandoverError::Socket { path: path.to_owned(), cause })
    }

    /// Opens the door to the next process, where the one before had it.
    pub(crate) fn open(&self) {
        if let Err(error) = std::fs::rename(&self.draft, &self.path) {
            warn!(%error, path = %self.path.display(), "the next proxy will not find this one");
        }
    }

    /// Gives to those who ask, until one of them serves or the drain begins for another reason. `given_away` is cancelled
    /// before the drain begins if one serves.
    pub(crate) async fn keep(self, given_away: CancellationToken, shutdown: Shutdown) {
        loop {
            let asking = tokio::select! {
                () = shutdown.begun() => return,
                asking = self.door.accept() => asking,
            };
            let Ok((heir, _address)) = asking else { continue };
            let served = tokio::select! {
                () = shutdown.begun() => return,
                served = timeout(TAKING, self.give(heir)) => served,
            };
            match served {
                Ok(Ok(())) => {
                    info!("another proxy serves in place of this one, draining");
                    given_away.cancel();
                    return shutdown.begin();
                }
                Ok(Err(error)) => warn!(%error, "a proxy that asked for the listeners did not take over"),
                Err(_late) => warn!("a proxy that asked for the listeners does not serve"),
            }
        }
    }

    /// Gives everything, and waits until the heir serves.
    async fn give(&self, mut heir: UnixStream) -> io::Result<()> {
        ensure_ours(&heir)?;
        wire::send(&heir, VERSION, &self.listeners).await?;
        match heir.read_u8().await? {
            SERVES => Ok(()),
            other => Err(io::Error::other(format!("expected the byte {SERVES}, got {other}"))),
        }
    }
}

impl Drop for Estate {
    /// A door that was never opened leaves nothing behind.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.draft);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    async fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    struct Old {
        address: SocketAddr,
        path: PathBuf,
        given_away: CancellationToken,
        shutdown: Shutdown,
        _folder: tempfile::TempDir,
    }

    async fn old() -> Old {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let (first, second) = (listener().await, listener().await);
        let estate = Estate::prepare(&path, &[&first, &second]).unwrap();
        estate.open();
        let (given_away, shutdown) = (CancellationToken::new(), Shutdown::new());
        shutdown.spawn("estate", estate.keep(given_away.clone(), shutdown.clone()));
        Old { address: second.local_addr().unwrap(), path, given_away, shutdown, _folder: folder }
    }

    #[tokio::test]
    async fn who_connects_before_the_handover_is_accepted_after_it() {
        let old = old().await;
        let waiting = tokio::net::TcpStream::connect(old.address).await.unwrap();
        let mut inherited = Inherited::ask(Some(&old.path)).await.unwrap();
        let bound = inherited.bound("callers", old.address).await.unwrap();
        inherited.serves().await;
        old.shutdown.begun().await;
        assert!(old.given_away.is_cancelled());
        assert_eq!(old.shutdown.drain(Duration::from_secs(5)).await, 0);
        let (_accepted, peer) = bound.listener.accept().await.unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
        assert!(tokio::net::TcpStream::connect(old.address).await.is_ok());
    }

    #[tokio::test]
    async fn an_heir_that_hangs_up_changes_nothing_and_the_next_one_is_given_all_the_same() {
        let old = old().await;
        drop(Inherited::ask(Some(&old.path)).await.unwrap());
        let inherited = Inherited::ask(Some(&old.path)).await.unwrap();
        assert_eq!(inherited.listeners.len(), 2);
        assert!(!old.shutdown.token().is_cancelled());
        inherited.serves().await;
        old.shutdown.begun().await;
    }

    #[tokio::test]
    async fn where_nobody_listens_a_new_listener_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stale.sock");
        drop(UnixListener::bind(&path).unwrap());
        for path in [None, Some(path.as_path()), Some(Path::new("/nowhere/proxy.sock"))] {
            let mut inherited = Inherited::ask(path).await.unwrap();
            let bound = inherited.bound("callers", (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
            assert_ne!(bound.address.port(), 0);
        }
        let taken = listener().await;
        let estate = Estate::prepare(&path, &[&taken]).unwrap();
        estate.open();
        assert!(UnixStream::connect(&path).await.is_ok(), "a stale socket is replaced");
        let error = Estate::prepare(Path::new("/nowhere/proxy.sock"), &[]).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on /nowhere/proxy.sock, which is proxy.handover: "), "{error}");
    }
}
