//! The tables, as text that can be pasted into Markdown, and what is said beside them on stderr.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use thousands::Separable;

use crate::grid::Load;
use crate::stats::{geometric_mean, median};

/// Stands where there is no figure.
const GAP: &str = "\u{2013}";

/// What was measured: frames per second of a baseline and of others, in rounds, for each load.
///
/// It shows two tables: one row per load with the rates and the ratios to the baseline, then one
/// row per other with what its ratios come to. A rate is the median over the rounds, a ratio the
/// median of the ratios within each round, so that what slows the whole machine down for a while
/// cancels out.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the ratios relate to, by the name that heads its column.
    pub(crate) baseline: String,
    /// Who is compared with it, by name.
    pub(crate) others: Vec<String>,
    /// One for each load.
    pub(crate) rows: Vec<Row>,
}

/// Frames per second under one load; each list has one rate for each round, or none at all for a
/// load that is beyond the one whose list it is.
#[derive(Debug)]
pub(crate) struct Row {
    /// The load.
    pub(crate) load: Load,
    /// The rates of the baseline.
    pub(crate) baseline: Vec<f64>,
    /// The rates of the others, in the order of [`Report::others`].
    pub(crate) others: Vec<Vec<f64>>,
}

impl Row {
    fn ratio(&self, other: usize) -> Option<f64> {
        let pairs = self.others[other].iter().zip(&self.baseline);
        median(&pairs.map(|(rate, limit)| rate / limit).collect::<Vec<_>>())
    }

    fn cells(&self) -> Vec<String> {
        let load = self.load;
        let mut cells =
            [load.connections, load.pipeline, load.size].map(|n| n.to_string()).to_vec();
        cells.push(cell(median(&self.baseline), group));
        for (index, rates) in self.others.iter().enumerate() {
            let ratio = |ratio| format!("{ratio:.2}");
            cells.extend([cell(median(rates), group), cell(self.ratio(index), ratio)]);
        }
        cells
    }
}

impl Report {
    fn rates(&self) -> Table {
        let mut head: Vec<String> = ["connections", "pipeline", "size"].map(str::to_owned).to_vec();
        head.push(format!("{}/s", self.baseline));
        for name in &self.others {
            head.extend([format!("{name}/s"), "ratio".to_owned()]);
        }
        table(head, self.rows.iter().map(Row::cells))
    }

    fn summary(&self) -> Table {
        let head = ["", "geometric mean of the ratios", "lowest"].map(str::to_owned).to_vec();
        let rows = self.others.iter().enumerate().map(|(index, name)| {
            let ratios: Vec<f64> = self.rows.iter().filter_map(|row| row.ratio(index)).collect();
            let lowest = ratios.iter().copied().reduce(f64::min);
            let figures = [geometric_mean(&ratios), lowest];
            let cells = figures.map(|figure| cell(figure, |ratio| format!("{ratio:.3}")));
            [vec![name.clone()], cells.to_vec()].concat()
        });
        named_table(head, rows)
    }

    fn has_gaps(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.others).any(Vec::is_empty)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.rates(), self.summary())?;
        if self.has_gaps() {
            writeln!(f, "\n{GAP}: a load that this one cannot do, left out of its mean.")?;
        }
        Ok(())
    }
}

/// A figure as `show` writes it, or the mark of its absence.
fn cell(figure: Option<f64>, show: impl Fn(f64) -> String) -> String {
    figure.map_or_else(|| GAP.to_owned(), show)
}

/// A table with a name at the head of each row, and numbers after it.
pub(crate) fn named_table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = table(head, rows);
    if let Some(names) = table.column_mut(0) {
        names.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// A table of numbers, aligned to the right.
fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(head).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A whole number with a comma between the thousands.
pub(crate) fn group(number: f64) -> String {
    format!("{number:.0}").separate_with_commas()
}

/// Prints a result on stdout. A reader that has gone away is no error.
///
/// # Errors
///
/// When stdout cannot be written.
pub(crate) fn print(result: &impl fmt::Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{result}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot print the result")
        }
        _ => Ok(()),
    }
}

/// Says something about the run on stderr.
#[expect(clippy::print_stderr, reason = "the one place where this program talks")]
pub(crate) fn tell(text: &str) {
    eprintln!("volley-bench: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(load: &str, baseline: &[f64], others: &[&[f64]]) -> Row {
        Row {
            load: load.parse().unwrap(),
            baseline: baseline.to_vec(),
            others: others.iter().map(|rates| rates.to_vec()).collect(),
        }
    }

    #[test]
    fn shows_rates_ratios_and_what_they_come_to() {
        let report = Report {
            baseline: "raw-echo".to_owned(),
            others: vec!["framed-echo".to_owned(), "volleyd".to_owned()],
            rows: vec![
                row("1,1,64", &[50_000.0], &[&[25_000.0], &[50_000.0]]),
                row("64,16,64", &[2_000_000.0], &[&[160_000.0], &[1_620_000.0]]),
            ],
        };
        let expected = "\
| connections | pipeline | size | raw-echo/s | framed-echo/s | ratio | volleyd/s | ratio |
|-------------|----------|------|------------|---------------|-------|-----------|-------|
|           1 |        1 |   64 |     50,000 |        25,000 |  0.50 |    50,000 |  1.00 |
|          64 |       16 |   64 |  2,000,000 |       160,000 |  0.08 | 1,620,000 |  0.81 |

|             | geometric mean of the ratios | lowest |
|-------------|------------------------------|--------|
| framed-echo |                        0.200 |  0.080 |
| volleyd     |                        0.900 |  0.810 |
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs() {
        // The machine became ten times slower: each pair says 0.5, the medians alone would not.
        let row = row("1,1,64", &[1000.0, 100.0, 100.0], &[&[500.0, 500.0, 50.0]]);
        assert_eq!(row.ratio(0), Some(0.5));
    }

    #[test]
    fn a_load_that_is_beyond_one_shows_as_a_dash_and_is_left_out_of_its_mean() {
        let report = Report {
            baseline: "raw-load".to_owned(),
            others: vec!["wrk".to_owned(), "none".to_owned()],
            rows: vec![
                row("1,1,0", &[50_000.0], &[&[], &[]]),
                row("64,16,64", &[2_000_000.0], &[&[500_000.0], &[]]),
            ],
        };
        let expected = "\
| connections | pipeline | size | raw-load/s |   wrk/s | ratio | none/s | ratio |
|-------------|----------|------|------------|---------|-------|--------|-------|
|           1 |        1 |    0 |     50,000 |       – |     – |      – |     – |
|          64 |       16 |   64 |  2,000,000 | 500,000 |  0.25 |      – |     – |

|      | geometric mean of the ratios | lowest |
|------|------------------------------|--------|
| wrk  |                        0.250 |  0.250 |
| none |                            – |      – |

–: a load that this one cannot do, left out of its mean.
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn groups_thousands() {
        let cases = [
            (0.0, "0"),
            (999.4, "999"),
            (1000.0, "1,000"),
            (15_000_000.0, "15,000,000"),
            (-1234.0, "-1,234"),
        ];
        for (number, text) in cases {
            assert_eq!(group(number), text);
        }
    }
}
