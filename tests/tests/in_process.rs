//! The client library against the server library, over real sockets in one process.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use volley_client::{Connection, Error, Hello, Options, Receiver, Sender};
use volley_proto::{Endpoint, MaxFrame, Reason, ReplyKind};
use volley_server::{Books, Config, ConnectionLimit, End, bind, serve};
use volley_tests::{LIMIT, within};

/// A server in a task of its own.
struct Server {
    endpoint: Endpoint,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Books>,
}

impl Server {
    fn start(config: Config) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = listener.local_addr().unwrap().into();
        let (stop, stopped) = oneshot::channel();
        let served = async move { serve(listener, config, stopped).await.unwrap() };
        Self { endpoint, stop, served: tokio::spawn(served) }
    }

    async fn connect(&self, options: &Options) -> Connection {
        within(Connection::connect(&self.endpoint, options)).await.unwrap()
    }

    async fn stop(self) -> Books {
        // It listens for that as long as it serves.
        self.stop.send(()).unwrap();
        within(self.served).await.unwrap()
    }
}

fn config(reply: ReplyKind) -> Config {
    let mut config = Config::default();
    config.reply = reply;
    config
}

fn options() -> Options {
    let mut options = Options::default();
    options.connect_timeout = LIMIT;
    options.reply_timeout = LIMIT;
    options
}

fn wanting(wanted: Option<ReplyKind>) -> Options {
    let mut options = options();
    options.hello = Some(Hello { wanted, name: "a test".to_owned() });
    options
}

/// Distinct bytes for each seed.
fn payload(len: usize, seed: usize) -> Bytes {
    (0..len).map(|i| (i.wrapping_mul(31) + seed * 17 + i / 251).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn client_and_server_agree_on_every_mix_of_kinds() {
    for offered in [ReplyKind::Echo, ReplyKind::Ack] {
        for wanted in [None, Some(ReplyKind::Echo), Some(ReplyKind::Ack)] {
            let server = Server::start(config(offered));
            let mut connection = server.connect(&wanting(wanted)).await;
            let granted = wanted.unwrap_or(offered);
            assert_eq!(connection.reply_kind(), granted);
            assert_eq!(connection.max_frame(), MaxFrame::DEFAULT);
            for seq in 1..=3 {
                let reply = within(connection.request("hello")).await.unwrap();
                assert_eq!((reply.seq, reply.sent_len), (seq, 5));
                assert_eq!(reply.receipt.is_some(), granted == ReplyKind::Ack);
                assert_eq!(reply.payload == "hello", granted == ReplyKind::Echo);
            }
            drop(connection);
            let books = server.stop().await;
            assert_eq!((books.frames_received, books.frames_answered), (3, 3));
        }
    }
}

#[tokio::test]
async fn without_hello_the_listeners_own_reply_comes() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let server = Server::start(config(kind));
        let mut options = options();
        options.hello = None;
        options.reply = kind;
        let mut connection = server.connect(&options).await;
        for seq in 1..=3 {
            assert_eq!(within(connection.request("hello")).await.unwrap().seq, seq);
        }
    }
}

#[tokio::test]
async fn a_greeted_client_keeps_the_servers_limit_and_another_is_told() {
    let mut config = config(ReplyKind::Echo);
    config.max_frame = MaxFrame::new(1000).unwrap();
    let server = Server::start(config);
    let mut greeted = server.connect(&options()).await;
    let error = within(greeted.request(payload(1001, 0))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { len: 1001, max: 1000 }), "{error:?}");
    assert_eq!(within(greeted.request(payload(1000, 0))).await.unwrap().seq, 1);

    let mut options = options();
    options.hello = None;
    let mut other = server.connect(&options).await;
    assert_eq!(within(other.request(payload(1000, 1))).await.unwrap().seq, 1);
    let error = within(other.request(payload(1001, 1))).await.unwrap_err();
    let Error::Refused { reason, last_seq, text } = error else { panic!("{error:?}") };
    assert_eq!((reason, last_seq), (Reason::TooLarge, 1));
    assert_eq!(text, "frame of 1001 bytes exceeds the limit of 1000");
}

#[tokio::test]
async fn the_longest_frame_of_all_goes_through() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let mut config = config(kind);
        config.max_frame = MaxFrame::CEILING;
        let server = Server::start(config);
        let mut connection = server.connect(&options()).await;
        let longest = Bytes::from(vec![0x5a; MaxFrame::CEILING.get() as usize]);
        let reply = within(connection.request(longest)).await.unwrap();
        assert_eq!(reply.sent_len, 64 << 20);
    }
}

