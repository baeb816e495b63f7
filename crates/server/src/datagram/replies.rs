//! Replies on their way out. Those of one length to one source are joined into a train, which the
//! kernel takes with one call and carries as one packet as far as it can (`UDP_SEGMENT`, udp(7)).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use quinn_udp::Transmit;
use rustix::io::Errno;
use tokio::time::Instant;
use volley_proto::{DatagramReply, LONGEST_DATAGRAM};

use super::books::Dropped;
use super::socket::BatchSocket;
use super::tally::Tally;

/// Longer replies travel alone: joined they gain little, and where the path takes no more than an
/// Ethernet frame (1,500 bytes, with 28 of headers) the kernel would refuse the whole train.
const LONGEST_JOINED: usize = 1_472;

/// Where a reply goes, and from which address, where that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<IpAddr>,
}

/// The replies to one batch. They are sent when nothing more can join them, or at the end.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    trains: Vec<Train>,
    /// So many of them are of this batch; the others lend their memory to later ones.
    used: usize,
}

/// What a batch's replies are made from and sent with.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) socket: &'a BatchSocket,
    /// What was received.
    pub(crate) received: &'a [u8],
    /// How long to wait for room.
    pub(crate) until: Instant,
    pub(crate) tally: &'a mut Tally,
    /// The last reply that could not be sent.
    pub(crate) failure: &'a mut Option<Failure>,
}

/// A reply that could not be sent.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) to: SocketAddr,
    pub(crate) len: usize,
    pub(crate) error: io::Error,
}

/// Replies of one length on one route; the last may be shorter. As long as they are echoes that
/// were received one after the other nothing is copied.
#[derive(Debug)]
struct Train {
    route: Route,
    /// The length of each.
    len: usize,
    count: usize,
    /// Where they stand in what was received, unless something has been gathered.
    echoed: Range<usize>,
    gathered: Vec<u8>,
}

impl Replies {
    /// Adds the reply to the datagram at `datagram` of what was received.
    pub(crate) async fn add(
        &mut self,
        way: &mut Way<'_>,
        route: Route,
        datagram: Range<usize>,
        reply: &DatagramReply<'_>,
    ) {
        let longest = way.socket.longest_train();
        let train = self.train(route);
        if !train.takes(reply.len(), longest) {
            train.send(way).await;
        }
        train.join(way.received, datagram, reply);
    }

    /// Sends what has not been sent.
    pub(crate) async fn flush(&mut self, way: &mut Way<'_>) {
        for train in &mut self.trains[..self.used] {
            train.send(way).await;
        }
        self.used = 0;
    }

    /// The train on a route, perhaps a new one.
    fn train(&mut self, route: Route) -> &mut Train {
        let known = self.trains[..self.used].iter().rposition(|train| train.route == route);
        let at = known.unwrap_or(self.used);
        if known.is_none() {
            self.used += 1;
            match self.trains.get_mut(at) {
                Some(train) => train.route = route,
                None => self.trains.push(Train::new(route)),
            }
        }
        &mut self.trains[at]
    }
}

impl Train {
    const fn new(route: Route) -> Self {
        Self { route, len: 0, count: 0, echoed: 0..0, gathered: Vec::new() }
    }

    /// Bytes of all replies.
    fn total(&self) -> usize {
        if self.gathered.is_empty() { self.echoed.len() } else { self.gathered.len() }
    }

    /// Whether a reply of `len` bytes can join, in a train of `longest` at most.
    fn takes(&self, len: usize, longest: usize) -> bool {
        let is_whole = self.total() == self.count * self.len;
        self.count == 0
            || self.count < longest
                && is_whole
                && (1..=self.len).contains(&len)
                && self.len <= LONGEST_JOINED
                && self.total() + len <= LONGEST_DATAGRAM
    }

    fn join(&mut self, received: &[u8], datagram: Range<usize>, reply: &DatagramReply<'_>) {
        if self.count == 0 {
            self.len = reply.len();
        }
        self.count += 1;
        if let DatagramReply::Echo(_) = reply
            && self.gathered.is_empty()
        {
            if self.count == 1 {
                self.echoed = datagram;
                return;
            }
            if self.echoed.end == datagram.start {
                self.echoed.end = datagram.end;
                return;
            }
        }
        if self.gathered.is_empty() {
            self.gathered.extend_from_slice(&received[self.echoed.clone()]);
        }
        reply.encode(&mut self.gathered);
    }

