//! The list of connections.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use volley_tests::Admin;

use crate::common::{HELLO, LIMIT, Peer, Volleyd, control, data, pattern, welcome};

/// Asks for the connections until they are as expected.
#[track_caller]
fn connections_until(admin: &Admin, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = admin.get(path);
        let listing: Value = serde_json::from_str(&answer.body).unwrap();
        if expected(&listing) {
            return listing;
        }
        assert!(Instant::now() < deadline, "{listing:#}");
        thread::yield_now();
    }
}

#[test]
fn the_open_connections_are_listed_with_what_they_do() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    let [first, second] = daemon.addresses()[..] else { panic!("two listeners") };
    let mut waiting = Peer::connect(first);
    waiting.send([control(HELLO, 0, 1, 0, b"a \"quoted\" name"), data(b"12345")].concat());
    waiting.expect([welcome(1), data(b"12345")].concat());
    let mut receiving = Peer::connect(second);
    receiving.echoes(b"");
    receiving.send(&data(&[0; 10_000])[..9_000]);
    let mut writing = Peer::connect_narrow(second, 16 * 1024);
    writing.push_until_blocked(&data(&pattern(1 << 20, 1)), Duration::from_millis(300));
    let is_so = |listing: &Value| {
        let state = |at: usize| listing["connections"][at]["state"].as_str();
        [state(0), state(1), state(2)] == [Some("waiting"), Some("receiving"), Some("writing")]
            && listing["connections"][1]["buffered_bytes"] != 0
    };
    let listing = connections_until(daemon.admin(), "/connections", is_so);
    assert_eq!(listing["total"], 3);
    let connections = listing["connections"].as_array().unwrap();
    for (shown, (peer, endpoint)) in connections.iter().zip([
        (&waiting, &daemon.endpoints[0]),
        (&receiving, &daemon.endpoints[1]),
        (&writing, &daemon.endpoints[1]),
    ]) {
        assert_eq!(shown["peer"], peer.local().to_string());
        assert_eq!(shown["listener"], endpoint.as_str());
        assert!(shown["age_seconds"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(connections[0]["client"], "a \"quoted\" name");
    assert_eq!(connections[1]["client"], "");
    let figures = |at: usize| {
        ["frames_received", "frames_answered", "payload_bytes", "bytes_in", "bytes_out"]
            .map(|key| connections[at][key].as_u64().unwrap())
    };
    assert_eq!(figures(0), [1, 1, 5, 16 + 15 + 9, 16 + 9]);
    assert_eq!(figures(1), [1, 1, 0, 4 + 9_000, 4]);
    assert_eq!(connections[1]["buffered_bytes"], 8192);
    let [received, answered, ..] = figures(2);
    assert!(received > answered, "{connections:?}");
    // The oldest first, and how many there are in all.
    for limit in 0..5 {
        let listing: Value =
            serde_json::from_str(&daemon.admin().get(&format!("/connections?limit={limit}")).body)
                .unwrap();
        let ids = |listing: &Value| -> Vec<u64> {
            let shown = listing["connections"].as_array().unwrap();
            shown.iter().map(|shown| shown["id"].as_u64().unwrap()).collect()
        };
        assert_eq!(listing["total"], 3);
        assert_eq!(ids(&listing), [1, 2, 3][..limit.min(3)]);
    }
}
