//! What people may write for an endpoint, what it means, and what they are told otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use volley_proto::{Address, Endpoint, EndpointError, UnixAddress};

#[test]
fn reads_ipv4() {
    reads("127.0.0.1:7007", socket(Ipv4Addr::LOCALHOST, 7007), "tcp://127.0.0.1:7007");
    reads("tcp://0.0.0.0:7007", socket(Ipv4Addr::UNSPECIFIED, 7007), "tcp://0.0.0.0:7007");
    reads("255.255.255.255:1", socket(Ipv4Addr::BROADCAST, 1), "tcp://255.255.255.255:1");
}

#[test]
fn reads_ipv6_in_brackets() {
    reads("[::1]:7007", socket(Ipv6Addr::LOCALHOST, 7007), "tcp://[::1]:7007");
    reads("tcp://[::]:7007", socket(Ipv6Addr::UNSPECIFIED, 7007), "tcp://[::]:7007");
    reads(
        "[2001:DB8:0:0:0:0:0:1]:80",
        socket(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 80),
        "tcp://[2001:db8::1]:80",
    );
    reads(
        "[::ffff:192.0.2.1]:80",
        socket(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(), 80),
        "tcp://[::ffff:192.0.2.1]:80",
    );
}

#[test]
fn reads_ipv6_with_a_zone() {
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let address = SocketAddrV6::new(link_local, 7007, 0, 3);
    reads("[fe80::1%3]:7007", Address::Socket(address.into()), "tcp://[fe80::1%3]:7007");
}

#[test]
fn reads_dns_names_as_they_were_written() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    for host in [
        "localhost",
        "Example.COM",
        "example.com.",
        "_volley._tcp.example.com",
        "xn--bcher-kva.example",
        "3com.com",
        "127.0.0.1.example",
        "a",
        "a-b",
        "unix",
        &longest,
        &format!("{longest}."),
    ] {
        let text = format!("tcp://{host}:7007");
        reads(&text, name(host, 7007), &text);
    }
    reads("localhost:7007", name("localhost", 7007), "tcp://localhost:7007");
}

#[test]
fn reads_ports_from_0_to_65535() {
    for port in [0, 1, 7007, u16::MAX] {
        for (host, address) in [
            ("127.0.0.1", socket(Ipv4Addr::LOCALHOST, port)),
            ("[::1]", socket(Ipv6Addr::LOCALHOST, port)),
            ("localhost", name("localhost", port)),
        ] {
            assert_eq!(address.port(), port);
            reads(&format!("{host}:{port}"), address, &format!("tcp://{host}:{port}"));
        }
    }
    reads("localhost:00080", name("localhost", 80), "tcp://localhost:80");
}

#[test]
fn reads_the_scheme_in_either_case() {
    for scheme in ["tcp", "TCP", "Tcp"] {
        reads(
            &format!("{scheme}://127.0.0.1:7007"),
            socket(Ipv4Addr::LOCALHOST, 7007),
            "tcp://127.0.0.1:7007",
        );
    }
}

#[test]
fn knows_its_default() {
    assert_eq!(Endpoint::DEFAULT.to_string(), "tcp://127.0.0.1:7007");
    assert_eq!(Endpoint::default(), Endpoint::DEFAULT);
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7007);
    assert_eq!(Endpoint::from(address), Endpoint::DEFAULT);
}

#[test]
fn refuses_an_empty_endpoint() {
    for text in ["", "tcp://"] {
        let message = "empty endpoint: write for example 127.0.0.1:7007";
        refuses(text, EndpointError::Empty, message);
    }
}

#[test]
fn refuses_a_missing_port() {
    for address in ["localhost", "127.0.0.1", "example.com."] {
        let error = EndpointError::MissingPort { address: address.to_owned() };
        let message = format!("`{address}` has no port: write {address}:7007");
        refuses(address, error.clone(), &message);
        refuses(&format!("tcp://{address}"), error, &message);
    }
}

#[test]
fn refuses_a_missing_host() {
    for (text, port) in [(":7007", 7007), ("tcp://:0", 0)] {
        let message = format!("`:{port}` has no host: write 127.0.0.1:{port}");
        refuses(text, EndpointError::MissingHost { port }, &message);
    }
}

#[test]
fn refuses_more_than_a_host_and_a_port() {
    let several = ["a:1,b:2", "127.0.0.1:1 127.0.0.1:2", "tcp:localhost:7007", "host:80:443"];
    for address in several {
        let message =
            format!("`{address}` is more than a host and a port: write for example localhost:7007");
        refuses(address, EndpointError::MoreThanOne { address: address.to_owned() }, &message);
    }
}

