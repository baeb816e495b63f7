//! Replies as they must be: of any length, of each kind, from any address.

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use volley_proto::{MaxFrame, ReplyKind};

use super::{Printed, RTT, greeted, head, ping, pinged, reply, served};
use crate::run;
use crate::scripted::{Peer, listen, play, receipt, within};

#[tokio::test]
async fn each_reply_is_a_line_and_the_summary_adds_them_up() {
    let printed = pinged(ping(3, &[]), async |peer| peer.echo(3).await).await;
    assert_eq!(printed.lines, [reply(1), reply(2), reply(3)]);
    assert_eq!(printed.summary, ["3 pings, 3 answered, 0% loss, time T s", RTT[0], RTT[1]]);
    assert_eq!(printed.code, Some(0));
}

#[tokio::test]
async fn pings_have_the_size_that_is_asked_for_and_all_differ() {
    for size in [1, 64, 5000] {
        let mut command = ping(3, &[]);
        command.args(["-s", &size.to_string(), "-q"]);
        let server = async |mut peer: Peer| {
            peer.greet(ReplyKind::Echo).await;
            let mut seen = Vec::new();
            for _ in 0..3 {
                let payload = peer.payload().await;
                assert_eq!(payload.len(), size);
                assert!(!seen.contains(&payload));
                peer.reply(&payload).await;
                seen.push(payload);
            }
            peer.until_closed().await;
        };
        let ended = play(server, async |to| run(command.arg(to.to_string())).await).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// More than sockets hold: it must be read while it is written.
#[tokio::test]
async fn a_ping_may_be_as_long_as_the_protocol_allows() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::CEILING).await;
        let mut left = 4 + (64 << 20);
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let len = peer.stream.read(&mut buffer).await.unwrap();
            peer.write(&buffer[..len]).await;
            left -= len;
        }
        peer.until_closed().await;
    };
    let ended = play(server, async |to| run(ping(1, &[&to]).args(["-s", "64MiB"])).await).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn an_empty_ping_is_one_too() {
    let mut command = ping(2, &[]);
    command.args(["-s", "0"]);
    let server = async |peer: Peer| peer.echo_all().await;
    command.arg("--no-hello");
    let ended = play(server, async |to| run(command.arg(to.to_string())).await).await;
    let printed = Printed::from(ended);
    assert_eq!(printed.lines[1..], ["seq=1 bytes=0 time=T ms", "seq=2 bytes=0 time=T ms"]);
    assert_eq!(printed.code, Some(0));
}

#[tokio::test]
async fn receipts_are_replies_too() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 2);
        peer.welcome(ReplyKind::Ack, MaxFrame::DEFAULT).await;
        for seq in 1..=2 {
            let payload = peer.payload().await;
            peer.reply(&receipt(&payload, seq, 64 * seq).encode()).await;
        }
        // Of a frame that was changed on its way.
        peer.payload().await;
        peer.reply(&receipt(b"something else", 3, 192).encode()).await;
        peer.until_closed().await;
    };
    let ended = play(server, async |to| run(ping(3, &[&to]).args(["--reply", "ack"])).await).await;
    let printed = Printed::from(ended);
    assert!(printed.lines[0].ends_with(": 64 bytes, ack"), "{}", printed.lines[0]);
    assert_eq!(printed.lines[1..3], [reply(1), reply(2)]);
    let told = "seq=3 corrupt: a receipt for other bytes: crc32c ";
    assert!(printed.lines[3].starts_with(told), "{}", printed.lines[3]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_server_that_grants_other_replies_is_not_pinged() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended = play(server, async |to| run(ping(1, &[&to]).args(["--reply", "ack"])).await).await;
    let printed = Printed::from(ended);
    let told = "seq=1 not sent: the server grants echo, not the ack that was asked for";
    assert_eq!(printed.lines[1..], [told]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_target_may_be_a_name_or_an_ipv6_address() {
    let (listener, to) = listen().await;
    let name = format!("localhost:{}", listener.local_addr().unwrap().port());
    let mut command = ping(1, &[]);
    command.args(["-4", &name]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    let printed = Printed::from(ended);
    let address = to.to_string().replace("tcp://", "");
    assert_eq!(printed.lines, [format!("PING tcp://{name} ({address}): 64 bytes, echo"), reply(1)]);

    let ended = within(run(ping(1, &[&to]).arg("-6"))).await;
    ended.failed(2, &format!("cannot connect to {to}: it has no IPv6 address"));

    // A machine may be without it.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let to = listener.local_addr().unwrap().into();
    let mut command = ping(1, &[&to]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!(Printed::from(ended).lines, [head(&to), reply(1)]);
}
