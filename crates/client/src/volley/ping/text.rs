//! Events and summaries as lines, much as those of ping(8).

use std::net::SocketAddr;
use std::time::Duration;

use volley_cli::printable;
use volley_proto::ReplyKind;

use super::event::{Event, Loss};
use super::tally::Summary;
use super::times::Figures;
use crate::render::{counted, millis};

/// An event as a line, with the target's name in front if there are several; nothing for events that
/// are told by others.
pub(crate) fn line(event: &Event, target: &str, is_alone: bool) -> Option<String> {
    let told = match event {
        Event::Ping | Event::Unreachable { .. } => return None,
        Event::Start { address, reply, bytes } => {
            return Some(head(target, *address, *reply, *bytes));
        }
        Event::Reply { seq, bytes, rtt, connect, handshake, reordered } => {
            let part = |name, time: &Option<Duration>| {
                time.map_or_else(String::new, |time| format!(" {name}={}", millis(time)))
            };
            let connect = part("connect", connect) + &part("handshake", handshake);
            let note = if *reordered { " (out of order)" } else { "" };
            format!("seq={seq} bytes={bytes}{connect} time={}{note}", millis(*rtt))
        }
        Event::Lost { seq, reason, why } => format!("seq={seq} {}{why}", prefix(*reason)),
        Event::Late { seq, bytes, rtt, .. } => {
            format!("seq={seq} bytes={bytes} time={} (late)", millis(*rtt))
        }
        Event::Duplicate { seq, bytes, rtt } => {
            format!("seq={seq} bytes={bytes} time={} (duplicate)", millis(*rtt))
        }
        Event::Stray { bytes } => {
            format!("a reply of {} to no ping", counted(*bytes as u64, "byte"))
        }
        Event::GoingAway { why } => format!("the server takes no new frames: {why}"),
        Event::Disconnected { why } => format!("connection lost: {why}"),
        Event::Connected { address, after, again } => {
            let connected = if *again { "reconnected" } else { "connected" };
            let to = address.map_or_else(String::new, |address| format!(" to {address}"));
            format!("{connected}{to} after {:.3} s", after.as_secs_f64())
        }
    };
    // The server's words may be in it.
    let told = printable(&told);
    Some(if is_alone { told } else { format!("{target}: {told}") })
}

fn head(
    target: &str,
    address: Option<SocketAddr>,
    reply: Option<ReplyKind>,
    bytes: usize,
) -> String {
    // Most targets are an address themselves.
    let address = address.map(|address| address.to_string());
    let address = address
        .filter(|address| !target.ends_with(address.as_str()))
        .map_or_else(String::new, |address| format!(" ({address})"));
    let reply = reply.map_or_else(String::new, |reply| format!(", {reply}"));
    format!("PING {target}{address}: {}{reply}", counted(bytes as u64, "byte"))
}

const fn prefix(reason: Loss) -> &'static str {
    match reason {
        Loss::NoReply => "",
        Loss::Corrupt => "corrupt: ",
        Loss::Disconnected => "lost: ",
        Loss::NotSent => "not sent: ",
    }
}

/// A summary, as several lines.
pub(crate) fn summary(summary: &Summary, target: &str) -> String {
    let mut lines = vec![format!("\n--- {target} ping statistics ---"), counts(summary)];
    lines.extend(others(summary));
    lines.extend(times("connect", summary.connect_ns));
    lines.extend(times("handshake", summary.handshake_ns));
    lines.extend(times("rtt", summary.rtt_ns));
    lines.join("\n")
}

/// How it stands, in one line.
pub(crate) fn brief(summary: &Summary, target: &str) -> String {
    let average = summary.rtt_ns.map_or_else(String::new, |rtt| {
        format!(", rtt min/avg/max = {}", slashed(&[rtt.min, rtt.avg, rtt.max]))
    });
    format!("{target}: {}{average}", counts(summary))
}

fn counts(summary: &Summary) -> String {
    let counts = summary.counts;
    let loss = summary.loss.map_or_else(String::new, |loss| format!(", {} loss", percent(loss)));
    let elapsed = Duration::from_nanos(summary.elapsed_ns).as_secs_f64();
    let pings = if counts.pings == 1 { "ping" } else { "pings" };
    format!("{} {pings}, {} answered{loss}, time {elapsed:.3} s", counts.pings, counts.answered)
}

/// What pings came to that were not simply answered, and what came beside, if there was any.
fn others(summary: &Summary) -> Option<String> {
    let counts = summary.counts;
    let named = [
        (counts.no_reply, "without a reply"),
        (counts.late, "late"),
        (counts.corrupt, "corrupt"),
        (counts.disconnected, "lost with the connection"),
        (counts.not_sent, "not sent"),
        (counts.unfinished, "still in flight"),
        (counts.reordered, "out of order"),
        (counts.duplicate, if counts.duplicate == 1 { "duplicate" } else { "duplicates" }),
        (counts.stray, if counts.stray == 1 { "reply to no ping" } else { "replies to no ping" }),
        (counts.reconnects, if counts.reconnects == 1 { "reconnect" } else { "reconnects" }),
    ];
    let named: Vec<_> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn times(name: &str, figures: Option<Figures>) -> Vec<String> {
    let Some(Figures { min, avg, max, mdev, p50, p90, p99 }) = figures else { return Vec::new() };
    vec![
        format!("{name} min/avg/max/mdev = {}", slashed(&[min, avg, max, mdev])),
        format!("{name} p50/p90/p99 = {}", slashed(&[p50, p90, p99])),
    ]
}

/// Times in milliseconds, with one unit behind them all.
fn slashed(nanos: &[u64]) -> String {
    let millis = |&nanos: &u64| format!("{:.3}", Duration::from_nanos(nanos).as_secs_f64() * 1e3);
    format!("{} ms", nanos.iter().map(millis).collect::<Vec<_>>().join("/"))
}

/// A part as a percentage, with as many digits as it needs, at most four behind the point.
fn percent(part: f64) -> String {
    format!("{}%", (part * 1e6).round() / 1e4)
}
