//! Runs that can't begin, or can't go on: each is told with its remedy, and has its exit code.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use volley_proto::MaxFrame;

use crate::scripted::{End, Fault, Script, Server};
use crate::{ledger, line, load, load_to, refused, run};

/// A run that would take an hour.
const ENDLESS: &str = "-d 1h";

#[test]
fn a_port_where_nobody_listens_is_told_with_a_hint() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ended = run(load(&format!("{ENDLESS} --to {address}")));
    let told = format!(
        "cannot connect to tcp://{address}: Connection refused (os error 111) (is volleyd running \
         there?)"
    );
    assert_eq!(refused(&ended, 69), told);
}

#[test]
fn datagrams_to_nobody_are_lost_and_it_says_why() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    drop(socket);
    let ended = run(load(&format!("run --to udp://{to} -c 2 -r 50 {ENDLESS} --timeout 25s")));
    assert_eq!(ended.code, Some(69), "{ended:?}");
    let told = "cannot reach the server: Connection refused (os error 111) (is volleyd running \
                there?)";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(ended.stdout.contains("lost (reset)"), "{}", ended.stdout);
    let why = " x Connection refused (os error 111) (is volleyd running there?)\n";
    assert!(ended.stdout.contains(why), "{}", ended.stdout);
}

#[test]
fn a_datagram_that_would_get_no_receipt_is_bad_data() {
    let ended = run(load("run --to udp://127.0.0.1:9 -s 31 --reply ack -d 1s"));
    assert_eq!(ended.code, Some(65), "{ended:?}");
    let why = "a datagram of 31 bytes gets no receipt: it takes 32 at least";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    let ended = run(load("run --to udp://127.0.0.1:9 -s 65508 -d 1s"));
    assert_eq!(ended.code, Some(65), "{ended:?}");
}

#[test]
fn a_name_that_does_not_exist_is_not_found() {
    let ended = run(load(&format!("{ENDLESS} --timeout 10s --to no-such-host.invalid:7007")));
    if ended.stderr.contains("no address from ") {
        println!("skipped: the resolver does not answer");
        return;
    }
    let told = refused(&ended, 68);
    assert!(told.starts_with("cannot resolve tcp://no-such-host.invalid:7007: "), "{told}");
}

/// A web server, for as long as the tests run. Returns its address.
fn web_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 1]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    address.to_string()
}

#[test]
fn a_web_server_is_no_framed_server() {
    let server = web_server();
    let told = "the server broke the protocol: this is HTTP, not a framed server";
    let ended = run(load(&format!("{ENDLESS} --to {server}")));
    assert_eq!(refused(&ended, 76), format!("{told} (is that the right port?)"));
    // Without HELLO frames have been sent before that shows.
    let ended = run(load(&format!("{ENDLESS} --no-hello -c 4 -p 8 --to {server}")));
    assert_eq!(ended.code, Some(76), "{ended:?}");
    assert_eq!(ended.stderr, format!("volley-load: {told}\n"));
    let (sent, columns) = ledger(&ended);
    assert!(columns.iter().all(|(name, _)| name.starts_with("lost (")) && sent >= 8, "{ended:?}");
    assert!(line(&ended, "verdict").starts_with("NOT COMPLETE"), "{ended:?}");
}

#[test]
fn a_server_that_never_says_welcome_may_do_so_another_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ended = run(load(&format!("{ENDLESS} --timeout 200ms --to {address}")));
    let told = format!(
        "no WELCOME from tcp://{address} within 200ms (it may not know HELLO: try --no-hello, or a \
         longer --timeout)"
    );
    assert_eq!(refused(&ended, 75), told);
}

#[test]
fn wrong_usage_is_shown_where_it_is() {
    let cases = [
        ("-d 5parsecs", "'5parsecs'", "--duration"),
        ("-r 0", "'0'", "a rate of 0 sends nothing"),
        ("-c 0", "'0'", "at least 1 is needed"),
        ("-s 64:90%,4KiB:20%", "'64:90%,4KiB:20%'", "^"),
        ("--plan 1k:10s,2k", "'1k:10s,2k'", "  1k:10s,2k\n           ^\n"),
        ("--plan 0:1s", "'0:1s'", ""),
        ("--fail-if p99>5", "'p99>5'", "  p99>5\n      ^\n"),
        ("--fail-if latency>5ms", "'latency>5ms'", "  latency>5ms\n  ^^^^^^^\n"),
        ("--source 127.0.0.9-127.0.0.1", "'127.0.0.9-127.0.0.1'", "^"),
        ("-r 1k --plan 1k:1s", "--plan", "cannot be used with"),
        ("--to nonsense", "'nonsense'", "--to"),
        ("--rat 5k", "--rat", "--rate"),
    ];
    for (arguments, what, why) in cases {
        let ended = run(load(arguments));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments}: {ended:?}");
        assert!(ended.stderr.contains(what), "{arguments}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{arguments}: {}", ended.stderr);
    }
}

#[test]
fn a_frame_longer_than_the_server_takes_is_bad_data() {
    let script = Script { max_frame: MaxFrame::new(1000).unwrap(), ..Script::default() };
    let server = Server::start(script);
    let ended = run(load_to(&server, &format!("{ENDLESS} -s 64..1001")));
    let told =
        format!("a size of 1001 bytes is more than the 1000 that {} takes", server.endpoint());
    assert_eq!(refused(&ended, 65), told);
    assert_eq!(run(load_to(&server, "-n 10 -s 64..1000")).code, Some(0));
    server.finish();
}

#[test]
fn a_payload_that_is_missing_is_told() {
    let ended = run(load(&format!("{ENDLESS} --payload /no/such/file")));
    let told = "cannot read the payload /no/such/file: No such file or directory (os error 2)";
    assert_eq!(refused(&ended, 66), told);
}

#[test]
fn a_server_that_closes_ends_a_run_that_is_not_to_reconnect() {
    let script = Script { fault: Fault::End(End::Close), at: vec![20], ..Script::default() };
    let server = Server::start(script);
    let ended = run(load_to(&server, &format!("{ENDLESS} -c 1 --reconnect fail")));
    let count = server.finish();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr, "volley-load: the server closed the connection\n");
    let columns = vec![("ok".to_owned(), 20), ("lost (closed)".to_owned(), 1)];
    assert_eq!(ledger(&ended), (21, columns));
    assert_eq!(line(&ended, "problem"), "1 x the server closed the connection");
    let verdict = line(&ended, "verdict");
    assert!(verdict.starts_with("NOT COMPLETE; FAILED, 1 threshold broken"), "{verdict}");
    assert_eq!((count.connections.len(), count.answered), (1, 20));
}

#[test]
fn a_server_that_closes_again_and_again_is_reconnected_to() {
    let script = Script { fault: Fault::End(End::Close), at: vec![9], ..Script::default() };
    let server = Server::start(script);
    let ended = run(load_to(&server, "-c 1 -n 25"));
    let count = server.finish();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let columns = vec![("ok".to_owned(), 23), ("lost (closed)".to_owned(), 2)];
    assert_eq!(ledger(&ended), (25, columns));
    assert_eq!(line(&ended, "problem"), "2 x the server closed the connection");
    assert_eq!(count.connections.len(), 3);
}
