//! `--print-config`.

use super::*;

#[test]
fn each_value_is_there_with_its_origin() {
    let file = "max-frame = 65536\n[[listener]]\nlisten = '127.0.0.1:1'\nname = 'public'\n";
    let variables = [("VOLLEYD_IDLE_TIMEOUT", "90s"), ("RUST_LOG", "warn,[x{y=\"z\"}]=debug")];
    let toml = settings(&["--drain", "1m"], &variables, file).unwrap().to_toml();
    let line = |start: &str| {
        let found: Vec<_> = toml.lines().filter(|line| line.starts_with(start)).collect();
        assert_eq!(found.len(), 1, "{start}: {toml}");
        let (value, origin) = found[0].split_once("  # ").unwrap();
        (value.trim_end(), origin)
    };
    assert_eq!(line("drain ="), ("drain = \"1m\"", "flag --drain"));
    assert_eq!(line("max-frame"), ("max-frame = \"64KiB\"", "volleyd.toml:1"));
    assert_eq!(line("listen"), ("listen = \"tcp://127.0.0.1:1\"", "volleyd.toml:3"));
    assert_eq!(line("name"), ("name = \"public\"", "volleyd.toml:4"));
    assert_eq!(line("idle-timeout"), ("idle-timeout = \"90s\"", "VOLLEYD_IDLE_TIMEOUT"));
    assert_eq!(line("log ="), ("log = 'warn,[x{y=\"z\"}]=debug'", "RUST_LOG"));
    assert_eq!(line("reply"), ("reply = \"echo\"", "default"));
    assert_eq!(line("threads"), ("threads = \"auto\"", "default, by CPUs"));
}

#[test]
fn read_as_a_file_it_gives_the_same_settings() {
    let full = "\
listen = ['127.0.0.1:0', '[::1]:0', 'localhost:7']
admin = '127.0.0.1:7080'
max-connections = 1234
max-connections-per-source = '1k'
max-buffered = '1.5G'
drain-delay = '1500ms'
threads = 3
log = 'warn,volley_server=debug'
accept-rate = 0.5
frame-rate = '1.5k'
byte-rate = '100k/s'
min-rate = false
idle-timeout = '1h 1s'
lifetime = '2days'
lifetime-jitter = '2.5%'
";
    let sections = "\
[[listener]]
listen = '127.0.0.1:1'
name = 'a.b-c_d'
max-connections = 7
[[listener]]
listen = '127.0.0.1:2'
reply = 'ack'
max-connections-per-source = 8
";
    for file in ["", full, sections] {
        let first = good(file);
        let toml = first.to_toml();
        let second = good(&toml);
        assert_eq!(values(&second), values(&first), "{toml}");
        assert!(!second.to_toml().contains("# default"), "{toml}");
    }
}

#[test]
fn what_means_nothing_to_a_listener_is_a_comment_in_its_section() {
    let file = "\
listen = ['127.0.0.1:1', 'udp://127.0.0.1:2']
framing = 'raw'
datagram-rate = 5
";
    let toml = good(file).to_toml();
    let sections: Vec<Vec<_>> =
        toml.split("[[listener]]").map(|part| part.lines().collect()).collect();
    let line = |section: usize, key: &str| {
        let found = sections[section].iter().find(|line| line.contains(key)).unwrap();
        let (setting, comment) = found.split_once("  # ").unwrap();
        (setting.trim_end(), comment)
    };
    let void = |line| format!("{FILE}:{line}, means nothing here");
    assert_eq!(line(1, "framing"), ("framing = \"raw\"", "volleyd.toml:2"));
    assert_eq!(line(1, "datagram-rate"), ("# datagram-rate = 5", &*void(3)));
    assert_eq!(line(1, "unix-mode"), ("unix-mode = \"0660\"", "default"));
    assert_eq!(line(2, "framing"), ("# framing = \"raw\"", &*void(2)));
    assert_eq!(line(2, "datagram-rate"), ("datagram-rate = 5", "volleyd.toml:3"));
    good(&toml);
}

#[test]
fn what_only_a_passed_socket_of_udp_needs_means_something_where_nobody_said_where_to_listen() {
    let said = "reply = 'ack'\nframing = 'raw'\nallow-public-udp = true\ndatagram-rate = 5\n";
    let count = |file: &str| {
        let toml = good(file).to_toml();
        // It can be read where no socket is passed, too.
        good(&toml);
        ["means nothing here", "for a passed UDP socket"].map(|why| toml.matches(why).count())
    };
    assert_eq!(count(said), [0, 3]);
    assert_eq!(count(&format!("listen = '127.0.0.1:1'\n{said}")), [3, 0]);
}
