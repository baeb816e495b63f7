//! Who has the say.

use std::time::Duration;

use super::*;
use crate::config::value::Value;

/// The idle timeout of the `at`th listener, and who set it.
#[track_caller]
fn idle(settings: &Settings, at: usize) -> (u64, String) {
    let idle = &settings.listeners[at].settings.idle_timeout;
    (idle.value.unwrap().as_secs(), idle.origin.to_string())
}

/// Every layer says something, and then the highest is taken away, one after the other.
#[test]
fn a_flag_beats_the_environment_that_beats_the_section_that_beats_the_top_that_beats_the_default() {
    let flag = ["--idle-timeout", "1s"];
    let variable = [("VOLLEYD_IDLE_TIMEOUT", "2s")];
    let section = "[[listener]]\nlisten = \"127.0.0.1:0\"\nidle-timeout = \"3s\"\n";
    let top = "idle-timeout = \"4s\"\n";
    let bare_section = "[[listener]]\nlisten = \"127.0.0.1:0\"\n";
    let from = |flags: &[&str], variables: &[(&str, &str)], file: &str| {
        idle(&settings(flags, variables, file).unwrap(), 0)
    };
    let everything = format!("{top}{section}");
    let cases = [
        (from(&flag, &variable, &everything), 1, "flag --idle-timeout"),
        (from(&[], &variable, &everything), 2, "VOLLEYD_IDLE_TIMEOUT"),
        (from(&[], &[], &everything), 3, "volleyd.toml:4"),
        (from(&[], &[], &format!("{top}{bare_section}")), 4, "volleyd.toml:1"),
        (from(&[], &[], bare_section), 300, "default"),
        (from(&[], &variable, ""), 2, "VOLLEYD_IDLE_TIMEOUT"),
        (from(&flag, &[], section), 1, "flag --idle-timeout"),
    ];
    for (found, seconds, origin) in cases {
        assert_eq!(found, (seconds, origin.to_owned()));
    }
}

/// Through all rows, so that none can be left out of a layer.
#[test]
fn every_setting_can_be_a_flag_a_variable_and_a_key() {
    for row in super::super::table::rows().filter(|row| row.is_general() && row.key != "listen") {
        let (flag, variable) = (format!("--{}", row.key), row.variable());
        let key = row.toml(row.example);
        let shown = |settings: Result<Settings, ConfigError>| {
            let settings = settings.unwrap_or_else(|error| panic!("{key}: {error}"));
            let mut all = settings.process.shown();
            all.extend(settings.listeners[0].settings.shown());
            let found = all.into_iter().find(|shown| shown.row.key == row.key).unwrap();
            (found.text, found.origin.to_string())
        };
        let default = shown(settings(&[], &[], ""));
        assert_eq!(default.1, "default", "{key}");
        // What is of TLS is nothing without it, and that takes all of these.
        let tls = [
            ("VOLLEYD_LISTEN", "tls://127.0.0.1:1"),
            ("VOLLEYD_CERT", "cert.pem"),
            ("VOLLEYD_KEY", "key.pem"),
        ];
        let is_of_tls = ["cert", "key", "client-ca"].contains(&row.key);
        let beside: Vec<_> =
            tls.into_iter().filter(|(name, _)| is_of_tls && *name != variable).collect();
        let with_variable = [&beside[..], &[(&variable, row.example)]].concat();
        let cases = [
            (settings(&[&flag, row.example], &beside, ""), format!("flag {flag}")),
            (settings(&[], &with_variable, ""), variable.clone()),
            (settings(&[], &beside, &key), "volleyd.toml:1".to_owned()),
        ];
        let [flag, variable, file] = cases.map(|(settings, origin)| {
            let found = shown(settings);
            assert_eq!(found.1, origin, "{key}");
            found.0
        });
        assert!(flag != default.0, "the example of {} is its default", row.key);
        assert!(flag == variable && flag == file, "{key}: {flag}, {variable}, {file}");
    }
}

#[test]
fn listeners_have_their_own_and_share_the_rest() {
    let settings = good(
        "max-connections = 500\nreply = \"ack\"\nframe-rate = \"1k\"\n\
         [[listener]]\nname = \"public\"\nlisten = \"127.0.0.1:1\"\nmax-connections = 10\n\
         reply = \"echo\"\nidle-timeout = false\n\
         [[listener]]\nlisten = \"localhost:2\"\nmax-connections-per-source = 3\n",
    );
    assert_eq!(settings.process.max_connections.value.show(), "500");
    let [public, other] = &settings.listeners[..] else { panic!("{settings:?}") };
    assert_eq!((public.title(), other.title()), ("public".into(), "tcp://localhost:2".into()));
    assert_eq!(public.settings.reply.value, volley_cli::Reply::Echo);
    assert_eq!(other.settings.reply.value, volley_cli::Reply::Ack);
    assert_eq!(public.settings.idle_timeout.value, None);
    assert_eq!(other.settings.idle_timeout.value, Some(Duration::from_secs(300)));
    let rate = |listener: &crate::config::Listener| listener.settings.frame_rate.value.unwrap().0;
    assert_eq!((rate(public), rate(other)), (1000.0, 1000.0));
    // The caps of a listener are apart from those of the process.
    assert_eq!(public.own.max_connections.value.unwrap().0, 10);
    assert!(other.own.max_connections.value.is_none());
    assert_eq!(other.own.max_connections_per_source.value.unwrap().0, 3);
    assert!(settings.process.max_connections_per_source.value.is_none());
}

