//! Checks one request head on its raw bytes. It is apart because it must run before any parser has merged, trimmed or
//! forgiven something: two servers that read the same bytes differently are how requests are smuggled.

use super::Limits;
use super::violation::Violation;

/// What follows a head on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequel {
    /// A body of this many bytes, then the next head.
    Length(u64),
    /// A body in chunks, then the next head.
    Chunks,
    /// Anything: the caller asked for a WebSocket, and no other request may follow.
    WebSocket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// Finds the end of the first empty line, whose end is not before `from`. The lines' own ends are not judged.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let ends_empty_line = |at: usize| matches!(&bytes[..at], [] | [.., b'\n'] | [b'\r'] | [.., b'\n', b'\r']);
    (from..bytes.len()).find(|&at| bytes[at] == b'\n' && ends_empty_line(at)).map(|at| at + 1)
}

/// Names what is wrong with a head that has not ended within its limit.
pub(super) fn excess(bytes: &[u8], limits: &Limits) -> Violation {
    let first_line = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    if first_line > limits.target_bytes.get() { Violation::TargetTooLong } else { Violation::HeadTooLarge }
}

/// Checks a whole head, up to and including its empty line.
///
/// # Errors
///
/// The first rule that it breaks.
pub(super) fn check(head: &[u8], limits: &Limits) -> Result<Sequel, Violation> {
    let mut lines = head
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r\n").ok_or(Violation::BareLineFeed));
    let version = request_line(lines.next().ok_or(Violation::RequestLine)??, limits)?;
    let mut fields = Fields::default();
    for line in lines {
        match line? {
            [] => break,
            line => fields.add(line, limits)?,
        }
    }
    fields.sequel(version)
}

fn request_line(line: &[u8], limits: &Limits) -> Result<Version, Violation> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Violation::RequestLine);
    };
    if !is_token(method) {
        return Err(Violation::RequestLine);
    }
    check_target(method, target, limits)?;
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err(Violation::RequestLine),
    }
}

/// Lets only paths through (and `OPTIONS *`): a target with an authority in it could disagree with Host.
fn check_target(method: &[u8], target: &[u8], limits: &Limits) -> Result<(), Violation> {
    if target.len() > limits.target_bytes.get() {
        return Err(Violation::TargetTooLong);
    }
    let visible = target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#');
    let ours = target.starts_with(b"/") || (method == b"OPTIONS" && target == b"*");
    if visible && ours { Ok(()) } else { Err(Violation::Target) }
}

/// What the headers seen so far say about the message.
#[derive(Default)]
struct Fields {
    count: usize,
    hosts: usize,
    encodings: usize,
    length: Option<u64>,
    sequel: Option<Sequel>,
}

impl Fields {
    fn add(&mut self, line: &[u8], limits: &Limits) -> Result<(), Violation> {
        let (name, value) = split(line)?;
        self.count += 1;
        if self.count > limits.header_count.get() {
            return Err(Violation::TooManyHeaders);
        }
        match name {
            _ if name.eq_ignore_ascii_case(b"host") => self.host(value),
            _ if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            _ if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ if name.eq_ignore_ascii_case(b"upgrade") && asks_for_websocket(value) => {
                self.sequel = Some(Sequel::WebSocket);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Violation> {
        self.hosts += 1;
        let part_of_a_host = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
        match self.hosts {
            1 if value.iter().all(part_of_a_host) => Ok(()),
            1 => Err(Violation::Host),
            _ => Err(Violation::RepeatedHost),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        let length = decimal(value).ok_or(Violation::ContentLength)?;
        match self.length.replace(length) {
            Some(earlier) if earlier != length => Err(Violation::ContentLengths),
            Some(_) | None => Ok(()),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        self.encodings += 1;
        let plain = self.encodings == 1 && value.eq_ignore_ascii_case(b"chunked");
        if plain { Ok(()) } else { Err(Violation::TransferEncoding) }
    }

    /// Weighs the headers together once all are known.
    fn sequel(self, version: Version) -> Result<Sequel, Violation> {
        match version {
            Version::Http11 if self.hosts == 0 => return Err(Violation::MissingHost),
            Version::Http10 if self.encodings > 0 => return Err(Violation::OldTransferEncoding),
            Version::Http11 | Version::Http10 => {}
        }
        let framed = match (self.length, self.encodings) {
            (Some(_), 1..) => return Err(Violation::LengthAndEncoding),
            (None, 1..) => Sequel::Chunks,
            (length, 0) => Sequel::Length(length.unwrap_or(0)),
        };
        Ok(self.sequel.unwrap_or(framed))
    }
}

/// Splits a header line into its name and its value without the blanks around it.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Violation::FoldedHeader);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Violation::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Violation::HeaderName);
    }
    if name.contains(&b'_') {
        return Err(Violation::Underscore);
    }
    if value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(Violation::HeaderValue);
    }
    Ok((name, value.trim_ascii()))
}

/// Tells whether an Upgrade header names WebSocket. The gate and the service behind hyper must agree on this, so both
/// ask here.
pub(super) fn asks_for_websocket(upgrade: &[u8]) -> bool {
    upgrade.split(|&byte| byte == b',').any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
