//! Datagrams through the library: what comes back, who gets no reply, and what the books say.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::env;
use std::future::ready;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Instant, UNIX_EPOCH};

use common::{Client, Datagrams, LIMIT, ipv6_is_missing, pattern, same_bytes};
use proptest::collection::vec;
use proptest::prelude::*;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use volley_proto::{DatagramReply, LONGEST_DATAGRAM, Receipt, ReplyKind, crc32c};
use volley_server::{
    DatagramConfig, DatagramError, DatagramServer, Dropped, SourceRate, bind_udp, serve_datagrams,
};

/// What is dropped, for one reason only.
fn dropped(server: Datagrams, why: Dropped) -> u64 {
    let books = server.finish();
    let count = books.dropped.get(&why).copied().unwrap_or(0);
    assert_eq!(books.dropped(), count, "{books}");
    count
}

fn at_rate(rate: SourceRate) -> DatagramConfig {
    let mut config = DatagramConfig::default();
    config.source_rate = rate;
    config
}

#[test]
fn datagrams_of_any_length_come_back() {
    let server = Datagrams::echo();
    let client = Client::to(server.address);
    for len in [0, 1, 31, 32, 64, 1_472, 1_473, 9_000, 65_506, LONGEST_DATAGRAM] {
        client.echoes(&pattern(len, len as u64));
    }
    let books = server.finish();
    assert_eq!((books.received, books.answered, books.dropped()), (10, 10, 0));
    assert_eq!(books.bytes_in, books.bytes_out);
}

#[test]
fn a_receipt_proves_what_was_received_and_when() {
    let server = Datagrams::ack();
    let client = Client::to(server.address);
    let now = || u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    for len in [32, 33, 1_000, LONGEST_DATAGRAM] {
        let payload = pattern(len, len as u64);
        let before = now();
        client.send(&payload);
        let receipt = Receipt::parse(&client.receive()).unwrap();
        let received_at = receipt.received_at;
        let (crc32c, total) = (crc32c(&payload), len as u64);
        assert_eq!(receipt, Receipt { crc32c, seq: 0, total, received_at });
        assert!((before..=now()).contains(&received_at), "{before} {received_at} {}", now());
    }
    let books = server.finish();
    assert_eq!((books.answered, books.bytes_out), (4, 128));
}

#[test]
fn no_reply_is_longer_than_its_request() {
    let server = Datagrams::ack();
    let client = Client::to(server.address);
    for len in [0, 1, 31] {
        client.send(&vec![7; len]);
    }
    client.send(&[7; 32]);
    assert_eq!(Receipt::parse(&client.receive()).unwrap().total, 32);
    assert_eq!(dropped(server, Dropped::Short), 3);
}

#[test]
fn many_at_once_come_back_in_order() {
    let server = Datagrams::echo();
    let clients = [(); 3].map(|()| Client::to(server.address));
    for round in 0..20 {
        // Some of one length, which travel together, and some not.
        let payload =
            |n: usize| pattern(if n.is_multiple_of(7) { n } else { 64 }, (round * 100 + n) as u64);
        for n in 0..60 {
            clients.iter().for_each(|client| client.send(&payload(n)));
        }
        for client in &clients {
            (0..60).for_each(|n| client.expect(&payload(n)));
        }
    }
    assert_eq!(server.finish().answered, 20 * 60 * 3);
}

#[test]
fn datagrams_that_arrive_joined_are_told_apart() {
    let server = Datagrams::echo();
    let client = Client::to(server.address);
    let state = UdpSocketState::new((&client.socket).into()).unwrap();
    if state.max_gso_segments() == 1 {
        println!("skipped: the system joins no datagrams");
        return;
    }
    client.socket.set_nonblocking(false).unwrap();
    // The last is shorter.
    let contents = pattern(50 * 100 - 1, 1);
    let train = Transmit {
        destination: server.address,
        ecn: None,
        contents: &contents,
        segment_size: Some(100),
        src_ip: None,
    };
    for _ in 0..10 {
        state.try_send((&client.socket).into(), &train).unwrap();
    }
    server.wait_until(|books| books.answered == 500);
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..10 {
        let mut meta = [RecvMeta::default()];
        let mut room = [IoSliceMut::new(&mut buffer)];
        assert_eq!(state.recv((&client.socket).into(), &mut room, &mut meta).unwrap(), 1);
        // They come back joined, too.
        assert_eq!((meta[0].len, meta[0].stride), (contents.len(), 100));
        same_bytes(&buffer[..contents.len()], &contents);
    }
    let books = server.finish();
    assert_eq!((books.bytes_in, books.bytes_out), (49_990, 49_990));
}

