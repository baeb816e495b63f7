//! How a connection ends, and what is told of the frames that were on their way.

use std::time::Duration;

use volley_client::{Error, Options, ProtocolError, Receiver, Sender};
use volley_proto::{MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, play};
use crate::{connect, hasty, patient, shrink_buffers, silent};

/// Sends `a`, `b` and `c`, then receives until that fails; returns how many replies came.
async fn three_frames(server: impl AsyncFnOnce(Peer), options: &Options) -> (u64, Error) {
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, options).await.split();
        for payload in ["a", "b", "c"] {
            sender.feed(payload).await.unwrap();
        }
        sender.flush().await.unwrap();
        let ended = until_error(&mut receiver).await;
        drop(sender);
        ended
    })
    .await
}

async fn until_error(receiver: &mut Receiver) -> (u64, Error) {
    let mut replies = 0;
    loop {
        match receiver.receive().await {
            Ok(Some(reply)) => {
                replies += 1;
                assert_eq!(reply.seq, replies);
            }
            Ok(None) => panic!("ended well after {replies} replies"),
            Err(error) => return (replies, error),
        }
    }
}

/// Takes three frames and returns the first `count` of them.
async fn answer_some(peer: &mut Peer, count: usize) {
    peer.greet(ReplyKind::Echo).await;
    let mut payloads = Vec::new();
    for _ in 0..3 {
        payloads.push(peer.payload().await);
    }
    for payload in &payloads[..count] {
        peer.reply(payload).await;
    }
}

#[tokio::test]
async fn a_close_with_frames_outstanding_counts_them() {
    for answered in 0..3 {
        let server = async |mut peer: Peer| answer_some(&mut peer, answered).await;
        let (replies, error) = three_frames(server, &patient()).await;
        let outstanding = 3 - answered as u64;
        assert_eq!(replies, answered as u64);
        assert!(
            matches!(error, Error::Closed { answered: a, outstanding: o, .. }
                if (a, o) == (replies, outstanding)),
            "{error:?}"
        );
        let told =
            ["0 frames answered, 3", "1 frame answered, 2", "2 frames answered, 1"][answered];
        let expected = format!("the server closed the connection: {told} without a reply");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_reset_with_frames_outstanding_counts_them() {
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 0).await;
        peer.reset();
    };
    let (replies, error) = three_frames(server, &patient()).await;
    assert_eq!(replies, 0);
    let message = error.to_string();
    let Error::Io { answered, outstanding, source } = error else { panic!("{error:?}") };
    assert_eq!((answered, outstanding), (0, 3));
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(message.starts_with("the connection failed: "), "{message}");
    assert!(message.ends_with(": 0 frames answered, 3 without a reply"), "{message}");
}

#[tokio::test]
async fn a_reset_after_some_replies_counts_the_others() {
    let (told, reset) = tokio::sync::oneshot::channel();
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 2).await;
        // Not before the replies have been read: a reset destroys them.
        reset.await.unwrap();
        peer.reset();
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        for payload in ["a", "b", "c"] {
            sender.send(payload).await.unwrap();
        }
        for _ in 0..2 {
            receiver.receive().await.unwrap();
        }
        assert_eq!(receiver.outstanding(), 1);
        told.send(()).unwrap();
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Io { answered: 2, outstanding: 1, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn an_error_in_the_middle_says_why_and_what_was_answered() {
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 2).await;
        peer.error(Reason::RateLimited, 2, "two frames a day").await;
        peer.until_closed().await;
    };
    let (replies, error) = three_frames(server, &patient()).await;
    assert_eq!(replies, 2);
    assert_eq!(
        error.to_string(),
        "refused by the server after 2 frames: rate limited: two frames a day"
    );
    let Error::Refused { reason, last_seq, text } = error else { panic!("{error:?}") };
    assert_eq!((reason, last_seq, &*text), (Reason::RateLimited, 2, "two frames a day"));
}

