//! When the next frame may be sent.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// At once, or so long after the frame before.
#[derive(Debug)]
pub(crate) struct Pace {
    ticks: Option<Interval>,
    /// The tick for the next frame has come.
    is_due: bool,
}

impl Pace {
    /// A frame at each `period`, the first one at once; `None` is without waits.
    pub(crate) fn new(period: Option<Duration>) -> Self {
        let ticks = period.filter(|period| !period.is_zero()).map(|period| {
            let mut ticks = interval(period);
            // A reply that was late is no reason to send several frames at once.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks, is_due: false }
    }

    /// Waits until the next frame is due.
    ///
    /// # Cancel safety
    ///
    /// A frame that has become due stays so.
    pub(crate) async fn due(&mut self) {
        if let Some(ticks) = &mut self.ticks
            && !self.is_due
        {
            ticks.tick().await;
            self.is_due = true;
        }
    }

    /// The frame that was due is on its way.
    pub(crate) const fn begin_next(&mut self) {
        self.is_due = false;
    }
}
