//! What a burst of large frames takes is given back.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Peer, Volleyd, data, pattern};

/// By when the memory is back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);

fn resident_kib(daemon: &Volleyd) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn half_a_minute_after_a_burst_of_large_frames_their_memory_is_given_back() {
    let daemon = Volleyd::start(&[]);
    let mut lasting: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    lasting.iter_mut().for_each(|peer| peer.echoes(b"before"));
    let before = resident_kib(&daemon);
    let frame = data(&pattern(1 << 20, 1));
    let mut peak = 0;
    for _ in 0..3 {
        let mut peers: Vec<Peer> = (0..200).map(|_| daemon.connect()).collect();
        peers.iter_mut().for_each(|peer| peer.send(&frame[..900_000]));
        peak = peak.max(resident_kib(&daemon));
        for peer in &mut peers {
            peer.send(&frame[900_000..]);
            peer.expect(&frame);
        }
    }
    assert!(peak > 10 * before, "no burst: {before} KiB before, {peak} KiB in it");
    let deadline = Instant::now() + GIVEN_BACK_WITHIN;
    while 2 * resident_kib(&daemon) > 3 * before {
        let now = resident_kib(&daemon);
        assert!(Instant::now() < deadline, "{before} KiB before, {peak} KiB in it, {now} KiB now");
        std::thread::sleep(Duration::from_millis(100));
    }
    lasting.iter_mut().for_each(|peer| peer.echoes(b"after"));
    daemon.finish();
}
