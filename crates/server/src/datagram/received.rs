//! What one call has received, and the buffers that it went into.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use quinn_udp::{BATCH_SIZE, RecvMeta};

/// Room for one arrival. The longest datagram has 65,527 bytes (over IPv6), and of shorter ones the
/// kernel joins no more than that into one arrival (`GRO_LEGACY_MAX_SIZE` in its netdevice.h). So
/// nothing is ever cut short.
const ROOM: usize = 64 * 1024;

/// From one arrival's room to the next. Not a multiple of 4096, or all arrivals would begin in the
/// same set of the processor's cache.
const STEP: usize = ROOM + 64;

/// Up to 32 arrivals. Of their 2 MiB only those pages take memory into which something was
/// received.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    arrivals: [RecvMeta; BATCH_SIZE],
    count: usize,
}

/// One datagram, or several of one length that came from one source one after the other; the last
/// may be shorter.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) source: SocketAddr,
    /// To which address they were sent, where the system tells.
    pub(crate) destination: Option<IpAddr>,
    /// When the kernel received them, since the Unix epoch, if it tells.
    pub(crate) at: Option<Duration>,
    /// Where they stand in [`Received::bytes`].
    range: Range<usize>,
    /// The length of each.
    len: usize,
}

impl Received {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; STEP * BATCH_SIZE],
            arrivals: [RecvMeta::default(); BATCH_SIZE],
            count: 0,
        }
    }

    /// Has `receive` fill the buffers anew and tell how many it has filled. Returns whether it
    /// filled all: then more may be waiting.
    ///
    /// # Errors
    ///
    /// Those of `receive`; nothing is there then.
    pub(crate) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        self.count = 0;
        let mut rooms = self.bytes.chunks_exact_mut(STEP);
        let mut rooms: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        self.count = receive(&mut rooms, &mut self.arrivals)?;
        Ok(self.count == BATCH_SIZE)
    }

    /// All bytes, of which an arrival has a range.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What came, in order.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival> + '_ {
        self.arrivals[..self.count].iter().enumerate().map(|(at, meta)| Arrival {
            source: meta.addr,
            destination: meta.dst_ip,
            at: meta.timestamp,
            range: at * STEP..at * STEP + meta.len.min(ROOM),
            len: meta.stride,
        })
    }
}

impl Arrival {
    /// Where each datagram stands; an empty one has its place too.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Range { start, end } = self.range.clone();
        let len = self.len.max(1);
        let count = (end - start).div_ceil(len).max(1);
        (0..count).map(move |n| start + n * len..end.min(start + (n + 1) * len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(arrivals: &[(usize, usize)]) -> Received {
        let mut received = Received::new();
        let is_full = received.fill(|rooms, metas| {
            assert!(rooms.iter().all(|room| room.len() >= 65_535));
            for (meta, &(len, stride)) in metas.iter_mut().zip(arrivals) {
                (meta.len, meta.stride) = (len, stride);
            }
            Ok(arrivals.len())
        });
        assert_eq!(is_full.unwrap(), arrivals.len() == BATCH_SIZE);
        received
    }

    #[test]
    fn arrivals_are_taken_apart_into_datagrams() {
        let cases = [
            ((5, 5), vec![5]),
            ((0, 0), vec![0]),
            ((128, 64), vec![64, 64]),
            ((129, 64), vec![64, 64, 1]),
            ((65_507, 65_507), vec![65_507]),
            ((3, 1), vec![1, 1, 1]),
        ];
        let arrivals: Vec<_> = cases.iter().map(|(arrival, _)| *arrival).collect();
        let received = receive(&arrivals);
        let mut end = 0;
        for (arrival, (_, expected)) in received.arrivals().zip(&cases) {
            let datagrams: Vec<_> = arrival.datagrams().collect();
            let lens: Vec<_> = datagrams.iter().map(Range::len).collect();
            assert_eq!(lens, *expected);
            // Each behind the one before it, and the first not in the room of another arrival.
            assert!(datagrams[0].start >= end);
            assert!(datagrams.windows(2).all(|pair| pair[0].end == pair[1].start));
            end = datagrams[0].start + ROOM;
        }
    }

    #[test]
    fn nothing_is_there_after_an_error() {
        let mut received = receive(&[(5, 5); BATCH_SIZE]);
        assert_eq!(received.arrivals().count(), BATCH_SIZE);
        let error = received.fill(|_, _| Err(io::ErrorKind::WouldBlock.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(received.arrivals().count(), 0);
    }
}
