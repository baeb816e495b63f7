//! What a connection costs the program in memory, as the kernel tells it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use volley_cli::raise_descriptor_limit;
use volley_server::{Books, Config, bind, serve};

/// Connections of the two runs that are compared. The system may allow no more than a few thousand
/// descriptors.
const FEW: u32 = 100;
const MANY: u32 = 3000;

/// Resident bytes that a connection may cost at most. It takes some 1,300.
const MOST: u64 = 2048;

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_connection_takes_less_than_two_kibibytes() {
    if raise_descriptor_limit().unwrap() < 4000 {
        return;
    }
    let [few, many] = [FEW, MANY].map(peak);
    let each = many.saturating_sub(few) / u64::from(MANY - FEW);
    assert!(each <= MOST, "{each} bytes: {few} with {FEW} connections, {many} with {MANY}");
}

/// The most bytes that a run with so many connections had resident, each of which sent frames by a
/// plan of two phases and got receipts.
fn peak(connections: u32) -> u64 {
    let (address, stop, server) = start_server();
    let mut run = Command::new(env!("CARGO_BIN_EXE_volley-load"))
        .args(["run", "--quiet", "--reply", "ack", "--timeout", "60s", "--plan", "4k..6k:1s,6k:1s"])
        .args(["--to", &address.to_string(), "--connections", &connections.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let peak = watch(&mut run);
    let status = run.wait().unwrap();
    stop.send(()).unwrap();
    let summary = server.join().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!((summary.accepted, summary.frames_answered), (connections.into(), 11_000));
    peak
}

/// The most bytes that a process has resident until it ends.
fn watch(run: &mut Child) -> u64 {
    let began = Instant::now();
    let mut peak = 0;
    while run.try_wait().unwrap().is_none() {
        peak = peak_resident(run.id()).unwrap_or(peak);
        if began.elapsed() > LIMIT {
            run.kill().unwrap();
            panic!("the run takes too long");
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert!(peak > 0, "no VmHWM in /proc");
    peak
}

fn peak_resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// A server on a thread of this process, whose memory does not count.
fn start_server() -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Books>) {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Config::default(), stopped).await.unwrap()
        })
    });
    (told.recv().unwrap(), stop, server)
}
