//! The completions, put to the shells that they are for.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use volley_tests::{is_missing, run};

use crate::{PROGRAMS, command_lines, commands, flags, generated, other};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The file that stands in the folder in which is completed.
const FILE: &str = "a-file.txt";

/// A line that is begun, and what is offered for it: all of these words, or nothing.
const OFFERS: [(&str, &[&str]); 16] = [
    ("volley se", &["send"]),
    ("volley send --output ", &["text", "raw", "hex", "base64", "frames", "ndjson"]),
    ("volley send --output=nd", &["ndjson"]),
    ("volley send --input h", &["hex"]),
    ("volley send --timeout ", &[]),
    ("volley send --reply ack a-f", &[FILE]),
    ("volley send @a-f", &[FILE]),
    ("volley ping --reply ", &["echo", "ack"]),
    ("volley wait --interval ", &[]),
    ("volley-load ru", &["run"]),
    ("volley-load --arrivals ", &["constant", "poisson"]),
    ("volley-load run --reconnect f", &["fail"]),
    ("volley-load run --payload ", &[FILE]),
    ("volley-load --json ", &[FILE]),
    ("volleyd --log-format ", &["text", "json"]),
    ("volleyd --config ", &[FILE]),
];

/// The completions for a shell, and a folder to complete in.
struct Completions {
    shell: &'static str,
    scripts: TempDir,
    folder: TempDir,
}

impl Completions {
    async fn of(shell: &'static str) -> Self {
        let (scripts, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in PROGRAMS {
            let script = generated(name, &format!("complete-{shell}")).await;
            fs::write(scripts.path().join(format!("_{name}")), script).unwrap();
        }
        fs::write(folder.path().join(FILE), "").unwrap();
        Self { shell, scripts, folder }
    }

    /// The words that the shell offers, in order.
    async fn offers(&self, line: &str) -> Vec<String> {
        let script = self.scripts.path().join(format!("_{}", line.split(' ').next().unwrap()));
        let mut offers = match self.shell {
            "bash" => self.bash(&script, line).await,
            "zsh" => self.zsh(line).await,
            _ => self.fish(&script, line).await,
        };
        if line.contains('=') {
            // zsh looks at the flag too.
            offers.retain(|word| !word.starts_with("--"));
        }
        offers.sort();
        offers.dedup();
        offers
    }

    /// bash calls the function that the script tells it to, with the words as it splits them.
    async fn bash(&self, script: &Path, line: &str) -> Vec<String> {
        let words = line.replace('=', " = ");
        let offer = "
            source \"$1\"; shift; compopt() { :; }
            specification=$(complete -p \"$1\"); function=${specification#*-F }
            COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
            ${function%% *} \"$1\" \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
            ((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))
            printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut command = other("bash");
        command.args(["--norc", "-c", offer, "bash"]).arg(script).args(words.split(' '));
        let ended = run(command.current_dir(&self.folder), b"").await;
        assert_eq!(ended.stderr, "", "{line}");
        words_of(&String::from_utf8(ended.stdout).unwrap())
    }

    async fn zsh(&self, line: &str) -> Vec<String> {
        let driver = tempfile::NamedTempFile::new().unwrap();
        fs::write(&driver, include_str!("offers.zsh")).unwrap();
        let offers = tempfile::NamedTempFile::new().unwrap();
        let mut command = other("zsh");
        command.arg("-f").arg(driver.path()).arg(self.scripts.path()).arg(line).arg(offers.path());
        let ended = run(command.current_dir(&self.folder), b"").await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{line}");
        words_of(&fs::read_to_string(offers.path()).unwrap())
    }

    async fn fish(&self, script: &Path, line: &str) -> Vec<String> {
        let mut command = other("fish");
        command.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]);
        let ended = run(command.arg(script).arg(line).current_dir(&self.folder), b"").await;
        assert_eq!(ended.stderr, "", "{line}");
        words_of(&String::from_utf8(ended.stdout).unwrap())
    }
}

/// What is offered on each line, without what is told of it or stands before it already.
fn words_of(offers: &str) -> Vec<String> {
    let words = offers.lines().map(|line| line.split('\t').next().unwrap());
    let words = words.map(|word| match word.split_once('=') {
        Some((_, value)) if !value.is_empty() => value,
        _ => word.trim_end_matches('=').trim_start_matches('@'),
    });
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_shells_have_nothing_against_their_scripts() {
    for (shell, check) in SHELLS.into_iter().zip(["-n", "-n", "--no-execute"]) {
        if is_missing(shell) {
            continue;
        }
        let completions = Completions::of(shell).await;
        for name in PROGRAMS {
            let script = completions.scripts.path().join(format!("_{name}"));
            let ended = run(other(shell).arg(check).arg(script), b"").await;
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{shell} {name}");
        }
    }
}

async fn every_flag_is_offered(shell: &'static str) {
    if is_missing(shell) {
        return;
    }
    let completions = Completions::of(shell).await;
    for line in command_lines().await {
        let offers = completions.offers(&format!("{} --", line.join(" "))).await;
        let mut flags = flags(&line).await;
        // It is for packagers, and would be in the way of all others.
        flags.remove("--generate");
        assert_eq!(offers, flags.into_iter().collect::<Vec<_>>(), "{shell}: {line:?}");
    }
}

async fn words_are_offered_where_they_fit(shell: &'static str) {
    if is_missing(shell) {
        return;
    }
    let completions = Completions::of(shell).await;
    for name in PROGRAMS {
        let commands = commands(&[name.to_owned()]).await;
        let offers = completions.offers(&format!("{name} ")).await;
        assert!(commands.iter().all(|command| offers.contains(command)), "{shell}: {offers:?}");
    }
    for (line, words) in OFFERS {
        let mut words = words.to_vec();
        words.sort_unstable();
        assert_eq!(completions.offers(line).await, words, "{shell}: {line}");
    }
}

#[tokio::test]
async fn bash_offers_every_flag() {
    every_flag_is_offered("bash").await;
}

#[tokio::test]
async fn zsh_offers_every_flag() {
    every_flag_is_offered("zsh").await;
}

#[tokio::test]
async fn fish_offers_every_flag() {
    every_flag_is_offered("fish").await;
}

#[tokio::test]
async fn bash_offers_words_where_they_fit() {
    words_are_offered_where_they_fit("bash").await;
}

#[tokio::test]
async fn zsh_offers_words_where_they_fit() {
    words_are_offered_where_they_fit("zsh").await;
}

#[tokio::test]
async fn fish_offers_words_where_they_fit() {
    words_are_offered_where_they_fit("fish").await;
}

#[tokio::test]
async fn no_file_is_offered_where_a_server_is_wanted() {
    // bash falls back on files for all words that have no flag before them.
    for shell in ["zsh", "fish"] {
        if is_missing(shell) {
            continue;
        }
        let completions = Completions::of(shell).await;
        for line in ["volley send --to ", "volley ping ", "volley wait ", "volley-load --to "] {
            let offers = completions.offers(line).await;
            assert!(!offers.iter().any(|word| word == FILE), "{shell}: {line}: {offers:?}");
        }
    }
}
