//! Sessions that count against their key's concurrent limit: the router is told so when it places them, with every renewal
//! while they last, and at their end.

use proto::v1::Counted;
use scheduler::Request;

use super::Reporter;

/// How a session counts.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    limit: Option<u32>,
    reporter: Reporter,
}

impl Counting {
    /// Counts a session of a key that may have `limit` of them, if that is limited.
    pub(crate) fn new(limit: Option<u32>, reporter: Reporter) -> Self {
        Self { limit, reporter }
    }

    /// Returns how many sessions the key may have at one time.
    pub(crate) fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Notes that the router has counted a session. The chunks of a file count as the file.
    pub(crate) fn placed(&self, request: &Request) {
        if let (Some(_), Some(key)) = (self.limit, &request.key) {
            let session = request.file.unwrap_or(request.session);
            self.reporter.counted(session, Counted { key: key.to_string(), session: session.to_string() });
        }
    }
}
