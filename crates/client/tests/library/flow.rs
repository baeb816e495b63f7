//! Many frames and long ones: both directions move at once.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use volley_proto::{MaxFrame, ReplyKind};

use crate::scripted::{Peer, play};
use crate::{connect, patient, shrink_buffers, silent};

/// Distinct bytes of distinct lengths.
fn payload(i: usize) -> Bytes {
    let len = i * 37 % 4096;
    (0..len).map(|k| (i + k).to_le_bytes()[0]).collect()
}

/// Sends and receives `count` frames on both halves at once.
async fn volley(server: impl AsyncFnOnce(Peer), count: usize) {
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &silent(patient())).await.split();
        let send = async {
            for i in 0..count {
                sender.feed(payload(i)).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        let receive = async {
            for i in 0..count {
                let reply = receiver.receive().await.unwrap().unwrap();
                assert_eq!(reply.seq, i as u64 + 1);
                assert_eq!(reply.payload, payload(i));
            }
            assert!(receiver.receive().await.unwrap().is_none());
        };
        tokio::join!(send, receive);
    })
    .await;
}

#[tokio::test]
async fn halves_do_not_block_each_other_while_both_directions_are_full() {
    // It takes no frame before the reply to the one before it is out.
    let server = async |peer: Peer| {
        shrink_buffers(&peer);
        peer.echo_all().await;
    };
    volley(server, 5_000).await;
}

#[tokio::test]
async fn replies_that_come_only_after_the_last_frame_are_all_received() {
    let server = async |mut peer: Peer| {
        let frames = peer.until_closed().await;
        peer.write(&frames).await;
    };
    volley(server, 3_000).await;
}

#[tokio::test]
async fn frames_and_replies_split_at_every_byte_are_right() {
    let server = async |mut peer: Peer| {
        while let Ok(byte) = peer.stream.read_u8().await {
            peer.write(&[byte]).await;
        }
    };
    volley(server, 30).await;
}

#[tokio::test]
async fn a_long_frame_is_received_while_it_is_sent() {
    let server = async |mut peer: Peer| {
        shrink_buffers(&peer);
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::CEILING).await;
        // As a plain echo server does it, which knows no frames and holds almost nothing.
        let (mut read, mut write) = peer.stream.split();
        let mut bytes = vec![0; 64 << 10];
        loop {
            match read.read(&mut bytes).await.unwrap() {
                0 => break,
                n => write.write_all(&bytes[..n]).await.unwrap(),
            }
        }
    };
    play(server, async |endpoint| {
        let mut connection = connect(&endpoint, &patient()).await;
        let payload: Bytes = (0..32_usize << 20).map(|i| (i / 7).to_le_bytes()[0]).collect();
        let reply = connection.request(payload.clone()).await.unwrap();
        assert!(reply.payload == payload);
        assert_eq!(connection.request("short").await.unwrap().seq, 2);
    })
    .await;
}

#[tokio::test]
async fn feeding_writes_by_itself_once_enough_has_gathered() {
    let server = async |mut peer: Peer| {
        peer.bytes(256 << 10).await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, receiver) = connect(&endpoint, &silent(patient())).await.split();
        let payload = Bytes::from(vec![0; 1020]);
        for _ in 0..255 {
            sender.feed(payload.clone()).await.unwrap();
            assert!(sender.has_unsent());
        }
        sender.feed(payload).await.unwrap();
        assert!(!sender.has_unsent());
        assert_eq!(receiver.outstanding(), 256);
    })
    .await;
}

#[tokio::test]
async fn one_connection_keeps_ten_thousand_frames_in_flight() {
    const COUNT: usize = 10_000;
    let server = async |mut peer: Peer| {
        let frames = peer.bytes(5 * COUNT).await;
        peer.write(&frames).await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &silent(patient())).await.split();
        for i in 0..COUNT {
            sender.feed(vec![i.to_le_bytes()[0]]).await.unwrap();
        }
        assert_eq!(receiver.outstanding(), COUNT as u64);
        sender.flush().await.unwrap();
        for i in 0..COUNT {
            let reply = receiver.receive().await.unwrap().unwrap();
            assert_eq!(reply.payload[0], i.to_le_bytes()[0]);
            assert_eq!(receiver.outstanding(), (COUNT - i - 1) as u64);
        }
    })
    .await;
}

#[tokio::test]
async fn time_in_which_nobody_receives_is_not_the_servers() {
    let mut options = silent(patient());
    // Enough for 16 MiB through small buffers on a machine that has other things to do.
    options.reply_timeout = Duration::from_secs(4);
    let server = async |peer: Peer| {
        shrink_buffers(&peer);
        peer.echo_all().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &options).await.split();
        // Too long to wait in the buffers of the sockets.
        let payload = Bytes::from(vec![7; 16 << 20]);
        let send = async {
            for _ in 0..2 {
                sender.feed(payload.clone()).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        let receive = async {
            assert_eq!(receiver.receive().await.unwrap().unwrap().seq, 1);
            tokio::time::sleep(options.reply_timeout.mul_f32(1.5)).await;
            assert_eq!(receiver.receive().await.unwrap().unwrap().seq, 2);
        };
        tokio::join!(send, receive);
    })
    .await;
}
