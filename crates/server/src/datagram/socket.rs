//! A UDP socket that receives and sends many datagrams with one call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{Transmit, UdpSocketState};
#[cfg(target_os = "linux")]
use rustix::net::sockopt as rustix_sockopt;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::received::Received;

/// How many bytes the kernel is asked to hold until they are received; it cuts this down to
/// net.core.rmem_max, and grants twice as much. A small datagram counts as some 800 bytes of it, so
/// a thread that is kept from running for 10 ms loses nothing at a million datagrams a second.
const QUEUE_LEN: usize = 4 << 20;

/// How many datagrams its queue may hold at most: the kernel grants twice what is asked for, and
/// counts at least so much for each.
pub(crate) const MOST_QUEUED: usize = 2 * QUEUE_LEN / 512;

/// How long a batch may wait for room to send in. The kernel lacks it while a network takes less
/// than what was received.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long joining replies is left off after the kernel has refused to take joined ones.
const PROBATION: Duration = Duration::from_secs(1);

/// Binds a UDP socket that [`serve_datagrams`](crate::serve_datagrams) can take. An IPv6 address
/// takes IPv6 only: bind `0.0.0.0` too for both.
///
/// # Errors
///
/// What the system says: the address in use, not local, or not allowed.
///
/// # Panics
///
/// Outside a Tokio runtime with I/O enabled.
pub fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// A bound socket, with what the kernel can do for it.
#[derive(Debug)]
pub(crate) struct BatchSocket {
    io: Arc<UdpSocket>,
    state: UdpSocketState,
    wanted: Wanted,
    /// Whether the kernel joins replies, as far as it said in the beginning.
    joins: bool,
    /// Since when replies are sent one by one, although the kernel said that it joins them.
    apart_since: Option<Instant>,
}

/// What is to be known of an arrival beside its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// To which address it was sent.
    pub(crate) destination: bool,
    /// When the kernel received it.
    pub(crate) time: bool,
}

impl BatchSocket {
    pub(crate) fn new(io: UdpSocket, wanted: Wanted) -> io::Result<Self> {
        // What the system grants will have to do.
        let _ = SockRef::from(&io).set_recv_buffer_size(QUEUE_LEN);
        let state = prepare(&io, wanted)?;
        let joins = state.max_gso_segments() > 1;
        Ok(Self { io: Arc::new(io), state, wanted, joins, apart_since: None })
    }

    pub(crate) fn downgrade(&self) -> Weak<UdpSocket> {
        Arc::downgrade(&self.io)
    }

    /// Waits until something has come. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Receives what is there, which may be nothing. Returns whether more may be waiting.
    pub(crate) fn receive(&self, received: &mut Received) -> io::Result<bool> {
        let filled = self.io.try_io(Interest::READABLE, || match self.receive_now(received) {
            // Tokio is told that the socket is empty, or the next look would be in vain.
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            filled => filled,
        });
        filled.or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(false),
            _ => Err(error),
        })
    }

    /// As [`receive`](Self::receive), asked of the system itself, which may know more than the
    /// runtime has been told yet. That nothing is there is an error.
    pub(crate) fn receive_now(&self, received: &mut Received) -> io::Result<bool> {
        received.fill(|rooms, arrivals| self.state.recv((&*self.io).into(), rooms, arrivals))
    }

    /// How many replies of one length to one source can be sent with one call.
    pub(crate) fn longest_train(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends one datagram, or several of one length to one source, and waits until then for room.
    ///
    /// # Errors
    ///
    /// What the system says of it; [`io::ErrorKind::WouldBlock`] if there was no room.
    pub(crate) async fn send(&self, datagrams: &Transmit<'_>, until: Instant) -> io::Result<()> {
        let send = || self.state.try_send((&*self.io).into(), datagrams);
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let sent = timeout_at(until, self.io.async_io(Interest::WRITABLE, send)).await;
                sent.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into()))
            }
            sent => sent,
        }
    }

    /// Tries anew what the kernel has refused once, perhaps only for one source: to take joined
    /// datagrams.
    pub(crate) fn recover(&mut self, now: Instant) {
        if !self.joins || self.longest_train() > 1 {
            self.apart_since = None;
            return;
        }
        let since = *self.apart_since.get_or_insert(now);
        if now.duration_since(since) >= PROBATION
            && let Ok(state) = prepare(&self.io, self.wanted)
        {
            (self.state, self.apart_since) = (state, None);
        }
    }
}

