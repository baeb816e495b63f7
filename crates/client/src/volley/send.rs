//! `volley send`: frames out, replies in, both at once.

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use volley_client::{Connection, Error, Hello, Options, Receiver, Sender};
use volley_proto::ReplyKind;

use crate::args::SendArgs;
use crate::failure::{Failure, report_mismatch, tell};
use crate::frames::Frames;
use crate::output::Output;
use crate::signals::Signals;

/// Frames in flight: enough to keep a long path busy, few enough that a megabyte each is no
/// matter.
const WINDOW: usize = 64;

/// How long what has been printed may take to go out after a signal.
const AFTER_SIGNAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: SendArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut output = Output::new();
    let outcome = tokio::select! {
        outcome = connect_and_exchange(args, &mut output) => outcome,
        signal = signals.next() => Err(signal),
    };
    if let Err(Failure::Signal(_)) = outcome {
        // Whoever reads stdout may have stopped, and may have sent the signal for that.
        let _ = timeout(AFTER_SIGNAL, output.flush()).await;
        return outcome;
    }
    // Whatever went wrong, the replies that came are printed.
    tokio::select! {
        flushed = output.flush() => outcome.and(flushed),
        signal = signals.next() => Err(signal),
    }
}

async fn connect_and_exchange(args: SendArgs, output: &mut Output) -> Result<(), Failure> {
    let wanted = args.reply.map(ReplyKind::from);
    let mut options = Options::default();
    options.connect_timeout = args.timeout;
    options.reply_timeout = args.timeout;
    options.reply = wanted.unwrap_or_default();
    options.hello = (!args.no_hello).then(|| Hello { wanted, name: "volley send".to_owned() });
    let connection = Connection::connect(&args.to, &options).await?;
    if let Some(wanted) = wanted
        && wanted != connection.reply_kind()
    {
        return Err(Failure::NotGranted { wanted, granted: connection.reply_kind() });
    }
    if args.frames.is_empty() && io::stdin().is_terminal() {
        tell("each line is a frame; Ctrl-D ends");
    }
    let frames = Frames::new(args.frames, connection.max_frame().get());
    let (sender, receiver) = connection.split();
    let window = Semaphore::new(WINDOW);
    exchange(sender, receiver, frames, &window, output).await
}

/// Sends and receives until both are done, or one has failed.
async fn exchange(
    sender: Sender,
    receiver: Receiver,
    frames: Frames,
    window: &Semaphore,
    output: &mut Output,
) -> Result<(), Failure> {
    let send = send_all(sender, frames, window);
    let receive = print_all(receiver, window, output);
    tokio::pin!(send, receive);
    let mut not_sent = None;
    loop {
        tokio::select! {
            biased;
            // The receiver knows best why a connection ended.
            received = &mut receive => {
                received?;
                return not_sent.map_or(Ok(()), Err);
            }
            // The replies to what has been sent still come.
            sent = &mut send, if not_sent.is_none() => match sent {
                Ok(()) => return receive.await,
                Err(failure) => not_sent = Some(failure),
            }
        }
    }
}

/// Sends every frame. Those before one that can't be sent, or read, are sent all the same.
async fn send_all(mut sender: Sender, frames: Frames, window: &Semaphore) -> Result<(), Failure> {
    let fed = feed_all(&mut sender, frames, window).await;
    let finished = sender.finish().await;
    fed?;
    Ok(finished?)
}

/// Feeds every frame, no more than the window allows at a time.
async fn feed_all(
    sender: &mut Sender,
    mut frames: Frames,
    window: &Semaphore,
) -> Result<(), Failure> {
    let mut going_away = pin!(sender.going_away());
    loop {
        // All branches are cancel safe. What has been fed goes out as soon as no frame is ready.
        tokio::select! {
            biased;
            goaway = &mut going_away => {
                return Err(Error::GoingAway { reason: goaway.reason }.into());
            }
            frame = next_frame(&mut frames, window) => match frame? {
                Some(frame) => sender.feed(frame).await?,
                None => return Ok(()),
            },
            flushed = sender.flush(), if sender.has_unsent() => flushed?,
        }
    }
}

/// The next frame, once there is room for it in the window.
async fn next_frame(
    frames: &mut Frames,
    window: &Semaphore,
) -> Result<Option<bytes::Bytes>, Failure> {
    let Ok(permit) = window.acquire().await else {
        // The window is never closed.
        return Ok(None);
    };
    let frame = frames.next().await?;
    if frame.is_some() {
        // Given back with the reply.
        permit.forget();
    }
    Ok(frame)
}

/// Prints every reply, also those behind a wrong one.
async fn print_all(
    mut receiver: Receiver,
    window: &Semaphore,
    output: &mut Output,
) -> Result<(), Failure> {
    let (mut replies, mut wrong) = (0, 0);
    while !output.is_closed() {
        if output.is_full() {
            output.flush().await?;
        }
        // Both branches are cancel safe. What has been printed goes out as soon as no reply is
        // ready.
        let received = tokio::select! {
            biased;
            received = receiver.receive() => received,
            flushed = output.flush(), if output.is_pending() => {
                flushed?;
                continue;
            }
        };
        match received {
            Ok(Some(reply)) => output.print(&reply),
            Ok(None) => break,
            Err(Error::Mismatch(mismatch)) => {
                report_mismatch(&mismatch);
                wrong += 1;
            }
            Err(error) => return Err(error.into()),
        }
        replies += 1;
        window.add_permits(1);
    }
    if wrong > 0 {
        return Err(Failure::Mismatches { wrong, replies });
    }
    Ok(())
}
