//! How much of the memory that this process may have is in use: shedding work before the system kills is cheaper.

use std::fs;
use std::path::Path;

/// Where a cgroup's limit stands, in its second and its first version.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The memory of this process against its limit.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    limit_bytes: u64,
}

impl Memory {
    /// Finds the limit: the cgroup's, or else what the machine has. None where neither can be read.
    #[must_use]
    pub fn find() -> Option<Self> {
        let machine = kibibytes(Path::new("/proc/meminfo"), "MemTotal:")?;
        let cgroup = LIMITS.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
        Some(Self { limit_bytes: cgroup.unwrap_or(machine).min(machine) })
    }

    /// Returns the limit, in bytes.
    #[must_use]
    pub const fn limit_bytes(self) -> u64 {
        self.limit_bytes
    }

    /// Returns the share of the limit that is resident now, from 0 to 1. None where it cannot be read.
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        let resident = kibibytes(Path::new("/proc/self/status"), "VmRSS:")?;
        Some(resident as f64 / self.limit_bytes.max(1) as f64)
    }
}

/// Reads a line such as `VmRSS:  1234 kB`, in bytes.
fn kibibytes(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number = line[name.len()..].split_whitespace().next()?;
    number.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_uses_some_of_its_memory_and_not_all() {
        let used = Memory::find().unwrap().used().unwrap();
        assert!(used > 0.0 && used < 1.0, "{used}");
    }
}