/// Has the kernel join datagrams, both ways, as far as it can, and tell of each arrival what is
/// wanted.
#[cfg(target_os = "linux")]
fn prepare(io: &UdpSocket, wanted: Wanted) -> io::Result<UdpSocketState> {
    let is_ipv4 = io.local_addr()?.is_ipv4();
    let of_ipv4 = is_ipv4.then(|| rustix_sockopt::ip_mtu_discover(io)).transpose()?;
    let of_ipv6 = (!is_ipv4).then(|| rustix_sockopt::ipv6_mtu_discover(io)).transpose()?;
    let state = UdpSocketState::new(io.into())?;
    // It asks for all that QUIC needs, which wants no datagram to be cut. Here what came in fragments
    // goes back so.
    if let Some(of_ipv4) = of_ipv4 {
        rustix_sockopt::set_ip_mtu_discover(io, of_ipv4)?;
    }
    if let Some(of_ipv6) = of_ipv6 {
        rustix_sockopt::set_ipv6_mtu_discover(io, of_ipv6)?;
        setsockopt(io, sockopt::Ipv6DontFrag, &false)?;
    }
    // What else is left over costs an eighth of the time of small datagrams, and does no harm where
    // it can't be left out.
    let _ = leave_out(io, wanted);
    Ok(state)
}

#[cfg(not(target_os = "linux"))]
fn prepare(io: &UdpSocket, _: Wanted) -> io::Result<UdpSocketState> {
    UdpSocketState::new(io.into())
}

#[cfg(target_os = "linux")]
fn leave_out(io: &UdpSocket, wanted: Wanted) -> io::Result<()> {
    if !wanted.time {
        setsockopt(io, sockopt::ReceiveTimestampns, &false)?;
    }
    if io.local_addr()?.is_ipv4() {
        setsockopt(io, sockopt::IpRecvTos, &false)?;
        if !wanted.destination {
            setsockopt(io, sockopt::Ipv4PacketInfo, &false)?;
        }
    } else {
        setsockopt(io, sockopt::Ipv6RecvTClass, &false)?;
        if !wanted.destination {
            setsockopt(io, sockopt::Ipv6RecvPacketInfo, &false)?;
        }
    }
    Ok(())
}

/// How many datagrams the kernel has thrown away because the queue was full, in its 32 bits; `None`
/// where it does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn overflowed(socket: &impl AsFd) -> Option<u32> {
    meminfo::drops(socket)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn overflowed(_socket: &impl AsFd) -> Option<u32> {
    None
}

/// Linux's `SO_MEMINFO`, which no crate reads in a safe way: nix has the macro for it.
#[cfg(target_os = "linux")]
mod meminfo {
    use std::os::fd::AsFd;

    use nix::sys::socket::GetSockOpt;
    use nix::sys::socket::sockopt::GetStruct;

    /// As in linux/sock_diag.h: `SK_MEMINFO_VARS` numbers.
    type MemInfo = [u32; 9];

    /// `SK_MEMINFO_DROPS`.
    const DROPS: usize = 8;

    #[derive(Clone, Copy, Debug)]
    struct MemInfoOption;

    nix::getsockopt_impl!(
        MemInfoOption,
        libc::SOL_SOCKET,
        libc::SO_MEMINFO,
        MemInfo,
        GetStruct<MemInfo>
    );

    pub(super) fn drops(socket: &impl AsFd) -> Option<u32> {
        Some(MemInfoOption.get(&socket.as_fd()).ok()?[DROPS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replies_are_joined_again_a_second_after_the_kernel_refused_to() {
        let io = bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let destination = io.local_addr().unwrap();
        let mut socket = BatchSocket::new(io, Wanted { destination: false, time: false }).unwrap();
        let longest = socket.longest_train();
        if longest == 1 {
            println!("skipped: the system joins no datagrams");
            return;
        }
        let now = Instant::now();
        // From an address that no host has.
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: b"hello",
            segment_size: None,
            src_ip: Some([224, 0, 0, 1].into()),
        };
        let error = socket.send(&transmit, now + LONGEST_WAIT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        for (after, expected) in [(0, 1), (999, 1), (1000, longest)] {
            socket.recover(now + Duration::from_millis(after));
            assert_eq!(socket.longest_train(), expected, "after {after} ms");
        }
    }
}
