//! From an endpoint to a connection, or to the reason why there is none.

use std::io;
use std::time::Duration;

use volley_client::{Connection, Error, Options, ProtocolError};
use volley_proto::{Endpoint, Foreign, MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, listen, play, within};
use crate::{connect, from, hasty, patient, silent, wanting};

/// How connecting fails when the server answers HELLO in this way.
async fn failure(server: impl AsyncFnOnce(Peer), options: &Options) -> Error {
    play(server, async |endpoint| {
        Connection::connect(&endpoint, options).await.map(drop).unwrap_err()
    })
    .await
}

#[tokio::test]
async fn greets_with_the_bytes_of_the_protocol_and_takes_its_welcome() {
    let server = async |mut peer: Peer| {
        let hello = peer.bytes(16).await;
        assert_eq!(hello, *b"\x80\0\0\x0c\x01\0\0\x01\0\0\0\0\0\0\0\0");
        peer.write(b"\x80\0\0\x0c\x02\x02\0\x01\0\0\0\0\0\x10\0\0").await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |endpoint| {
        let connection = connect(&endpoint, &patient()).await;
        assert_eq!(connection.reply_kind(), ReplyKind::Ack);
        assert_eq!(connection.max_frame(), MaxFrame::DEFAULT);
    })
    .await;
}

#[tokio::test]
async fn asks_for_the_wanted_reply_by_its_name() {
    for (kind, flags) in [(ReplyKind::Echo, 1), (ReplyKind::Ack, 2)] {
        let server = async |mut peer: Peer| {
            let (head, body) = peer.frame().await;
            assert_eq!(head, 1 << 31 | 18);
            assert_eq!(body[..2], [1, flags]);
            assert_eq!(&body[12..], b"a test");
            peer.welcome(kind, MaxFrame::DEFAULT).await;
        };
        play(server, async |endpoint| {
            assert_eq!(connect(&endpoint, &wanting(kind)).await.reply_kind(), kind);
        })
        .await;
    }
}

#[tokio::test]
async fn a_reply_other_than_the_wanted_one_is_the_servers_to_grant() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 2);
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &wanting(ReplyKind::Ack)).await;
        assert_eq!(connection.reply_kind(), ReplyKind::Echo);
        assert_eq!(connection.request("x").await.unwrap().payload, "x");
    })
    .await;
}

#[tokio::test]
async fn a_welcome_may_come_byte_by_byte_and_with_a_text() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        for byte in *b"\x80\0\0\x0e\x02\x01\0\x01\0\0\0\0\0\0\0\x05hi" {
            peer.write(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let connection = connect(&endpoint, &patient()).await;
        assert_eq!(connection.max_frame().get(), 5);
    })
    .await;
}

#[tokio::test]
async fn without_hello_nothing_is_sent_before_the_first_frame() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.bytes(9).await, b"\0\0\0\x05hello");
        peer.write(b"\0\0\0\x05hello").await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &silent(patient())).await;
        assert_eq!(connection.reply_kind(), ReplyKind::Echo);
        assert_eq!(connection.max_frame(), MaxFrame::CEILING);
        assert_eq!(connection.request("hello").await.unwrap().payload, "hello");
    })
    .await;
}

#[tokio::test]
async fn a_port_without_a_listener_refuses_the_connection() {
    let (listener, endpoint) = listen().await;
    let expected = listener.local_addr().unwrap();
    drop(listener);
    let error = within(Connection::connect(&endpoint, &patient())).await.unwrap_err();
    let message = error.to_string();
    let Error::Connect { address, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(address, Some(expected));
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
    assert!(message.starts_with(&format!("cannot connect to tcp://{expected}: ")));
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_name_without_an_address_cannot_be_resolved() {
    // RFC 6761, 6.4: never a name of anything.
    let endpoint: Endpoint = "nowhere.invalid:7007".parse().unwrap();
    let error = within(Connection::connect(&endpoint, &patient())).await.unwrap_err();
    assert!(matches!(error, Error::Resolve { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("cannot resolve tcp://nowhere.invalid:7007: "), "{message}");
}

#[tokio::test]
async fn a_name_is_tried_at_each_of_its_addresses() {
    let (listener, _) = listen().await;
    let port = listener.local_addr().unwrap().port();
    // Where `localhost` is ::1 as well, that address refuses.
    let endpoint: Endpoint = format!("localhost:{port}").parse().unwrap();
    let connection = within(Connection::connect(&endpoint, &silent(patient()))).await;
    connection.unwrap();
}

#[tokio::test]
async fn connects_from_the_address_that_is_asked_for() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.stream.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &from("127.0.0.2")).await;
        assert_eq!(connection.request("x").await.unwrap().payload, "x");
    })
    .await;
}

#[tokio::test]
async fn an_address_of_another_machine_cannot_be_connected_from() {
    let (_listener, endpoint) = listen().await;
    // RFC 5737: for documentation, never of any machine.
    let error = within(Connection::connect(&endpoint, &from("192.0.2.1"))).await.unwrap_err();
    let message = error.to_string();
    let Error::Bind { local, source } = error else { panic!("{error:?}") };
    assert_eq!(local.to_string(), "192.0.2.1");
    assert_eq!(source.kind(), io::ErrorKind::AddrNotAvailable);
    assert!(message.starts_with("cannot connect from 192.0.2.1: "), "{message}");
}

