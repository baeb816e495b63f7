//! What a tap sees, and replies that nobody checks.

use std::sync::{Arc, Mutex};

use volley_client::{Direction, Error, Options, Passing, Stream, Tap};
use volley_proto::{Control, Reason, ReplyKind};

use crate::scripted::{Peer, play};
use crate::{connect, patient, silent};

/// Writes down what passes.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Tap for Notes {
    fn connected(&self, stream: &Stream) {
        assert_ne!(stream.peer_addr().unwrap(), stream.local_addr().unwrap());
        self.0.lock().unwrap().push("* connected".to_owned());
    }

    fn pass(&self, direction: Direction, passing: Passing<'_>) {
        let mark = if direction == Direction::Out { '>' } else { '<' };
        let what = match passing {
            Passing::Data { seq, payload } => {
                format!("{seq} {}", String::from_utf8_lossy(payload))
            }
            Passing::Control(Control::Error { reason, .. }) => format!("ERROR {reason}"),
            Passing::Control(control) => control.name().to_owned(),
            Passing::End => "end".to_owned(),
        };
        self.0.lock().unwrap().push(format!("{mark} {what}"));
    }
}

fn tapped(mut options: Options) -> (Options, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    options.tap = Some(notes.clone());
    (options, notes)
}

#[tokio::test]
async fn a_tap_sees_every_frame_in_both_directions() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.echo(2).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let (options, notes) = tapped(patient());
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &options).await.split();
        sender.send("one").await.unwrap();
        sender.send("").await.unwrap();
        // GOAWAY came first, so the replies have nothing to do with who is quicker.
        let first = receiver.receive().await.unwrap().unwrap();
        assert_eq!(first.payload, "one");
        assert_eq!(receiver.receive().await.unwrap().unwrap().payload, "");
        sender.finish().await.unwrap();
        assert!(receiver.receive().await.unwrap().is_none());
    })
    .await;
    let expected = [
        "* connected",
        "> HELLO",
        "< WELCOME",
        "> 1 one",
        "> 2 ",
        "< GOAWAY",
        "< 1 one",
        "< 2 ",
        "> end",
        "< end",
    ];
    assert_eq!(*notes.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_tap_sees_why_a_connection_is_refused() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.error(Reason::Busy, 0, "").await;
        peer.until_closed().await;
    };
    let (options, notes) = tapped(patient());
    play(server, async |endpoint| {
        let refused = volley_client::Connection::connect(&endpoint, &options).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    })
    .await;
    assert_eq!(*notes.0.lock().unwrap(), ["* connected", "> HELLO", "< ERROR busy"]);
}

#[tokio::test]
async fn a_reply_that_nobody_checks_is_returned_whatever_it_is() {
    let server = async |mut peer: Peer| {
        peer.payload().await;
        peer.reply(b"PONG").await;
        peer.payload().await;
        peer.reply(b"").await;
        peer.until_closed().await;
    };
    play(server, async |endpoint| {
        let (mut sender, mut receiver) = connect(&endpoint, &silent(patient())).await.split();
        for (seq, due) in [(1, "PONG"), (2, "")] {
            sender.send("PING").await.unwrap();
            let arrival = receiver.receive_unchecked().await.unwrap().unwrap();
            assert_eq!(
                (arrival.seq, &*arrival.sent, &*arrival.payload),
                (seq, &b"PING"[..], due.as_bytes())
            );
            arrival.check().unwrap_err();
        }
        assert_eq!(receiver.outstanding(), 0);
    })
    .await;
}
