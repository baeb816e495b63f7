//! Reports and intervals that the tests of all outputs share.

use crate::measure::interval::Interval;
use crate::measure::recorder::Latencies;
use crate::report::{
    BadReplyFigures, Check, Connections, Environment, Figures, LedgerFigures, Limit, Limiter,
    LostFigures, PlanFigures, Problem, Quantiles, Report, Second, Timing, VERSION, Warning,
};

/// Frames in each second.
const FRAMES: u64 = 1000;

/// What a second might have measured, each a little slower than the one before. Connections are
/// opened in the first.
pub(crate) fn second(number: u64, is_open: bool) -> Interval {
    let mut interval = Interval::default();
    let run = &mut interval.run;
    for frame in 0..FRAMES {
        let nanos = 20_000 + 10_000 * number + frame * frame;
        run.service.record(nanos, 1);
        if is_open {
            run.response.record(nanos + 50 * frame, 1);
            run.send_delay.record(50 * frame, 1);
        }
    }
    if number == 0 {
        run.connect.record(150_000, 4);
        run.handshake.record(900_000, 4);
    }
    run.ledger.send(FRAMES);
    interval
}

/// A report before anything was measured, as it stands in the file while the run goes on.
pub(crate) fn empty() -> Report {
    Report {
        version: VERSION,
        complete: false,
        exit_code: None,
        error: Some("the run is not over".to_owned()),
        started_at: "2026-11-22T17:55:51.850432438Z".to_owned(),
        plan: PlanFigures {
            targets: vec!["tcp://127.0.0.1:7007".to_owned()],
            pace: "closed",
            ..PlanFigures::default()
        },
        environment: Environment {
            volley_load: "0.1.0",
            host: "bench".to_owned(),
            kernel: "Linux 6.18.0 #1 SMP".to_owned(),
            architecture: "x86_64".to_owned(),
            processor: None,
            cores: 2,
            descriptors: 1024,
        },
        connections: Connections::default(),
        run: figures(&Interval::default(), false),
        warmup: None,
        seconds: Vec::new(),
        seconds_omitted: 0,
        limit: None,
        warnings: Vec::new(),
        thresholds: vec![Check {
            fail_if: "failed > 0".to_owned(),
            is_default: true,
            value: None,
            shown: "nothing measured".to_owned(),
            is_broken: true,
        }],
        problems: Vec::new(),
        bad_replies: Vec::new(),
    }
}

/// A report in which nothing is missing: but for the error no option is none, and no list is empty.
pub(crate) fn full() -> Report {
    let mut total = Interval::default();
    let mut seconds = Vec::new();
    for number in 0..5 {
        let interval = second(number, true);
        seconds.push(Second {
            second: number,
            sent: FRAMES,
            ok: FRAMES,
            failed: 0,
            in_flight: 0,
            bytes_sent: 64_000,
            bytes_received: 64_000,
            response: quantiles(&interval.run.response),
            service: quantiles(&interval.run.service),
            send_delay: Some(quantiles(&interval.run.send_delay)),
        });
        total += &interval;
    }
    Report {
        complete: true,
        exit_code: Some(1),
        error: None,
        plan: plan(),
        environment: Environment {
            processor: Some("a processor".to_owned()),
            ..empty().environment
        },
        connections: Connections { asked: 4, connected: 4, reconnects: 1, resumed: 3, goaways: 1 },
        run: figures(&total, true),
        warmup: Some(figures(&second(0, true), true)),
        seconds,
        seconds_omitted: 0,
        limit: Some(Limit {
            who: Limiter::Plan,
            why: "the asked rate was reached".to_owned(),
            generator_busy: Some(0.25),
            server_busy: Some(0.5),
        }),
        warnings: vec![Warning { cause: "2 cores".to_owned(), remedy: "more".to_owned() }],
        thresholds: vec![
            Check {
                fail_if: "failed > 0".to_owned(),
                is_default: true,
                value: Some(0.0),
                shown: "0".to_owned(),
                is_broken: false,
            },
            Check {
                fail_if: "p99 > 1ms".to_owned(),
                is_default: false,
                value: Some(1.31),
                shown: "1.31 ms".to_owned(),
                is_broken: true,
            },
        ],
        problems: vec![Problem { what: "connection refused".to_owned(), count: 3 }],
        bad_replies: vec![BadReplyFigures {
            connection: 1,
            frame: 2,
            expected: "00ff".to_owned(),
            expected_len: 64,
            received: String::new(),
            received_len: 0,
        }],
        ..empty()
    }
}

fn plan() -> PlanFigures {
    PlanFigures {
        targets: vec!["tcp://127.0.0.1:7007".to_owned()],
        embedded: false,
        connections: 4,
        idle: 1,
        connect_rate: Some(100.0),
        sources: vec!["127.0.0.2".to_owned()],
        pipeline: 8,
        size: "64".to_owned(),
        fixed_payload: false,
        framing: "frames",
        hello: true,
        reply: Some("echo".to_owned()),
        pace: "open",
        schedule: Some("1000".to_owned()),
        arrivals: Some("poisson"),
        burst: Some(1),
        duration_ns: Some(5_000_000_000),
        frames: Some(5 * FRAMES),
        warmup_ns: 1_000_000_000,
        timeout_ns: 5_000_000_000,
        frames_per_connection: Some(100_000),
        reconnect: true,
        seed: 7,
        threads: 2,
    }
}

fn figures(interval: &Interval, is_open: bool) -> Figures {
    let run = &interval.run;
    let sent = run.ledger.sent();
    let lost = vec![LostFigures { reason: "timed out".to_owned(), frames: 1 }];
    let ledger = match sent {
        0 => LedgerFigures::default(),
        _ => LedgerFigures { sent, ok: sent - 1, lost, ..LedgerFigures::default() },
    };
    let rate = (sent > 0).then_some(1000.0);
    Figures {
        elapsed_ns: sent * 1_000_000,
        sending_ns: sent * 1_000_000,
        ledger,
        replies_per_second: rate,
        sent_per_second: rate,
        planned_per_second: rate.filter(|_| is_open),
        unsent: 0,
        waited: 0,
        strays: 0,
        bytes_sent: 64 * sent,
        bytes_received: 64 * sent,
        generator_cpu_ns: 1,
        response: timing(if is_open { &run.response } else { &run.service }),
        service: timing(&run.service),
        send_delay: is_open.then(|| timing(&run.send_delay)),
        connect: timing(&run.connect),
        handshake: is_open.then(|| timing(&run.handshake)),
    }
}

fn timing(latencies: &Latencies) -> Timing {
    Timing {
        quantiles: quantiles(latencies),
        overflow: latencies.overflow(),
        histogram: latencies.clone(),
    }
}

fn quantiles(latencies: &Latencies) -> Quantiles {
    let histogram = latencies.histogram();
    let at = |quantile| (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile));
    Quantiles {
        count: histogram.len(),
        min_ns: at(0.0),
        mean_ns: at(0.5),
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        p9999_ns: at(0.9999),
        max_ns: at(1.0),
    }
}
