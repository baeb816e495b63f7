//! How often each source is answered: a table of fixed size, whoever sends and however many they
//! are.
//!
//! What is kept of a source is one instant, by the generic cell rate algorithm (ITU-T I.371, annex
//! A): when it will have earned back all that it has spent. From that instant on its entry says
//! nothing that a source without an entry would not be granted too. So only such entries make room
//! for others, and being one of many that send wins nobody more than his rate. A newcomer for whom
//! there is no room is not answered.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::books::Dropped;
use crate::limits::source::Source;

/// How many sources can be kept in mind, in 384 KiB. At 1,000 datagrams a second each, a source
/// that sends one is kept for 1 ms: 16 million sources a second have room.
const ENTRIES: usize = 1 << 14;

/// In how many places an entry can stand: all that has to be looked at for a datagram. Which places
/// they are nobody outside can know.
const WAYS: usize = 8;

/// What an unused allowance adds up to, in seconds, as for connections (see
/// [`rate`](crate::limits::rate)).
const BURST: f64 = 0.1;

const NANOS_PER_SECOND: f64 = 1e9;

/// Waits longer than this, ten years, are as good as for ever.
const FOR_EVER: f64 = 3e17;

/// What each source has been answered lately.
#[derive(Debug)]
pub(crate) struct Sources {
    entries: Box<[Entry]>,
    keys: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    source: Source,
    /// When it will have earned back everything, in nanoseconds of the table's clock.
    whole_at: u64,
}

/// A rate, as it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// What one datagram costs, in nanoseconds.
    cost: u64,
    /// How much may be owed before a datagram.
    most_owed: u64,
}

impl Rate {
    pub(crate) fn new(per_second: f64) -> Self {
        let burst = (per_second * BURST).max(1.0);
        let cost = (NANOS_PER_SECOND / per_second).min(FOR_EVER);
        Self { cost: nanos(cost), most_owed: nanos((burst - 1.0) * cost) }
    }
}

/// A number of nanoseconds that can still be added to an instant.
fn nanos(nanos: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = nanos.min(FOR_EVER).round() as u64;
    whole
}

impl Sources {
    /// With room for as many sources as there ever can be.
    pub(crate) fn new() -> Self {
        let unused = Entry { source: Source::V4([0; 4]), whole_at: 0 };
        Self { entries: vec![unused; ENTRIES].into(), keys: RandomState::new() }
    }

    /// Spends a datagram of this source, `now` being the time since the table was made.
    ///
    /// # Errors
    ///
    /// Why it is to get no reply.
    pub(crate) fn spend(
        &mut self,
        source: Source,
        rate: Rate,
        now: Duration,
    ) -> Result<(), Dropped> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let entry = self.entry(source, now).ok_or(Dropped::Crowded)?;
        let owed = entry.whole_at.saturating_sub(now);
        if owed > rate.most_owed {
            return Err(Dropped::RateLimited);
        }
        entry.whole_at = now.saturating_add(owed).saturating_add(rate.cost);
        Ok(())
    }

    /// The entry of a source, perhaps made just now; none where there is no room for it.
    fn entry(&mut self, source: Source, now: u64) -> Option<&mut Entry> {
        let hash = self.keys.hash_one(source);
        #[expect(clippy::cast_possible_truncation, reason = "some bits of a hash")]
        let first = hash as usize % (ENTRIES / WAYS) * WAYS;
        let ways = &mut self.entries[first..first + WAYS];
        let at = ways
            .iter()
            .position(|entry| entry.source == source && entry.whole_at > now)
            .or_else(|| ways.iter().position(|entry| entry.whole_at <= now))?;
        let entry = &mut ways[at];
        entry.source = source;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u32) -> Source {
        Source::V4(Ipv4Addr::from_bits(number).octets())
    }

    /// How many datagrams of a source are answered that sends `per_second` for `seconds`, beside
    /// whatever `others` do before each of them.
    fn answered(
        rate: f64,
        per_second: u32,
        seconds: u32,
        mut others: impl FnMut(&mut Sources, Duration),
    ) -> u32 {
        let (mut sources, rate) = (Sources::new(), Rate::new(rate));
        let mut answered = 0;
        for number in 0..per_second * seconds {
            let now = Duration::from_secs(1) * number / per_second;
            others(&mut sources, now);
            answered += u32::from(sources.spend(source(7), rate, now).is_ok());
        }
        answered
    }

    #[test]
    fn a_source_is_answered_at_its_rate_and_a_tenth_of_a_second_at_once() {
        for rate in [1, 10, 100, 1000] {
            let answered = answered(rate.into(), 10_000, 10, |_, _| {});
            let most = 10 * rate + (rate / 10).max(1);
            assert!((10 * rate..=most).contains(&answered), "{answered} at {rate}/s");
        }
    }

    #[test]
    fn a_source_below_its_rate_is_always_answered() {
        assert_eq!(answered(1000.0, 1000, 5, |_, _| {}), 5000);
    }

    #[test]
    fn a_rate_close_to_none_is_one_datagram() {
        for rate in [1e-9, 1e-12, f64::MIN_POSITIVE] {
            assert_eq!(answered(rate, 10, 100, |_, _| {}), 1);
        }
    }

    #[test]
    fn a_rate_beyond_all_limits_is_none() {
        assert_eq!(answered(1e300, 1000, 2, |_, _| {}), 2000);
    }

    #[test]
    fn sources_don_t_share_what_they_may() {
        let (mut sources, rate) = (Sources::new(), Rate::new(10.0));
        for number in 0..1000 {
            assert_eq!(sources.spend(source(number), rate, Duration::ZERO), Ok(()), "{number}");
            let again = sources.spend(source(number), rate, Duration::ZERO);
            assert_eq!(again, Err(Dropped::RateLimited), "{number}");
        }
    }

    #[test]
    fn a_million_unknown_sources_neither_grow_the_table_nor_win_a_known_one_anything() {
        let rate = Rate::new(100.0);
        let mut forged = 1_000_000;
        let answered = answered(100.0, 1000, 2, |sources, now| {
            // A new source each time, as who forges them has it.
            for _ in 0..1000 {
                forged += 1;
                let spent = sources.spend(source(forged), rate, now);
                assert_ne!(spent, Err(Dropped::RateLimited));
            }
            assert_eq!(sources.entries.len(), ENTRIES);
        });
        // It may have found no room now and then, after it had not sent for a while.
        assert!((150..=210).contains(&answered), "{answered} at 100/s");
    }

    #[test]
    fn a_newcomer_is_turned_away_rather_than_one_who_is_at_his_rate_forgotten() {
        let (mut sources, rate) = (Sources::new(), Rate::new(1.0));
        let mut spend = |number, now| sources.spend(source(number), rate, now);
        let mut kept = Vec::new();
        // So many that all places are taken.
        for number in 0..20 * u32::try_from(ENTRIES).unwrap() {
            match spend(number, Duration::ZERO) {
                Ok(()) => kept.push(number),
                why => assert_eq!(why, Err(Dropped::Crowded)),
            }
        }
        assert_eq!(kept.len(), ENTRIES);
        for number in kept {
            assert_eq!(spend(number, Duration::ZERO), Err(Dropped::RateLimited));
        }
        // A second later all have earned their datagram back, and there is room for anybody.
        assert_eq!(spend(u32::MAX, Duration::from_secs(1)), Ok(()));
    }
}
