//! `volley send`: frames out, replies in, both at once.

mod args;
mod datagrams;
mod flight;
mod inbound;
mod input;
mod outbound;
mod output;
mod pace;
mod record;
mod retry;
mod session;

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use volley_client::flags::Approach;
use volley_client::{Framing, Hello, Options, Tap};
use volley_proto::{Endpoint, ReplyKind};

pub(crate) use args::{InputFormat, OutputFormat, SendArgs};

use crate::check::Check;
use crate::failure::{Failure, tell};
use crate::signals::Signals;
use crate::stderr::{self, AT_THE_END};
use crate::wire::Wire;
use datagrams::DatagramVolley;
use flight::Flight;
use inbound::Inbound;
use input::Input;
use outbound::Outbound;
use output::Output;
use pace::Pace;
use retry::Retry;
use session::Session;

pub(crate) async fn run(args: SendArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut output = Output::new(args.output)?;
    let input = Input::new(&args)?;
    if input.reads_stdin() && io::stdin().is_terminal() {
        tell("frames are read from the terminal; Ctrl-D ends them");
    }
    let window = match args.to {
        Endpoint::Udp(_) => args.window.min(datagrams::WINDOW),
        _ => args.window,
    };
    let flight = Flight::new(args.pipeline, window);
    let longest = args.deadline.unwrap_or(Duration::MAX);
    let mut over = pin!(sleep(longest));
    args.framing.check(args.reply.map(ReplyKind::from), [&args.to])?;
    let approach = args.connect.approach([&args.to], tell)?;
    let mut volley = volley(args, &approach, input, &flight, &mut output);
    let (outcome, is_cut_short) = tokio::select! {
        outcome = volley.run() => (outcome, false),
        signal = signals.next() => (volley.interrupt(signal), true),
        () = &mut over => (volley.give_up_after(longest), true),
    };
    if is_cut_short {
        stderr::cut_short();
        // Whoever reads stdout may have stopped, and may have sent the signal for that.
        let _ = timeout(AT_THE_END, output.flush()).await;
        return outcome;
    }
    // Whatever went wrong, the replies that came are printed.
    tokio::select! {
        biased;
        flushed = output.flush() => outcome.and(flushed),
        signal = signals.next() => Err(signal),
        () = &mut over => Err(Failure::Unread { after: longest }),
    }
}

/// A volley, over whatever carries it.
enum Volley<'a> {
    Stream(Session<'a>),
    Datagrams(DatagramVolley<'a>),
}

impl Volley<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stream(session) => session.run().await,
            Self::Datagrams(datagrams) => datagrams.run().await,
        }
    }

    fn interrupt(&mut self, signal: Failure) -> Result<(), Failure> {
        match self {
            Self::Stream(session) => session.interrupt(),
            Self::Datagrams(datagrams) => datagrams.interrupt(),
        }
        Err(signal)
    }

    fn give_up_after(&mut self, longest: Duration) -> Result<(), Failure> {
        match self {
            Self::Stream(session) => session.give_up_after(longest),
            Self::Datagrams(datagrams) => datagrams.give_up_after(longest),
        }
    }
}

fn volley<'a>(
    args: SendArgs,
    approach: &Approach,
    input: Input,
    flight: &'a Flight,
    output: &'a mut Output,
) -> Volley<'a> {
    let wanted = args.reply.map(ReplyKind::from);
    let mut options = Options::default();
    options.connect_timeout = args.timeout;
    options.reply_timeout = args.timeout;
    options.reply = wanted.unwrap_or_default();
    options.hello = (!args.no_hello).then(|| Hello { wanted, name: "volley send".to_owned() });
    options.framing = args.framing;
    approach.apply(&mut options);
    options.tap = Wire::new(args.verbose).map(|wire| Arc::new(wire) as Arc<dyn Tap>);
    let is_udp = matches!(args.to, Endpoint::Udp(_));
    let is_greeted = !args.no_hello && args.framing == Framing::Frames && !is_udp;
    let check = match args.expect {
        _ if args.no_check => Check::Nothing,
        Some(expectation) => Check::Expected(expectation),
        None if is_greeted => Check::Due { otherwise: "" },
        None => Check::Due { otherwise: "if it answers something else: --expect, or --no-check" },
    };
    let outbound = Outbound::new(input, Pace::new(args.interval), args.half_close);
    let inbound = Inbound::new(check, output);
    let (endpoint, retries) = (args.to, args.retry);
    if is_udp {
        return Volley::Datagrams(DatagramVolley::new(
            endpoint, options, outbound, inbound, flight, retries,
        ));
    }
    Volley::Stream(Session {
        endpoint,
        options,
        wanted,
        retry: Retry::new(retries),
        outbound,
        inbound,
        flight,
        longest: args.deadline.unwrap_or(Duration::MAX),
        is_connected: false,
    })
}
