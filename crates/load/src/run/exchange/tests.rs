//! An exchange step by step, where a whole run would leave its order to chance.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::SockRef;
use tokio::time::timeout;
use volley_client::{Options, open};
use volley_proto::{Endpoint, HEAD_LEN, Text};

use super::*;
use crate::plan::schedule::Schedule;
use crate::plan::sizes::Sizes;
use crate::plan::{Arrivals, Pace, Plan, Stop};
use crate::run::payload::Payloads;

/// No test comes near it.
const LIMIT: Duration = Duration::from_secs(30);

/// Frames that are planned at once, and how long after those before them: no test takes as long, so
/// that they are due when it says so.
const BURST: u64 = 8;
const APART: Duration = Duration::from_secs(100);

/// The length of a burst in bytes.
const BURST_LEN: usize = 8 * (HEAD_LEN + 64);

/// A client whose bursts do not fill its pipeline.
fn plan() -> Plan {
    let schedule = Schedule::steady(BURST as f64 / APART.as_secs_f64(), BURST).unwrap();
    let pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
    let (hello, stop, sizes) = (false, Stop::default(), Sizes::Fixed(64));
    let timeout = 10 * APART;
    Plan { connections: 1, pipeline: 16, sizes, hello, pace, stop, timeout, ..Plan::default() }
}

/// A connection, and the server's side of it.
async fn connect() -> (Opened, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::default();
    options.hello = None;
    let opened = open(&listener.local_addr().unwrap().into(), &options).await.unwrap();
    (opened, listener.accept().unwrap().0)
}

fn client(plan: &Plan) -> Client {
    Client::new(plan, 0, 0)
}

/// A run that is sending, and its measurements.
fn begin(plan: Plan) -> (Shared, Bench) {
    let longest = plan.longest() as usize;
    let shared = Shared::new(plan, Payloads::new(1, 1, longest));
    shared.advance(Phase::Sending);
    let bench = Bench::new(shared.began(), &shared.plan);
    (shared, bench)
}

/// So many bursts after the first are due now.
fn due(bursts: u32, shared: &Shared, bench: &mut Bench) {
    bench.begin(shared.began().checked_sub(APART * bursts).unwrap());
}

