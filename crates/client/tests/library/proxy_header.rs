//! The PROXY header: its bytes, before everything else.

use tokio::net::{TcpListener, UnixListener};
use volley_client::{Options, TlsOptions, open};
use volley_proto::ReplyKind;

use crate::scripted::{Peer, listen, place, play, within};
use crate::tls_server::{self, Authority, Server};
use crate::{connect, patient, silent};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// As many bytes as a line has.
const LINE: usize = 0;

fn announcing(header: &str) -> Options {
    let mut options = patient();
    options.proxy_header = Some(header.parse().unwrap());
    options
}

/// The first bytes that a connection with this header brings to a listener.
async fn first_bytes(listener: TcpListener, header: &str, len: usize) -> (Vec<u8>, u16, u16) {
    let to = listener.local_addr().unwrap().into();
    let options = silent(announcing(header));
    let client = async { open(&to, &options).await.unwrap() };
    let server = async {
        let mut peer = Peer::accept(&listener).await;
        let source = peer.stream.peer_addr().unwrap().port();
        let mut bytes = peer.bytes(len).await;
        while len == LINE && !bytes.ends_with(b"\n") {
            bytes.extend(peer.bytes(1).await);
        }
        (bytes, source)
    };
    let (_opened, (bytes, source)) = within(async { tokio::join!(client, server) }).await;
    (bytes, source, listener.local_addr().unwrap().port())
}

async fn over_ipv4(header: &str, len: usize) -> (Vec<u8>, u16, u16) {
    first_bytes(listen().await.0, header, len).await
}

#[tokio::test]
async fn version_1_is_a_line_with_both_addresses() {
    let (bytes, source, port) = over_ipv4("v1", LINE).await;
    assert_eq!(bytes, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {source} {port}\r\n").as_bytes());
}

#[tokio::test]
async fn version_2_is_binary_with_both_addresses() {
    let (bytes, source, port) = over_ipv4("v2", 28).await;
    // Version 2 and PROXY, IPv4 and stream, 12 bytes of addresses.
    let mut expected = [SIGNATURE, &[0x21, 0x11, 0, 12], &[127, 0, 0, 1, 127, 0, 0, 1]].concat();
    expected.extend(source.to_be_bytes());
    expected.extend(port.to_be_bytes());
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn ipv6_has_lines_and_bytes_of_its_own() {
    // A machine may have no IPv6.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let (bytes, source, _) = first_bytes(listener, "v1", LINE).await;
    assert_eq!(bytes, format!("PROXY TCP6 ::1 ::1 {source} {port}\r\n").as_bytes());

    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let (bytes, source, port) = first_bytes(listener, "v2", 52).await;
    let mut localhost = [0; 16];
    localhost[15] = 1;
    let mut expected = [SIGNATURE, &[0x21, 0x21, 0, 36], &localhost, &localhost].concat();
    expected.extend(source.to_be_bytes());
    expected.extend(port.to_be_bytes());
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn addresses_can_be_others_than_those_of_the_connection() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 7007\r\n";
    let (bytes, ..) = over_ipv4("v1=192.0.2.1:4711,198.51.100.7:7007", line.len()).await;
    assert_eq!(bytes, line);

    // Of two families one has to become the other.
    let start = b"PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 4711 ";
    let (bytes, ..) = over_ipv4("v1=[2001:db8::1]:4711", start.len()).await;
    assert_eq!(bytes, start);
}

#[tokio::test]
async fn a_unix_socket_is_unknown_to_version_1_and_a_path_to_version_2() {
    for (header, len) in [("v1", 15), ("v2", 16 + 216), ("v2=192.0.2.1:4711", 28)] {
        let (_directory, path, to) = place();
        let listener = UnixListener::bind(&path).unwrap();
        let options = silent(announcing(header));
        let client = async { open(&to, &options).await.unwrap() };
        let server = async { Peer::accept_unix(&listener).await.bytes(len).await };
        let (_opened, bytes) = within(async { tokio::join!(client, server) }).await;
        let expected = match header {
            "v1" => b"PROXY UNKNOWN\r\n".to_vec(),
            "v2" => {
                let mut expected = [SIGNATURE, &[0x21, 0x31, 0, 216]].concat();
                expected.resize(16 + 108, 0);
                expected.extend(path.to_str().unwrap().as_bytes());
                expected.resize(16 + 216, 0);
                expected
            }
            _ => {
                let addresses = [192, 0, 2, 1, 0, 0, 0, 0, 0x12, 0x67, 0, 0];
                [SIGNATURE, &[0x21, 0x11, 0, 12], &addresses].concat()
            }
        };
        assert_eq!(bytes, expected, "{header}");
    }
}

#[tokio::test]
async fn it_comes_before_hello() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 7007\r\n";
    let server = async |mut peer: Peer| {
        assert_eq!(peer.bytes(line.len()).await, line);
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let options = announcing("v1=192.0.2.1:4711,198.51.100.7:7007");
    play(server, async |to| {
        let mut connection = connect(&to, &options).await;
        assert_eq!(connection.request("hello").await.unwrap().payload, "hello");
    })
    .await;
}

#[tokio::test]
async fn it_comes_before_tls() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    let (listener, to) = tls_server::listen().await;
    let mut options = announcing("v2=192.0.2.1:4711");
    let mut tls = TlsOptions::default();
    tls.ca = Some(authority.file());
    options.tls = Some(tls.build().unwrap());
    let server = async {
        let mut peer = Peer::accept(&listener).await;
        assert_eq!(peer.bytes(28).await[..12], *SIGNATURE);
        let mut peer = Peer::over(acceptor.accept(peer.stream).await.unwrap());
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let client = async {
        let mut connection = connect(&to, &options).await;
        assert_eq!(connection.request("hello").await.unwrap().payload, "hello");
    };
    within(async { tokio::join!(server, client) }).await;
}
