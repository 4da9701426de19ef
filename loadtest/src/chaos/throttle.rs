//! Half a processor without rights: processes are stopped for a part of every slice, as the kernel's own quota does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use super::ChaosError;
use crate::kernel::{Process, Signal};

/// One turn of running and standing still: what Linux gives groups by default.
const SLICE: Duration = Duration::from_millis(100);

/// Throttles processes until it is dropped.
#[derive(Debug)]
pub(super) struct Throttle {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Lets each process run for this share of the time; all of it leaves them alone.
    pub(super) fn start(processes: Vec<Process>, share: f64) -> Result<Self, ChaosError> {
        let stopped = Arc::new(AtomicBool::new(false));
        if share >= 1.0 {
            return Ok(Self { stopped, thread: None });
        }
        let until = Arc::clone(&stopped);
        let thread = Builder::new().name("throttle".to_owned()).spawn(move || {
            while !until.load(Ordering::Relaxed) {
                tell(&processes, Signal::Stop);
                sleep(SLICE.mul_f64(1.0 - share));
                tell(&processes, Signal::GoOn);
                sleep(SLICE.mul_f64(share));
            }
        });
        Ok(Self { stopped, thread: Some(thread.map_err(ChaosError::Threads)?) })
    }
}

/// Who is gone need not be told.
fn tell(processes: &[Process], signal: Signal) {
    for process in processes {
        let _ = process.signal(signal);
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