/// What is received with one call can take long to answer, here some 1,400 replies that take a call
/// each.
#[test]
fn others_on_the_thread_have_their_turn_within_a_batch() {
    const A_TURN: u64 = 300;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    let client = Client::to(socket.local_addr().unwrap());
    let state = UdpSocketState::new((&client.socket).into()).unwrap();
    // Too long for their replies to be joined again.
    let contents = vec![7; 1_500 * state.max_gso_segments().min(43)];
    let train = Transmit {
        destination: socket.local_addr().unwrap(),
        ecn: None,
        contents: &contents,
        segment_size: Some(1_500),
        src_ip: None,
    };
    for _ in 0..32 {
        state.try_send((&client.socket).into(), &train).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let mut received = block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let server = DatagramServer::new(socket, DatagramConfig::default()).unwrap();
        let handle = server.handle();
        let sent = 32 * contents.len() as u64;
        tokio::spawn(server.run(std::future::pending::<()>()));
        let mut received = vec![0];
        loop {
            tokio::task::yield_now().await;
            let books = handle.books();
            received.push(books.received);
            // Where its queue is short the system has thrown some away.
            if books.received > 0 && (books.bytes_in == sent || books.overflowed > 0) {
                break received;
            }
        }
    });
    received.dedup();
    assert!(received.windows(2).all(|pair| pair[1] - pair[0] < A_TURN), "{received:?}");
}

#[test]
fn what_begins_as_a_receipt_is_never_answered() {
    for server in [Datagrams::echo(), Datagrams::ack()] {
        let client = Client::to(server.address);
        client.send(b"ACK1");
        client.send(&Receipt { crc32c: 0, seq: 0, total: 0, received_at: 0 }.encode());
        client.send(&[b"ACK1", &[7; 1000][..]].concat());
        client.send(&[7; 32]);
        assert_eq!(client.receive().len(), 32);
        client.expect_nothing();
        assert_eq!(dropped(server, Dropped::Receipt), 3);
    }
}

#[test]
fn a_port_of_the_system_is_not_answered() {
    let server = Datagrams::echo();
    let ports = [1023, 1022, 1021];
    let Some(client) = ports.into_iter().find_map(|port| {
        Client::from(SocketAddr::new("127.0.0.7".parse().unwrap(), port), server.address)
    }) else {
        return;
    };
    client.send(b"hello");
    server.wait_for_dropped(Dropped::LowPort, 1);
    client.expect_nothing();
    assert_eq!(dropped(server, Dropped::LowPort), 1);
}

#[test]
fn a_reflecting_service_is_not_answered() {
    let server = Datagrams::echo();
    for (at, port) in (1..).zip([1900, 5353, 11_211]) {
        let local = SocketAddr::new("127.0.0.7".parse().unwrap(), port);
        let Some(client) = Client::from(local, server.address) else { return };
        client.send(b"hello");
        server.wait_for_dropped(Dropped::Reflector, at);
        client.expect_nothing();
    }
    assert_eq!(dropped(server, Dropped::Reflector), 3);
}

#[test]
fn the_ports_of_servers_are_not_answered() {
    let server = Datagrams::echo();
    for (at, port) in (1..).zip([server.address.port(), 7007]) {
        let local = SocketAddr::new("127.0.0.7".parse().unwrap(), port);
        let Some(client) = Client::from(local, server.address) else { return };
        client.send(b"hello");
        server.wait_for_dropped(Dropped::Server, at);
        client.expect_nothing();
    }
    assert_eq!(dropped(server, Dropped::Server), 2);
}

#[test]
fn a_server_never_answers_itself() {
    let server = Datagrams::echo();
    server.socket.send_to(b"hello", server.address).unwrap();
    server.wait_for_dropped(Dropped::Server, 1);
    Client::to(server.address).echoes(b"hello");
    let books = server.finish();
    assert_eq!((books.received, books.answered), (2, 1));
}

#[test]
fn two_servers_never_answer_each_other_for_ever() {
    for (first, second) in [
        (Datagrams::ack(), Datagrams::ack()),
        (Datagrams::ack(), Datagrams::echo()),
        (Datagrams::echo(), Datagrams::ack()),
    ] {
        // As somebody does who forges the source.
        second.socket.send_to(&[7; 64], first.address).unwrap();
        first.wait_until(|books| books.received > 0);
        let both = || first.handle.books().dropped() + second.handle.books().dropped();
        let deadline = Instant::now() + LIMIT;
        while both() == 0 {
            assert!(Instant::now() < deadline, "somebody has the last word");
            thread::yield_now();
        }
        let (first, second) = (first.finish(), second.finish());
        assert!(first.received + second.received <= 3, "{first} {second}");
    }
}

