//! The view, as cells. Where it goes on a screen, and how, is left to [`super::inline`].
//!
//! ```text
//!  sending     12 s of 60 s ━━━━━━━━━━━━━━──────────────────────────────────────
//!  rate        49,998 frames/s   of 50,000 asked   6.4 MB/s
//!  frames      12 in flight   0 failed   599,976 sent   64 connections
//!                    p50      p90      p99    p99.9      max
//!  response       110 µs   230 µs   420 µs  1.10 ms  3.10 ms
//!  service       90.0 µs   210 µs   400 µs  1.08 ms  3.08 ms
//!  rate trend  ▇▇▇█▇▇▇▇▇▇▇▇  max 50,012/s
//!  p99 trend   ▂▁▂▂█▂▁▁▁▂▁▂  max 1.20 ms
//! ```

use bytesize::ByteSize;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Rect, Size};
use ratatui_core::style::{Color, Style, Stylize};
use ratatui_core::text::{Line, Span};
use ratatui_core::widgets::Widget;
use ratatui_widgets::gauge::LineGauge;
use ratatui_widgets::sparkline::Sparkline;
use volley_load::report::figures::latency;

use super::history::{History, Point};
use super::words::{Progress, group, phase, rate};
use super::{Moment, Percentiles};

/// The empty columns before each row. The cursor rests there.
const MARGIN: u16 = 1;

/// The label that a row begins with takes so many columns, the distance to what follows included.
const LABEL: u16 = 12;

/// The words beside a curve take so many columns. It is one width for all, so that the same second
/// stands in the same column.
const WORDS: u16 = 18;

/// Where a curve would be narrower than that, there are no words.
const CURVE: u16 = 10;

/// A latency takes so many columns, the distance to the one before included.
const LATENCY: u16 = 9;

/// A name, the latency that it heads, and how many others go before it where there is no room for
/// all.
type Column = (&'static str, fn(&Percentiles) -> u64, u16);

const COLUMNS: [Column; 5] = [
    ("p50", |percentiles| percentiles.p50, 0),
    ("p90", |percentiles| percentiles.p90, 3),
    ("p99", |percentiles| percentiles.p99, 1),
    ("p99.9", |percentiles| percentiles.p999, 4),
    ("max", |percentiles| percentiles.max, 2),
];

/// A moment to be drawn.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) moment: &'a Moment,
    pub(super) history: &'a History,
    pub(super) colour: bool,
}

/// Draws one row.
type Row<'a> = fn(&View<'a>, Rect, &mut Buffer);

