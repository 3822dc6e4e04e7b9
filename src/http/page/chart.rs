//! A chart of deployments by outcome, as SVG without script or style: bars whose parts differ in pattern, not in colour alone.

use askama::Template;

use crate::chronicle::{Counts, Span};

/// The height of all bars, where they stand, and the room for the numbers at their left.
const HIGH: f64 = 144.0;
const FLOOR: f64 = 172.0;
const LEFT: f64 = 30.0;
/// Space to the right, so that the label under the newest bar is whole.
const RIGHT: f64 = 12.0;
/// The width of the chart, and of the one for phones with how many bars that has.
const WIDE: f64 = 980.0;
const NARROW: (f64, usize) = (360.0, 12);

/// What a part of a bar is, from below.
pub(super) const PARTS: [(&str, &str); 5] = [
    ("live", "live"),
    ("failed", "failed"),
    ("back", "rolled back"),
    ("stopped", "aborted or superseded"),
    ("way", "under way"),
];

/// A chart.
#[derive(Template)]
#[template(path = "chart.html")]
pub(super) struct Chart {
    /// What is its own among the names of the page.
    id: &'static str,
    class: &'static str,
    width: f64,
    label: String,
    lines: Vec<Line>,
    bars: Vec<Bar>,
}

/// A line to read heights by.
struct Line {
    y: f64,
    count: usize,
}

struct Bar {
    x: f64,
    width: f64,
    middle: f64,
    /// Kind, upper end and height of each part.
    parts: Vec<(&'static str, f64, f64)>,
    top: f64,
    all: usize,
    /// Under the bar; not under each where they stand close.
    name: Option<String>,
}

impl Chart {
    /// The chart for a screen, and that for a phone.
    pub(super) fn both(counts: &[Counts], span: Span) -> [Self; 2] {
        let narrow = counts.len().saturating_sub(NARROW.1);
        [
            Self::of(counts, span, ("w", "chart wide", WIDE)),
            Self::of(&counts[narrow..], span, ("n", "chart narrow", NARROW.0)),
        ]
    }

    fn of(counts: &[Counts], span: Span, (id, class, width): (&'static str, &'static str, f64)) -> Self {
        let most = counts.iter().map(Counts::all).max().unwrap_or(0).max(4);
        let step = step(most);
        let top = most.div_ceil(step) * step;
        let scale = HIGH / top as f64;
        let each = (width - LEFT - RIGHT) / counts.len().max(1) as f64;
        let names_every = (64.0 / each).ceil().max(1.0) as usize;
        let all = counts.len();
        let bars = counts.iter().enumerate().map(|(at, counts)| {
            let x = LEFT + at as f64 * each + each * 0.15;
            let mut floor = FLOOR;
            let heights = counts.parts().map(|count| count as f64 * scale);
            let parts = PARTS.iter().zip(heights).filter(|(_, height)| *height > 0.0).map(|((kind, _), height)| {
                floor -= height;
                (*kind, round(floor), round(height))
            });
            let parts = parts.collect();
            // Counted from the end, so that the newest has its name.
            let named = (all - 1 - at).is_multiple_of(names_every).then(|| name(counts, span));
            let (middle, width) = (round(x + each * 0.35), round(each * 0.7));
            Bar { x: round(x), width, middle, parts, top: round(floor - 5.0), all: counts.all(), name: named }
        });
        let lines =
            (0..=top / step).map(|nth| Line { y: round(FLOOR - (nth * step) as f64 * scale), count: nth * step });
        let label = format!("Deployments per {} by outcome; the table below has the numbers", span.word());
        Self { id, class, width, label, lines: lines.collect(), bars: bars.collect() }
    }
}

/// How far the lines are apart, for at most five of them.
fn step(most: usize) -> usize {
    let steps = (0..).flat_map(|tens| [1, 2, 5].map(|one| one * 10_usize.saturating_pow(tens)));
    steps.into_iter().find(|step| most.div_ceil(*step) <= 5).unwrap_or(most)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What stands under a bar: the hour, or the day.
pub(super) fn name(counts: &Counts, span: Span) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let from = &counts.from;
    match span {
        Span::Hour => from.get(11..16).unwrap_or(from).to_owned(),
        Span::Day | Span::Week => {
            let number = |range: std::ops::Range<usize>| from.get(range).and_then(|text| text.parse::<usize>().ok());
            let month = number(5..7).and_then(|month| MONTHS.get(month.wrapping_sub(1)));
            month.zip(number(8..10)).map_or_else(|| from.clone(), |(month, day)| format!("{day} {month}"))
        }
    }
}

impl Counts {
    /// The parts of its bar, as [`PARTS`] has them.
    fn parts(&self) -> [usize; 5] {
        [self.live, self.failed, self.rolled_back, self.stopped, self.under_way]
    }
}

impl Span {
    /// Returns the word for one span.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(span, _)| *span == self).map_or("day", |(_, word)| word)
    }
}