#[tokio::test]
async fn an_error_reaches_a_client_that_waits_without_a_frame_in_flight() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.error(Reason::Idle, 0, "silent for 60 s").await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (_sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        let error = receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Refused { reason: Reason::Idle, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_request_learns_why_even_if_its_frame_could_not_be_written() {
    let server = async |mut peer: Peer| {
        shrink_buffers(&peer);
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::CEILING).await;
        peer.bytes(4).await;
        peer.error(Reason::OutOfMemory, 0, "").await;
        // It reads no more, so that the frame can't be written.
        peer.until_client_is_done().await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        let error = connection.request(vec![7; 32 << 20]).await.unwrap_err();
        assert!(matches!(error, Error::Refused { reason: Reason::OutOfMemory, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_reads_times_out_although_it_is_not_written() {
    let mut options = patient();
    options.reply_timeout = Duration::from_millis(100);
    let server = async |mut peer: Peer| {
        shrink_buffers(&peer);
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::CEILING).await;
        peer.until_client_is_done().await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &options).await;
        let error = connection.request(vec![7; 32 << 20]).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { seq: 1, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_never_comes_times_out_and_says_whose_it_is() {
    let mut options = hasty();
    options.connect_timeout = patient().connect_timeout;
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 1).await;
        peer.until_closed().await;
    };
    let (replies, error) = three_frames(server, &options).await;
    assert_eq!(replies, 1);
    assert!(matches!(error, Error::TimedOut { seq: 2, .. }), "{error:?}");
    assert_eq!(error.to_string(), "no reply to frame 2 within 100ms");
}

#[tokio::test]
async fn a_receive_that_is_dropped_and_called_again_does_not_put_the_deadline_off() {
    let mut options = hasty();
    options.connect_timeout = patient().connect_timeout;
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 0).await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &options).await.split();
        for payload in ["a", "b", "c"] {
            sender.send(payload).await.unwrap();
        }
        let error = loop {
            let received = tokio::time::timeout(options.reply_timeout / 10, receiver.receive());
            if let Ok(received) = received.await {
                break received.unwrap_err();
            }
        };
        assert!(matches!(error, Error::TimedOut { seq: 1, .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_goaway_does_not_put_the_deadline_off() {
    let mut options = hasty();
    options.connect_timeout = patient().connect_timeout;
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 0).await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.until_closed().await;
    };
    let (_, error) = three_frames(server, &options).await;
    assert!(matches!(error, Error::TimedOut { seq: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn an_idle_connection_has_no_deadline() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_closed().await;
    };
    let mut options = hasty();
    options.connect_timeout = patient().connect_timeout;
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &options).await.split();
        let idle = Duration::from_millis(300);
        assert!(tokio::time::timeout(idle, receiver.receive()).await.is_err());
        // The time before the frame does not count against its reply.
        sender.send("x").await.unwrap();
        assert_eq!(receiver.receive().await.unwrap().unwrap().seq, 1);
    })
    .await;
}

#[tokio::test]
async fn goaway_refuses_new_frames_while_earlier_replies_still_come() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let payloads = [peer.payload().await, peer.payload().await];
        peer.reply(&payloads[0]).await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.reply(&payloads[1]).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        sender.send("a").await.unwrap();
        sender.send("b").await.unwrap();
        assert_eq!((sender.goaway(), receiver.goaway()), (None, None));
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "a");
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "b");
        let goaway = sender.goaway().unwrap();
        assert_eq!(goaway.reason, Reason::ShuttingDown);
        assert_eq!(goaway.closes_in, Duration::from_secs(10));
        assert_eq!(receiver.goaway(), Some(goaway));
        for error in [sender.send("c").await, sender.feed("c").await] {
            let error = error.unwrap_err();
            assert_eq!(error.to_string(), "the server takes no new frames: shutting down");
            assert!(
                matches!(error, Error::GoingAway { reason: Reason::ShuttingDown }),
                "{error:?}"
            );
        }
        assert_eq!(receiver.outstanding(), 0);
        assert!(!sender.has_unsent());
        sender.finish().await.unwrap();
        assert!(receiver.receive().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_second_goaway_changes_nothing() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let payload = peer.payload().await;
        peer.goaway(Reason::LifetimeOver).await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.reply(&payload).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        assert_eq!(connection.request("x").await.unwrap().seq, 1);
        let error = connection.request("y").await.unwrap_err();
        assert!(matches!(error, Error::GoingAway { reason: Reason::LifetimeOver }), "{error:?}");
    })
    .await;
}

/// The error after a server of echoes has answered one frame and then sends these bytes.
async fn after_one_reply(bytes: &[u8]) -> Error {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.write(bytes).await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        sender.send("x").await.unwrap();
        assert_eq!(receiver.receive().await.unwrap().unwrap().seq, 1);
        receiver.receive().await.unwrap_err()
    })
    .await
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_breaks_the_protocol() {
    let error = after_one_reply(b"\0\0\0\x03abc").await;
    assert!(matches!(error, Error::Protocol(ProtocolError::Unasked { len: 3 })), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the server broke the protocol: a reply of 3 bytes while none was awaited"
    );
}

