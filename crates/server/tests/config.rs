//! The daemon's configuration: flags, environment and file, `--check` and `--print-config`, and
//! SIGHUP.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use common::{LIMIT, Peer, Volleyd, WELCOME, control, data, exit_of, hello, pattern, welcome};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::Signal;
use tempfile::TempDir;

/// A configuration file that can be rewritten.
struct File {
    _directory: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("volleyd.toml");
        fs::write(&path, text).unwrap();
        Self { _directory: directory, path }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The daemon with this file and what it says of listeners.
    fn start(&self, arguments: &[&str], listeners: usize) -> Volleyd {
        let mut command = Volleyd::command();
        command.args(["--config", self.path()]).args(arguments);
        Volleyd::spawn(command, listeners)
    }
}

/// The WELCOME of a server that takes frames of this many bytes.
fn welcome_with(max_frame: u64) -> Vec<u8> {
    control(WELCOME, 1, 1, max_frame, b"")
}

#[track_caller]
fn greeted(daemon: &Volleyd, max_frame: u64) -> Peer {
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome_with(max_frame));
    peer
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let file = File::new("listen = '127.0.0.1:0'\nmax-frame = 100\nmax-connections = 1");
    let start = |flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = Volleyd::command();
        command.args(flags).envs(variables.iter().copied());
        Volleyd::spawn(command, 1)
    };
    let config = ["--config", file.path()];
    let variables = [("VOLLEYD_MAX_FRAME", "200"), ("VOLLEYD_CONFIG", file.path())];
    greeted(&start(&config, &[]), 100);
    greeted(&start(&[], &variables[1..]), 100);
    greeted(&start(&[], &variables), 200);
    let daemon = start(&["--max-frame", "300"], &variables);
    let _inside = greeted(&daemon, 300);
    // What nobody else sets is the file's.
    assert_eq!(daemon.connect().error().0, 2);
}

#[test]
fn listeners_have_their_own_reply_and_limits() {
    let file = File::new(
        "max-frame = 1000\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nreply = 'ack'\nmax-connections = 1\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nmax-frame = '2k'\n",
    );
    let daemon = file.start(&[], 2);
    let [first, second] = daemon.addresses()[..] else { panic!("{:?}", daemon.endpoints) };
    let greet = |address, reply, max_frame| {
        let mut peer = Peer::connect(address);
        peer.send(hello(0));
        peer.expect(control(WELCOME, reply, 1, max_frame, b""));
        peer
    };
    let inside = [greet(first, 2, 1000), greet(second, 1, 2000), greet(second, 1, 2000)];
    assert_eq!(Peer::connect(first).error().0, 2);
    drop(inside);
    let (books, _) = daemon.finish();
    assert_eq!((books.accepted, books.refused), (3, 1));
}

#[test]
fn a_source_has_its_share_of_a_listener_and_of_them_all() {
    let file = File::new(
        "max-connections-per-source = 3\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nmax-connections-per-source = 1\n\
         [[listener]]\nlisten = '127.0.0.1:0'\n",
    );
    let daemon = file.start(&[], 2);
    let [first, second] = daemon.addresses()[..] else { panic!("{:?}", daemon.endpoints) };
    let mut inside = [first, second, second].map(Peer::connect);
    inside.iter_mut().for_each(|peer| peer.echoes(b"inside"));
    for address in [first, second] {
        assert_eq!(Peer::connect(address).error().0, 2);
    }
    drop(inside);
    let (books, _) = daemon.finish();
    assert_eq!((books.accepted, books.refused), (3, 2));
}

#[test]
fn listeners_have_their_own_deadlines() {
    let file = File::new(
        "idle-timeout = '100ms'\n\
         [[listener]]\nlisten = '127.0.0.1:0'\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nidle-timeout = 'off'\n",
    );
    let daemon = file.start(&[], 2);
    let [hasty, patient] = daemon.addresses()[..] else { panic!("{:?}", daemon.endpoints) };
    let mut stays = Peer::connect(patient);
    stays.echoes(b"first");
    let mut goes = Peer::connect(hasty);
    goes.send(data(b"only"));
    goes.expect(data(b"only"));
    assert_eq!(goes.error().0, 4);
    stays.echoes(b"second");
}

#[test]
fn check_says_that_a_file_is_good_or_what_is_wrong() {
    let file = File::new("listen = '127.0.0.1:0'\nidle-timeout = '1m'\n");
    let (code, stdout, stderr) = exit_of(&["--config", file.path(), "--check"], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, format!("{}: ok", file.path()));

    file.write("[[listener]]\nlisten = '127.0.0.1:0'\n  idle-timout = '1m' # a slip\n");
    let report = format!(
        "{}:3:3: unknown key `idle-timout`: did you mean `idle-timeout`?\n    idle-timout = '1m' # \
         a slip\n    ^^^^^^^^^^^",
        file.path()
    );
    // And it does not start with it.
    for arguments in [&["--config", file.path(), "--check"][..], &["--config", file.path()]] {
        let (code, stdout, stderr) = exit_of(arguments, &[]);
        assert_eq!((code, stdout.as_str(), &stderr), (78, "", &report));
    }

    let (code, stdout, stderr) = exit_of(&["--check"], &[]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "flags and environment: ok", ""));
}

