//! A page of SVG, and the panels on it.

use std::fmt::Write as _;

/// Ink for text and axes.
pub(super) const INK: &str = "#24292f";
/// Ink for what should stay in the background.
pub(super) const FAINT: &str = "#d0d7de";
const FONT: &str = "font-family=\"Inter, Helvetica, Arial, sans-serif\"";

/// Where text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A point on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A page.
pub(super) struct Page {
    body: String,
    width: f64,
    height: f64,
}

impl Page {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    pub(super) fn text(&mut self, at: At, size: f64, anchor: Anchor, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let (At { x, y }, anchor) = (at, anchor.word());
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" {FONT} font-size=\"{size}\" fill=\"{INK}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    pub(super) fn line(&mut self, from: At, to: At, colour: &str) {
        self.add(&format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"1\"/>",
            from.x, from.y, to.x, to.y
        ));
    }

    pub(super) fn dashed(&mut self, from: At, to: At, colour: &str) {
        self.add(&format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>",
            from.x, from.y, to.x, to.y
        ));
    }

    pub(super) fn rectangle(&mut self, from: At, to: At, colour: &str) {
        let (width, height) = ((to.x - from.x).max(0.0), (to.y - from.y).max(0.0));
        self.add(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{colour}\"/>",
            from.x, from.y
        ));
    }

    pub(super) fn circle(&mut self, at: At, radius: f64, colour: &str) {
        self.add(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" stroke=\"white\" stroke-width=\"1.5\"/>",
            at.x, at.y
        ));
    }

    /// Fills the area inside a line.
    pub(super) fn area(&mut self, points: &[At], colour: &str) {
        let mut path = String::new();
        for At { x, y } in points {
            // Writing to a string cannot fail.
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        self.add(&format!("<polygon points=\"{}\" fill=\"{colour}\"/>", path.trim_end()));
    }

    pub(super) fn finish(self) -> String {
        let Self { body, width, height } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }
}

/// A part of a page with a scale in both directions; y grows upward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) from: At,
    pub(super) to: At,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

impl Panel {
    pub(super) fn place(&self, x: f64, y: f64) -> At {
        let share = |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low).max(1e-12)).clamp(0.0, 1.0);
        At {
            x: self.from.x + share(x, self.x) * (self.to.x - self.from.x),
            y: self.to.y - share(y, self.y) * (self.to.y - self.from.y),
        }
    }

    /// Draws a line across at a value, with its label at the left.
    pub(super) fn mark_y(&self, page: &mut Page, y: f64, label: &str) {
        let at = self.place(self.x.0, y);
        page.line(at, At { x: self.to.x, ..at }, FAINT);
        page.text(At { x: at.x - 8.0, y: at.y + 4.0 }, 12.0, Anchor::End, label);
    }

    /// Draws a line up at a value, with its label below.
    pub(super) fn mark_x(&self, page: &mut Page, x: f64, label: &str) {
        let at = self.place(x, self.y.0);
        page.line(at, At { y: self.from.y, ..at }, FAINT);
        page.text(At { y: at.y + 18.0, ..at }, 12.0, Anchor::Middle, label);
    }
}

/// Returns round steps that divide a span into about `count` parts.
pub(super) fn round_step(span: f64, count: f64) -> f64 {
    let rough = (span / count).max(1e-9);
    let power = 10.0_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough).unwrap_or(rough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([7.0, 23.0, 480.0, 0.9].map(|span| round_step(span, 5.0)), [2.0, 5.0, 100.0, 0.2]);
    }

    #[test]
    fn words_cannot_become_markup() {
        let mut page = Page::new(10.0, 10.0);
        page.text(At { x: 0.0, y: 0.0 }, 12.0, Anchor::Start, "<script> & co");
        assert!(page.finish().contains("&lt;script> &amp; co"));
    }
}
