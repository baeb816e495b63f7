//! The line editor, on a thread of its own: reading a line waits for a person.

use std::io::Write as _;
use std::path::PathBuf;
use std::{env, fs, io, thread};

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, ExternalPrinter,
    KeyEvent, Movement, RepeatCount,
};
use tokio::sync::mpsc;

/// Lines that are remembered.
const REMEMBERED: usize = 1000;

/// Terminals, by their `TERM`, that show what they get and nothing more.
const LIMITED: [&str; 3] = ["cons25", "dumb", "emacs"];

/// Ends what the editor asks of a terminal: to say what is pasted (xterm's mode 2004).
const NO_BRACKETED_PASTE: &str = "\x1b[?2004l";

/// What stands before each line that is typed.
const PROMPT: &str = "> ";

/// What a person has done at the prompt.
#[derive(Debug)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C, on an empty line.
    Interrupt,
    /// Ctrl-D.
    End,
    /// The terminal failed.
    Failed(io::Error),
}

/// Reads lines from the terminal.
pub(super) struct LineEditor {
    /// Asks for a line.
    ask: mpsc::Sender<()>,
    typed: mpsc::Receiver<Typed>,
    printer: Box<dyn ExternalPrinter + Send>,
    /// A line has been asked for and not been had.
    is_asked: bool,
    /// How the terminal was found.
    before: Termios,
}

impl LineEditor {
    /// Whether lines can be edited here: somebody types, and sees it on a terminal that can be told
    /// to go back.
    pub(super) fn is_possible() -> bool {
        let is_limited =
            env::var_os("TERM").is_some_and(|term| LIMITED.iter().any(|limited| term == *limited));
        isatty(stdin()) && isatty(stdout()) && !is_limited
    }

    /// Starts the editor. Without a place for its history it has none.
    ///
    /// # Errors
    ///
    /// What the terminal says, or the system to another thread.
    pub(super) fn start() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let config = Config::builder()
            .max_history_size(REMEMBERED)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(to_io)?
            .history_ignore_space(true)
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config).map_err(to_io)?;
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(GiveUp)));
        let history = history();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        let printer = Box::new(editor.create_external_printer().map_err(to_io)?);
        let (ask, asked) = mpsc::channel(1);
        let (answer, typed) = mpsc::channel(1);
        thread::Builder::new()
            .name("line editor".to_owned())
            .spawn(move || read_lines(editor, history, asked, &answer))?;
        Ok(Self { ask, typed, printer, is_asked: false, before })
    }

    /// What is typed at the prompt.
    ///
    /// # Cancel safety
    ///
    /// The prompt stays; another call goes on waiting for what is typed at it.
    pub(super) async fn next(&mut self) -> Typed {
        if !self.is_asked {
            // There is room: the editor takes what is asked before it answers.
            self.is_asked = self.ask.send(()).await.is_ok();
        }
        let typed = self.typed.recv().await;
        self.is_asked = false;
        typed.unwrap_or(Typed::End)
    }

    /// Prints a message above the line that is being typed.
    pub(super) fn print(&mut self, message: &str) {
        // A terminal that is gone ends what is typed at it.
        let _ = self.printer.print(format!("{message}\n"));
    }
}

impl Drop for LineEditor {
    /// Leaves the terminal as it was, if a signal ends the shell at the prompt.
    fn drop(&mut self) {
        if self.is_asked {
            // Without a terminal there is nothing to be left.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
            let _ = writeln!(io::stdout(), "{NO_BRACKETED_PASTE}");
        }
    }
}

/// What Ctrl-C does: it gives up the line that is being typed, or the shell if there is none.
struct GiveUp;

impl ConditionalEventHandler for GiveUp {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        Some(if context.line().is_empty() {
            Cmd::Interrupt
        } else {
            Cmd::Kill(Movement::WholeBuffer)
        })
    }
}

fn read_lines(
    mut editor: Editor<(), FileHistory>,
    history: Option<PathBuf>,
    mut asked: mpsc::Receiver<()>,
    answer: &mpsc::Sender<Typed>,
) {
    while asked.blocking_recv().is_some() {
        let typed = match editor.readline(PROMPT) {
            Ok(line) => {
                if let Some(path) = &history {
                    // At once: the shell may be ended in any way. Not to remember is no failure.
                    let _ = editor.append_history(path);
                }
                Typed::Line(line)
            }
            Err(ReadlineError::Eof) => Typed::End,
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(error) => Typed::Failed(to_io(error)),
        };
        if answer.blocking_send(typed).is_err() {
            return;
        }
    }
}

/// Where lines are remembered, as the XDG Base Directory Specification has it:
/// `$XDG_STATE_HOME/volley/history`, where that defaults to `~/.local/state`.
fn history() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = state.join("volley");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

fn to_io(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    }
}
