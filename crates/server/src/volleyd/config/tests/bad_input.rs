//! What is wrong with a configuration, in so many words, and where.

use volley_cli::Exit;

use super::*;

#[test]
fn every_problem_of_the_top_level_has_its_line_and_column() {
    let file = "\
idle-timout = '5m'
drain = 10
 frame-timeout = [1]
reply = 5
lifetime-jitter = 2.5
idle-timeout = 0
max-connections = 0
threads = false
name = 'x'
log = 'inof'
write-timeout = '5 parsec'
max-frame = '65MiB'
accept-rate = -1
admin = 'unix:/'
log-format = 1979-05-27
";
    let expected = "\
1:1: unknown key `idle-timout`: did you mean `idle-timeout`?
2:9: `drain` needs a unit: write for example \"10s\"
3:18: `frame-timeout` can't be an array: write for example frame-timeout = \"30s\"
4:9: `reply` can't be an integer: write for example reply = \"ack\"
5:19: `lifetime-jitter` needs a unit: write for example \"2.5%\"
6:16: `idle-timeout`: `0s` would allow nothing: write off for no limit
7:19: `max-connections`: `0` would allow nothing: write a number from 1 on, or auto
8:11: `threads` can't be a boolean: write for example threads = 4
9:1: `name` is of one listener: write it in a [[listener]] section
10:7: `log`: `inof` is no level: write error, warn, info, debug, trace or off
11:17: `write-timeout`: `5 parsec` is no duration: write a number and a unit, for example 5ms, 10s or 2m
12:13: `max-frame`: a frame limit of 68157440 bytes is above the 67108864 that the protocol allows
13:15: `accept-rate`: `-1` is no rate: write how many per second, for example 500 or 50k
14:9: `admin`: `unix:/` names no socket: write for example unix:/run/volley.sock
15:14: `log-format` can't be a datetime: write for example log-format = \"json\"";
    assert_problems(file, expected);
}

#[test]
fn every_problem_of_a_section_has_its_line_and_column() {
    let file = "\
[[listener]]
listen = '127.0.0.1:1'
drain = '5s'
name = 'a'
reply = 'ehco'

[[listener]]
listen = '127.0.0.1:2'
name = 'a'

[[listener]]
listen = '127.0.0.1:1'
max-connections = 0
listn = 'x'

[[listener]]
name = 'b c'
zzz = 1

[[listener]]
listen = ['127.0.0.1:3']
";
    let expected = "\
3:1: `drain` is the same for all listeners: write it above the first [[listener]]
5:9: `reply`: `ehco` is not known: write echo or ack
9:8: another listener is called `a` already, on line 4
12:10: tcp://127.0.0.1:1 has a listener already, on line 2
13:19: `max-connections`: `0` would allow nothing: write off for no limit
14:1: unknown key `listn`: did you mean `listen`?
16:1: this [[listener]] has no `listen`
17:8: `name`: `b c` is no name: write 1 to 64 letters, digits, `-`, `_` and `.`
18:1: unknown key `zzz`
21:10: `listen` can't be an array: write for example listen = \"0.0.0.0:7007\"";
    assert_problems(file, expected);
}