impl<'a> View<'a> {
    /// The view for a screen of this size: a column narrower, and the last rows left out where
    /// there is no room for all.
    pub(super) fn drawn(&self, screen: Size) -> Buffer {
        let rows = self.rows();
        let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).min(screen.height);
        let area = Rect::new(0, 0, screen.width.saturating_sub(1), height);
        let mut buffer = Buffer::empty(area);
        for (draw, place) in rows.iter().zip(area.rows()) {
            draw(self, place, &mut buffer);
        }
        buffer
    }

    /// The most important first.
    fn rows(&self) -> Vec<Row<'a>> {
        let mut rows: Vec<Row<'a>> = vec![Self::progress, Self::rate, Self::frames, Self::heads];
        // Only where there is a plan do the two latencies differ. What has been measured is not
        // looked at, because the height must not change from second to second.
        if self.moment.asked_rate.is_some() {
            rows.push(Self::response);
        }
        rows.extend([Self::service as Row<'a>, Self::rates, Self::p99s]);
        rows
    }

    fn progress(&self, place: Rect, buffer: &mut Buffer) {
        let name = Span::styled(phase(self.moment.phase), self.style(Color::Cyan).bold());
        let place = labelled(name, place, buffer);
        let progress = Progress::of(self.moment);
        match progress.ratio {
            None => Span::raw(progress.text).render(place, buffer),
            Some(ratio) => LineGauge::default()
                .label(progress.text)
                .ratio(ratio)
                .filled_symbol("━")
                .filled_style(self.style(Color::Cyan).bold())
                .unfilled_symbol("─")
                .unfilled_style(Style::new().dim())
                .render(place, buffer),
        }
    }

    fn rate(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("rate".dim(), place, buffer);
        let Some(second) = &self.moment.last else { return };
        let mut fields = vec![format!("{} frames/s", rate(second.rate)).bold()];
        if let Some(asked) = self.moment.asked_rate {
            fields.push(format!("of {} asked", rate(asked)).into());
        }
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let bytes = ByteSize::b(second.bytes_per_second as u64).display().si();
        fields.push(format!("{bytes}/s").into());
        fitting(fields, place.width).render(place, buffer);
    }

    fn frames(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("frames".dim(), place, buffer);
        let moment = self.moment;
        let mut fields = Vec::new();
        if let Some(second) = &moment.last {
            fields.push(format!("{} in flight", group(second.in_flight)).into());
        }
        let failed = if moment.failed > 0 { self.style(Color::Red).bold() } else { Style::new() };
        fields.push(Span::styled(format!("{} failed", group(moment.failed)), failed));
        fields.push(format!("{} sent", group(moment.sent)).into());
        let [open, asked] = [moment.connected, moment.connections].map(|n| group(n.into()));
        fields.push(match open == asked {
            true => format!("{open} connections").into(),
            false => format!("{open} of {asked} connections").into(),
        });
        fitting(fields, place.width).render(place, buffer);
    }

    fn heads(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("".into(), place, buffer);
        latencies(place.width, |(name, ..)| name.to_owned()).dim().render(place, buffer);
    }

    fn response(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("response".dim(), place, buffer);
        let response = self.moment.last.as_ref().and_then(|second| second.response.as_ref());
        latencies(place.width, value_of(response)).render(place, buffer);
    }

    fn service(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("service".dim(), place, buffer);
        let service = self.moment.last.as_ref().and_then(|second| second.service.as_ref());
        latencies(place.width, value_of(service)).render(place, buffer);
    }

    fn rates(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("rate trend".dim(), place, buffer);
        let words = |most| format!("{}/s", group(most));
        self.curve(|point| Some(point.rate), words, Color::Green, place, buffer);
    }

    fn p99s(&self, place: Rect, buffer: &mut Buffer) {
        let place = labelled("p99 trend".dim(), place, buffer);
        self.curve(|point| point.p99, latency, Color::Yellow, place, buffer);
    }

    /// A bar for each second, and beside them in words what the highest stands for.
    fn curve(
        &self,
        value: impl Fn(Point) -> Option<u64>,
        words: impl Fn(u64) -> String,
        colour: Color,
        place: Rect,
        buffer: &mut Buffer,
    ) {
        let values: Vec<_> = self.history.all().map(value).collect();
        let Some(most) = values.iter().flatten().copied().max() else { return };
        let has_words = place.width >= CURVE + WORDS;
        let room = if has_words { place.width - WORDS } else { place.width };
        let latest = &values[values.len().saturating_sub(room.into())..];
        let [bars, rest] = split(place, u16::try_from(latest.len()).unwrap_or(room));
        Sparkline::default()
            .data(latest)
            .max(most)
            .style(self.style(colour))
            .absent_value_symbol(" ")
            .render(bars, buffer);
        if has_words {
            Span::raw(format!("  max {}", words(most))).render(rest, buffer);
        }
    }

    /// A colour, where colours are wanted.
    fn style(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Draws the label of a row and returns the place behind it.
fn labelled(label: Span<'_>, place: Rect, buffer: &mut Buffer) -> Rect {
    let [_, place] = split(place, MARGIN);
    let [before, behind] = split(place, LABEL);
    label.render(before, buffer);
    behind
}

/// The first columns of a place, and the others.
fn split(place: Rect, columns: u16) -> [Rect; 2] {
    let columns = columns.min(place.width);
    [
        Rect { width: columns, ..place },
        Rect { x: place.x + columns, width: place.width - columns, ..place },
    ]
}

/// As many of `fields` as there is room for, side by side.
fn fitting(fields: Vec<Span<'_>>, room: u16) -> Line<'_> {
    let mut line = Line::default();
    for field in fields {
        let gap = if line.spans.is_empty() { "" } else { "   " };
        if line.width() + gap.len() + field.width() > room.into() {
            break;
        }
        line.extend([Span::raw(gap), field]);
    }
    line
}

/// A row of the table of latencies, with as many columns as there is room for.
fn latencies(room: u16, cell: impl Fn(Column) -> String) -> Line<'static> {
    let columns = COLUMNS.into_iter().filter(|(.., before)| *before < room / LATENCY);
    let cells = columns.map(|column| format!("{:>width$}", cell(column), width = LATENCY.into()));
    cells.collect::<String>().into()
}

/// What stands in a column for `percentiles`.
fn value_of(percentiles: Option<&Percentiles>) -> impl Fn(Column) -> String {
    move |(_, value, _)| percentiles.map_or_else(|| "-".to_owned(), |all| latency(value(all)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use ratatui_core::style::Modifier;

    use super::super::words::tests::{moment, second};
    use super::super::{Phase, Second};
    use super::*;

    /// A history of so many seconds, whose rates and latencies rise.
    fn rising(seconds: u64) -> History {
        let mut history = History::default();
        for number in 1..=seconds {
            let mut second = Second { number, rate: (number * 1000) as f64, ..second() };
            if let Some(response) = &mut second.response {
                response.p99 = number * 10_000;
            }
            history.note(Some(&second));
        }
        history
    }

    fn drawn(moment: &Moment, history: &History, width: u16, height: u16) -> Buffer {
        View { moment, history, colour: true }.drawn(Size::new(width, height))
    }

    /// The rows as text, without the blanks at their ends.
    fn text(buffer: &Buffer) -> Vec<String> {
        let rows = buffer.content.chunks(buffer.area.width.max(1).into());
        let row =
            |row: &[_]| row.iter().map(ratatui_core::buffer::Cell::symbol).collect::<String>();
        rows.map(|cells| row(cells).trim_end().to_owned()).collect()
    }

    #[track_caller]
    fn assert_drawn(moment: &Moment, history: &History, width: u16, expected: &[&str]) {
        let found = text(&drawn(moment, history, width, 24));
        assert_eq!(found, expected, "found:\n{}", found.join("\n"));
    }

    #[test]
    fn an_open_loop_is_shown_with_the_rate_asked_for_and_both_latencies() {
        assert_drawn(
            &moment(),
            &rising(8),
            80,
            &[
                " sending     12 s of 60 s ━━━━━━━━━━───────────────────────────────────────────",
                " rate        49,998 frames/s   of 50,000 asked   6.4 MB/s",
                " frames      12 in flight   0 failed   599,976 sent   64 connections",
                "                   p50      p90      p99    p99.9      max",
                " response       110 µs   230 µs   420 µs  1.10 ms  3.10 ms",
                " service       90.0 µs   210 µs   400 µs  1.08 ms  3.08 ms",
                " rate trend  ▁▂▃▄▅▆▇█  max 8,000/s",
                " p99 trend   ▁▂▃▄▅▆▇█  max 80.0 µs",
            ],
        );
    }

    #[test]
    fn a_closed_loop_is_shown_without_response() {
        let closed = Moment {
            asked_rate: None,
            last: Some(Second { response: None, ..second() }),
            ..moment()
        };
        assert_drawn(
            &closed,
            &rising(60),
            80,
            &[
                " sending     12 s of 60 s ━━━━━━━━━━───────────────────────────────────────────",
                " rate        49,998 frames/s   6.4 MB/s",
                " frames      12 in flight   0 failed   599,976 sent   64 connections",
                "                   p50      p90      p99    p99.9      max",
                " service       90.0 µs   210 µs   400 µs  1.08 ms  3.08 ms",
                " rate trend  ▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇█  max 60,000/s",
                " p99 trend   ▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇█  max 600 µs",
            ],
        );
    }

    #[test]
    fn nothing_is_made_up_before_the_first_second_is_over() {
        let connecting = Moment {
            phase: Phase::Connecting,
            connected: 500,
            connections: 2000,
            sent: 0,
            last: None,
            ..moment()
        };
        assert_drawn(
            &connecting,
            &History::default(),
            80,
            &[
                " connecting  500 of 2,000 connections ━━━━━━━━━━───────────────────────────────",
                " rate",
                " frames      0 failed   0 sent   500 of 2,000 connections",
                "                   p50      p90      p99    p99.9      max",
                " response            -        -        -        -        -",
                " service             -        -        -        -        -",
                " rate trend",
                " p99 trend",
            ],
        );
    }

    #[test]
    fn a_narrow_terminal_shows_what_matters_most() {
        assert_drawn(
            &moment(),
            &rising(30),
            40,
            &[
                " sending     12 s of 60 s ━━───────────",
                " rate        49,998 frames/s",
                " frames      12 in flight   0 failed",
                "                   p50      p99",
                " response       110 µs   420 µs",
                " service       90.0 µs   400 µs",
                " rate trend  ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▇▇▇█",
                " p99 trend   ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▇▇▇█",
            ],
        );
        assert_drawn(
            &moment(),
            &rising(30),
            20,
            &[
                " sending     12 s o",
                " rate",
                " frames",
                "",
                " response",
                " service",
                " rate trend  ▆▆▇▇▇█",
                " p99 trend   ▆▆▇▇▇█",
            ],
        );
    }

    #[test]
    fn a_low_terminal_shows_the_first_rows() {
        let all = text(&drawn(&moment(), &rising(8), 80, 24));
        for height in 0..10 {
            let rows = text(&drawn(&moment(), &rising(8), 80, height));
            assert_eq!(rows, all[..all.len().min(height.into())]);
        }
    }

    #[test]
    fn a_second_without_replies_is_a_gap_in_the_curve() {
        let mut history = History::default();
        let silent = Second { number: 2, rate: 0.0, response: None, service: None, ..second() };
        for second in [second(), silent, Second { number: 3, ..second() }] {
            history.note(Some(&second));
        }
        let rows = text(&drawn(&moment(), &history, 80, 24));
        assert_eq!(rows[6], " rate trend  █ █  max 49,998/s");
        assert_eq!(rows[7], " p99 trend   █ █  max 420 µs");
    }

    #[test]
    fn failed_frames_are_red_and_bold() {
        let cell_of = |failed, colour| {
            let moment = Moment { failed, ..moment() };
            let history = History::default();
            let view = View { moment: &moment, history: &history, colour };
            let buffer = view.drawn(Size::new(80, 24));
            let at = text(&buffer)[2].find("failed").unwrap();
            buffer[(u16::try_from(at).unwrap(), 2)].clone()
        };
        assert_eq!(cell_of(0, true).fg, Color::Reset);
        assert_eq!(cell_of(3, true).fg, Color::Red);
        assert!(cell_of(3, false).modifier.contains(Modifier::BOLD));
    }

    #[test]
    fn without_colours_there_are_none() {
        let moment = Moment { failed: 3, ..moment() };
        let view = View { moment: &moment, history: &rising(8), colour: false };
        let buffer = view.drawn(Size::new(80, 24));
        assert!(
            buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset))
        );
    }

    #[test]
    fn the_height_does_not_depend_on_what_was_measured() {
        let height = |moment: &Moment| drawn(moment, &rising(8), 80, 24).area.height;
        let silent = Second { response: None, service: None, ..second() };
        for last in [None, Some(silent)] {
            assert_eq!(height(&Moment { last, ..moment() }), height(&moment()));
        }
    }

    proptest! {
        #[test]
        fn every_moment_fits_every_terminal(
            width in 0..200_u16,
            height in 0..12_u16,
            phase in prop::sample::select(vec![
                Phase::Connecting, Phase::WarmingUp, Phase::Sending, Phase::Finishing,
            ]),
            (elapsed, planned) in any::<(Duration, Option<Duration>)>(),
            (sent, frames_planned, failed) in any::<(u64, Option<u64>, u64)>(),
            (connected, connections) in any::<(u32, u32)>(),
            asked_rate in any::<Option<f64>>(),
            seconds in prop::collection::vec(
                any::<(f64, f64, u64, Option<[u64; 5]>, Option<[u64; 5]>)>(), 0..70,
            ),
        ) {
            let percentiles = |[p50, p90, p99, p999, max]: [u64; 5]| {
                Percentiles { p50, p90, p99, p999, max }
            };
            let mut history = History::default();
            let mut last = None;
            for ((rate, bytes_per_second, in_flight, response, service), number) in
                seconds.into_iter().zip(0..)
            {
                let response = response.map(percentiles);
                let service = service.map(percentiles);
                last = Some(Second {
                    number, rate, bytes_per_second, in_flight, response, service,
                });
                history.note(last.as_ref());
            }
            let moment = Moment {
                phase, elapsed, planned, frames_planned, sent, failed, connected, connections,
                timeout: Duration::from_secs(10), asked_rate, last,
            };
            let buffer = drawn(&moment, &history, width, height);
            prop_assert!(buffer.area.width < width.max(1));
            prop_assert!(buffer.area.height <= height);
        }
    }
}
