//! What people may write for an endpoint, what it means, and what they are told otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use volley_proto::{Address, Endpoint, EndpointError};

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
            &format!("unknown scheme `{scheme}`: only tcp:// is supported"),
        );
    }
}

#[test]
fn says_which_schemes_are_to_come() {
    for (text, scheme) in [
        ("tls://localhost:7007", "tls://"),
        ("TLS://localhost:7007", "tls://"),
        ("udp://127.0.0.1:7007", "udp://"),
        ("udp://", "udp://"),
        ("unix:/run/volley.sock", "unix:"),
        ("unix:///run/volley.sock", "unix:"),
        ("UNIX:/run/volley.sock", "unix:"),
        ("UNIX:///run/volley.sock", "unix:"),
    ] {
        let message = format!("{scheme} is not supported yet: only tcp:// is");
        refuses(text, EndpointError::UnsupportedScheme { scheme }, &message);
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
        "",
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
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn reads(text: &str, address: Address, shown: &str) {
    let endpoint: Endpoint = text.parse().unwrap();
    assert_eq!(endpoint, Endpoint::Tcp(address));
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
