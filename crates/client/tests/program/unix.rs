//! Every command over a Unix socket, and what they say when there is none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::geteuid;
use serde_json::Value;
use tokio::net::UnixListener;
use volley_proto::{Endpoint, ReplyKind, UnixAddress};

use crate::scripted::{Peer, place, within};
use crate::{Ended, program, run, send};

/// Runs a command against a server at `path` that greets and echoes over one connection.
async fn served(path: &Path, arguments: &[&str]) -> Ended {
    let ended = served_by(UnixListener::bind(path).unwrap(), arguments).await;
    fs::remove_file(path).unwrap();
    ended
}

async fn served_by(listener: UnixListener, arguments: &[&str]) -> Ended {
    let serve = async {
        let mut peer = Peer::accept_unix(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let mut command = program();
    command.args(arguments);
    within(async { tokio::join!(run(&mut command), serve).0 }).await
}

#[tokio::test]
async fn every_command_speaks_over_one() {
    let (directory, path, to) = place();
    let to = to.to_string();
    let ended = served(&path, &["send", "--to", &to, "hello", ""]).await;
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), &b"hello\n\n"[..], ""));
    let ended = served(&path, &["wait", "--timeout", "25s", &to]).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b""[..]), "{ended:?}");
    let script = directory.path().join("echo.volley");
    fs::write(&script, format!("connect {to}\nhello\nsend \"hello\"\nexpect echo\n")).unwrap();
    let ended = served(&path, &["script", script.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = served(&path, &["ping", "-c", "2", "-i", "1ms", "-W", "30", &to]).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    // The target says all there is to say of where it is.
    assert!(stdout.starts_with(&format!("PING {to}: 64 bytes, echo\nseq=1 ")), "{stdout}");
    assert!(stdout.contains("\n2 pings, 2 answered, 0% loss, "), "{stdout}");
    let ended = served(&path, &["ping", "--json", "-c", "1", "-W", "30", &to]).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    let start: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&start["target"], &start["address"]), (&Value::from(&*to), &Value::Null));
}

#[tokio::test]
async fn what_passes_is_shown_with_where_it_goes() {
    let (_directory, path, to) = place();
    let ended = served(&path, &["send", "-v", "--to", &to.to_string(), "hello"]).await;
    assert!(ended.stderr.contains(&format!(" * connected to {to}\n")), "{ended:?}");
}

#[tokio::test]
async fn a_path_without_a_server_is_unavailable() {
    let (_directory, path, to) = place();
    let ended = within(run(send(&to).arg("x"))).await;
    let told = format!(
        "cannot connect to {to}: No such file or directory (os error 2) (is volleyd running there?)"
    );
    ended.failed(69, &told);
    drop(UnixListener::bind(&path).unwrap());
    let ended = within(run(send(&to).arg("x"))).await;
    let told = format!(
        "cannot connect to {to}: Connection refused (os error 111) (is volleyd running there?)"
    );
    ended.failed(69, &told);
}

/// Nothing keeps root out; so it is nobody who asks, if root runs the test.
#[tokio::test]
async fn who_may_not_connect_is_told_so() {
    let (directory, path, to) = place();
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    let mut command = send(&to);
    if geteuid().is_root() {
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("volley");
        fs::copy(env!("CARGO_BIN_EXE_volley"), &copy).unwrap();
        command = tokio::process::Command::new(copy);
        command.args(["send", "--to", &to.to_string()]).uid(65_534).kill_on_drop(true);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    }
    let ended = within(run(command.arg("x"))).await;
    let told = format!(
        "cannot connect to {to}: Permission denied (os error 13) (the socket's file is not for \
         this user to write to)"
    );
    ended.failed(69, &told);
}

#[tokio::test]
async fn a_bad_path_is_wrong_usage() {
    for (to, told) in [
        (format!("unix:/{}", "a".repeat(107)), "has at most 107 bytes, and this one has 108"),
        ("unix:".to_owned(), "names no socket"),
        ("unix://run/volley.sock".to_owned(), "write unix:/run/volley.sock"),
    ] {
        let ended = within(run(program().args(["send", "--to", &to, "x"]))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

#[tokio::test]
async fn an_abstract_name_needs_no_file() {
    let (_directory, path, _) = place();
    let name = UnixAddress::from_abstract_name(path.to_str().unwrap()).unwrap();
    let listener = UnixListener::bind(name.sun_path()).unwrap();
    let to = Endpoint::from(name).to_string();
    let ended = served_by(listener, &["send", "--to", &to, "hello"]).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"hello\n"[..]), "{ended:?}");
}
