//! A look at a listener as its clients see it: does a frame come back, or a datagram?

mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use volley_proto::{
    Address, Control, Endpoint, FrameError, MaxFrame, Parsed, Receipt, Text, UnixAddress,
    encode_data, parse,
};
use volley_server::{Books, DatagramBooks, DatagramHandle, Dropped, Handle, LiveTls, Trusted};

pub(crate) use tls::Own;

/// What a probe calls itself in HELLO, so that the log and the list of connections tell it from
/// clients.
pub(crate) const NAME: &str = "probe";

/// A PROXY header of version 2 that names nobody, as a balancer's own checks have it.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Why a listener is taken for dead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("no reply within {0:?}")]
    TimedOut(Duration),
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    #[error("the connection was closed before the reply came")]
    Closed,
    #[error("what came is no frame: {0}")]
    NoFrame(#[source] FrameError),
}

/// A listener that can be looked at.
#[derive(Clone, Debug)]
pub(crate) enum Probed {
    /// One that accepts connections.
    Stream(Target),
    /// One that receives datagrams.
    Datagrams(DatagramHandle),
}

impl Probed {
    /// Where it listens.
    fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Stream(target) => &target.endpoint,
            Self::Datagrams(handle) => handle.endpoint(),
        }
    }

    /// Sends it a frame, or a datagram, and awaits the reply.
    ///
    /// # Errors
    ///
    /// [`ProbeError`] when no reply came within `limit`.
    async fn round_trip(&self, limit: Duration) -> Result<(), ProbeError> {
        match self {
            Self::Stream(target) => round_trip(target, limit).await,
            Self::Datagrams(handle) => exchange_datagrams(handle, limit).await,
        }
    }
}

/// A listener that does not answer, and why.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) endpoint: Endpoint,
    pub(crate) error: ProbeError,
}

/// Tries a round trip through each of `listeners`, all at once. Those in which none succeeds within
/// `limit`, in their order.
pub(crate) async fn find_dead(listeners: &[Probed], limit: Duration) -> Vec<Dead> {
    let mut probes = JoinSet::new();
    for (at, listener) in listeners.iter().cloned().enumerate() {
        probes.spawn(async move {
            let error = listener.round_trip(limit).await.err()?;
            Some((at, Dead { endpoint: listener.endpoint().clone(), error }))
        });
    }
    let mut dead: Vec<_> = probes.join_all().await.into_iter().flatten().collect();
    dead.sort_unstable_by_key(|(at, _)| *at);
    dead.into_iter().map(|(_, dead)| dead).collect()
}

/// How long a Unix socket with a full backlog is left alone: a hundredth of what `/livez` has.
const AGAIN: Duration = Duration::from_millis(10);

/// How often a datagram is sent within the limit: one can be lost.
const DATAGRAMS: u32 = 2;

/// A reply that the listener's rate withholds will do as well, and so will that the queue was full:
/// a server that is busy is alive.
async fn exchange_datagrams(handle: &DatagramHandle, limit: Duration) -> Result<(), ProbeError> {
    let Endpoint::Udp(Address::Socket(address)) = *handle.endpoint() else {
        // A listener knows its own address.
        return Err(ProbeError::Connect(io::ErrorKind::Unsupported.into()));
    };
    let address = reachable(address);
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(ProbeError::Connect)?;
    socket.connect(address).await.map_err(ProbeError::Connect)?;
    let before = handle.books();
    for _ in 0..DATAGRAMS {
        // As long as a receipt, or there would be none.
        socket.send(&[0; Receipt::LEN]).await.map_err(ProbeError::Io)?;
        match timeout(limit / DATAGRAMS, socket.recv(&mut [0; Receipt::LEN])).await {
            Ok(received) => return received.map(drop).map_err(ProbeError::Io),
            Err(_) if is_busy_since(&before, &handle.books()) => return Ok(()),
            Err(_) => {}
        }
    }
    Err(ProbeError::TimedOut(limit))
}

