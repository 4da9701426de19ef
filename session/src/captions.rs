//! Words to subtitles: which words share a cue, how a cue breaks into lines, and the SRT and VTT texts. Apart from the
//! rest of the crate because it knows nothing of sessions: timed words in, text out.

use std::fmt::Write as _;
use std::time::Duration;

/// The most characters in a line; only a single word may be longer.
pub const LINE_CHARS: usize = 42;
/// The most lines in a cue.
pub const CUE_LINES: usize = 2;
/// The longest a cue stays on the screen.
pub const CUE_DURATION: Duration = Duration::from_secs(7);
/// A pause this long between two words ends a cue.
pub const CUE_GAP: Duration = Duration::from_millis(800);

/// The resolution of both formats; a cue lasts at least this long, because players drop empty ones.
const TICK: Duration = Duration::from_millis(1);

/// A word with its place in the audio, counted from the start of the stream or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// What was said, with its punctuation.
    pub text: &'a str,
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
}

/// What is on the screen at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When it appears; never before the cue ahead of it is gone.
    pub start: Duration,
    /// When it disappears: later than `start`, by [`CUE_DURATION`] at most.
    pub end: Duration,
    /// One or two lines of text.
    pub lines: Vec<String>,
}

/// Groups words into cues, in the order given. Words without text are left out.
#[must_use]
pub fn cues(words: &[Word<'_>]) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    let mut last_end = Duration::ZERO;
    for word in words {
        for text in word.text.split_whitespace() {
            let joined = cues.last_mut().is_some_and(|cue| cue.takes(text, word, last_end));
            if !joined {
                let floor = cues.last().map_or(Duration::ZERO, |cue| cue.end);
                cues.push(Cue::begin(text, word, floor));
            }
            last_end = word.end;
        }
    }
    cues
}

/// Writes cues as `SubRip` (`.srt`).
#[must_use]
pub fn srt(cues: &[Cue]) -> String {
    let mut text = String::new();
    for (number, cue) in (1_usize..).zip(cues) {
        let (start, end) = (clock(cue.start, ','), clock(cue.end, ','));
        let _ = write!(text, "{number}\n{start} --> {end}\n{}\n\n", cue.lines.join("\n"));
    }
    text
}

/// Writes cues as `WebVTT` (`.vtt`).
#[must_use]
pub fn vtt(cues: &[Cue]) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for cue in cues {
        let (start, end) = (clock(cue.start, '.'), clock(cue.end, '.'));
        let _ = write!(text, "{start} --> {end}\n{}\n\n", escaped(&cue.lines.join("\n")));
    }
    text
}

impl Cue {
    /// Begins a cue no earlier than `floor`, in whole ticks so that what is written keeps its order.
    fn begin(text: &str, word: &Word<'_>, floor: Duration) -> Self {
        let start = ticks(word.start).max(floor);
        Self { start, end: shown_until(start, word.end), lines: vec![text.to_owned()] }
    }

    /// Adds a word if the cue has time and room for it, and tells whether it did.
    fn takes(&mut self, text: &str, word: &Word<'_>, last_end: Duration) -> bool {
        let after_a_pause = word.start.saturating_sub(last_end) >= CUE_GAP;
        let too_late = word.end.saturating_sub(self.start) > CUE_DURATION;
        if after_a_pause || too_late || !self.fits(text) {
            return false;
        }
        self.end = self.end.max(shown_until(self.start, word.end));
        true
    }

    fn fits(&mut self, text: &str) -> bool {
        let Some(line) = self.lines.last_mut() else { return false };
        if line.chars().count() + 1 + text.chars().count() <= LINE_CHARS {
            line.push(' ');
            line.push_str(text);
            return true;
        }
        let room = self.lines.len() < CUE_LINES;
        if room {
            self.lines.push(text.to_owned());
        }
        room
    }
}

fn shown_until(start: Duration, word_end: Duration) -> Duration {
    ticks(word_end).clamp(start.saturating_add(TICK), start.saturating_add(CUE_DURATION))
}

fn ticks(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000)
}