#[test]
fn two_echo_servers_on_one_port_never_answer_each_other() {
    let first = Datagrams::echo();
    let elsewhere = SocketAddr::new("127.0.0.7".parse().unwrap(), first.address.port());
    let Ok(socket) = UdpSocket::bind(elsewhere) else { return };
    let second = Datagrams::start_on(socket, DatagramConfig::default());
    second.socket.send_to(b"hello", first.address).unwrap();
    first.wait_for_dropped(Dropped::Server, 1);
    assert_eq!(second.finish().received, 0);
}

#[test]
fn each_source_is_answered_at_its_rate() {
    let server = Datagrams::start(at_rate(SourceRate::PerSecond(1e-6)));
    let here = [(); 2].map(|()| Client::to(server.address));
    let there = Client::from("127.0.0.7:0".parse().unwrap(), server.address).unwrap();
    here[0].echoes(b"first");
    // Another port is the same source.
    here.iter().for_each(|client| client.send(b"too many"));
    there.echoes(b"another source");
    server.wait_for_dropped(Dropped::RateLimited, 2);
    here.iter().for_each(Client::expect_nothing);
    // A reload is obeyed at once.
    server.handle.reconfigure(at_rate(SourceRate::Off));
    here[1].echoes(b"as many as you like");
    assert_eq!(dropped(server, Dropped::RateLimited), 2);
}

#[test]
fn a_rate_of_thousands_lets_a_tenth_of_a_second_s_worth_through_at_once() {
    let server = Datagrams::start(at_rate(SourceRate::PerSecond(1000.0)));
    let client = Client::to(server.address);
    (0..100).for_each(|_| client.send(b"burst"));
    (0..100).for_each(|_| client.expect(b"burst"));
    assert_eq!(server.finish().answered, 100);
}

#[test]
fn a_client_that_is_gone_harms_nobody() {
    let server = Datagrams::echo();
    let client = Client::to(server.address);
    for n in 1..=50 {
        // Its reply meets a closed port, which the system tells by ICMP.
        Client::to(server.address).send(&pattern(n, 1));
        client.echoes(&pattern(n, 2));
    }
    server.wait_until(|books| books.received == 100);
    let books = server.finish();
    assert_eq!((books.received, books.receive_errors), (100, 0));
    // Where the system remembers what it was told it refuses to send there.
    assert!(books.answered >= 50, "{books}");
}

#[test]
fn what_comes_in_fragments_goes_back_in_fragments() {
    if ipv6_is_missing() {
        return;
    }
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    let server = Datagrams::start_on(socket, DatagramConfig::default());
    let client = Client::to(server.address);
    // An IPv6 packet of the 65,536 bytes that loopback takes, 40 and 8 of them headers; one byte more;
    // and as many as there can be.
    for len in [65_488, 65_489, 65_527] {
        client.echoes(&pattern(len, 1));
    }
    assert_eq!(server.finish().dropped(), 0);
}

/// Runs the test of all lengths once more where a packet of 1500 bytes is the longest, as on most
/// networks.
#[test]
fn datagrams_that_are_longer_than_a_packet_come_back() {
    let network = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
        command.arg(format!("ip link set lo up mtu 1500 && {script}"));
        command.arg(env::current_exe().unwrap());
        command
    };
    if !network("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: there is no network of our own here");
        return;
    }
    let again = "datagrams_of_any_length_come_back";
    let ended = network(&format!("exec \"$0\" --exact {again}")).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn what_was_received_before_the_shutdown_is_answered() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let client = Client::to(socket.local_addr().unwrap());
    // More than two batches.
    (0..80).for_each(|n| client.send(&pattern(64, n)));
    let books = block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        serve_datagrams(socket, DatagramConfig::default(), ready(())).await.unwrap()
    });
    assert_eq!((books.received, books.answered), (80, 80));
    (0..80).for_each(|n| client.expect(&pattern(64, n)));
    // Now nobody is there.
    client.send(b"hello");
    let error = client.socket.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn what_is_left_to_another_process_is_not_answered_here() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let successor = socket.try_clone().unwrap();
    let client = Client::to(socket.local_addr().unwrap());
    client.send(b"for the next one");
    let books = block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let server = DatagramServer::new(socket, DatagramConfig::default()).unwrap();
        server.handle().leave_queue();
        server.run(ready(())).await
    });
    assert_eq!(books.received, 0);
    let successor = Datagrams::start_on(successor, DatagramConfig::default());
    client.expect(b"for the next one");
    assert_eq!(successor.finish().answered, 1);
}