/// Whether somebody got no reply between the two because of so many datagrams. That the queue is
/// full is not enough: it is where nobody receives.
fn is_busy_since(before: &DatagramBooks, now: &DatagramBooks) -> bool {
    let withheld = |books: &DatagramBooks| {
        let count = |why| books.dropped.get(&why).copied().unwrap_or(0);
        count(Dropped::RateLimited) + count(Dropped::Crowded)
    };
    withheld(now) > withheld(before)
        || now.overflowed > before.overflowed && now.received > before.received
}

/// A listener, and what stands before its frames.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    /// What it shows, if it speaks TLS, and what gets through.
    pub(crate) tls: Option<(LiveTls, Own)>,
    /// Whose PROXY headers it takes, if it requires them.
    pub(crate) trusted: Option<Trusted>,
    /// Its server, which tells how many it has wait.
    pub(crate) server: Option<Handle>,
}

impl Target {
    /// How often somebody had to wait for his turn: to be accepted, or at what stands before the
    /// frames.
    fn waits(&self) -> u64 {
        let waits = |books: Books| books.accept_pauses + books.handshake_waits;
        self.server.as_ref().map_or(0, |server| waits(server.books()))
    }

    /// Whether somebody has had to since there were so many `waits`, or has to now: one wait may
    /// be longer than a look.
    fn is_busy_since(&self, waits: u64) -> bool {
        self.waits() > waits || self.server.as_ref().is_some_and(Handle::accepting_waits)
    }
}

impl From<Endpoint> for Target {
    /// Nothing does.
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, tls: None, trusted: None, server: None }
    }
}

/// Connects to the listener, says HELLO, sends an empty frame and awaits its reply. An ERROR will
/// do as well, and so will that it waits for its turn behind others: a server that is busy is
/// alive. One that has run out of memory or descriptors is not: if it can tell nobody, only a new
/// start helps.
///
/// # Errors
///
/// [`ProbeError`] when no reply came within `limit`.
async fn round_trip(target: &Target, limit: Duration) -> Result<(), ProbeError> {
    let before = target.waits();
    match timeout(limit, look_at(target)).await {
        Ok(looked) => looked,
        Err(_) if target.is_busy_since(before) => Ok(()),
        Err(_) => Err(ProbeError::TimedOut(limit)),
    }
}

async fn look_at(target: &Target) -> Result<(), ProbeError> {
    match &target.endpoint {
        Endpoint::Tcp(Address::Socket(address)) | Endpoint::Tls(Address::Socket(address)) => {
            look_through(target, reachable(*address)).await
        }
        Endpoint::Unix(address) => match connect_unix(address).await {
            Ok(stream) => exchange(stream).await,
            // It may be for others alone, which says nothing of how it is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(ProbeError::Connect(error)),
        },
        // A listener knows its own address.
        _ => Err(ProbeError::Connect(io::ErrorKind::Unsupported.into())),
    }
}

/// Where the backlog of a TCP listener is full, connecting takes its time; that of a Unix socket
/// says so at once, and is asked again for as long as there is time.
async fn connect_unix(address: &UnixAddress) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(address.sun_path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
            connected => return connected,
        }
    }
}

/// Past a PROXY header and a TLS handshake, where the listener has them.
async fn look_through(target: &Target, address: SocketAddr) -> Result<(), ProbeError> {
    let Some(trusted) = &target.trusted else {
        let stream = TcpStream::connect(address).await;
        return look_into(target, stream.map_err(ProbeError::Connect)?).await;
    };
    let socket = socket_at(address).map_err(ProbeError::Connect)?;
    let _vouched = trusted.vouch_for(socket.local_addr().map_err(ProbeError::Connect)?);
    let mut stream = socket.connect(address).await.map_err(ProbeError::Connect)?;
    stream.write_all(LOCAL).await.map_err(ProbeError::Io)?;
    look_into(target, stream).await
}

/// A socket at the listener's own address, which is one of this machine: so it is known beforehand
/// from where the connection will come.
fn socket_at(mut address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    address.set_port(0);
    socket.bind(address)?;
    Ok(socket)
}

