//! What the machine does not allow is told before the run, with its remedy.

use std::process::Command;

use crate::{ledger, refused, run, through};

/// Whether a program does this here. If not, that is told.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn is_possible(command: &[&str]) -> bool {
    let done = Command::new(command[0]).args(&command[1..]).output();
    let is_possible = done.is_ok_and(|output| output.status.success());
    if !is_possible {
        println!("skipped: `{}` does not do here", command.join(" "));
    }
    is_possible
}

#[test]
fn too_few_descriptors_are_told_with_the_remedy() {
    let limited = ["prlimit", "--nofile=200:200"];
    if !is_possible(&[&limited[..], &["true"]].concat()) {
        return;
    }
    let ended = run(through(&limited, "-d 1h -c 300 --to 127.0.0.1:9"));
    let told = refused(&ended, 69);
    assert!(told.starts_with("300 connections need "), "{told}");
    assert!(told.contains(" file descriptors and this process may have 200: "), "{told}");
    assert!(told.contains("raise the hard limit (`ulimit -Hn "), "{told}");
    // The way out that it names is one.
    let (_, most) = told.rsplit_once("or ask for at most ").unwrap();
    let most: u32 = most.strip_suffix(" connections").unwrap().parse().unwrap();
    let tried = format!("-d 1h -c {most} --to 127.0.0.1:9");
    assert!(run(through(&limited, &tried)).stderr.contains("Connection refused"), "{most}");
    // With its server in the process there are two for each.
    let ended = run(through(&limited, "-d 1h -c 120"));
    assert!(refused(&ended, 69).starts_with("120 connections and their server "), "{ended:?}");
    let ended = run(through(&limited, "-n 500 -c 50"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn too_few_ports_are_told_with_the_remedy() {
    let network = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"];
    let set_up = "ip link set lo up && echo 50000 50099 >/proc/sys/net/ipv4/ip_local_port_range";
    if !is_possible(&[&network[..], &[set_up]].concat()) {
        return;
    }
    let script = format!("{set_up} && exec \"$0\" \"$@\"");
    let network = [&network[..], &[&script]].concat();
    let ended = run(through(&network, "-d 1h -c 150"));
    let told = refused(&ended, 69);
    assert!(told.starts_with("150 connections to one target need as many local ports "), "{told}");
    assert!(told.contains(" has 99 (net.ipv4.ip_local_port_range): connect from 2 "), "{told}");
    // The ways out that it names are some.
    let (_, remedy) = told.split_once("2 addresses (`").unwrap();
    let (source, _) = remedy.split_once('`').unwrap();
    let ended = run(through(&network, &format!("-n 500 -c 150 {source}")));
    assert_eq!((ended.code, ledger(&ended).0), (Some(0), 500), "{ended:?}");
    assert!(told.ends_with("or ask for at most 99 connections"), "{told}");
    let ended = run(through(&network, "-n 500 -c 99"));
    assert_eq!((ended.code, ledger(&ended).0), (Some(0), 500), "{ended:?}");
}
