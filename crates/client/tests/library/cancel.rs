//! Futures that are dropped half-way lose nothing.

use std::time::Duration;

use tokio::time::timeout;
use volley_proto::ReplyKind;

use crate::scripted::{Peer, play};
use crate::{connect, patient, shrink_buffers, silent};

#[tokio::test]
async fn receiving_against_a_timer_loses_no_reply() {
    const COUNT: u64 = 200;
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let mut replies = Vec::new();
        for _ in 0..COUNT {
            let payload = peer.payload().await;
            volley_proto::encode_data(&payload, &mut replies);
        }
        // In pieces that end inside heads and payloads.
        for piece in replies.chunks(3) {
            peer.write(piece).await;
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        for i in 0..COUNT {
            sender.feed(i.to_string()).await.unwrap();
        }
        sender.flush().await.unwrap();
        let (mut next, mut cancelled) = (0, 0);
        while next < COUNT {
            // A timer that has run out loses only to a reply that is there already.
            let limit = Duration::from_micros(cancelled % 3 * 700);
            match timeout(limit, receiver.receive()).await {
                Ok(reply) => {
                    let reply = reply.unwrap().unwrap();
                    assert_eq!(reply.payload, next.to_string().into_bytes());
                    next += 1;
                    assert_eq!(reply.seq, next);
                }
                Err(_) => cancelled += 1,
            }
        }
        assert!(cancelled > 10, "cancelled only {cancelled} times");
        assert_eq!(receiver.outstanding(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_before_the_frame_is_sent_takes_nothing_along() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(50).await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &patient()).await.split();
        for i in 0..50_u64 {
            assert!(timeout(Duration::ZERO, receiver.receive()).await.is_err());
            sender.feed(i.to_string()).await.unwrap();
            // It learns of the frame here, and must not forget it.
            assert!(timeout(Duration::ZERO, receiver.receive()).await.is_err());
            assert_eq!(receiver.outstanding(), 1);
            sender.flush().await.unwrap();
            let reply = receiver.receive().await.unwrap().unwrap();
            assert_eq!((reply.seq, reply.payload), (i + 1, i.to_string().into()));
        }
    })
    .await;
}

#[tokio::test]
async fn sending_against_a_timer_repeats_and_loses_no_byte() {
    const COUNT: usize = 600;
    let server = async |peer: Peer| {
        shrink_buffers(&peer);
        peer.echo_all().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &silent(patient())).await.split();
        let payload = |i: usize| vec![i.to_le_bytes()[0]; 50_000 + i];
        let send = async {
            let mut cancelled = 0;
            for i in 0..COUNT {
                let limit = Duration::from_micros(i as u64 % 2 * 100);
                cancelled += u32::from(timeout(limit, sender.feed(payload(i))).await.is_err());
            }
            while sender.has_unsent() {
                let flush = timeout(Duration::from_micros(200), sender.flush()).await;
                cancelled += u32::from(flush.is_err());
            }
            sender.finish().await.unwrap();
            cancelled
        };
        let receive = async {
            for i in 0..COUNT {
                let reply = receiver.receive().await.unwrap().unwrap();
                assert!(reply.payload == payload(i), "frame {i}");
            }
            assert!(receiver.receive().await.unwrap().is_none());
        };
        let (cancelled, ()) = tokio::join!(send, receive);
        assert!(cancelled > 3, "cancelled only {cancelled} times");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_dropped_does_not_leave_its_reply_to_the_next() {
    let (told, dropped) = tokio::sync::oneshot::channel();
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        dropped.await.unwrap();
        peer.echo(3).await;
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        for abandoned in ["first", "second"] {
            let limit = Duration::from_millis(20);
            assert!(timeout(limit, connection.request(abandoned)).await.is_err());
        }
        told.send(()).unwrap();
        let reply = connection.request("third").await.unwrap();
        assert_eq!((reply.seq, reply.payload), (3, "third".into()));
    })
    .await;
}