#[tokio::test]
async fn only_addresses_of_the_family_of_the_local_one_are_tried() {
    let (_listener, endpoint) = listen().await;
    let error = within(Connection::connect(&endpoint, &from("::1"))).await.unwrap_err();
    assert!(matches!(error, Error::Family { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {endpoint} from ::1: it has no IPv6 address")
    );
}

#[tokio::test]
async fn a_listener_that_never_accepts_is_given_up_at_the_deadline() {
    let (_listener, endpoint) = listen().await;
    let error = within(Connection::connect(&endpoint, &hasty())).await.unwrap_err();
    let Error::ConnectTimedOut { awaited, after, .. } = error else { panic!("{error:?}") };
    assert_eq!((awaited, after), ("WELCOME", Duration::from_millis(100)));
}

#[tokio::test]
async fn a_server_that_never_sends_welcome_is_given_up_at_the_deadline() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.write(b"\x80\0\0").await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let error = failure(server, &hasty()).await;
    let message = error.to_string();
    assert!(matches!(error, Error::ConnectTimedOut { awaited: "WELCOME", .. }), "{error:?}");
    assert!(message.starts_with("no WELCOME from tcp://127.0.0.1:"), "{message}");
    assert!(message.ends_with(" within 100ms"), "{message}");
}

#[tokio::test]
async fn a_deadline_beyond_all_time_is_none() {
    let mut options = patient();
    options.connect_timeout = Duration::MAX;
    options.reply_timeout = Duration::MAX;
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &options).await;
        assert_eq!(connection.request("x").await.unwrap().payload, "x");
    })
    .await;
}

#[tokio::test]
async fn a_busy_server_is_believed_before_its_welcome() {
    let server = async |mut peer: Peer| {
        peer.error(Reason::Busy, 0, "all 4 places are taken").await;
        peer.until_closed().await;
    };
    let error = failure(server, &patient()).await;
    assert_eq!(
        error.to_string(),
        "refused by the server after 0 frames: busy: all 4 places are taken"
    );
    let Error::Refused { reason, last_seq, text } = error else { panic!("{error:?}") };
    assert_eq!((reason, last_seq), (Reason::Busy, 0));
    assert_eq!(text, "all 4 places are taken");
}

#[tokio::test]
async fn a_server_that_closes_at_hello_may_not_know_it() {
    let closing = async |mut peer: Peer| {
        peer.hello().await;
    };
    let error = failure(closing, &patient()).await;
    assert!(matches!(error, Error::NoWelcome { answer: "a close" }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the server answered HELLO with a close, not with WELCOME: it may not know HELLO"
    );
    let resetting = async |mut peer: Peer| {
        peer.hello().await;
        peer.reset();
    };
    let error = failure(resetting, &patient()).await;
    assert!(matches!(error, Error::NoWelcome { answer: "a reset" }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_returns_hello_does_not_know_it() {
    let server = async |mut peer: Peer| {
        let hello = peer.bytes(16).await;
        peer.write(&hello).await;
        peer.until_closed().await;
    };
    let error = failure(server, &patient()).await;
    assert!(matches!(error, Error::NoWelcome { answer: "an echo of it" }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_answers_hello_with_data_does_not_know_it() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.reply(b"220 ready").await;
        peer.until_closed().await;
    };
    let error = failure(server, &patient()).await;
    assert!(matches!(error, Error::NoWelcome { answer: "a data frame" }), "{error:?}");
}

#[tokio::test]
async fn a_goaway_in_place_of_welcome_is_none() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.until_closed().await;
    };
    let error = failure(server, &patient()).await;
    assert!(matches!(error, Error::NoWelcome { answer: "GOAWAY" }), "{error:?}");
}

#[tokio::test]
async fn a_web_server_is_recognized_by_its_answer() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.until_closed().await;
    };
    let error = failure(server, &patient()).await;
    let message = error.to_string();
    assert!(
        matches!(&error, Error::Protocol(ProtocolError::Foreign { protocol: Foreign::Http })),
        "{error:?}"
    );
    assert!(message.starts_with("the server broke the protocol: this is HTTP"), "{message}");
}

#[tokio::test]
async fn a_welcome_that_no_server_may_send_breaks_the_protocol() {
    let bad: [(&[u8], &str); 4] = [
        (b"\x80\0\0\x0c\x02\x01\0\x02\0\0\0\0\0\x10\0\0", "protocol version 2"),
        (b"\x80\0\0\x0c\x02\x00\0\x01\0\0\0\0\0\x10\0\0", "WELCOME with unknown flags 0"),
        (b"\x80\0\0\x0c\x02\x01\0\x01\0\0\0\0\x04\0\0\x01", "WELCOME: a frame limit of 67108865"),
        (b"\x80\0\0\x0c\x09\x01\0\x01\0\0\0\0\0\x10\0\0", "unknown type 9"),
    ];
    for (welcome, expected) in bad {
        let server = async |mut peer: Peer| {
            peer.hello().await;
            peer.write(welcome).await;
            peer.until_closed().await;
        };
        let error = failure(server, &patient()).await;
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_welcome_that_is_cut_short_breaks_the_protocol() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.write(b"\x80\0\0\x0c\x02\x01").await;
    };
    let error = failure(server, &patient()).await;
    assert!(error.to_string().ends_with("the stream ended inside a frame: 6 of 16 bytes"));
}
