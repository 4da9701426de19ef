//! The last words to a caller.

use std::collections::VecDeque;

use relay::{Close, Frame};
use session::CloseReason;

use crate::wire::CallerSocket;

/// Sends the last results and the close, and waits for the caller's answer to it.
pub(super) async fn farewell(caller: &mut CallerSocket, last: VecDeque<Frame>, reason: CloseReason) {
    if reason == CloseReason::CallerGone {
        // It may have closed, and then waits for an answer.
        let _ = caller.flush().await;
        return;
    }
    last.iter().for_each(|frame| caller.push(frame));
    caller.leave(&Close::new(reason.close_code(), reason.close_text())).await;
}
