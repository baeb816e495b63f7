//! Each fault of a server as the report shows it.

use std::time::Duration;

use volley_proto::{Reason, ReplyKind};

use crate::scripted::{Change, End, Fault, Script, Server};
use crate::{ledger, line, load_to, run};

/// What the server does to the 41st frame of each connection, how many connections there are, and
/// the columns beside *ok*.
type Case = (&'static str, Fault, u32, &'static [(&'static str, u64)]);

const FLIP: Change = |reply| reply[20] ^= 1;
const SHORTEN: Change = |reply| reply.truncate(31);
const LENGTHEN: Change = |reply| reply.push(0);

fn cases() -> [Case; 15] {
    [
        ("nothing", Fault::None, 1, &[]),
        ("a flipped bit", Fault::Change(FLIP), 1, &[("corrupt", 1)]),
        ("a byte less", Fault::Change(SHORTEN), 1, &[("corrupt", 1)]),
        ("a byte more", Fault::Change(LENGTHEN), 1, &[("corrupt", 1)]),
        ("no reply", Fault::Drop, 1, &[("lost (skipped)", 1)]),
        ("two replies", Fault::Repeat(2), 1, &[("duplicate", 1)]),
        ("two replies, the second at the end", Fault::Afterwards, 1, &[("duplicate", 1)]),
        ("behind two others", Fault::Behind(2), 1, &[("reordered", 1)]),
        ("after the time-out", Fault::Delay(Duration::from_millis(2050)), 1, &[("late", 1)]),
        ("on the other connection", Fault::Misroute, 2, &[("misrouted", 2)]),
        ("a close", Fault::End(End::Close), 1, &[("lost (closed)", 1)]),
        ("a reset", Fault::End(End::Reset), 1, &[("lost (reset)", 1)]),
        ("half a reply", Fault::End(End::Cut(20)), 1, &[("lost (truncated)", 1)]),
        ("an ERROR", Fault::End(End::Error(Reason::Busy, "")), 1, &[("lost (refused)", 1)]),
        ("no frame", Fault::End(End::Bytes(b"GIF89a")), 1, &[("lost (protocol)", 1)]),
    ]
}

#[test]
fn each_fault_is_in_its_column_of_the_report() {
    for reply in [ReplyKind::Echo, ReplyKind::Ack] {
        std::thread::scope(|scope| {
            for case in cases() {
                scope.spawn(move || shows(reply, case));
            }
        });
    }
}

fn shows(reply: ReplyKind, (what, fault, connections, columns): Case) {
    let is_end = matches!(fault, Fault::End(_));
    // No second connection comes as far, and no other run is over before a reply is late.
    let frames = if is_end { 80 } else { 300 };
    // One in flight, so that it is known how many are when a connection ends.
    let pipeline = if is_end { 1 } else { 4 };
    // Where nothing is awaited in vain, no reply is late however busy this machine is.
    let is_awaited = matches!(fault, Fault::Drop | Fault::Delay(_) | Fault::Misroute);
    let timeout = if is_awaited { "2s" } else { "30s" };
    let rate = if is_end { 200 } else { 100 };
    let server = Server::start(Script { fault, at: vec![40], reply, ..Script::default() });
    let ended = run(load_to(
        &server,
        &format!(
            "--reply {reply} -c {connections} -p {pipeline} -r {rate} -n {frames} --timeout \
             {timeout}"
        ),
    ));
    let count = server.finish();
    let (sent, found) = ledger(&ended);
    // A receipt does not say for which connection it is.
    let columns: &[_] = match (reply, columns) {
        (ReplyKind::Ack, [("misrouted", 2)]) => &[("corrupt", 2)],
        _ => columns,
    };
    let failed: u64 = columns.iter().map(|(_, frames)| frames).sum();
    let mut expected = vec![("ok".to_owned(), frames - failed)];
    expected.extend(columns.iter().map(|&(name, frames)| (name.to_owned(), frames)));
    assert_eq!((sent, found), (count.received(), expected), "{reply}, {what}: {ended:?}");
    assert_eq!(sent, frames);
    assert_eq!(ended.code, Some(i32::from(failed > 0)), "{reply}, {what}: {ended:?}");
}

#[test]
fn a_reply_that_no_frame_was_waiting_for_fails_a_run_whose_frames_are_right() {
    let fault = Fault::Beside(b"surprise");
    let server = Server::start(Script { fault, at: vec![40], ..Script::default() });
    let ended = run(load_to(&server, "-c 1 -n 60"));
    server.finish();
    assert_eq!((ended.code, ledger(&ended)), (Some(1), (60, vec![("ok".to_owned(), 60)])));
    assert_eq!(line(&ended, "FAILED"), "fail if strays > 0: it was 1");
    assert_eq!(line(&ended, "problem"), "1 x the server sent a reply to no frame");
}