#[test]
fn what_the_system_has_no_room_for_is_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
    let client = Client::to(socket.local_addr().unwrap());
    (0..1000).for_each(|_| client.send(b"hello"));
    let server = Datagrams::start_on(socket, DatagramConfig::default());
    server.wait_until(|books| books.received + books.overflowed == 1000);
    let books = server.finish();
    assert!(books.received > 0 && books.overflowed > 0, "{books}");
    assert_eq!(books.received + books.overflowed, 1000);
}

#[test]
fn an_address_that_others_can_reach_is_refused_unless_it_is_allowed() {
    block_on(async {
        for text in ["0.0.0.0:0", "[::]:0"] {
            if text.starts_with('[') && ipv6_is_missing() {
                continue;
            }
            let socket = bind_udp(text.parse().unwrap()).unwrap();
            let address = socket.local_addr().unwrap();
            let error = DatagramServer::new(socket, DatagramConfig::default()).unwrap_err();
            assert!(matches!(error, DatagramError::Public { address: told } if told == address));
            let told = error.to_string();
            assert!(told.starts_with(&format!("{address} is not a loopback address: ")), "{told}");
        }
    });
}

#[test]
fn a_reply_comes_from_the_address_that_was_asked() {
    let mut config = DatagramConfig::default();
    config.allow_public = true;
    let server = Datagrams::start_on(UdpSocket::bind("0.0.0.0:0").unwrap(), config);
    for host in ["127.0.0.1", "127.0.0.7", "127.1.2.3"] {
        let address = SocketAddr::new(host.parse().unwrap(), server.address.port());
        // A connected socket hears nobody else.
        Client::to(address).echoes(host.as_bytes());
    }
    assert_eq!(server.finish().answered, 3);
}

#[test]
fn a_server_that_others_can_reach_has_a_rate_by_itself() {
    let mut config = DatagramConfig::default();
    config.allow_public = true;
    let server = Datagrams::start_on(UdpSocket::bind("0.0.0.0:0").unwrap(), config);
    let client = Client::to(SocketAddr::new("127.0.0.1".parse().unwrap(), server.address.port()));
    // As many as a second and a tenth allow would take more than a second to be earned.
    let books = loop {
        (0..100).for_each(|_| client.send(b"hello"));
        let books = server.wait_until(|books| books.received.is_multiple_of(100));
        if books.dropped() > 0 || books.received >= 1_000_000 {
            break books;
        }
    };
    assert_eq!(books.dropped.keys().collect::<Vec<_>>(), [&Dropped::RateLimited]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Clients that send whatever they like, many at once, each get what the wire promises, in
    /// order, and the books say the same.
    #[test]
    fn whatever_comes_is_answered_as_the_wire_says(
        is_ack: bool,
        sent in vec((0..3_usize, datagram()), 0..100),
    ) {
        let server = if is_ack { Datagrams::ack() } else { Datagrams::echo() };
        let kind = if is_ack { ReplyKind::Ack } else { ReplyKind::Echo };
        let clients = [(); 3].map(|()| Client::to(server.address));
        for (client, payload) in &sent {
            clients[*client].send(payload);
        }
        let (mut answered, mut bytes_out) = (0, 0);
        for (client, payload) in &sent {
            let Ok(expected) = DatagramReply::to(payload, kind, 0) else { continue };
            let reply = clients[*client].receive();
            match expected {
                DatagramReply::Echo(payload) => prop_assert_eq!(&reply, payload),
                DatagramReply::Ack(expected) => {
                    let mut receipt = Receipt::parse(&reply).unwrap();
                    receipt.received_at = 0;
                    prop_assert_eq!(receipt, expected);
                }
            }
            prop_assert!(reply.len() <= payload.len());
            answered += 1;
            bytes_out += reply.len() as u64;
        }
        let books = server.finish();
        prop_assert_eq!((books.received, books.answered), (sent.len() as u64, answered));
        prop_assert_eq!(books.bytes_out, bytes_out);
        let bytes_in: usize = sent.iter().map(|(_, payload)| payload.len()).sum();
        prop_assert_eq!(books.bytes_in, bytes_in as u64);
    }
}

/// Of few lengths, so that some travel together.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![4 => Just(64_usize), 2 => 0..40_usize, 1 => 0..3000_usize];
    prop_oneof![
        8 => (len, any::<u64>()).prop_map(|(len, seed)| pattern(len, seed)),
        1 => vec(any::<u8>(), 0..70).prop_map(|rest| [&b"ACK1"[..], &rest].concat()),
    ]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.unwrap() })
}
