//! `--generate`: what it takes, and what it prints.

use std::fs::File;

use volley_tests::run;

use crate::{PROGRAMS, commands, ended, generated, program, stdout};

/// The kinds that a program should have.
async fn kinds(name: &str) -> Vec<String> {
    let own = ["complete-bash", "complete-zsh", "complete-fish", "man"].map(str::to_owned);
    let pages = commands(&[name.to_owned()]).await;
    own.into_iter().chain(pages.iter().map(|command| format!("man-{command}"))).collect()
}

#[tokio::test]
async fn each_kind_is_printed() {
    for name in PROGRAMS {
        for kind in kinds(name).await {
            let text = generated(name, &kind).await;
            let says_name = text.replace("\\-", "-").contains(name);
            assert!(says_name && text.ends_with('\n'), "{name} {kind}: {text}");
            let joined = stdout(ended(&[name], &[&format!("--generate={kind}")]).await);
            assert_eq!(joined, text, "{name} {kind}");
        }
    }
}

#[tokio::test]
async fn a_wrong_kind_is_told_with_all_that_there_are() {
    for name in PROGRAMS {
        let ended = ended(&[name], &["--generate", "man-"]).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
        let told = format!("[possible values: {}]", kinds(name).await.join(", "));
        assert!(ended.stderr.contains(&told), "{told}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn nothing_may_stand_beside_it() {
    let cases: [&[&str]; 6] = [
        &["volley", "--generate", "man", "send"],
        &["volley", "send", "--generate", "man"],
        &["volley-load", "--generate", "man", "-c", "4"],
        &["volley-load", "-c", "4", "--generate", "man"],
        &["volley-load", "run", "--generate", "man"],
        &["volleyd", "--generate", "man", "--check"],
    ];
    for case in cases {
        let ended = ended(case, &[]).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{case:?}: {ended:?}");
        assert!(ended.stderr.contains("--generate"), "{case:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_disk_that_is_full_is_told() {
    for (name, arguments) in [
        ("volley", ["--generate", "man"].as_slice()),
        ("volleyd", &["--help"]),
        ("volley-load", &["-V"]),
    ] {
        let mut command = program(name);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = run(command.args(arguments).stdout(full), b"").await;
        let told =
            format!("{name}: cannot write to stdout: No space left on device (os error 28)\n");
        assert_eq!((ended.code, ended.stderr), (Some(74), told));
    }
}