async fn look_into(target: &Target, stream: TcpStream) -> Result<(), ProbeError> {
    let Some((live, own)) = &target.tls else { return exchange(stream).await };
    match tls::shake_hands(stream, live, own).await {
        Ok(stream) => exchange(stream).await,
        Err(error) if tls::is_busy(&error) => Ok(()),
        Err(error) => Err(ProbeError::Handshake(error)),
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), ProbeError> {
    let mut bytes = Vec::new();
    Control::Hello { wanted: None, name: Text::new(NAME) }.encode(&mut bytes);
    // Empty, as no listener has a limit below that.
    encode_data(b"", &mut bytes);
    // A server that refuses may have closed already; what it said counts.
    let written = stream.write_all(&bytes).await;
    bytes.clear();
    loop {
        if is_answered(&mut bytes)? {
            return Ok(());
        }
        match (stream.read_buf(&mut bytes).await, &written) {
            (Ok(0), Ok(())) => return Err(ProbeError::Closed),
            (Ok(1..), _) => {}
            (Err(error), _) => return Err(ProbeError::Io(error)),
            (Ok(0), Err(error)) => return Err(ProbeError::Io(error.kind().into())),
        }
    }
}

/// Takes whole frames off the front, up to the one that ends the probe.
fn is_answered(bytes: &mut Vec<u8>) -> Result<bool, ProbeError> {
    loop {
        match parse(bytes, MaxFrame::DEFAULT).map_err(ProbeError::NoFrame)? {
            Parsed::Data(_) | Parsed::Control { control: Control::Error { .. }, .. } => {
                return Ok(true);
            }
            // WELCOME, and GOAWAY where the listener drains: its reply still comes.
            Parsed::Control { frame_len, .. } => drop(bytes.drain(..frame_len)),
            Parsed::Incomplete { .. } => return Ok(false),
        }
    }
}

/// Where a listener at `address` is reached from its own machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, SockAddr, Socket, Type};
    use tokio::net::{TcpListener, UnixListener};
    use tokio::task::yield_now;
    use volley_proto::Reason;
    use volley_server::{
        Config, ConnectionLimit, DatagramConfig, DatagramServer, Proxied, Server, SourceRate, Tls,
        TlsClients, TlsConfig, bind, bind_udp, serve,
    };

    use super::*;

    /// No test comes near it.
    const LIMIT: Duration = Duration::from_secs(20);

    /// For what is to be waited for in vain.
    const SHORT: Duration = Duration::from_millis(100);

    async fn probe_server(config: Config) -> Result<(), ProbeError> {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = Endpoint::from(listener.local_addr().unwrap()).into();
        let server = tokio::spawn(serve(listener, config, std::future::pending::<()>()));
        let probed = round_trip(&target, LIMIT).await;
        server.abort();
        probed
    }

    #[tokio::test]
    async fn a_server_answers_whatever_it_replies_with_and_however_busy_it_is() {
        let mut configs = [Config::default(), Config::default(), Config::default()];
        configs[0].max_frame = MaxFrame::new(0).unwrap();
        configs[1].reply = volley_proto::ReplyKind::Ack;
        configs[2].connections = ConnectionLimit::new(0);
        for config in configs {
            probe_server(config.clone())
                .await
                .unwrap_or_else(|error| panic!("{error}: {config:?}"));
        }
    }

    /// Probes somebody who says this to each who connects and then, if `closes`, no more.
    async fn probe_one_who_says(bytes: &[u8], closes: bool) -> Result<(), ProbeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Endpoint::from(listener.local_addr().unwrap()).into();
        let says = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All that the probe sends, so that closing is no reset.
            stream.read_exact(&mut [0; 25]).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            if !closes {
                std::future::pending::<()>().await;
            }
        };
        let limit = if closes { LIMIT } else { SHORT };
        tokio::select! {
            probed = round_trip(&target, limit) => probed,
            () = async { says.await; std::future::pending().await } => unreachable!(),
        }
    }

    #[tokio::test]
    async fn whoever_answers_no_frame_is_dead() {
        let told = |probed: Result<(), ProbeError>| probed.unwrap_err().to_string();
        let mut welcome = Vec::new();
        let control = Control::Welcome {
            granted: volley_proto::ReplyKind::Echo,
            max_frame: MaxFrame::DEFAULT,
            text: Text::new(""),
        };
        control.encode(&mut welcome);
        assert_eq!(told(probe_one_who_says(b"", false).await), "no reply within 100ms");
        // WELCOME alone is no reply.
        assert_eq!(told(probe_one_who_says(&welcome, false).await), "no reply within 100ms");
        let closed = "the connection was closed before the reply came";
        assert_eq!(told(probe_one_who_says(&welcome, true).await), closed);
        let http = told(probe_one_who_says(b"HTTP/1.1 400 Bad Request\r\n", true).await);
        assert!(http.starts_with("what came is no frame: "), "{http}");
        welcome.extend([0; 4]);
        assert!(probe_one_who_says(&welcome, false).await.is_ok());
        let mut refusal = Vec::new();
        Control::Error { reason: Reason::Busy, last_seq: 0, text: Text::new("") }
            .encode(&mut refusal);
        assert!(probe_one_who_says(&refusal, true).await.is_ok());
    }

    /// Probes a server of datagrams that has answered `before` of this source.
    async fn probe_datagrams(
        config: DatagramConfig,
        before: usize,
        limit: Duration,
    ) -> Result<(), ProbeError> {
        let socket = bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = DatagramServer::new(socket, config).unwrap();
        let probed = Probed::Datagrams(server.handle());
        let server = tokio::spawn(server.run(std::future::pending::<()>()));
        for _ in 0..before {
            probed.round_trip(LIMIT).await.unwrap();
        }
        let outcome = probed.round_trip(limit).await;
        server.abort();
        outcome
    }

    #[tokio::test]
    async fn a_server_of_datagrams_answers_or_withholds_the_reply() {
        let mut configs = [DatagramConfig::default(), DatagramConfig::default()];
        configs[1].reply = volley_proto::ReplyKind::Ack;
        for mut config in configs {
            probe_datagrams(config.clone(), 1, LIMIT).await.unwrap();
            config.source_rate = SourceRate::PerSecond(1e-6);
            probe_datagrams(config, 1, SHORT).await.unwrap();
        }
    }

    #[test]
    fn a_full_queue_is_busy_where_datagrams_are_received() {
        let books = |received, overflowed| {
            let mut books = DatagramBooks::default();
            (books.received, books.overflowed) = (received, overflowed);
            books
        };
        let before = books(5, 7);
        assert!(is_busy_since(&before, &books(6, 8)));
        assert!(!is_busy_since(&before, &books(6, 7)));
        assert!(!is_busy_since(&before, &books(5, 8)));
    }

    #[tokio::test]
    async fn a_server_of_datagrams_that_does_not_run_is_dead() {
        let socket = bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = DatagramServer::new(socket, DatagramConfig::default()).unwrap();
        let probed = Probed::Datagrams(server.handle());
        let told = probed.round_trip(SHORT).await.unwrap_err().to_string();
        assert_eq!(told, "no reply within 100ms");
        drop(server);
        // The system says so at once.
        assert!(matches!(probed.round_trip(LIMIT).await, Err(ProbeError::Io(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_dead() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Endpoint::from(listener.local_addr().unwrap()).into();
        drop(listener);
        assert!(matches!(round_trip(&target, LIMIT).await, Err(ProbeError::Connect(_))));
    }

    #[tokio::test]
    async fn a_listener_is_reached_past_what_stands_before_its_frames() {
        let own = Own::new().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        // Expired, self-signed, and for another name; and clients have to show one of its kind.
        let mut params = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        let (cert, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        for (has_tls, has_header, places) in
            [(true, false, 9), (false, true, 9), (true, true, 9), (true, true, 0)]
        {
            let clients = TlsClients { ca: cert.as_bytes(), own: Some(own.certificate()) };
            let tls = TlsConfig::from_pem(cert.as_bytes(), key.as_bytes(), Some(clients)).unwrap();
            // No network is trusted.
            let (live, trusted) = (LiveTls::new(tls), Trusted::default());
            let mut config = Config::default();
            config.connections = ConnectionLimit::new(places);
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let target = Target {
                endpoint: listener.local_addr().unwrap().into(),
                tls: has_tls.then(|| (live.clone(), own.clone())),
                trusted: has_header.then(|| trusted.clone()),
                server: None,
            };
            let over = std::future::pending::<()>();
            let server = match (has_tls, has_header) {
                (true, true) => tokio::spawn(serve(
                    Proxied::new(Tls::new(listener, live), trusted),
                    config,
                    over,
                )),
                (true, false) => tokio::spawn(serve(Tls::new(listener, live), config, over)),
                _ => tokio::spawn(serve(Proxied::new(listener, trusted), config, over)),
            };
            round_trip(&target, LIMIT).await.unwrap();
            server.abort();
        }
    }

    #[tokio::test]
    async fn who_waits_for_his_turn_at_a_listener_finds_it_busy_and_not_dead() {
        let mut config = Config::default();
        (config.max_handshakes, config.deadlines.handshake) = (1, None);
        let trusted = Trusted::new(vec!["127.0.0.1/32".parse().unwrap()]);
        let listener = Proxied::new(bind("127.0.0.1:0".parse().unwrap()).unwrap(), trusted.clone());
        let server = Server::new(listener, config).unwrap();
        let handle = server.handle();
        let Endpoint::Tcp(Address::Socket(address)) = *handle.endpoint() else { unreachable!() };
        let target = Target {
            endpoint: handle.endpoint().clone(),
            tls: None,
            trusted: Some(trusted),
            server: Some(handle.clone()),
        };
        // It accepts for itself, and nobody is served.
        assert!(matches!(round_trip(&target, SHORT).await, Err(ProbeError::TimedOut(_))));
        tokio::spawn(server.run(std::future::pending::<()>()));
        let mut slow = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&LOCAL[..1]).await.unwrap();
            slow.push(stream);
        }
        let all_wait = async {
            while handle.books().handshake_waits == 0 {
                yield_now().await;
            }
        };
        timeout(LIMIT, all_wait).await.unwrap();
        round_trip(&target, SHORT).await.unwrap();
    }

    #[tokio::test]
    async fn a_listener_that_waits_for_its_accept_rate_is_busy_and_not_dead() {
        let mut config = Config::default();
        // After the first one a day goes by.
        config.accept_rate = Some(1e-6);
        let server = Server::new(bind("127.0.0.1:0".parse().unwrap()).unwrap(), config).unwrap();
        let handle = server.handle();
        let mut target = Target::from(handle.endpoint().clone());
        target.server = Some(handle.clone());
        tokio::spawn(server.run(std::future::pending::<()>()));
        round_trip(&target, LIMIT).await.unwrap();
        // Neither is there when the one pause begins.
        for _ in 0..2 {
            round_trip(&target, SHORT).await.unwrap();
        }
        assert_eq!((handle.books().accepted, handle.books().accept_pauses), (1, 1));
        target.server = None;
        assert!(matches!(round_trip(&target, SHORT).await, Err(ProbeError::TimedOut(_))));
    }

    #[tokio::test]
    async fn a_unix_socket_with_a_full_backlog_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = UnixListener::from_std(socket.into()).unwrap();
        let server = Server::new(listener, Config::default()).unwrap();
        let target = Target::from(server.handle().endpoint().clone());
        // Room for one.
        let _first = UnixStream::connect(&path).await.unwrap();
        let full = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(matches!(round_trip(&target, SHORT).await, Err(ProbeError::TimedOut(_))));
        let server = server.run(std::future::pending::<()>());
        tokio::select! {
            probed = round_trip(&target, LIMIT) => probed.unwrap(),
            served = server => panic!("{served:?}"),
        }
    }

    #[test]
    fn a_wildcard_is_reached_at_loopback() {
        for (address, reached) in [
            ("0.0.0.0:7007", "127.0.0.1:7007"),
            ("[::]:7007", "[::1]:7007"),
            ("192.0.2.1:7007", "192.0.2.1:7007"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
