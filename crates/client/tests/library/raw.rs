//! Frames without lengths: what goes out is the payloads, and replies are told by their lengths.

use volley_client::{Error, Framing, Mismatch, Options, ProtocolError};
use volley_proto::ReplyKind;

use crate::scripted::{Peer, play};
use crate::{connect, patient};

fn raw() -> Options {
    let mut options = patient();
    options.framing = Framing::Raw;
    options
}

#[tokio::test]
async fn payloads_go_out_and_come_back_with_nothing_between_them() {
    let server = async |mut peer: Peer| {
        let sent = peer.bytes(8).await;
        assert_eq!(sent, b"onethree");
        // However the bytes are cut on their way.
        for piece in [&b"o"[..], b"neth", b"ree"] {
            peer.write(piece).await;
        }
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |to| {
        let connection = connect(&to, &raw()).await;
        assert_eq!(connection.reply_kind(), ReplyKind::Echo);
        let (mut sender, mut receiver) = connection.split();
        for payload in ["one", "", "three"] {
            sender.feed(payload).await.unwrap();
        }
        sender.finish().await.unwrap();
        let mut replies = Vec::new();
        while let Some(reply) = receiver.receive().await.unwrap() {
            replies.push((reply.seq, reply.payload));
        }
        assert_eq!(replies, [(1, "one".into()), (2, "".into()), (3, "three".into())]);
    })
    .await;
}

#[tokio::test]
async fn frames_of_all_lengths_come_back() {
    let server = async |mut peer: Peer| {
        let (mut read, mut write) = peer.stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    };
    play(server, async |to| {
        let mut connection = connect(&to, &raw()).await;
        for len in [1, 4, 1000, 8 << 10, 100_000, 1 << 20] {
            let payload = vec![7_u8; len];
            assert!(connection.request(payload.clone()).await.unwrap().payload == payload);
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_byte_is_a_mismatch_and_what_follows_is_matched_all_the_same() {
    let server = async |mut peer: Peer| {
        peer.bytes(10).await;
        peer.write(b"heLloworld").await;
        peer.until_closed().await;
    };
    play(server, async |to| {
        let (mut sender, mut receiver) = connect(&to, &raw()).await.split();
        sender.feed("hello").await.unwrap();
        sender.send("world").await.unwrap();
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Mismatch(Mismatch::Echo { seq: 1, .. })), "{error:?}");
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "world");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_closes_within_a_reply_has_closed() {
    let server = async |mut peer: Peer| {
        peer.bytes(10).await;
        peer.write(b"hellowor").await;
    };
    play(server, async |to| {
        let (mut sender, mut receiver) = connect(&to, &raw()).await.split();
        sender.feed("hello").await.unwrap();
        sender.send("world").await.unwrap();
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "hello");
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Closed { answered: 1, outstanding: 1, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn bytes_behind_the_last_reply_are_nobodys() {
    let server = async |mut peer: Peer| {
        peer.bytes(5).await;
        peer.write(b"hello, too").await;
        peer.until_closed().await;
    };
    play(server, async |to| {
        let (mut sender, mut receiver) = connect(&to, &raw()).await.split();
        sender.send("hello").await.unwrap();
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "hello");
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(ProtocolError::Unasked { len: 5 })), "{error:?}");
    })
    .await;
}
