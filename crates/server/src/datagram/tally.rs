//! What became of the datagrams of one batch, counted until it is entered into the books as a
//! whole: so they balance at any instant, and are locked once per batch. Of a long one each turn is
//! entered by itself.

use super::books::{DatagramBooks, Dropped};

/// Counts of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    received: u64,
    answered: u64,
    dropped: [u64; Dropped::ALL.len()],
    bytes_in: u64,
    bytes_out: u64,
}

impl Tally {
    /// A datagram of `len` bytes has come.
    pub(crate) fn receive(&mut self, len: usize) {
        self.received += 1;
        self.bytes_in += len as u64;
    }

    /// So many of them have their replies, which had `len` bytes together.
    pub(crate) fn answer(&mut self, datagrams: usize, len: usize) {
        self.answered += datagrams as u64;
        self.bytes_out += len as u64;
    }

    /// One of them gets none.
    pub(crate) fn drop(&mut self, why: Dropped) {
        self.dropped[why as usize] += 1;
    }

    /// Enters all into `books`, and begins anew.
    pub(crate) fn enter(&mut self, books: &mut DatagramBooks) {
        let Self { received, answered, dropped, bytes_in, bytes_out } = std::mem::take(self);
        books.received += received;
        books.answered += answered;
        books.bytes_in += bytes_in;
        books.bytes_out += bytes_out;
        for (why, count) in Dropped::ALL.into_iter().zip(dropped) {
            if count > 0 {
                *books.dropped.entry(why).or_default() += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        let (mut tally, mut books) = (Tally::default(), DatagramBooks::default());
        for (at, why) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
            (0..=at).for_each(|_| {
                tally.receive(2);
                tally.drop(why);
            });
        }
        tally.receive(5);
        tally.answer(1, 3);
        tally.enter(&mut books);
        for (at, why) in (1..).zip(Dropped::ALL) {
            assert_eq!(books.dropped[&why], at, "{why}");
        }
        assert!(books.balance(), "{books}");
        assert_eq!((books.received, books.bytes_in, books.bytes_out), (67, 137, 3));
        tally.enter(&mut books);
        assert_eq!(books.received, 67, "what was entered is not entered again");
    }
}
