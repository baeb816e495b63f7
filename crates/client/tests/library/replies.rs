//! Replies that are right, replies that are wrong, and what may be sent at all.

use volley_client::{Connection, Error, Mismatch};
use volley_proto::{Endpoint, MaxFrame, Receipt, ReceiptError, ReplyKind, crc32c};

use crate::scripted::{Peer, play, receipt};
use crate::{connect, patient, silent};

/// A server of echoes whose first reply to `sent` is `wrong`, and whose second is right.
async fn first_echo(sent: &'static [u8], wrong: &'static [u8]) -> Mismatch {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reply(wrong).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| two_requests(&endpoint, sent).await).await
}

/// The first request's mismatch; the second must be answered right.
async fn two_requests(endpoint: &Endpoint, sent: &'static [u8]) -> Mismatch {
    let mut connection = connect(endpoint, &patient()).await;
    let error = connection.request(sent).await.unwrap_err();
    let Error::Mismatch(mismatch) = error else { panic!("{error:?}") };
    let reply = connection.request("the next one").await.unwrap();
    assert_eq!((reply.seq, reply.sent_len), (2, 12));
    mismatch
}

/// The mismatch of a receipt for `hello` that is changed in some way.
async fn first_receipt(change: impl FnOnce(&mut Receipt)) -> Mismatch {
    let mut wrong = receipt(b"hello", 1, 5);
    change(&mut wrong);
    first_ack(&wrong.encode()).await
}

async fn first_ack(wrong: &[u8]) -> Mismatch {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(wrong).await;
        let next = peer.payload().await;
        peer.reply(&receipt(&next, 2, 17).encode()).await;
    };
    play(server, async |endpoint| two_requests(&endpoint, b"hello").await).await
}

#[tokio::test]
async fn an_echo_is_returned_with_its_number() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(3).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        for (seq, payload) in [(1, b"hello".as_slice()), (2, b""), (3, b"\0\xff\n")] {
            let reply = connection.request(payload).await.unwrap();
            assert_eq!((reply.seq, reply.sent_len), (seq, payload.len()));
            assert_eq!((&reply.payload[..], reply.receipt), (payload, None));
        }
    })
    .await;
}

#[tokio::test]
async fn a_receipt_is_returned_as_it_was_given() {
    let first = receipt(b"hello", 1, 5);
    let second = receipt(b"", 2, 5);
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        for receipt in [first, second] {
            peer.payload().await;
            peer.reply(&receipt.encode()).await;
        }
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        let reply = connection.request("hello").await.unwrap();
        assert_eq!((reply.seq, reply.sent_len, reply.receipt), (1, 5, Some(first)));
        assert_eq!(reply.payload, first.encode().as_slice());
        assert_eq!(connection.request("").await.unwrap().receipt, Some(second));
    })
    .await;
}

#[tokio::test]
async fn receipts_are_expected_of_a_silent_server_when_told_so() {
    let mut options = silent(patient());
    options.reply = ReplyKind::Ack;
    let server = async |mut peer: Peer| {
        assert_eq!(peer.payload().await, b"hello");
        peer.reply(&receipt(b"hello", 1, 5).encode()).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &options).await;
        assert!(connection.request("hello").await.unwrap().receipt.is_some());
        let error = connection.request("hello").await.unwrap_err();
        assert_eq!(error.to_string(), "reply 2 is no receipt: a receipt has 32 bytes, not 5");
    })
    .await;
}

#[tokio::test]
async fn an_echo_of_other_bytes_is_a_mismatch_and_the_next_one_is_not() {
    let wrong: [(&[u8], &str); 6] = [
        (b"heLlo", "5 received, different from byte 2 on"),
        (b"hell", "4 received, different from byte 4 on"),
        (b"hello!", "6 received, different from byte 5 on"),
        (b"hellp", "5 received, different from byte 4 on"),
        (b"jello", "5 received, different from byte 0 on"),
        (b"", "0 received, different from byte 0 on"),
    ];
    for (received, message) in wrong {
        let mismatch = first_echo(b"hello", received).await;
        let told = mismatch.to_string();
        assert_eq!(told, format!("reply 1 is not its frame: 5 bytes sent, {message}"));
        let expected = Mismatch::Echo { seq: 1, sent: "hello".into(), received: received.into() };
        assert_eq!(mismatch, expected);
    }
}

