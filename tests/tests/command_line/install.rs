//! deploy/packaging/install, run into a folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use volley_tests::{is_missing, run};

use crate::{PROGRAMS, command_lines, generated, other, program, repository};

fn script() -> PathBuf {
    repository().join("deploy/packaging/install")
}

/// A folder of programs. The real ones are large before they are stripped, so they are called by
/// others that take their place.
fn programs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        let real = program(name).as_std().get_program().to_str().unwrap().to_owned();
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\nexec '{real}' \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Run by somebody whose files are for himself alone.
fn install(bin: &Path, destination: &Path) -> Command {
    let mut command = other("sh");
    command.args(["-c", "umask 077; exec sh \"$@\"", "sh"]).arg(script()).args([bin, destination]);
    command
}

/// All files below a folder, with what may be done with them. Folders are for everybody.
fn tree(folder: &Path) -> BTreeSet<(String, u32)> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                assert_eq!(metadata.permissions().mode() & 0o777, 0o755, "{:?}", entry.path());
                folders.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert((path, metadata.permissions().mode() & 0o777));
            }
        }
    }
    files
}

#[tokio::test]
async fn everything_is_put_where_systems_look_for_it() {
    let (bin, destination) = (programs(), tempfile::tempdir().unwrap());
    let ended = run(install(bin.path(), destination.path()).arg("/usr"), b"").await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let mut expected = BTreeSet::new();
    for name in PROGRAMS {
        expected.insert((format!("usr/bin/{name}"), 0o755));
        for path in [
            format!("bash-completion/completions/{name}"),
            format!("zsh/site-functions/_{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
        ] {
            expected.insert((format!("usr/share/{path}"), 0o644));
        }
    }
    for line in command_lines().await {
        let section = if line[0] == "volleyd" { 8 } else { 1 };
        let page = format!("usr/share/man/man{section}/{}.{section}", line.join("-"));
        let kind = line.get(1).map_or("man".to_owned(), |command| format!("man-{command}"));
        let written = fs::read_to_string(destination.path().join(&page)).unwrap();
        assert_eq!(written, generated(&line[0], &kind).await, "{page}");
        expected.insert((page, 0o644));
    }
    let documents = ["CHANGELOG", "CLIENT", "LOAD", "OPERATING", "PROTOCOL", "README"];
    expected.extend(documents.map(|name| (format!("usr/share/doc/volley/{name}.md"), 0o644)));
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        expected.insert((format!("usr/share/licenses/volley/{name}"), 0o644));
    }
    for name in ["volleyd.service", "volleyd.socket"] {
        expected.insert((format!("usr/lib/systemd/system/{name}"), 0o644));
    }
    assert_eq!(tree(destination.path()), expected);
    let unit = destination.path().join("usr/lib/systemd/system/volleyd.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/volleyd\n"), "{unit}");
}

/// What a manual page points to must have been installed beside it.
#[tokio::test]
async fn no_page_points_to_what_is_not_installed() {
    let (bin, destination) = (programs(), tempfile::tempdir().unwrap());
    let ended = run(&mut install(bin.path(), destination.path()), b"").await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let files: BTreeSet<_> = tree(destination.path()).into_iter().map(|(path, _)| path).collect();
    for path in files.iter().filter(|path| path.contains("/man/")) {
        let page = fs::read_to_string(destination.path().join(path)).unwrap().replace("\\-", "-");
        let (_, see_also) = page.split_once("\n.SH \"SEE ALSO\"\n").unwrap();
        let (references, documents) = see_also.split_once("\n.PP\n").unwrap();
        for reference in references.split(", ") {
            let (name, section) = reference.split_once('(').unwrap();
            let name = name.replace("\\fB", "").replace("\\fR", "");
            let section = section.trim_end_matches(')');
            let page = format!("usr/local/share/man/man{section}/{name}.{section}");
            assert!(files.contains(&page), "{path}: {page}");
        }
        let documents: Vec<_> =
            documents.split([' ', ',']).filter(|word| word.ends_with(".md")).collect();
        assert!(!documents.is_empty(), "{path}");
        for document in documents {
            let document = format!("usr/local/share/doc/volley/{document}");
            assert!(files.contains(&document), "{path}: {document}");
        }
    }
}

#[tokio::test]
async fn wrong_usage_installs_nothing() {
    let (bin, destination) = (programs(), tempfile::tempdir().unwrap());
    let ended = run(other("sh").arg(script()).arg(bin.path()), b"").await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("BIN_DIR DESTDIR [PREFIX]"), "{}", ended.stderr);
    let ended = run(install(bin.path(), destination.path()).arg("usr"), b"").await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("must be absolute, not usr"), "{}", ended.stderr);
    fs::remove_file(bin.path().join("volleyd")).unwrap();
    let ended = run(&mut install(bin.path(), destination.path()), b"").await;
    assert_eq!(ended.code, Some(66));
    assert!(ended.stderr.contains("/volleyd: build it first"), "{}", ended.stderr);
    assert_eq!(tree(destination.path()), BTreeSet::new());
}

#[tokio::test]
async fn a_program_that_fails_is_told_by_the_exit_code() {
    let (bin, destination) = (programs(), tempfile::tempdir().unwrap());
    let volley = bin.path().join("volley");
    let real = fs::read_to_string(&volley).unwrap();
    for flag in ["--generate", "--help"] {
        let fails = format!("#!/bin/sh\n[ \"$1\" = {flag} ] && exit 70\n");
        fs::write(&volley, real.replace("#!/bin/sh\n", &fails)).unwrap();
        let ended = run(&mut install(bin.path(), destination.path()), b"").await;
        assert_eq!(ended.code, Some(70), "{flag}: {ended:?}");
    }
}

#[tokio::test]
async fn shellcheck_has_nothing_to_say_against_it() {
    if is_missing("shellcheck") {
        return;
    }
    let ended = run(other("shellcheck").arg(script()), b"").await;
    assert_eq!((ended.code, ended.stdout), (Some(0), Vec::new()));
}
