//! `--framing raw`: payloads alone on the wire, to a server that sends back what it gets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::{ledger, line, load, refused, run};

/// A server that gives each connection to `serve`, for as long as the tests run. Returns its address.
fn server(serve: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// Sends back what comes, with the byte at this place of the stream made another one.
fn echo_but(mut stream: TcpStream, wrong: Option<usize>) {
    let mut buffer = vec![0; 1 << 16];
    let mut passed = 0;
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if let Some(at) = wrong.and_then(|wrong| wrong.checked_sub(passed)).filter(|&at| at < n) {
            buffer[at] ^= 1;
        }
        passed += n;
        if stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

#[test]
fn without_a_target_it_loads_a_raw_server_of_its_own() {
    for flags in ["-n 1000", "-n 1000 -r 20k -p 16 -s 1..3000", "-n 100 -s 1MiB -p 3"] {
        let ended = run(load(&format!("--framing raw {flags}")));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        let (sent, columns) = ledger(&ended);
        assert_eq!(columns, [("ok".to_owned(), sent)]);
        assert!(line(&ended, "target").contains(", raw bytes"), "{}", ended.stdout);
    }
}

#[test]
fn nothing_but_payloads_is_sent() {
    let ended = run(load(&format!(
        "--framing raw --to {} -c 2 -n 500 -s 100",
        server(|stream| echo_but(stream, None))
    )));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ledger(&ended), (500, vec![("ok".to_owned(), 500)]));
}

#[test]
fn a_wrong_byte_is_one_corrupt_frame() {
    let to = server(|stream| echo_but(stream, Some(3 * 100 + 99)));
    let ended = run(load(&format!("--framing raw --to {to} -c 1 -p 4 -n 50 -s 100")));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let columns = vec![("ok".to_owned(), 49), ("corrupt".to_owned(), 1)];
    assert_eq!(ledger(&ended), (50, columns));
}

#[test]
fn a_server_that_closes_within_a_reply_has_lost_it() {
    let to = server(|mut stream| {
        let mut frame = [0; 100];
        stream.read_exact(&mut frame).unwrap();
        stream.write_all(&frame[..60]).unwrap();
    });
    let flags = "-c 1 -n 1 -s 100 --reconnect fail";
    let ended = run(load(&format!("--framing raw --to {to} {flags}")));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(line(&ended, "ledger").contains("1 lost (truncated)"), "{}", ended.stdout);
}

#[test]
fn a_proxy_header_is_the_first_of_each_connection() {
    const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 7007\r\n";
    let to = server(|mut stream| {
        let mut line = [0; LINE.len()];
        stream.read_exact(&mut line).unwrap();
        // To another one nothing comes back.
        if line == LINE {
            echo_but(stream, None);
        }
    });
    let header = "--proxy-header v1=192.0.2.1:4711,198.51.100.7:7007";
    let ended = run(load(&format!("--framing raw --to {to} {header} -c 3 -n 100")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ledger(&ended), (100, vec![("ok".to_owned(), 100)]));
}

#[test]
fn what_raw_bytes_cannot_have_is_wrong_usage() {
    let receipts = run(load("--framing raw --reply ack -n 1"));
    let told = "--framing raw has no receipts: leave --reply ack out";
    assert_eq!(refused(&receipts, 2), told);
    let empty = run(load("--framing raw -s 0..10 -n 1"));
    assert_eq!(refused(&empty, 2), "a frame without a byte is none with --framing raw");
}