#[tokio::test]
async fn an_echo_of_an_empty_frame_must_be_empty() {
    let mismatch = first_echo(b"", b"\0").await;
    assert_eq!(
        mismatch.to_string(),
        "reply 1 is not its frame: 0 bytes sent, 1 received, different from byte 0 on"
    );
}

#[tokio::test]
async fn echoes_in_the_wrong_order_are_told_one_by_one() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        for _ in 0..3 {
            peer.payload().await;
        }
        for payload in [b"b", b"a", b"c"] {
            peer.reply(payload).await;
        }
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        for payload in ["a", "b", "c"] {
            sender.feed(payload).await.unwrap();
        }
        sender.finish().await.unwrap();
        for expected in [1, 2] {
            let error = receiver.receive().await.unwrap_err();
            let Error::Mismatch(Mismatch::Echo { seq, .. }) = error else { panic!("{error:?}") };
            assert_eq!(seq, expected);
        }
        assert_eq!(receiver.receive().await.unwrap().unwrap().seq, 3);
        assert!(receiver.receive().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn each_wrong_field_of_a_receipt_is_a_mismatch_of_its_own() {
    let sent = crc32c(b"hello");
    assert_eq!(
        first_receipt(|receipt| receipt.crc32c ^= 1).await,
        Mismatch::Crc32c { seq: 1, sent, received: sent ^ 1 }
    );
    assert_eq!(
        first_receipt(|receipt| receipt.seq = 2).await,
        Mismatch::Seq { seq: 1, received: 2 }
    );
    assert_eq!(
        first_receipt(|receipt| receipt.total = 6).await,
        Mismatch::Total { seq: 1, sent: 5, received: 6 }
    );
    assert_eq!(
        first_ack(b"ACK1").await,
        Mismatch::Receipt { seq: 1, source: ReceiptError::Length { len: 4 } }
    );
    let mut magic = receipt(b"hello", 1, 5).encode();
    magic[3] = b'2';
    assert_eq!(
        first_ack(&magic).await,
        Mismatch::Receipt { seq: 1, source: ReceiptError::Magic { found: *b"ACK2" } }
    );
    assert_eq!(
        first_ack(b"hello").await.to_string(),
        "reply 1 is no receipt: a receipt has 32 bytes, not 5"
    );
}

#[tokio::test]
async fn the_servers_clock_is_not_checked() {
    for received_at in [0, u64::MAX] {
        let server = async |mut peer: Peer| {
            peer.greet(ReplyKind::Ack).await;
            peer.payload().await;
            let receipt = Receipt { received_at, ..receipt(b"hello", 1, 5) };
            peer.reply(&receipt.encode()).await;
        };
        play(server, async |endpoint| {
            let mut connection = connect(&endpoint, &patient()).await;
            let reply = connection.request("hello").await.unwrap();
            assert_eq!(reply.receipt.unwrap().received_at, received_at);
        })
        .await;
    }
}

#[tokio::test]
async fn a_frame_beyond_welcomes_limit_is_not_sent_and_the_connection_goes_on() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(5).unwrap()).await;
        peer.echo(2).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        assert_eq!(connection.request("hello").await.unwrap().seq, 1);
        let error = connection.request("hello!").await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { len: 6, max: 5 }), "{error:?}");
        assert_eq!(error.to_string(), "frame of 6 bytes exceeds the limit of 5");
        assert_eq!(connection.request("again").await.unwrap().seq, 2);
        let (mut sender, _receiver) = connection.split();
        for error in [sender.send("too long").await, sender.feed("too long").await] {
            assert!(matches!(error, Err(Error::TooLarge { len: 8, max: 5 })), "{error:?}");
        }
        assert!(!sender.has_unsent());
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_zero_takes_empty_frames_only() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(0).unwrap()).await;
        peer.echo(1).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        let error = connection.request("x").await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { len: 1, max: 0 }), "{error:?}");
        assert_eq!(connection.request("").await.unwrap().payload, "");
    })
    .await;
}

#[tokio::test]
async fn without_hello_the_limit_is_the_callers() {
    let mut options = silent(patient());
    options.max_frame = MaxFrame::new(3).unwrap();
    let server = async |mut peer: Peer| peer.echo(1).await;
    play(server, async |endpoint| {
        let mut connection: Connection = connect(&endpoint, &options).await;
        let error = connection.request("four").await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { len: 4, max: 3 }), "{error:?}");
        assert_eq!(connection.request("two").await.unwrap().seq, 1);
    })
    .await;
}