    /// Sends all, and begins anew.
    async fn send(&mut self, way: &mut Way<'_>) {
        let Self { route, len, count, .. } = *self;
        let contents = match &self.gathered[..] {
            [] => &way.received[self.echoed.clone()],
            gathered => gathered,
        };
        if count > 0 {
            let mut transmit = Transmit {
                destination: route.to,
                ecn: None,
                contents,
                segment_size: Some(len),
                src_ip: route.from,
            };
            match way.socket.send(&transmit, way.until).await {
                Ok(()) => way.tally.answer(count, contents.len()),
                Err(error) if count > 1 && error.kind() != io::ErrorKind::WouldBlock => {
                    // Each may find its way alone.
                    for reply in contents.chunks(len) {
                        transmit.contents = reply;
                        match way.socket.send(&transmit, way.until).await {
                            Ok(()) => way.tally.answer(1, reply.len()),
                            Err(error) => way.fail(route, 1, reply.len(), error),
                        }
                    }
                }
                Err(error) => way.fail(route, count, len, error),
            }
        }
        (self.count, self.echoed) = (0, 0..0);
        self.gathered.clear();
    }
}

impl Way<'_> {
    fn fail(&mut self, route: Route, count: usize, len: usize, error: io::Error) {
        let why = why(&error);
        (0..count).for_each(|_| self.tally.drop(why));
        *self.failure = Some(Failure { to: route.to, len, error });
    }
}

/// Sorts an error of sendmsg(2).
fn why(error: &io::Error) -> Dropped {
    match Errno::from_io_error(error) {
        Some(Errno::MSGSIZE) => Dropped::TooLarge,
        Some(Errno::NOBUFS | Errno::NOMEM) => Dropped::Blocked,
        _ if error.kind() == io::ErrorKind::WouldBlock => Dropped::Blocked,
        _ => Dropped::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route =
        Route { to: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1), from: None };

    /// A train of echoes of these lengths, as far as each can join.
    fn joined(lens: &[usize], longest: usize) -> usize {
        let mut train = Train::new(ROUTE);
        let received = vec![0; 100_000];
        let mut start = 0;
        for (at, &len) in lens.iter().enumerate() {
            if !train.takes(len, longest) {
                return at;
            }
            let datagram = start..start + len;
            train.join(&received, datagram.clone(), &DatagramReply::Echo(&received[datagram]));
            start += len;
        }
        lens.len()
    }

    #[test]
    fn only_replies_of_one_length_travel_together_and_a_shorter_one_is_the_last() {
        for (lens, longest, expected) in [
            (&[64; 64][..], 64, 64),
            (&[64; 65], 64, 64),
            (&[64; 3], 1, 1),
            (&[64, 64, 63, 64], 64, 3),
            (&[64, 64, 63, 63], 64, 3),
            (&[64, 65], 64, 1),
            (&[64, 0], 64, 1),
            (&[0, 0], 64, 1),
            (&[1_472; 64], 64, 44),
            (&[1_473, 1_473], 64, 1),
            (&[65_507], 64, 1),
        ] {
            assert_eq!(joined(lens, longest), expected, "{lens:?}");
        }
    }

    #[test]
    fn echoes_that_stand_side_by_side_are_not_copied() {
        let received: Vec<u8> = (0..100).collect();
        let mut train = Train::new(ROUTE);
        let mut join = |datagram: Range<usize>| {
            train.join(&received, datagram.clone(), &DatagramReply::Echo(&received[datagram]));
            (train.echoed.clone(), train.gathered.clone())
        };
        assert_eq!(join(10..20), (10..20, vec![]));
        assert_eq!(join(20..30), (10..30, vec![]));
        let gathered: Vec<u8> = (10..30).chain(50..60).collect();
        assert_eq!(join(50..60), (10..30, gathered.clone()));
        assert_eq!(join(60..65).1, [gathered, (60..65).collect()].concat());
    }

    #[test]
    fn errors_are_sorted_by_what_they_say_of_the_reply() {
        for (errno, expected) in [
            (Errno::MSGSIZE, Dropped::TooLarge),
            (Errno::AGAIN, Dropped::Blocked),
            (Errno::NOBUFS, Dropped::Blocked),
            (Errno::NETUNREACH, Dropped::Unsent),
            (Errno::HOSTUNREACH, Dropped::Unsent),
            (Errno::CONNREFUSED, Dropped::Unsent),
            (Errno::PERM, Dropped::Unsent),
            (Errno::INVAL, Dropped::Unsent),
        ] {
            assert_eq!(why(&errno.into()), expected, "{errno:?}");
        }
        assert_eq!(why(&io::ErrorKind::WouldBlock.into()), Dropped::Blocked);
    }
}
