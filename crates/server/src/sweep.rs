//! The one timer of a listener: it looks at all connections every now and then and tells those that
//! something took them too long. See [`deadlines`](crate::deadlines).

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Config;
use crate::deadlines::{Deadlines, Overdue};
use crate::roster::Roster;
use crate::seat::{Doing, Figures, Orders, Seat, Since};

/// A round is made in parts of about so many connections, some 10 µs each, so that no part holds
/// up the frames.
const PART: usize = 1000;

/// More parts would wake the thread too often.
const MOST_PARTS: usize = 32;

/// How long a connection that has sent nothing yet is given when the listener drains: its first
/// frame may be on its way.
pub(crate) const YOUTH: Duration = Duration::from_secs(1);

/// Looks at the connections for as long as it is polled. It rests while there are none.
pub(crate) async fn sweep(roster: &Roster) -> Infallible {
    loop {
        // A permit is kept for one that joins between these two.
        while roster.active() == 0 {
            roster.joined.notified().await;
        }
        let parts = roster.active().div_ceil(PART).clamp(1, MOST_PARTS);
        let pause = roster.config().deadlines.pause().div_f64(parts as f64);
        for part in 0..parts {
            sleep(pause).await;
            let (config, now) = (roster.config(), Instant::now());
            roster.look_at(part, parts, |seat| look(seat, roster, &config, now));
        }
    }
}

fn look(seat: &Seat, roster: &Roster, config: &Config, now: Instant) {
    let age = now.saturating_duration_since(seat.accepted_at);
    let figures = seat.figures();
    let since = seat.look(&figures, u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let orders = seat.orders();
    if let Some(overdue) = overdue(seat, &figures, since, age, &config.deadlines) {
        seat.order_overdue(overdue);
    }
    if orders.to_go() {
        // Once it is no longer young it may find that it has nothing left to do.
        if figures.frames == 0 && age >= YOUTH {
            seat.wake();
        }
        if orders.contain(Orders::RETIRE) && roster.deadline().is_none() {
            let lifetime = config.deadlines.lifetime_of(seat.id).unwrap_or_default();
            if age >= lifetime.saturating_add(config.drain) {
                seat.order_overdue(Overdue::Lifetime);
            }
        }
    } else if config.deadlines.lifetime_of(seat.id).is_some_and(|lifetime| age >= lifetime) {
        seat.order(Orders::RETIRE);
    }
}

/// What takes this connection too long, if anything does.
fn overdue(
    seat: &Seat,
    figures: &Figures,
    since: Since,
    age: Duration,
    deadlines: &Deadlines,
) -> Option<Overdue> {
    let unchanged = Duration::from_millis(since.unchanged);
    let unwritten = Duration::from_millis(since.unwritten);
    let late = |took: Duration, deadline: Option<Duration>| deadline.is_some_and(|d| took >= d);
    let with_size = |deadline: Option<Duration>, bytes| {
        deadline.map(|deadline| deadlines.with_size(deadline, bytes))
    };
    let is_first = figures.frames == 0 && seat.hello.get().is_none();
    match figures.doing {
        Doing::Waiting if is_first => {
            late(age, deadlines.first_frame).then_some(Overdue::FirstFrame)
        }
        Doing::Waiting => late(unchanged, deadlines.idle).then_some(Overdue::Idle),
        Doing::Receiving(bytes)
            if is_first && late(age, with_size(deadlines.first_frame, bytes)) =>
        {
            Some(Overdue::FirstFrame)
        }
        Doing::Receiving(bytes) => {
            late(unchanged, with_size(deadlines.frame, bytes)).then_some(Overdue::Frame)
        }
        Doing::Writing(bytes) => {
            let stuck = late(unwritten, deadlines.write);
            let slow = late(unchanged, with_size(deadlines.write, bytes));
            (stuck || slow).then_some(Overdue::Write)
        }
        Doing::Throttled | Doing::Closing => None,
    }
}
