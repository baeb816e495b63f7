//! New processes take the daemon's place under load, and the load tester's ledger shows that nobody
//! notices. At full size, with 1,000 busy connections, 500 new ones a second and 10 swaps:
//!
//! ```text
//! cargo build --release && VOLLEY_FULL=1 cargo test --release -p volley-tests --test swap -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use volley_tests::{Family, Load, Report, is_full, until};

/// How often a daemon gives its place to the next.
struct Plan {
    swaps: u64,
    /// Connections that always have frames in flight.
    connections: u64,
    /// The load tester's further flags for them.
    busy: &'static [&'static str],
    /// And for connections that come and go: their rate is that of frames by that of frames on
    /// each.
    passing: &'static [&'static str],
}

const SMALL: Plan = Plan {
    swaps: 2,
    connections: 200,
    busy: &["-p", "2", "-d", "6s"],
    passing: &["-c", "20", "-r", "500", "--frames-per-connection", "5", "-d", "6s"],
};

const FULL: Plan = Plan {
    swaps: 10,
    connections: 1000,
    busy: &["-p", "4", "-d", "40s"],
    passing: &["-c", "100", "-r", "5k", "--frames-per-connection", "10", "-d", "40s"],
};

#[tokio::test]
async fn no_connection_is_refused_or_reset_and_no_frame_is_lost() {
    let plan = if is_full() { FULL } else { SMALL };
    let mut family = Family::start(&[]).await;
    let connections = plan.connections.to_string();
    let mut busy = Load::start(&family.endpoint, &[&["-c", &connections], plan.busy].concat());
    let mut passing = Load::start(&family.endpoint, plan.passing);
    busy.is_running().await;
    passing.is_running().await;
    for _ in 0..plan.swaps {
        connected(&family.endpoint, plan.connections).await;
        family.swap().await;
        family.wait_for(" done accepted=").await;
    }
    let reports = [busy.end().await, passing.end().await];
    family.terminate();
    let (books, log) = family.end().await;
    let sent: u64 = reports.iter().map(is_perfect).sum();
    // The daemons say the same.
    assert_eq!(books.daemons, plan.swaps + 1);
    assert_eq!((books.refused, books.received, books.answered), (0, sent, sent));
    let troubled: Vec<_> =
        log.iter().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
    assert!(troubled.is_empty(), "{troubled:#?}");
    let reopened = reports.each_ref().map(|report| report.number("/connections/reconnects"));
    let goaways = reports.each_ref().map(|report| report.number("/connections/goaways"));
    // But for those who had connected and not been accepted: the next one has them.
    assert!(goaways[0] > plan.swaps * plan.connections / 2, "{goaways:?}");
    assert!(reopened[1] > goaways[1], "connections come and go");
    println!(
        "{} swaps: {sent} frames sent and right; {} connections accepted, {} of them reopened after \
         GOAWAY, {} in passing; the longest response {:.0} ms",
        plan.swaps,
        books.accepted,
        goaways.iter().sum::<u64>(),
        reopened[1] - goaways[1],
        reports.iter().map(|report| report.number("/run/response/max_ns")).max().unwrap()
            / 1_000_000,
    );
}

/// Returns once so many connections to the endpoint are open: each of those that the process before
/// has ended is back.
async fn connected(endpoint: &str, connections: u64) {
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    let local = format!(":{:04X}", port.parse::<u16>().unwrap());
    // `  0: 0100007F:1B5F 0100007F:C350 01 …` (proc_net_tcp): the server's end, ESTABLISHED.
    let is_open = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&local))
            && fields.nth(1) == Some("01")
    };
    until(|| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().filter(|line| is_open(line)).count() as u64 >= connections
    })
    .await;
}

/// Whether every frame came back right, on connections of which none was refused or broken. Returns
/// how many frames.
#[track_caller]
fn is_perfect(report: &Report) -> u64 {
    let (sent, ok) = (report.number("/run/ledger/sent"), report.number("/run/ledger/ok"));
    let problems: Vec<_> = report.problems().into_iter().map(|(what, _)| what).collect();
    assert!(
        problems.iter().all(|&what| what == "the server said GOAWAY: shutting down"),
        "{problems:?}"
    );
    let stray = report.number("/run/strays") + report.number("/run/ledger/imbalance");
    assert_eq!((report.code, sent > 0, ok, stray), (Some(0), true, sent, 0));
    sent
}