#[test]
fn refuses_what_is_no_port() {
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        for port in ["", "65536", "99999999999", "-1", "+7007", "http", "7007/", " 7007", "0x50"] {
            refuses(
                &format!("{host}:{port}"),
                EndpointError::Port { port: port.to_owned() },
                &format!("`{port}` is no port: it must be a number from 0 to 65535"),
            );
        }
    }
}

#[test]
fn refuses_ipv6_that_is_not_in_brackets_with_a_port() {
    for address in ["::1", "::1:7007", "fe80::1%3", "[::1]", "[::1]7007", "[::1", "[]:7007"] {
        refuses_for_brackets(address);
    }
}

#[test]
fn refuses_brackets_around_anything_but_ipv6() {
    for address in ["[127.0.0.1]:7007", "[localhost]:7007", "[:::1]:7007", "[::1%eth0]:7007"] {
        refuses_for_brackets(address);
    }
}

#[test]
fn refuses_unknown_schemes() {
    for scheme in ["http", "HTTP", "quic", "", "tcp4", " tcp"] {
        refuses(
            &format!("{scheme}://127.0.0.1:7007"),
            EndpointError::UnknownScheme { scheme: scheme.to_owned() },
            &format!("unknown scheme `{scheme}`: there are tcp://, tls://, udp:// and unix:"),
        );
    }
}

#[test]
fn reads_every_scheme_that_has_a_host_and_a_port_alike() {
    let address = || name("localhost", 7007);
    for (text, expected, shown) in [
        ("tls://localhost:7007", Endpoint::Tls(address()), "tls://localhost:7007"),
        ("TLS://localhost:7007", Endpoint::Tls(address()), "tls://localhost:7007"),
        ("udp://localhost:7007", Endpoint::Udp(address()), "udp://localhost:7007"),
        ("Udp://localhost:7007", Endpoint::Udp(address()), "udp://localhost:7007"),
    ] {
        reads_endpoint(text, expected, shown);
    }
    for scheme in ["tls", "udp"] {
        refuses(
            &format!("{scheme}://"),
            EndpointError::Empty,
            "empty endpoint: write for example 127.0.0.1:7007",
        );
        refuses(
            &format!("{scheme}://localhost"),
            EndpointError::MissingPort { address: "localhost".to_owned() },
            "`localhost` has no port: write localhost:7007",
        );
    }
}

#[test]
fn reads_paths_of_unix_sockets() {
    for (text, path, shown) in [
        ("unix:/run/volley.sock", "/run/volley.sock", "unix:/run/volley.sock"),
        ("unix:///run/volley.sock", "/run/volley.sock", "unix:/run/volley.sock"),
        ("unix:////run/volley.sock", "/run/volley.sock", "unix:/run/volley.sock"),
        ("UNIX:/run/volley.sock", "/run/volley.sock", "unix:/run/volley.sock"),
        ("Unix:///run/volley.sock", "/run/volley.sock", "unix:/run/volley.sock"),
        ("unix:volley.sock", "volley.sock", "unix:volley.sock"),
        ("unix:../run/a b?mode=1,:7", "../run/a b?mode=1,:7", "unix:../run/a b?mode=1,:7"),
        ("unix:./@volley", "./@volley", "unix:./@volley"),
        ("unix:tcp://x", "tcp://x", "unix:tcp://x"),
        ("unix:7007", "7007", "unix:7007"),
        ("unix:/bücher", "/bücher", "unix:/bücher"),
    ] {
        reads_endpoint(text, Endpoint::Unix(UnixAddress::from_path(path).unwrap()), shown);
    }
    // Not the socket without a file that the same text would be.
    let address = UnixAddress::from_path("@volley").unwrap();
    assert_eq!(address.to_string(), "./@volley");
}

#[test]
fn reads_names_of_unix_sockets_without_a_file() {
    for (text, name, shown) in
        [("unix:@volley", "volley", "unix:@volley"), ("UNIX:@@/a b", "@/a b", "unix:@@/a b")]
    {
        let address = UnixAddress::from_abstract_name(name).unwrap();
        assert_eq!((address.abstract_name(), address.path()), (Some(name.as_bytes()), None));
        reads_endpoint(text, Endpoint::from(address), shown);
    }
}

