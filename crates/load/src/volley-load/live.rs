//! What a run shows on stderr while it goes on: a view that is drawn over and over on a terminal,
//! a plain line now and then elsewhere.
//!
//! Nothing here can hold up or end a run: bytes go out on a thread of their own and are left out
//! when nobody takes them ([`outlet`]), and the terminal is never asked anything ([`inline`]).

mod history;
mod inline;
mod lines;
mod outlet;
mod terminal;
mod view;
mod words;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use history::History;
use lines::Lines;
use outlet::Outlet;
use rustix::termios::isatty;
use view::View;

/// How often the view is drawn, at most.
const REDRAW: Duration = Duration::from_millis(200);

/// How long erasing the view may take at the end, while others want to use the terminal.
const LINGER: Duration = Duration::from_millis(500);

/// What is known of a run at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// What the run is doing.
    pub(crate) phase: Phase,
    /// How long it has been in this phase.
    pub(crate) elapsed: Duration,
    /// How long this phase is to take; `None` if nothing says so.
    pub(crate) planned: Option<Duration>,
    /// How many frames the run is to send, if it is over after so many.
    pub(crate) frames_planned: Option<u64>,
    /// How long replies are awaited at most.
    pub(crate) timeout: Duration,
    /// Frames sent so far, of those that count towards `frames_planned`.
    pub(crate) sent: u64,
    /// Frames that got no reply, or a wrong one.
    pub(crate) failed: u64,
    /// Connections that are open.
    pub(crate) connected: u32,
    /// Connections that the plan asks for.
    pub(crate) connections: u32,
    /// Frames per second that are to be sent right now; `None` in a closed loop.
    pub(crate) asked_rate: Option<f64>,
    /// The last whole second; `None` in the first.
    pub(crate) last: Option<Second>,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections are being opened.
    Connecting,
    /// Frames are sent that no figure will count.
    WarmingUp,
    /// Frames are sent.
    Sending,
    /// Nothing new is sent, replies are awaited.
    Finishing,
}

/// What was measured in a whole second.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    /// Which one it is: another number tells a new second.
    pub(crate) number: u64,
    /// Frames answered per second.
    pub(crate) rate: f64,
    /// Payload bytes per second.
    pub(crate) bytes_per_second: f64,
    /// Frames in flight at its end.
    pub(crate) in_flight: u64,
    /// From the planned instant to the reply; `None` in a closed loop, and without a reply.
    pub(crate) response: Option<Percentiles>,
    /// From the write to the reply; `None` without a reply.
    pub(crate) service: Option<Percentiles>,
}

impl Second {
    /// What the clients felt: the response where there is a plan, else the service.
    fn felt(&self) -> Option<&Percentiles> {
        self.response.as_ref().or(self.service.as_ref())
    }
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// Shows a run on stderr until it is dropped; then the view is erased, and what comes next stands in
/// its place.
#[derive(Debug)]
pub(crate) struct Live {
    form: Form,
    /// `None` if the system had no descriptor or no thread for it: then nothing is shown.
    outlet: Option<Outlet>,
    began: Instant,
}

#[derive(Debug)]
enum Form {
    View(Drawing),
    Lines(Lines),
}

/// A view on a terminal.
#[derive(Debug)]
struct Drawing {
    terminal: File,
    colour: bool,
    history: History,
    /// When it was last drawn.
    drawn: Option<Instant>,
}

impl Live {
    /// On stderr: a view if that is a terminal that can move its cursor, else lines. NO_COLOR is
    /// respected.
    pub(crate) fn new() -> Self {
        let term = std::env::var_os("TERM");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::on(io::stderr(), term.as_deref(), !no_colour)
    }

    fn on(stream: impl AsFd, term: Option<&OsStr>, colour: bool) -> Self {
        // A copy of the descriptor, because the lock of Rust's stderr would be held as long as
        // nobody takes what is written.
        let copy = || stream.as_fd().try_clone_to_owned().map(File::from);
        let can_draw = isatty(&stream) && term.is_some_and(|term| term != "dumb");
        let form = match copy().ok().filter(|_| can_draw) {
            Some(terminal) => {
                Form::View(Drawing { terminal, colour, history: History::default(), drawn: None })
            }
            None => Form::Lines(Lines::default()),
        };
        Self { form, outlet: copy().and_then(Outlet::start).ok(), began: Instant::now() }
    }

    /// Shows `moment`, if it is time to show something. Call it a few times a second; it never
    /// waits.
    pub(crate) fn show(&mut self, moment: &Moment) {
        let bytes = match &mut self.form {
            Form::View(drawing) => drawing.frame(moment),
            Form::Lines(lines) => lines.next(self.began.elapsed(), moment).map(String::into_bytes),
        };
        if let (Some(bytes), Some(outlet)) = (bytes, &self.outlet) {
            outlet.offer(bytes);
        }
    }

