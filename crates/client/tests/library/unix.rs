//! Unix sockets: connections as over TCP, and what is different in connecting.

use std::io::ErrorKind;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use volley_client::{Connection, Error, StreamAddress};
use volley_proto::{Endpoint, ReplyKind, UnixAddress};

use crate::scripted::{Peer, place, within};
use crate::{connect, from, hasty, patient, silent};

/// Serves one connection at `listener` while `client` runs.
async fn play<T>(listener: UnixListener, client: impl Future<Output = T>) -> T {
    let serve = async {
        let mut peer = Peer::accept_unix(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    within(async { tokio::join!(serve, client).1 }).await
}

#[tokio::test]
async fn frames_of_all_lengths_come_back_over_a_path_and_over_an_abstract_name() {
    let (_directory, path, with_file) = place();
    let name = UnixAddress::from_abstract_name(path.to_str().unwrap()).unwrap();
    let without_file = Endpoint::from(name.clone());
    let listeners = [
        (UnixListener::bind(&path).unwrap(), with_file),
        (UnixListener::bind(name.sun_path()).unwrap(), without_file),
    ];
    for (listener, endpoint) in listeners {
        play(listener, async {
            let mut connection = connect(&endpoint, &patient()).await;
            for len in [0, 1, 1000, 100_000, 1 << 20] {
                let payload = vec![7_u8; len];
                assert!(connection.request(payload.clone()).await.unwrap().payload == payload);
            }
            // Small ones and large ones in one batch, of several pieces.
            let (mut sender, mut receiver) = connection.split();
            for len in [10, 70_000, 20, 70_000, 30] {
                sender.feed(vec![8_u8; len]).await.unwrap();
            }
            let send = async { sender.finish().await.unwrap() };
            let receive = async {
                let mut lens = Vec::new();
                while let Some(reply) = receiver.receive().await.unwrap() {
                    lens.push(reply.sent_len);
                }
                assert_eq!(lens, [10, 70_000, 20, 70_000, 30]);
            };
            tokio::join!(send, receive);
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_tells_where_it_leads() {
    let (_directory, path, endpoint) = place();
    let listener = UnixListener::bind(&path).unwrap();
    play(listener, async {
        let connection = connect(&endpoint, &patient()).await;
        assert_eq!(connection.local_addr().unwrap(), StreamAddress::Unix(None));
        assert_eq!(connection.peer_addr().unwrap().to_string(), endpoint.to_string());
    })
    .await;
}

#[tokio::test]
async fn a_path_without_a_listener_is_told_as_it_is() {
    let (_directory, path, endpoint) = place();
    let failure = async || {
        let error = within(Connection::connect(&endpoint, &patient())).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("cannot connect to {endpoint}: ")), "{message}");
        let Error::Connect { address: None, source, .. } = error else { panic!("{error:?}") };
        source.kind()
    };
    assert_eq!(failure().await, ErrorKind::NotFound);
    // What a listener that was killed leaves.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(failure().await, ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn no_address_can_be_connected_from() {
    let (_directory, path, endpoint) = place();
    let _listener = UnixListener::bind(&path).unwrap();
    let error = within(Connection::connect(&endpoint, &from("127.0.0.1"))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {endpoint} from 127.0.0.1: it has no IPv4 address")
    );
}

/// A listener whose backlog is full, and those that are in it.
fn full(path: &std::path::Path) -> (UnixListener, Vec<Socket>) {
    let address = SockAddr::unix(path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    listener.set_nonblocking(true).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&address).is_ok().then_some(socket)
    })
    .collect();
    assert!(!waiting.is_empty());
    (UnixListener::from_std(listener.into()).unwrap(), waiting)
}

#[tokio::test]
async fn a_full_backlog_is_waited_for() {
    let (_directory, path, endpoint) = place();
    let (listener, waiting) = full(&path);
    let options = silent(patient());
    let connecting = Connection::connect(&endpoint, &options);
    tokio::pin!(connecting);
    // Time goes by, and it is not there.
    let short = tokio::time::timeout(Duration::from_millis(20), &mut connecting).await;
    assert!(short.is_err(), "{short:?}");
    let accept = async {
        for _ in 0..=waiting.len() {
            listener.accept().await.unwrap();
        }
    };
    within(async { tokio::join!(accept, connecting).1 }).await.unwrap();
}

#[tokio::test]
async fn a_backlog_that_stays_full_is_given_up_at_the_deadline() {
    let (_directory, path, endpoint) = place();
    let _full = full(&path);
    let error = within(Connection::connect(&endpoint, &hasty())).await.unwrap_err();
    let Error::ConnectTimedOut { awaited, after, .. } = error else { panic!("{error:?}") };
    assert_eq!((awaited, after), ("connection", Duration::from_millis(100)));
}
