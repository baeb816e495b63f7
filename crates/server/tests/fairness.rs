//! One connection that always has something to do holds nobody else up.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Peer, Server, data};

/// Told by what the one was served while the other waited for its reply, in turns: at the least of
/// fifty times, since whoever waits may be held up by the machine too. With one look at the sockets
/// in 1024 turns it was some hundred megabytes each time.
#[test]
fn while_one_floods_another_waits_for_a_few_turns_only() {
    const FEW_TURNS: u64 = 4 << 20;
    let server = Server::echo();
    let flooder = Peer::connect(server.address);
    let over = Arc::new(AtomicBool::new(false));
    let flood = flooder.flood(data(&[7; 60]).repeat(4096), Arc::clone(&over));
    server.wait_until(|server| server.handle.books().bytes_in > 8 << 20);
    let mut other = Peer::connect(server.address);
    other.echoes(b"first");
    let flooded = || server.handle.connections()[0].bytes_in;
    let least = (0..50).map(|_| {
        let before = flooded();
        other.echoes(b"hello");
        flooded() - before
    });
    let least = least.min().unwrap();
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert!(least < FEW_TURNS, "{least} bytes");
}
