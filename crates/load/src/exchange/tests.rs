//! An exchange step by step, where a whole run would leave its order to chance.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use tokio::time::timeout;
use volley_client::{Options, open};
use volley_proto::Text;

use super::*;
use crate::pace::Turn;
use crate::payload::Payloads;
use crate::plan::{Arrivals, Pace, Plan};
use crate::schedule::Schedule;
use crate::sizes::Sizes;

/// No test comes near it.
const LIMIT: Duration = Duration::from_secs(30);

/// Frames that are planned at once, a second after those before them.
const BURST: u64 = 8;

/// The length of a frame with its head in bytes.
const FRAME: usize = HEAD_LEN + 64;

/// A client whose bursts do not fill its pipeline.
fn plan() -> Plan {
    let schedule = Schedule::steady(BURST as f64, BURST).unwrap();
    let pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
    let hello = false;
    Plan { connections: 1, pipeline: 16, sizes: Sizes::Fixed(64), hello, pace, ..Plan::default() }
}

/// A connection, and the server's side of it.
async fn connect() -> (Opened, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::default();
    options.hello = None;
    let opened = open(&listener.local_addr().unwrap().into(), &options).await.unwrap();
    (opened, listener.accept().unwrap().0)
}

/// The first burst is sent. Then `serve` has the server's side, then the second one is due. Returns
/// how the exchange ended, and what was measured.
async fn exchange(serve: impl FnOnce(TcpStream)) -> (Ended, Bench) {
    let (opened, server) = connect().await;
    let plan = plan();
    let turn = Turn::new(&plan, 0);
    let mut client = Client { connection: 0, turn, number: 0, sizes: fastrand::Rng::with_seed(1) };
    let shared = Arc::new(Shared::new(plan, Payloads::new(1, 1, 64)));
    shared.advance(Phase::Sending);
    let mut bench = Bench::new(shared.began(), 0, true);
    let mut exchange = Exchange::new(opened, Arc::clone(&shared), &mut client);
    poll_fn(|cx| {
        assert!(exchange.poll(cx, &mut bench).is_pending());
        Poll::Ready(())
    })
    .await;
    serve(server);
    bench.begin(shared.began().checked_sub(Duration::from_secs(1)).unwrap());
    let ended = timeout(LIMIT, poll_fn(|cx| exchange.poll(cx, &mut bench))).await.unwrap();
    (ended, bench)
}

/// Answers the first burst.
fn answer(server: &mut TcpStream) {
    let mut frames = [0; BURST as usize * FRAME];
    server.read_exact(&mut frames).unwrap();
    server.write_all(&frames).unwrap();
}

#[tokio::test]
async fn replies_that_came_before_a_reset_count_even_if_the_next_write_fails() {
    let (ended, bench) = exchange(|mut server| {
        answer(&mut server);
        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert!(matches!(ended, Ended::Failed(Loss::Reset, _)), "{ended:?}");
    let ledger = &bench.interval.run.ledger;
    assert_eq!((ledger.count(Column::Ok), ledger.sent()), (BURST, 2 * BURST));
    assert_eq!(ledger.count(Column::Lost(Loss::Reset)), BURST);
}

#[tokio::test]
async fn an_error_that_came_before_a_reset_is_heard_even_if_the_next_write_fails() {
    let (ended, bench) = exchange(|mut server| {
        answer(&mut server);
        let (reason, last_seq) = (Reason::Internal, BURST);
        let mut bytes = Vec::new();
        Control::Error { reason, last_seq, text: Text::new("on fire") }.encode(&mut bytes);
        server.write_all(&bytes).unwrap();
        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let Ended::Failed(Loss::Refused, why) = ended else { panic!("{ended:?}") };
    assert_eq!(why, "the server said: internal: on fire");
    let ledger = &bench.interval.run.ledger;
    assert_eq!(
        (ledger.count(Column::Ok), ledger.count(Column::Lost(Loss::Refused))),
        (BURST, BURST)
    );
}