/// `expected` without the file's name, a line for each.
#[track_caller]
fn assert_problems(file: &str, expected: &str) {
    let expected: Vec<String> = expected.lines().map(|line| format!("{FILE}:{line}")).collect();
    let found = problems(file);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn of_very_many_problems_the_first_are_told() {
    let file: String = (0..1000).map(|n| format!("key-{n} = {n}\n")).collect();
    let found = problems(&file);
    assert_eq!(found.len(), 20);
    assert_eq!(found[19], "volleyd.toml:20:1: unknown key `key-19`");
}

#[test]
fn what_else_can_be_wrong_with_a_file() {
    let cases = [
        ("listen = []", "1:10: `listen` is empty: write at least one endpoint"),
        ("listener = []", "1:12: `listener` is empty: write at least one [[listener]]"),
        (
            "[listener]\nlisten = '127.0.0.1:1'",
            "1:2: write [[listener]], in two pairs of brackets: there may be several",
        ),
        ("listener = [1]", "1:13: write a [[listener]] section in its place"),
        (
            "listen = '127.0.0.1:1'\n[[listener]]\nlisten = '127.0.0.1:2'",
            "1:1: `listen` and [[listener]] can't both be there: move it into a section",
        ),
        (
            "listen = ['127.0.0.1:0', 5]",
            "1:26: `listen` can't be an integer: write for example listen = \"0.0.0.0:7007\"",
        ),
        (
            "listen = 'quic://x:1'",
            "1:10: `listen`: unknown scheme `quic`: there are tcp://, tls://, udp:// and unix:",
        ),
        ("listen = ['127.0.0.1:0', 'x']", "1:26: `listen`: `x` has no port: write x:7007"),
        (
            "listen = ['127.0.0.1:1', 'tcp://127.0.0.1:1']",
            "1:26: tcp://127.0.0.1:1 has a listener already, on line 1",
        ),
        (
            "[[listener]]\nlisten = 'x:1'\nname = 'admin'",
            "3:8: `name`: `admin` means something else where sockets are passed",
        ),
        (
            "listen = 'tls://x:1'\ncert = 'cert.pem'",
            "1:10: tls://x:1 needs `cert` and `key`; to try it out, `volleyd --dev-cert DIR` makes \
             both",
        ),
        (
            "[[listener]]\nlisten = 'x:1'\ncert = 'cert.pem'",
            "3:8: `cert` means nothing to tcp://x:1",
        ),
        (
            "[[listener]]\nlisten = 'unix:@x'\nproxy-from = '10.0.0.0/8'",
            "3:14: `proxy-from` means nothing to unix:@x",
        ),
        (
            "key = 'key.pem'",
            "1:7: `key` is given, and no listener speaks TLS: write tls:// before its address",
        ),
        (
            "proxy-from = ['10.0.0.0/8', '10.0.0.0/33']",
            "1:14: `proxy-from`: `10.0.0.0/33` is no network: write for example 10.0.0.0/8 or \
             2001:db8::/32",
        ),
        (
            "proxy-from = ['10.0.0.0/8', 5]",
            "1:14: `proxy-from` can't be an integer: write for example proxy-from = \
             [\"10.0.0.0/8\", \"192.0.2.7\"]",
        ),
        ("[limits]\nidle = 3", "1:2: unknown key `limits`"),
    ];
    for (file, expected) in cases {
        assert_eq!(problems(file), [format!("{FILE}:{expected}")], "{file}");
    }
}

#[test]
fn a_section_says_nothing_that_means_nothing_to_its_listener() {
    let no_file = ", which has no file";
    let no_handshake = ", which has neither TLS nor `proxy-from`";
    let (no_connections, is_raw) = (", which has no connections", ", whose framing is raw");
    let raw = "tcp://127.0.0.1:1\nframing = 'raw'";
    let cases = [
        ("tcp://x:1", "unix-mode = '0600'", no_file),
        ("tcp://x:1", "unix-owner = 'root'", no_file),
        ("unix:@x", "unix-group = 'root'", no_file),
        ("tcp://x:1", "datagram-rate = 5", ""),
        ("unix:@x", "allow-public-udp = true", ""),
        ("tcp://x:1", "allow-public-raw = true", ", which has frames"),
        ("tcp://x:1", "max-handshakes = 5", no_handshake),
        ("unix:@x", "handshake-timeout = '5s'", no_handshake),
        ("unix:@x", "key = 'key.pem'", ""),
        ("udp://localhost:1", "framing = 'raw'", no_connections),
        ("udp://localhost:1", "idle-timeout = '5s'", no_connections),
        ("udp://localhost:1", "max-connections = 5", no_connections),
        (raw, "max-frame = 5", is_raw),
        (raw, "frame-timeout = '5s'", is_raw),
        (raw, "reply = 'ack'", is_raw),
    ];
    for (listen, setting, why) in cases {
        let (endpoint, more) = listen.split_once('\n').unwrap_or((listen, ""));
        let file = format!("[[listener]]\nlisten = '{endpoint}'\n{setting}\n{more}\n");
        let (key, value) = setting.split_once('=').unwrap();
        let column = setting.len() - value.trim().len() + 1;
        let key = key.trim();
        let expected = format!("{FILE}:3:{column}: `{key}` means nothing to {endpoint}{why}");
        assert_eq!(problems(&file), [expected], "{file}");
    }
}

#[test]
fn what_is_the_default_or_is_for_all_listeners_may_mean_nothing_to_one() {
    good("[[listener]]\nlisten = 'x:1'\nunix-mode = '0660'\ncert = 'off'\ndatagram-rate = 'auto'");
    good("unix-mode = '0600'\nframing = 'raw'\nlisten = ['127.0.0.1:1', 'udp://127.0.0.1:1']");
    good("proxy-from = '10.0.0.0/8'\n[[listener]]\nlisten = 'x:1'\nmax-handshakes = 5");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let cases = [
        ("drain = \"10s", "1:13: invalid basic string, expected `\"`"),
        ("a = 1\na = 2", "2:1: duplicate key"),
        ("drain", "1:6: key with no value, expected `=`"),
        ("\n[[listener", "2:11: unclosed array table, expected `]]`"),
        ("drain = '1s' x", "1:14: unexpected key or value, expected newline, `#`"),
    ];
    for (file, expected) in cases {
        assert_eq!(problems(file), [format!("{FILE}:{expected}")], "{file}");
    }
    let latin_1 = b"# \xe4\nlog = 'info'\nname = '\xfc'".to_vec();
    let found = lines(sources(&[], &[]).unwrap().settings_with(Some(latin_1)));
    assert_eq!(found, ["volleyd.toml:1:3: this is no UTF-8, in which a TOML file is written"]);
}

#[test]
fn an_admin_endpoint_is_not_a_listener_and_its_socket_has_a_directory() {
    let cases = [
        ("admin = '127.0.0.1:7007'", "1:9: tcp://127.0.0.1:7007 is that of a listener (default)"),
        (
            "admin = '127.0.0.1:1'\n[[listener]]\nlisten = 'tcp://127.0.0.1:1'",
            "1:9: tcp://127.0.0.1:1 is that of a listener (volleyd.toml:3)",
        ),
        (
            "admin = 'unix:/nowhere/at/all'",
            "1:9: unix:/nowhere/at/all: there is no directory /nowhere/at",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(problems(file), [format!("{FILE}:{expected}")], "{file}");
    }
    good("admin = '127.0.0.1:0'\nlisten = '127.0.0.1:0'");
    good("admin = 'unix:/volleyd.sock'");
}

#[test]
fn a_problem_is_shown_with_its_line_and_carets() {
    let error = settings(&[], &[], "# first\nidle-timout = 3\ndrain = [  ] # last").unwrap_err();
    let report = "\
volleyd.toml:2:1: unknown key `idle-timout`: did you mean `idle-timeout`?
  idle-timout = 3
  ^^^^^^^^^^^
volleyd.toml:3:9: `drain` can't be an array: write for example drain = \"30s\"
  drain = [  ] # last
          ^^^^
";
    assert_eq!(error.report(), report);
    assert_eq!(
        error.to_string(),
        "volleyd.toml:2:1: unknown key `idle-timout`: did you mean `idle-timeout`?; \
         volleyd.toml:3:9: `drain` can't be an array: write for example drain = \"30s\""
    );
}

#[test]
fn a_bad_variable_is_wrong_usage_and_a_bad_file_is_not() {
    let variables = [("VOLLEYD_THREADS", "0"), ("VOLLEYD_IDLE_TIMEOUT", "5")];
    let error = settings(&[], &variables, "").unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(
        error.report(),
        "volleyd: VOLLEYD_IDLE_TIMEOUT: `5` is no duration: write a number and a unit, for example \
         5ms, 10s or 2m\n\
         volleyd: VOLLEYD_THREADS: `0` is no number of threads: write 1 to 1024\n"
    );
    for (name, value, why) in [
        ("VOLLEYD_LISTEN", ",", "VOLLEYD_LISTEN: `,` names no endpoint"),
        ("VOLLEYD_LISTEN", "127.0.0.1:1,x", "VOLLEYD_LISTEN: `x` has no port: write x:7007"),
        (
            "VOLLEYD_LISTEN",
            "127.0.0.1:1 127.0.0.1:1",
            "VOLLEYD_LISTEN: tcp://127.0.0.1:1 is there twice",
        ),
        (
            "RUST_LOG",
            "volley=loud",
            "RUST_LOG: `volley=loud` is no filter: error parsing level filter: expected one of \
             \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (
            "VOLLEYD_ADMIN",
            "127.0.0.1:7007",
            "VOLLEYD_ADMIN: tcp://127.0.0.1:7007 is that of a listener (default)",
        ),
    ] {
        let error = settings(&[], &[(name, value)], "").unwrap_err();
        assert_eq!((error.exit(), error.to_string().as_str()), (Exit::Usage, why));
    }
    let twice = ["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"];
    let error = settings(&twice, &[], "").unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(error.to_string(), "--listen: tcp://127.0.0.1:1 is there twice");
    assert_eq!(settings(&[], &[], "x = 1").unwrap_err().exit(), Exit::Config);
    let missing = sources(&[], &[]).unwrap().settings().unwrap_err();
    assert_eq!(missing.exit(), Exit::NoInput);
    assert!(missing.to_string().starts_with("cannot read volleyd.toml: "), "{missing}");
}

/// A value that a flag overrides may come back when the flag goes.
#[test]
fn what_is_overridden_must_be_right_too() {
    let flags = ["--drain", "1s", "--listen", "127.0.0.1:0"];
    let file = "drain = 5\n[[listener]]\nlisten = '127.0.0.1:1'\nidle-timeout = 5";
    assert_eq!(lines(settings(&flags, &[], file)).len(), 2);
}

#[test]
fn a_variable_that_looks_like_ours_is_told_and_one_of_kubernetes_is_not() {
    let variables = [
        ("VOLLEYD_DRIAN", "1s"),
        ("VOLLEYD_CONFG", "x"),
        ("VOLLEYD_SOMETHING", "1"),
        ("VOLLEYD_NAME", "x"),
        ("VOLLEYD_SERVICE_HOST", "10.0.0.1"),
        ("VOLLEYD_PORT", "tcp://10.0.0.1:7007"),
        ("VOLLEYD_PORT_7007_TCP_ADDR", "10.0.0.1"),
        ("VOLLEY_TO", "x"),
    ];
    assert_eq!(
        settings(&[], &variables, "").unwrap().warnings,
        [
            "unknown variable VOLLEYD_CONFG in the environment: did you mean VOLLEYD_CONFIG?",
            "unknown variable VOLLEYD_DRIAN in the environment: did you mean VOLLEYD_DRAIN?",
            "unknown variable VOLLEYD_NAME in the environment",
            "unknown variable VOLLEYD_SOMETHING in the environment",
        ]
    );
}
