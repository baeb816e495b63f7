//! What the generator can do at best, for people.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::report::figures::{latency, rate};
use crate::self_test::{Floor, Trial};

/// Shows a [`Floor`]: its machine, its rates, its lateness, and what that means.
#[derive(Debug)]
pub struct FloorText<'a>(pub &'a Floor);

impl fmt::Display for FloorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Floor { environment, threads, server_threads, closed, paced } = self.0;
        let (host, cores) = (&environment.host, environment.cores);
        let processor = environment.processor.as_deref().unwrap_or(&environment.architecture);
        writeln!(f, "{host}: {cores} cores, {processor}")?;
        writeln!(
            f,
            "{threads} sending and {server_threads} serving threads in one process, frames of 64 \
             bytes, every reply checked\n"
        )?;
        writeln!(f, "{}\n", rates(closed))?;
        writeln!(f, "{}\n", delays(paced))?;
        if let Some(trial) = closed.first()
            && let (Some(p50), Some(p99)) = (trial.service.p50_ns, trial.service.p99_ns)
        {
            let (p50, p99) = (latency(p50), latency(p99));
            writeln!(
                f,
                "floor: a round trip with nothing between takes {p50} at the median and {p99} at \
                 p99;\n       what is shorter can't be measured from here"
            )?;
        }
        if let Some(p99) = paced.last().and_then(|trial| trial.send_delay.p99_ns) {
            let p99 = latency(p99);
            writeln!(f, "       99 of 100 frames are sent within {p99} of their planned instant")?;
        }
        let failed: u64 = closed.iter().chain(paced).map(|trial| trial.failed).sum();
        if failed > 0 {
            writeln!(f, "FAILED: {failed} frames did not come back right")?;
        }
        Ok(())
    }
}

fn rates(trials: &[Trial]) -> Table {
    let rows = trials.iter().map(|trial| {
        let service = &trial.service;
        let times = [service.p50_ns, service.p99_ns, service.p999_ns, service.max_ns];
        let head =
            [trial.connections.to_string(), trial.pipeline.to_string(), rate(Some(trial.rate))];
        head.into_iter().chain(times.map(shown)).collect::<Vec<_>>()
    });
    table(&["connections", "in flight", "replies/s", "p50", "p99", "p99.9", "max"], rows)
}

fn delays(trials: &[Trial]) -> Table {
    let rows = trials.iter().map(|trial| {
        let delay = &trial.send_delay;
        let times = [delay.p50_ns, delay.p99_ns, delay.p999_ns, delay.max_ns];
        let head = [rate(trial.asked), rate(Some(trial.rate))];
        head.into_iter().chain(times.map(shown)).collect::<Vec<_>>()
    });
    table(&["asked/s", "replies/s", "send delay p50", "p99", "p99.9", "max"], rows)
}

fn shown(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| "-".to_owned(), latency)
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