/// Lets it exchange frames until this is true of it.
async fn until(
    exchange: &mut Exchange<'_>,
    bench: &mut Bench,
    is_done: impl Fn(&Exchange<'_>) -> bool,
) {
    let done = poll_fn(|cx| {
        assert!(exchange.poll(cx, bench).is_pending());
        if is_done(exchange) { Poll::Ready(()) } else { Poll::Pending }
    });
    timeout(LIMIT, done).await.unwrap();
}

/// The first burst is sent. Then `serve` has the server's side, then the second one is due. Returns
/// how the exchange ended, and what was measured.
async fn exchange(serve: impl FnOnce(TcpStream)) -> (Ended, Bench) {
    let (opened, server) = connect().await;
    let mut client = client(&plan());
    let (shared, mut bench) = begin(plan());
    let mut exchange = Exchange::new(opened, &shared, &mut client);
    until(&mut exchange, &mut bench, |_| true).await;
    serve(server);
    due(1, &shared, &mut bench);
    let ended = timeout(LIMIT, poll_fn(|cx| exchange.poll(cx, &mut bench))).await.unwrap();
    (ended, bench)
}

/// Answers a burst.
fn answer(server: &mut TcpStream) {
    let mut frames = [0; BURST_LEN];
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

/// A stream of datagrams, and the server's socket.
async fn connect_datagrams() -> (Opened, UdpSocket) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let endpoint = Endpoint::Udp(server.local_addr().unwrap().into());
    (open(&endpoint, &Options::default()).await.unwrap(), server)
}

#[tokio::test]
async fn datagrams_that_cannot_be_sent_end_their_exchange_at_once() {
    let (opened, _server) = connect_datagrams().await;
    // One more than the longest.
    let plan = Plan { sizes: Sizes::Fixed(65_508), ..plan() };
    let mut client = client(&plan);
    let (shared, mut bench) = begin(plan);
    let mut exchange = Exchange::new(opened, &shared, &mut client);
    let ended = timeout(LIMIT, poll_fn(|cx| exchange.poll(cx, &mut bench))).await.unwrap();
    let Ended::Failed(Loss::Reset, why) = ended else { panic!("{ended:?}") };
    assert!(why.starts_with("Message too long"), "{why}");
    let ledger = &bench.interval.run.ledger;
    assert!(ledger.sent() > 0, "{ledger:?}");
    assert_eq!(ledger.count(Column::Lost(Loss::Reset)), ledger.sent(), "{ledger:?}");
}

#[tokio::test]
async fn a_refusal_in_the_middle_ends_an_exchange_of_datagrams_with_its_frames() {
    let (opened, server) = connect_datagrams().await;
    let mut client = client(&plan());
    let (shared, mut bench) = begin(plan());
    let mut exchange = Exchange::new(opened, &shared, &mut client);
    let is_sent = |exchange: &Exchange<'_>| exchange.client.number == BURST;
    let is_out = |exchange: &Exchange<'_>| is_sent(exchange) && exchange.unsent.is_none();
    until(&mut exchange, &mut bench, is_out).await;
    let mut frame = [0; 64];
    for _ in 0..BURST {
        let (_, from) = server.recv_from(&mut frame).unwrap();
        server.send_to(&frame, from).unwrap();
    }
    drop(server);
    due(1, &shared, &mut bench);
    let ended = timeout(LIMIT, poll_fn(|cx| exchange.poll(cx, &mut bench))).await.unwrap();
    let Ended::Failed(Loss::Reset, why) = ended else { panic!("{ended:?}") };
    assert!(why.starts_with("Connection refused"), "{why}");
    let ledger = &bench.interval.run.ledger;
    assert_eq!((ledger.count(Column::Ok), ledger.sent()), (BURST, 2 * BURST));
    assert_eq!(ledger.count(Column::Lost(Loss::Reset)), BURST);
}

#[tokio::test]
async fn a_frame_has_waited_for_a_place_if_there_was_none_when_it_was_due() {
    let (opened, mut server) = connect().await;
    let plan = Plan { pipeline: 8, ..plan() };
    let mut client = client(&plan);
    let (shared, mut bench) = begin(plan);
    let mut exchange = Exchange::new(opened, &shared, &mut client);
    until(&mut exchange, &mut bench, |exchange| exchange.flight.places() == 8).await;
    answer(&mut server);
    until(&mut exchange, &mut bench, |exchange| exchange.flight.places() == 0).await;
    // All places are free, so it is sent when it is due, or as soon as the generator gets to it.
    due(1, &shared, &mut bench);
    until(&mut exchange, &mut bench, |exchange| exchange.client.number == 2 * BURST).await;
    assert_eq!(bench.interval.run.waited, 0);
    // All places are taken when this one is due.
    due(2, &shared, &mut bench);
    until(&mut exchange, &mut bench, |_| true).await;
    answer(&mut server);
    until(&mut exchange, &mut bench, |exchange| exchange.client.number == 3 * BURST).await;
    assert_eq!(bench.interval.run.waited, BURST);
}

#[tokio::test]
async fn no_alarm_is_set_while_the_socket_takes_no_more() {
    let (opened, _server) = connect().await;
    let len = 4 << 20;
    let plan = Plan { sizes: Sizes::Fixed(len), ..plan() };
    let mut client = client(&plan);
    let (shared, mut bench) = begin(plan);
    let mut exchange = Exchange::new(opened, &shared, &mut client);
    until(&mut exchange, &mut bench, |exchange| exchange.unsent.is_some()).await;
    // It would ring again and again.
    due(1, &shared, &mut bench);
    assert!(exchange.flight.places() < 16 && exchange.client.turn.next().is_some());
    assert_eq!(exchange.alarm(), None);
}
