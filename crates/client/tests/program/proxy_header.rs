//! `--proxy-header`: every command can play the balancer.

use volley_proto::ReplyKind;

use crate::scripted::{Peer, play, within};
use crate::{program, run, send};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 7007\r\n";
const FLAG: &str = "--proxy-header=v1=192.0.2.1:4711,198.51.100.7:7007";

/// Takes the header, then greets and echoes.
async fn behind_a_balancer(mut peer: Peer) {
    assert_eq!(peer.bytes(LINE.len()).await, LINE);
    peer.greet(ReplyKind::Echo).await;
    peer.echo_all().await;
}

#[tokio::test]
async fn every_command_sends_it_first() {
    let cases: [&[&str]; 3] =
        [&["send", "x", "--to"], &["ping", "-c", "1", "-W", "25"], &["wait", "--timeout", "25s"]];
    for command in cases {
        let client = async |to: volley_proto::Endpoint| {
            run(program().args(command).arg(to.to_string()).arg(FLAG)).await
        };
        let ended = play(behind_a_balancer, client).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command:?}");
    }
    let script = async |to: volley_proto::Endpoint| {
        let mut script = program();
        script.args(["script", FLAG, "--to", &to.to_string(), "-"]);
        crate::run_with(&mut script, b"hello\nsend \"a\"\nexpect \"a\"\n").await
    };
    let ended = play(behind_a_balancer, script).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_header_that_cannot_be_is_wrong_usage() {
    let to = "127.0.0.1:1".parse().unwrap();
    for header in ["v3", "v1=192.0.2.1", "v2=192.0.2.1:1,[::1]:2"] {
        let ended = within(run(send(&to).args(["x", "--proxy-header", header]))).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let to = "udp://127.0.0.1:1".parse().unwrap();
    let ended = within(run(send(&to).args(["x", "--proxy-header", "v1"]))).await;
    ended.failed(2, "--proxy-header is for connections, and udp://127.0.0.1:1 has none");
}