/// `00:00:03,200`: hours take as many digits as they need.
fn clock(time: Duration, separator: char) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}{separator}{:03}", seconds % 60, time.subsec_millis())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str, start_ms: u64, end_ms: u64) -> Word<'_> {
        Word { text, start: Duration::from_millis(start_ms), end: Duration::from_millis(end_ms) }
    }

    #[test]
    fn a_pause_ends_a_cue() {
        let words = [word("Hello", 100, 400), word("there.", 1_199, 1_500), word("Bye.", 2_300, 2_600)];
        let expected = "1\n00:00:00,100 --> 00:00:01,500\nHello there.\n\n2\n00:00:02,300 --> 00:00:02,600\nBye.\n\n";
        assert_eq!(srt(&cues(&words)), expected);
    }

    #[test]
    fn a_cue_holds_two_lines_of_42_characters() {
        let twenty = "abcdefghijklmnopqrst";
        let words: Vec<_> = (0..5).map(|n| word(twenty, n * 100, n * 100 + 100)).collect();
        let pair = format!("{twenty} {twenty}");
        let lines: Vec<_> = cues(&words).into_iter().map(|cue| cue.lines).collect();
        assert_eq!(lines, [vec![pair.clone(), pair], vec![twenty.to_owned()]]);
    }

    #[test]
    fn a_cue_stays_for_seven_seconds_at_most() {
        let words = [word("slow", 0, 3_900), word("speech", 4_000, 7_100), word("held", 7_200, 20_000)];
        let times: Vec<_> = cues(&words).iter().map(|cue| (cue.start.as_millis(), cue.end.as_millis())).collect();
        assert_eq!(times, [(0, 3_900), (4_000, 7_100), (7_200, 14_200)]);
    }

    #[test]
    fn markup_is_escaped_in_vtt_only() {
        let cues = cues(&[word("a<b>&c", 3_600_000, 3_601_000)]);
        assert_eq!(vtt(&cues), "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\na&lt;b&gt;&amp;c\n\n");
        assert!(srt(&cues).contains("a<b>&c"));
    }

    #[test]
    fn without_words_there_is_an_empty_document() {
        assert_eq!(srt(&cues(&[])), "");
        assert_eq!(vtt(&cues(&[word(" \n", 0, 1)])), "WEBVTT\n\n");
    }

    /// Words as engines give them, and as they must not: out of order, empty, with line breaks, far too long.
    fn words() -> impl Strategy<Value = Vec<(String, u64, u64)>> {
        let text = prop_oneof!["[a-z]{1,12}[.,]?", "[a-z\n ]{0,9}", "[a-zà-ü]{40,90}"];
        let ordered = prop::collection::vec((text, 0_u64..2_000, 0_u64..9_000), 0..60).prop_map(|steps| {
            let mut clock = 0;
            let mut next = |(text, gap, length): (String, u64, u64)| {
                clock += gap + length;
                (text, clock - length, clock)
            };
            steps.into_iter().map(&mut next).collect()
        });
        let wild = prop::collection::vec(("[a-z]{1,50}", any::<u32>(), any::<u32>()), 0..20);
        let wild = wild.prop_map(|words| words.into_iter().map(|(t, s, e)| (t, s.into(), e.into())).collect());
        prop_oneof![4 => ordered, 1 => wild]
    }

    proptest! {
        #[test]
        fn every_word_appears_once_and_in_order(words in words()) {
            let spoken: Vec<_> = words.iter().flat_map(|(text, ..)| text.split_whitespace()).collect();
            let words: Vec<_> = words.iter().map(|(text, start, end)| word(text, *start, *end)).collect();
            let shown: Vec<_> = cues(&words).into_iter().map(|cue| cue.lines.join(" ")).collect();
            prop_assert_eq!(shown.join(" "), spoken.join(" "));
        }

        #[test]
        fn cues_keep_their_limits_and_never_overlap(words in words()) {
            let words: Vec<_> = words.iter().map(|(text, start, end)| word(text, *start, *end)).collect();
            let cues = cues(&words);
            for cue in &cues {
                prop_assert!(cue.start < cue.end && cue.end - cue.start <= CUE_DURATION);
                prop_assert!((1..=CUE_LINES).contains(&cue.lines.len()));
                prop_assert!(cue.lines.iter().all(|line| line.chars().count() <= LINE_CHARS || !line.contains(' ')));
            }
            prop_assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }
}
