//! One byte and some descriptors over a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The most descriptors of one message: callers, callers over TLS, metrics.
const MOST: usize = 3;
/// What they take beside the byte.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST));

/// Sends a byte with descriptors.
pub(super) async fn send(socket: &UnixStream, byte: u8, descriptors: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let sending = || {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(io::Error::other(format!("more than {MOST} descriptors")));
        }
        Ok(sendmsg(socket, &[IoSlice::new(&[byte])], &mut control, SendFlags::NOSIGNAL)?)
    };
    socket.async_io(Interest::WRITABLE, sending).await.map(|_sent| ())
}

/// Receives a byte with descriptors.
pub(super) async fn receive(socket: &UnixStream) -> io::Result<(u8, Vec<OwnedFd>)> {
    socket
        .async_io(Interest::READABLE, || {
            let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); SPACE]);
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let messages = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            Ok((byte[0], messages.flatten().collect()))
        })
        .await
}