#[tokio::test]
async fn a_hello_or_a_late_welcome_from_the_server_breaks_the_protocol() {
    let hello = after_one_reply(b"\x80\0\0\x0c\x01\0\0\x01\0\0\0\0\0\0\0\0").await;
    assert_eq!(hello.to_string(), "the server broke the protocol: HELLO may not be sent here");
    let welcome = after_one_reply(b"\x80\0\0\x0c\x02\x01\0\x01\0\0\0\0\0\x10\0\0").await;
    assert_eq!(welcome.to_string(), "the server broke the protocol: WELCOME may not be sent here");
    for error in [hello, welcome] {
        assert!(matches!(error, Error::Protocol(ProtocolError::Control(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_welcome_that_nobody_asked_for_breaks_the_protocol() {
    let server = async |mut peer: Peer| {
        peer.payload().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &silent(patient())).await;
        let error = connection.request("x").await.unwrap_err();
        assert!(matches!(error, Error::Protocol(ProtocolError::Control("WELCOME"))), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn garbage_breaks_the_protocol() {
    let garbage: [(&[u8], &str); 4] = [
        (b"\x7f\xff\xff\xff", "frame of 2147483647 bytes exceeds the limit of 67108864"),
        (b"\x04\0\0\x01", "frame of 67108865 bytes exceeds the limit of 67108864"),
        (b"\x80\0\0\x0b", "control frame of 11 bytes: must be 12 to 212"),
        (b"\x80\0\0\x0c\x05\0\0\0\0\0\0\0\0\0\0\0", "control frame of unknown type 5"),
    ];
    for (bytes, message) in garbage {
        let error = after_one_reply(bytes).await;
        assert!(matches!(error, Error::Protocol(ProtocolError::Frame(_))), "{error:?}");
        let told = error.to_string();
        let expected = format!("the server broke the protocol: {message}");
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[tokio::test]
async fn another_protocol_is_named() {
    let error = after_one_reply(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    let told = "the server broke the protocol: this is SSH, not a framed server";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn goaway_is_heard_while_nothing_is_in_flight() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.write(b"\x80\0\0\x0c\x03\0\0\x07\0\0\0\0\0\0\x27\x10").await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        let goaway = sender.going_away();
        let goaway = tokio::select! {
            goaway = goaway => goaway,
            other = receiver.receive() => panic!("{other:?}"),
        };
        assert_eq!((goaway.reason, goaway.closes_in.as_millis()), (Reason::ShuttingDown, 10_000));
        sender.finish().await.unwrap();
        assert_eq!(receiver.receive().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_is_cut_short_is_a_loss() {
    let server = async |mut peer: Peer| {
        answer_some(&mut peer, 1).await;
        peer.write(b"\0\0\0").await;
    };
    let (replies, error) = three_frames(server, &patient()).await;
    assert_eq!(replies, 1);
    assert!(matches!(error, Error::Closed { answered: 1, outstanding: 2, .. }), "{error:?}");
}

/// A connection to a server that answers two frames after the client has half-closed.
async fn finished(client: impl AsyncFnOnce(Sender, Receiver)) {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        assert_eq!(peer.until_closed().await, b"\0\0\0\x01a\0\0\0\x01b");
        peer.write(b"\0\0\0\x01a\0\0\0\x01b").await;
    };
    play(server, async |endpoint| {
        let (sender, receiver) = connect(&endpoint, &patient()).await.split();
        client(sender, receiver).await;
    })
    .await;
}

#[tokio::test]
async fn after_finish_the_replies_still_come_and_then_none() {
    finished(async |mut sender, mut receiver| {
        sender.feed("a").await.unwrap();
        sender.feed("b").await.unwrap();
        assert!(sender.has_unsent());
        sender.finish().await.unwrap();
        assert!(!sender.has_unsent());
        assert_eq!(receiver.outstanding(), 2);
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "a");
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "b");
        for _ in 0..3 {
            assert!(receiver.receive().await.unwrap().is_none());
        }
        let error = sender.send("c").await.unwrap_err();
        assert!(matches!(error, Error::Send { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_is_dropped_has_finished() {
    finished(async |mut sender, mut receiver| {
        sender.send("a").await.unwrap();
        sender.send("b").await.unwrap();
        drop(sender);
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "a");
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "b");
        assert!(receiver.receive().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_server_that_closes_early_is_told_even_after_finish() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.payload().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        sender.feed("a").await.unwrap();
        sender.feed("b").await.unwrap();
        sender.finish().await.unwrap();
        let (replies, error) = until_error(&mut receiver).await;
        assert_eq!(replies, 1);
        assert!(matches!(error, Error::Closed { answered: 1, outstanding: 1, .. }), "{error:?}");
    })
    .await;
}
