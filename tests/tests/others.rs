//! Clients and servers with the framing that everybody knows, in this process. Those in other
//! languages are in `languages/`.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use volley_client::{Connection, Error, Options};
use volley_proto::{Endpoint, Receipt, crc32c};
use volley_tests::{Daemon, program, run, within};

fn payloads() -> Vec<Bytes> {
    [0, 1, 5, 100, 4096, 65_536, 1 << 20].map(|len| Bytes::from(vec![0xa5; len])).to_vec()
}

async fn plain_client(daemon: &Daemon) -> Framed<TcpStream, LengthDelimitedCodec> {
    let address = daemon.endpoint.strip_prefix("tcp://").unwrap();
    let stream = within(TcpStream::connect(address)).await.unwrap();
    Framed::new(stream, LengthDelimitedCodec::new())
}

#[tokio::test]
async fn a_plain_length_delimited_client_gets_its_echoes() {
    let daemon = Daemon::start(&[]).await;
    let mut client = plain_client(&daemon).await;
    for payload in payloads() {
        within(client.send(payload.clone())).await.unwrap();
        let reply = within(client.next()).await.unwrap().unwrap();
        assert!(reply == payload, "{} bytes", payload.len());
    }
}

#[tokio::test]
async fn a_plain_length_delimited_client_gets_its_receipts() {
    let daemon = Daemon::start(&["--reply", "ack"]).await;
    let mut client = plain_client(&daemon).await;
    let mut total = 0;
    for (payload, seq) in payloads().into_iter().zip(1..) {
        total += payload.len() as u64;
        within(client.send(payload.clone())).await.unwrap();
        let reply = within(client.next()).await.unwrap().unwrap();
        let receipt = Receipt::parse(&reply).unwrap();
        assert_eq!((receipt.seq, receipt.total), (seq, total));
        assert_eq!(receipt.crc32c, crc32c(&payload));
    }
}

#[tokio::test]
async fn a_plain_client_does_not_take_an_error_for_an_echo() {
    let daemon = Daemon::start(&["--max-frame", "10B"]).await;
    let mut client = plain_client(&daemon).await;
    within(client.send(Bytes::from("more than ten bytes"))).await.unwrap();
    // The top bit makes it longer than any frame that the codec takes.
    assert!(within(client.next()).await.unwrap().is_err());
}

/// An echo server of three lines, which knows nothing of control frames.
async fn plain_server() -> (tokio::task::JoinHandle<()>, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().into();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut frames = Framed::new(stream, LengthDelimitedCodec::new());
            while let Some(Ok(frame)) = frames.next().await {
                if frames.send(frame.freeze()).await.is_err() {
                    break;
                }
            }
        }
    });
    (server, endpoint)
}

#[tokio::test]
async fn the_client_checks_a_plain_length_delimited_server() {
    let (server, endpoint) = plain_server().await;
    let mut options = Options::default();
    options.hello = None;
    let mut connection = within(Connection::connect(&endpoint, &options)).await.unwrap();
    for payload in payloads() {
        let reply = within(connection.request(payload.clone())).await.unwrap();
        assert!(reply.payload == payload);
    }
    server.abort();
}

#[tokio::test]
async fn a_plain_server_that_is_greeted_is_told_from_one_that_knows_hello() {
    let (server, endpoint) = plain_server().await;
    let error = within(Connection::connect(&endpoint, &Options::default())).await.unwrap_err();
    assert!(matches!(error, Error::NoWelcome { answer: "a close" }), "{error:?}");
    let mut volley = program("volley");
    volley.args(["send", "--to", &endpoint.to_string()]);
    let ended = run(volley.arg("x"), b"").await;
    assert_eq!(ended.code, Some(76));
    assert!(ended.stderr.ends_with("(try --no-hello)\n"), "{}", ended.stderr);
    let ended = run(volley.arg("--no-hello"), b"").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(0), &b"x\n"[..]));
    server.abort();
}