    fn finish(&self, linger: Duration) {
        let Some(outlet) = &self.outlet else { return };
        if let Form::View(drawing) = &self.form
            && drawing.drawn.is_some()
            && terminal::is_ours(&drawing.terminal)
        {
            outlet.offer(inline::ERASE.to_vec());
        }
        outlet.close(linger);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish(LINGER);
    }
}

impl Drawing {
    /// The bytes that draw `moment`, if it is time for that and the terminal is there for us.
    fn frame(&mut self, moment: &Moment) -> Option<Vec<u8>> {
        self.history.note(moment.last.as_ref());
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW)
            || !terminal::is_ours(&self.terminal)
        {
            return None;
        }
        self.drawn = Some(Instant::now());
        let view = View { moment, history: &self.history, colour: self.colour };
        Some(inline::frame(&view.drawn(terminal::size(&self.terminal))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Action, Winsize, tcflow, tcsetwinsize};

    use super::outlet::tests::{LIMIT, within_limit};
    use super::words::tests::moment;
    use super::*;

    /// A terminal of 24 rows and 100 columns: what its user sees, and what a program opens.
    fn terminal() -> (File, File) {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&program, size).unwrap();
        (user.into(), program.into())
    }

    /// All that was written to a terminal until every program closed it.
    fn read_all(mut user: File) -> Vec<u8> {
        within_limit(move || {
            let mut bytes = Vec::new();
            // The system tells the end of a terminal as an error.
            let _ = user.read_to_end(&mut bytes);
            bytes
        })
    }

    fn read_lines(mut reader: PipeReader) -> String {
        within_limit(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        })
    }

    fn xterm() -> Option<&'static OsStr> {
        Some(OsStr::new("xterm"))
    }

    /// Shows `moment` and waits until it is on its way.
    fn show(live: &mut Live, moment: &Moment) {
        live.show(moment);
        live.outlet.as_ref().unwrap().wait_until_taken();
    }

    #[test]
    fn a_terminal_gets_the_view_as_wide_as_it_is_and_has_it_erased() {
        let (user, program) = terminal();
        let mut live = Live::on(&program, xterm(), true);
        show(&mut live, &moment());
        live.finish(LIMIT);
        drop((live, program));
        let bytes = read_all(user);
        let (frame, erase) = bytes.split_at(bytes.len() - inline::ERASE.len());
        let mut screen = vt100::Parser::new(24.try_into().unwrap(), 100.try_into().unwrap(), 0);
        screen.process(frame);
        let contents = screen.screen().contents();
        let rows: Vec<&str> = contents.lines().collect();
        assert_eq!(rows[1].trim_end(), " rate        49,998 frames/s   of 50,000 asked   6.4 MB/s");
        assert_eq!(rows.iter().map(|row| row.chars().count()).max(), Some(99));
        screen.process(erase);
        assert_eq!(screen.screen().contents(), "");
    }

    #[test]
    fn a_view_that_was_never_drawn_is_not_erased() {
        let (user, program) = terminal();
        drop(Live::on(&program, xterm(), true));
        drop(program);
        assert_eq!(read_all(user), b"");
    }

    #[test]
    fn the_view_is_drawn_a_few_times_a_second_at_most() {
        let (_user, program) = terminal();
        let mut live = Live::on(&program, xterm(), true);
        let Form::View(drawing) = &mut live.form else { panic!("no view") };
        assert!(drawing.frame(&moment()).is_some());
        // As if the clock stood still, whatever else the machine has to do.
        drawing.drawn = Some(Instant::now() + Duration::from_secs(3600));
        assert!(drawing.frame(&moment()).is_none());
        drawing.drawn = Instant::now().checked_sub(REDRAW);
        assert!(drawing.frame(&moment()).is_some());
    }

    #[test]
    fn a_stopped_terminal_holds_up_nobody() {
        let (user, program) = terminal();
        tcflow(&program, Action::OOff).unwrap();
        within_limit(move || {
            let mut live = Live::on(&program, xterm(), true);
            show(&mut live, &moment());
            drop(live);
        });
        // The write that it stopped ends with the terminal.
        drop(user);
    }

    #[test]
    fn a_pipe_gets_lines() {
        let (reader, writer) = pipe().unwrap();
        let mut live = Live::on(&writer, xterm(), true);
        drop(writer);
        live.began = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
        show(&mut live, &moment());
        drop(live);
        let line = "volley-load: 12 s of 60 s: 49,998 frames/s (asked 50,000), in flight 12, \
                    p50 110 µs p99 420 µs max 3.10 ms, 0 failed\n";
        assert_eq!(read_lines(reader), line);
    }

    #[test]
    fn a_terminal_that_cannot_be_drawn_on_gets_lines() {
        let (_user, program) = terminal();
        for term in [None, Some(OsStr::new("dumb"))] {
            assert!(matches!(Live::on(&program, term, true).form, Form::Lines(_)));
        }
    }
}
