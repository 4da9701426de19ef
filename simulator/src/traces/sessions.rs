//! Recorded sessions: `arrival_s,duration_s[,tenant,class]`, with or without a line of headings.

use std::path::Path;
use std::time::Duration;

use scheduler::{Priority, Timestamp};

use super::{TraceError, field, read_text};

/// No recorded session is longer: a day.
const LONGEST: f64 = 86_400.0;
/// No recorded session begins later: ten years.
const LATEST: f64 = 3.2e8;

/// One recorded session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it began.
    pub at: Timestamp,
    /// How long it was.
    pub length: Duration,
    /// Its tenant, as an index of [`RecordedSessions::tenants`].
    pub tenant: u16,
    /// Who it yields to.
    pub priority: Priority,
}

/// A file of recorded sessions.
#[derive(Clone, Debug, Default)]
pub struct RecordedSessions {
    /// The sessions, in the order they began.
    pub sessions: Vec<Recorded>,
    /// Tenants' names.
    pub tenants: Vec<String>,
}

impl RecordedSessions {
    /// Reads a file.
    ///
    /// # Errors
    /// Fails when the file cannot be read or a line is not in the format.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let text = read_text(path)?;
        let mut read = Self::default();
        let headed = |line: &str| line.starts_with("arrival_s");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !headed(line)) {
            read.add(line, path, number + 1)?;
        }
        read.sessions.sort_by_key(|session| session.at);
        Ok(read)
    }

    fn add(&mut self, line: &str, path: &Path, number: usize) -> Result<(), TraceError> {
        let wrong = |expected, found: &str| TraceError::Line {
            path: path.to_owned(),
            line: number,
            expected,
            found: found.to_owned(),
        };
        let mut fields = line.split(',');
        let seconds = |text, most, expected| match field::<f64>(text, path, number, expected) {
            Ok(value) if (0.0..=most).contains(&value) => Ok(Duration::from_secs_f64(value)),
            Ok(value) => Err(wrong(expected, &value.to_string())),
            Err(error) => Err(error),
        };
        let at = Timestamp::at(seconds(fields.next(), LATEST, "seconds from 0 to ten years")?);
        let length = seconds(fields.next(), LONGEST, "seconds from 0 to a day")?;
        let name = fields.next().map_or("", str::trim);
        let priority = match fields.next().map_or("", str::trim) {
            "" | "live" => Priority::Live,
            "interactive" => Priority::Interactive,
            "batch" => Priority::Batch,
            other => return Err(wrong("class live, interactive or batch", other)),
        };
        let tenant = self.tenant(name).ok_or_else(|| wrong("at most 65535 tenants", name))?;
        self.sessions.push(Recorded { at, length, tenant, priority });
        Ok(())
    }

    fn tenant(&mut self, name: &str) -> Option<u16> {
        let known = self.tenants.iter().position(|tenant| tenant == name);
        let index = known.unwrap_or_else(|| {
            self.tenants.push(name.to_owned());
            self.tenants.len() - 1
        });
        u16::try_from(index).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<RecordedSessions, TraceError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        RecordedSessions::read(file.path())
    }

    #[test]
    fn sessions_are_sorted_and_tenants_numbered() {
        let read = read("arrival_s,duration_s,tenant,class\n9.5,60,b,batch\n1,2.5,a\n3,4\n").unwrap();
        let seconds = |session: &Recorded| session.at.since(Timestamp::ZERO).as_secs_f64();
        assert_eq!(read.sessions.iter().map(seconds).collect::<Vec<_>>(), [1.0, 3.0, 9.5]);
        assert_eq!(read.sessions[0].length, Duration::from_millis(2_500));
        assert_eq!(read.tenants, ["b", "a", ""]);
        assert_eq!(read.sessions[2].priority, Priority::Batch);
    }

    #[test]
    fn a_line_that_is_no_session_is_named() {
        for (text, expected) in [
            ("1\n", "line 1: expected seconds from 0 to a day, got \"\""),
            ("1,-3\n", "line 1: expected seconds from 0 to a day, got \"-3\""),
            ("1,1\n1,1,a,urgent\n", "line 2: expected class live, interactive or batch, got \"urgent\""),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