/// Nothing is bound: neither by a check nor by a print.
#[test]
fn a_port_in_use_is_found_at_the_start_and_not_before() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = File::new(&format!("listen = ['127.0.0.1:0', '{address}']"));
    let (code, stdout, stderr) = exit_of(&["--config", file.path()], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on tcp://{address}: Address")), "{stderr}");
    for task in ["--check", "--print-config"] {
        assert_eq!(exit_of(&["--config", file.path(), task], &[]).0, 0);
    }
}

#[test]
fn a_file_that_is_not_there_is_a_missing_input() {
    for path in ["/nonexistent/volleyd.toml", "/"] {
        let (code, stdout, stderr) = exit_of(&["--config", path], &[]);
        assert_eq!((code, stdout.as_str()), (66, ""), "{stderr}");
        assert!(stderr.starts_with(&format!("volleyd: cannot read {path}: ")), "{stderr}");
    }
}

#[test]
fn a_bad_variable_is_wrong_usage_and_an_unknown_one_a_warning() {
    let (code, stdout, stderr) = exit_of(&[], &[("VOLLEYD_DRAIN", "10")]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    let why = "volleyd: VOLLEYD_DRAIN: `10` is no duration: write a number and a unit, for example \
               5ms, 10s or 2m";
    assert_eq!(stderr, why);

    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0"]).env("VOLLEYD_DRIAN", "10s");
    command.env("VOLLEYD_SERVICE_HOST", "10.0.0.1");
    let (_, log) = Volleyd::spawn(command, 1).finish();
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    let told = "unknown variable VOLLEYD_DRIAN in the environment: did you mean VOLLEYD_DRAIN?";
    assert!(warnings[0].ends_with(told), "{warnings:?}");
}

#[test]
fn print_config_is_a_file_with_the_same_settings() {
    let file = File::new(
        "reply = 'ack'\nlifetime = '1h'\n[[listener]]\nlisten = '127.0.0.1:0'\nname = 'a'\n",
    );
    let arguments = ["--config", file.path(), "--print-config", "--frame-rate", "1.5k"];
    let (code, first, stderr) = exit_of(&arguments, &[("VOLLEYD_DRAIN", "90s")]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for (value, origin) in [
        ("drain = \"90s\"", "VOLLEYD_DRAIN"),
        ("frame-rate = \"1.5k\"", "flag --frame-rate"),
        ("lifetime = \"1h\"", &format!("{}:2", file.path())),
        ("idle-timeout = \"5m\"", "default"),
    ] {
        let line = first.lines().find(|line| line.starts_with(value)).unwrap();
        assert!(line.ends_with(&format!("  # {origin}")), "{line}");
    }
    file.write(&first);
    let (code, second, _) = exit_of(&["--config", file.path(), "--print-config"], &[]);
    assert_eq!(code, 0);
    let values = |toml: &str| -> Vec<String> {
        let value = |line: &str| line.split("  #").next().unwrap().trim_end().to_owned();
        toml.lines().map(value).collect()
    };
    assert_eq!(values(&second), values(&first));
}

#[test]
fn check_and_print_config_are_not_asked_at_once() {
    let (code, _, stderr) = exit_of(&["--check", "--print-config"], &[]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_hangup_puts_the_file_in_force_and_drops_nobody() {
    let file = File::new("listen = '127.0.0.1:0'\nmax-frame = 1000\nlog = 'info'\n");
    let mut daemon = file.start(&[], 1);
    let mut before = greeted(&daemon, 1000);
    file.write(
        "listen = '127.0.0.1:0'\nmax-frame = 2000\nlog = 'debug'\nmax-connections = 2\n\
         drain = '1m'\n",
    );
    daemon.signal(Signal::HUP);
    for change in [
        "max-connections: auto -> 2",
        "drain: 10s -> 1m",
        "log: info -> debug",
        "max-frame: 1000 -> 2000",
    ] {
        daemon.wait_for(&["INFO", &format!("reloaded change=\"{change}\"")]);
    }
    daemon.wait_for(&["INFO", "another log filter is in force"]);
    // What a client has been told stays; who comes now is told anew.
    before.echoes(&pattern(1000, 1));
    let mut after = greeted(&daemon, 2000);
    daemon.wait_for(&["DEBUG", "HELLO"]);
    assert_eq!(daemon.connect().error().0, 2);
    before.echoes(b"still served");
    after.echoes(&pattern(2000, 2));
    drop((before, after));
    let (books, _) = daemon.finish();
    assert_eq!((books.accepted, books.refused, books.frames_answered), (2, 1, 3));
}

#[test]
fn a_deadline_that_is_shortened_is_so_for_open_connections() {
    let file = File::new("listen = '127.0.0.1:0'\n");
    let mut daemon = file.start(&[], 1);
    let mut peer = daemon.connect();
    peer.echoes(b"and then silence");
    file.write("listen = '127.0.0.1:0'\nidle-timeout = '50ms'\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded change=\"idle-timeout: 5m -> 50ms\""]);
    assert_eq!(peer.error().0, 4);
}

#[test]
fn the_drain_delay_is_as_long_as_it_is_when_the_daemon_is_asked_to_go() {
    let file = File::new("listen = '127.0.0.1:0'\n");
    let mut daemon = file.start(&[], 1);
    file.write("listen = '127.0.0.1:0'\ndrain-delay = '1h'\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded change=\"drain-delay: 0s -> 1h\""]);
    daemon.signal(Signal::TERM);
    daemon.wait_for(&["not ready any more, accepting for the drain delay"]);
    daemon.connect().echoes(b"accepted");
    daemon.finish();
}

#[test]
fn a_filter_that_was_set_by_hand_stays_while_the_file_says_nothing_new() {
    let file = File::new("listen = '127.0.0.1:0'\n");
    let mut daemon = file.start(&[], 1);
    assert_eq!(daemon.admin().ask("PUT", "/log", "debug").status, 200);
    file.write("listen = '127.0.0.1:0'\ndrain = '1s'\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded change=\"drain: 10s -> 1s\""]);
    assert_eq!(daemon.admin().get("/log").body, "debug\n");
    file.write("listen = '127.0.0.1:0'\ndrain = '1s'\nlog = 'warn'\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["another log filter is in force before=\"debug\" filter=\"warn\""]);
}