#[test]
fn says_how_to_write_a_path() {
    for text in ["/run/volley.sock", "./volley.sock", "../volley.sock", "@volley", "/run/a://b"] {
        refuses(
            text,
            EndpointError::MissingScheme { text: text.to_owned() },
            &format!("`{text}` has no scheme: write unix:{text}"),
        );
    }
}

#[test]
fn refuses_what_names_no_socket() {
    for text in ["", "/", ".", "..", "/run/", "/run/..", "@"] {
        refuses(
            &format!("unix:{text}"),
            EndpointError::UnixPath { text: text.to_owned() },
            &format!("`unix:{text}` names no socket: write for example unix:/run/volley.sock"),
        );
    }
}

#[test]
fn refuses_a_host_before_a_path() {
    for path in ["run/volley.sock", "localhost:7007", "@volley", ""] {
        refuses(
            &format!("unix://{path}"),
            EndpointError::UnixHost { path: path.to_owned() },
            &format!(
                "`unix://{path}` has a host: write unix:/{path}, or unix:{path} for a relative path"
            ),
        );
    }
}

#[test]
fn refuses_paths_and_names_that_no_unix_socket_can_have() {
    let a = |len: usize| "a".repeat(len);
    for (good, bad, noun) in [
        (format!("/{}", a(106)), format!("/{}", a(107)), "path"),
        // An ä takes two bytes.
        (format!("/ä{}", a(104)), format!("/ä{}", a(105)), "path"),
        (format!("@{}", a(107)), format!("@{}", a(108)), "name"),
    ] {
        assert!(format!("unix:{good}").parse::<Endpoint>().is_ok(), "{good}");
        refuses(
            &format!("unix:{bad}"),
            EndpointError::UnixTooLong { noun, len: 108 },
            &format!("a Unix socket's {noun} has at most 107 bytes, and this one has 108"),
        );
    }
    for (text, noun) in [("/a\0", "path"), ("/a\nb", "path"), ("@\u{7f}", "name"), ("@\0", "name")]
    {
        refuses(
            &format!("unix:{text}"),
            EndpointError::UnixControl { noun },
            &format!("a Unix socket's {noun} can't have control characters here"),
        );
    }
}

#[test]
fn refuses_a_mistyped_ipv4_address() {
    for host in ["127.0.0.256", "127.0.1", "1.2.3.4.5", "127.0.0.1.", "2130706433", "example.1"] {
        refuses_host(host);
    }
}

#[test]
fn refuses_names_with_bad_labels() {
    let label = "a".repeat(63);
    for host in [
        ".",
        "..",
        ".example",
        "a..b",
        "example..",
        "-a",
        "a-",
        "a.-b.c",
        "a.b-.c",
        "a b",
        " localhost",
        "a/b",
        "user@host",
        "*",
        "bücher.example",
        "nul\0",
        &"a".repeat(64),
        &format!("{label}.{label}.{label}.{}", "b".repeat(62)),
    ] {
        refuses_host(host);
    }
}

#[track_caller]
fn reads(text: &str, address: Address, shown: &str) {
    reads_endpoint(text, Endpoint::Tcp(address), shown);
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn reads_endpoint(text: &str, expected: Endpoint, shown: &str) {
    let endpoint: Endpoint = text.parse().unwrap();
    assert_eq!(endpoint, expected);
    assert_eq!(endpoint.to_string(), shown);
    assert_eq!(shown.parse(), Ok(endpoint));
}

#[track_caller]
fn refuses(text: &str, error: EndpointError, message: &str) {
    assert_eq!(error.to_string(), message);
    assert_eq!(text.parse::<Endpoint>(), Err(error), "{text:?}");
}

#[track_caller]
fn refuses_for_brackets(address: &str) {
    refuses(
        address,
        EndpointError::Brackets { address: address.to_owned() },
        &format!("`{address}`: write an IPv6 address in brackets and with a port, like [::1]:7007"),
    );
}

#[track_caller]
fn refuses_host(host: &str) {
    refuses(
        &format!("{host}:7007"),
        EndpointError::Host { host: host.to_owned() },
        &format!("`{host}` is neither an IP address nor a DNS name"),
    );
}

fn socket(ip: impl Into<IpAddr>, port: u16) -> Address {
    Address::Socket(SocketAddr::new(ip.into(), port))
}

fn name(host: &str, port: u16) -> Address {
    Address::Name { host: host.to_owned(), port }
}