#[test]
fn listeners_come_from_one_source_alone() {
    let endpoints = |settings: &Settings| -> Vec<String> {
        settings.listeners.iter().map(|listener| listener.endpoint.value.to_string()).collect()
    };
    let file = "idle-timeout = \"4s\"\n[[listener]]\nlisten = \"127.0.0.1:1\"\nname = \"one\"\n\
                idle-timeout = \"3s\"\n";
    let variable = [("VOLLEYD_LISTEN", "127.0.0.1:2, 127.0.0.1:3  127.0.0.1:0,127.0.0.1:0")];
    let flags = ["--listen", "127.0.0.1:4", "--listen", "127.0.0.1:5"];

    let by_flag = settings(&flags, &variable, file).unwrap();
    assert_eq!(endpoints(&by_flag), ["tcp://127.0.0.1:4", "tcp://127.0.0.1:5"]);
    assert_eq!(by_flag.listeners[1].endpoint.origin.to_string(), "flag --listen");
    // What the top level says is for these too; what the section says is not.
    assert_eq!(idle(&by_flag, 0), (4, "volleyd.toml:1".into()));
    let warning = "the listeners of the file, from volleyd.toml:3 on, don't count: flag --listen \
                   is set";
    assert_eq!(by_flag.warnings, [warning]);

    let by_variable = settings(&[], &variable, file).unwrap();
    assert_eq!(
        endpoints(&by_variable),
        ["tcp://127.0.0.1:2", "tcp://127.0.0.1:3", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"]
    );
    assert_eq!(by_variable.listeners[0].endpoint.origin.to_string(), "VOLLEYD_LISTEN");

    let by_file = settings(&[], &[], file).unwrap();
    assert_eq!(endpoints(&by_file), ["tcp://127.0.0.1:1"]);
    assert!(by_file.warnings.is_empty());
    assert_eq!(endpoints(&good("listen = \"[::1]:6\"")), ["tcp://[::1]:6"]);
    let several = good("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"x:7\"]");
    assert_eq!(endpoints(&several), ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0", "tcp://x:7"]);
    assert_eq!(endpoints(&good("")), ["tcp://127.0.0.1:7007"]);
    assert_eq!(good("").listeners[0].endpoint.origin.to_string(), "default");
}

#[test]
fn the_shared_variable_for_logs_stands_between_ours_and_the_file() {
    let file = "log = \"debug\"";
    let log = |flags: &[&str], variables: &[(&str, &str)]| {
        let log = settings(flags, variables, file).unwrap().process.log;
        (log.value.0, log.origin.to_string())
    };
    let both = [("RUST_LOG", "error"), ("VOLLEYD_LOG", "warn")];
    let of = |text: &str, origin: &str| (text.to_owned(), origin.to_owned());
    assert_eq!(log(&["--log", "trace"], &both), of("trace", "flag --log"));
    assert_eq!(log(&[], &both), of("warn", "VOLLEYD_LOG"));
    assert_eq!(log(&[], &both[..1]), of("error", "RUST_LOG"));
    assert_eq!(log(&[], &[]), of("debug", "volleyd.toml:1"));
}

#[test]
fn an_empty_variable_is_none() {
    let variables = [("VOLLEYD_DRAIN", ""), ("RUST_LOG", ""), ("VOLLEYD_LISTEN", "")];
    let settings = settings(&[], &variables, "").unwrap();
    assert_eq!(settings.process.drain.origin.to_string(), "default");
    assert_eq!(settings.process.log.origin.to_string(), "default");
    assert_eq!(settings.listeners.len(), 1);
}

#[test]
fn the_file_is_named_by_a_flag_or_by_a_variable() {
    let sources = |flags: &[&str], variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let arguments = ["volleyd"].iter().chain(flags);
        let sources = Sources::new(Flags::parse(arguments).unwrap(), variables).unwrap();
        sources.file().map(|path| path.display().to_string())
    };
    let variable = [("VOLLEYD_CONFIG", "b.toml")];
    assert_eq!(sources(&["--config", "a.toml"], &variable).unwrap(), "a.toml");
    assert_eq!(sources(&[], &variable).unwrap(), "b.toml");
    assert_eq!(sources(&[], &[("VOLLEYD_CONFIG", "")]), None);
}

#[test]
fn off_and_false_switch_off() {
    for row in super::super::table::rows().filter(|row| row.takes_off && row.is_general()) {
        for value in ["\"off\"", "false"] {
            let settings = good(&format!("{} = {value}", row.key));
            let off = format!("{} = off", row.key);
            assert!(values(&settings).contains(&off), "{off}");
        }
    }
}
