//! Several targets: each has its own pings and its own summary.

use super::{greeted, ping, reply, served, without_times};
use crate::scripted::listen;

#[tokio::test]
async fn each_target_has_its_own_pings_and_summary_and_all_must_answer() {
    let (listener, there) = listen().await;
    let (gone, nowhere) = listen().await;
    drop(gone);
    let mut command = ping(2, &[&nowhere, &there]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""));
    let stdout = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<_> = stdout.lines().map(without_times).collect();
    for seq in 1..=2 {
        assert!(lines.contains(&format!("{there}: {}", reply(seq))), "{stdout}");
        let not_sent = format!("{nowhere}: seq={seq} not sent: cannot connect to ");
        assert!(lines.iter().any(|line| line.starts_with(&not_sent)), "{stdout}");
    }
    let summary = |to, answered, loss| {
        [
            format!("--- {to} ping statistics ---"),
            format!("2 pings, {answered} answered, {loss}% loss, time T s"),
        ]
    };
    let place = |lines: &[String], summary: [String; 2]| {
        lines.windows(2).position(|window| *window == summary).expect(&stdout)
    };
    assert!(place(&lines, summary(&nowhere, 0, 100)) < place(&lines, summary(&there, 2, 0)));
}

#[tokio::test]
async fn a_name_that_nobody_has_is_another_error_and_the_others_are_pinged() {
    let (listener, there) = listen().await;
    let mut command = ping(1, &[&there]);
    // RFC 6761, 6.4: never a name of anything.
    command.arg("nowhere.invalid:7007").env("RES_OPTIONS", "timeout:1 attempts:1");
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let told = "volley: cannot resolve tcp://nowhere.invalid:7007: ";
    assert!(ended.stderr.starts_with(told), "{ended:?}");
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert!(stdout.contains("1 ping, 1 answered, 0% loss"), "{stdout}");
    assert_eq!(stdout.matches("ping statistics").count(), 1, "{stdout}");
}