#[tokio::test]
async fn beyond_the_limit_a_client_is_refused_as_busy_until_a_place_is_free() {
    let mut config = config(ReplyKind::Echo);
    config.connections = ConnectionLimit::new(2);
    let limit = config.connections.clone();
    let server = Server::start(config);
    let mut first = server.connect(&options()).await;
    let second = server.connect(&options()).await;
    let refused = within(Connection::connect(&server.endpoint, &options())).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { reason: Reason::Busy, .. }), "{refused:?}");
    assert_eq!(within(first.request("still here")).await.unwrap().seq, 1);
    drop(second);
    within(async {
        while limit.open() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut third = server.connect(&options()).await;
    assert_eq!(within(third.request("a place")).await.unwrap().seq, 1);
    drop((first, third));
    let books = server.stop().await;
    assert_eq!((books.accepted, books.refused()), (3, 1));
}

/// Sends until told to stop, and returns how many frames went out.
async fn send_until_told(mut sender: Sender) -> u64 {
    let mut sent = 0;
    let payload = payload(300, 3);
    loop {
        match sender.send(payload.clone()).await {
            Ok(()) => sent += 1,
            Err(Error::GoingAway { reason: Reason::ShuttingDown }) => break,
            Err(error) => panic!("after {sent} frames: {error:?}"),
        }
        tokio::task::yield_now().await;
    }
    sender.finish().await.unwrap();
    sent
}

async fn receive_all(mut receiver: Receiver) -> u64 {
    let mut received = 0;
    while let Some(reply) = receiver.receive().await.unwrap() {
        received += 1;
        assert_eq!(reply.seq, received);
    }
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_frame_of_clients_that_send_until_told_not_to() {
    const CLIENTS: usize = 20;
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let mut config = config(kind);
        config.drain = LIMIT;
        let server = Server::start(config);
        let (answered, mut all_answered) = tokio::sync::mpsc::channel::<()>(1);
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut connection = server.connect(&options()).await;
            let answered = answered.clone();
            clients.push(tokio::spawn(async move {
                connection.request("ready").await.unwrap();
                drop(answered);
                let (sender, receiver) = connection.split();
                let receive = tokio::spawn(receive_ready(receiver));
                let sent = send_until_told(sender).await;
                assert_eq!(receive.await.unwrap(), sent);
                sent
            }));
        }
        drop(answered);
        // Every client is in the middle of it.
        assert!(within(all_answered.recv()).await.is_none());
        let books = server.stop().await;
        let mut sent = CLIENTS as u64;
        for client in clients {
            sent += within(client).await.unwrap();
        }
        assert_eq!((books.frames_received, books.frames_answered), (sent, sent));
        assert_eq!(books.ends.get(&End::Closed), Some(&(CLIENTS as u64)), "{books}");
    }
}

/// As `receive_all`, behind the one frame that has been answered before.
async fn receive_ready(mut receiver: Receiver) -> u64 {
    let mut received = 0;
    while let Some(reply) = receiver.receive().await.unwrap() {
        received += 1;
        assert_eq!(reply.seq, received + 1);
    }
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_clients_at_once_get_their_own_replies() {
    const CLIENTS: usize = 500;
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let server = Server::start(config(kind));
        let options = options();
        let connections = join_all((0..CLIENTS).map(|_| server.connect(&options))).await;
        let clients = connections.into_iter().enumerate().map(|(client, connection)| {
            tokio::spawn(async move {
                let (mut sender, receiver) = connection.split();
                let receive = tokio::spawn(receive_all(receiver));
                let mut bytes = 0;
                for frame in 0..20 {
                    // Anything from nothing to a few reads, in no order.
                    let len = (client * 7919 + frame * 104_729) % 9973;
                    bytes += len as u64;
                    sender.feed(payload(len, client + frame)).await.unwrap();
                }
                sender.finish().await.unwrap();
                assert_eq!(receive.await.unwrap(), 20);
                bytes
            })
        });
        let bytes: u64 =
            within(join_all(clients)).await.into_iter().map(|client| client.unwrap()).sum();
        let books = server.stop().await;
        assert_eq!(books.accepted, 500);
        assert_eq!((books.frames_received, books.frames_answered), (10_000, 10_000));
        assert_eq!(books.payload_bytes, bytes);
    }
}

/// Frames by their lengths, and after which of them what has been fed is flushed.
fn volleys() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let len = prop_oneof![
        4 => 0..64_usize,
        2 => 0..5000_usize,
        1 => 65_500..65_600_usize,
        1 => 0..300_000_usize,
    ];
    prop::collection::vec((len, prop::bool::weighted(0.3)), 0..60)
}

async fn play(volley: &[(usize, bool)], kind: ReplyKind) -> Books {
    let server = Server::start(config(kind));
    let (mut sender, mut receiver) = server.connect(&options()).await.split();
    let send = async {
        for (i, &(len, flush)) in volley.iter().enumerate() {
            sender.feed(payload(len, i)).await.unwrap();
            if flush {
                sender.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        sender.finish().await.unwrap();
    };
    let receive = async {
        for (i, &(len, _)) in volley.iter().enumerate() {
            let reply = receiver.receive().await.unwrap().unwrap();
            assert_eq!((reply.seq, reply.sent_len), (i as u64 + 1, len));
            match kind {
                ReplyKind::Echo => assert!(reply.payload == payload(len, i), "frame {i}"),
                ReplyKind::Ack => assert!(reply.receipt.is_some(), "frame {i}"),
            }
        }
        assert!(receiver.receive().await.unwrap().is_none());
    };
    within(async { tokio::join!(send, receive) }).await;
    drop((sender, receiver));
    server.stop().await
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sequence_of_frames_and_flushes_comes_back_right(volley in volleys()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for kind in [ReplyKind::Echo, ReplyKind::Ack] {
            let books = runtime.block_on(play(&volley, kind));
            let bytes: usize = volley.iter().map(|&(len, _)| len).sum();
            prop_assert_eq!(books.frames_received, volley.len() as u64);
            prop_assert_eq!(books.frames_answered, volley.len() as u64);
            prop_assert_eq!(books.payload_bytes, bytes as u64);
        }
    }
}