#[test]
fn a_broken_file_is_told_and_the_daemon_goes_on_as_before() {
    let file = File::new("listen = '127.0.0.1:0'\nmax-frame = 1000\n");
    let mut daemon = file.start(&[], 1);
    let mut open = greeted(&daemon, 1000);
    let bad = "the configuration is bad; going on as before";
    let path = file.path().to_owned();
    let cases = [
        ("max-frame = 2000\nidle-timout = '1m'", format!("{path}:2:1: unknown key")),
        ("max-frame = 2000\nidle-timeout = 5", format!("{path}:2:16: `idle-timeout` needs a unit")),
        ("max-frame = 3000\n[listen", format!("{path}:2:8: unclosed table")),
        ("listen = ['127.0.0.1:1', '127.0.0.1:1']", format!("{path}:1:26: tcp://127.0.0.1:1 has")),
    ];
    for (text, problem) in cases {
        file.write(text);
        daemon.signal(Signal::HUP);
        daemon.wait_for(&["ERROR", bad, &problem]);
        open.echoes(b"open");
        greeted(&daemon, 1000);
    }
    fs::remove_file(&file.path).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["ERROR", bad, &format!("cannot read {path}: ")]);
    greeted(&daemon, 1000);
    let metrics = daemon.admin().metrics();
    let reloads = |outcome: &str| metrics.get("volleyd_reloads_total", &[("outcome", outcome)]);
    assert_eq!((reloads("applied"), reloads("rejected")), (0.0, 5.0));

    for (text, named) in
        [("threads = 1000", "threads: auto -> 1000"), ("reply = 'ack'", "reply: echo -> ack")]
    {
        file.write(&format!("listen = '127.0.0.1:0'\nmax-frame = 2000\n{text}"));
        daemon.signal(Signal::HUP);
        let why = format!("that takes a restart: {named}");
        daemon.wait_for(&["ERROR", "the configuration takes a restart; going on as before", &why]);
        greeted(&daemon, 1000);
    }

    // And when it is right again, it is taken.
    file.write("listen = '127.0.0.1:0'\nmax-frame = 2000\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded change=\"max-frame: 1000 -> 2000\""]);
    greeted(&daemon, 2000);
    open.echoes(b"open");
}

/// A file on a disk that does not answer, as far as the daemon can tell.
#[test]
fn a_reload_that_hangs_holds_up_neither_frames_nor_the_end() {
    let file = File::new("listen = '127.0.0.1:0'\n");
    let daemon = file.start(&[], 1);
    fs::remove_file(&file.path).unwrap();
    mknodat(CWD, &file.path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    daemon.signal(Signal::HUP);
    // It can be opened once the daemon is about to read it.
    let deadline = Instant::now() + LIMIT;
    let _silent = loop {
        match open(&file.path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(writer) => break writer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    };
    daemon.connect().echoes(b"served");
    daemon.finish();
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let mut daemon = Volleyd::start(&[]);
    let mut open = daemon.connect();
    open.echoes(b"before");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["WARN", "nothing to reload: there is no file to read again"]);
    open.send(data(b"after"));
    open.expect(data(b"after"));
    open.send(hello(0));
    assert_eq!(open.error().0, 8);
    drop(open);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
}

#[test]
fn help_has_every_group_of_settings() {
    let (code, stdout, _) = exit_of(&["--help"], &[]);
    assert_eq!(code, 0);
    for heading in
        ["Listeners:", "Limits:", "Deadlines:", "Operation:", "Logging:", "Configuration:"]
    {
        assert!(stdout.lines().any(|line| line == heading), "{heading} {stdout}");
    }
    for part in
        ["VOLLEYD_IDLE_TIMEOUT", "--lifetime-jitter <PERCENT>", "[default: 5m]", "VOLLEYD_CONFIG"]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}
