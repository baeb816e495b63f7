//! Commands as users write them: one text, quoted as for a shell, with places to fill in.

use std::ffi::OsString;
use std::str::FromStr;

/// The words of a command, or of a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(Vec<String>);

impl Words {
    /// The words with `{name}` replaced by its value, for each of the places.
    pub(crate) fn filled(&self, places: &[(&str, String)]) -> Vec<OsString> {
        let fill = |word: &String| {
            places.iter().fold(word.clone(), |word, (name, value)| {
                word.replace(&format!("{{{name}}}"), value)
            })
        };
        self.0.iter().map(fill).map(OsString::from).collect()
    }
}

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        shlex::split(text).map(Self).ok_or_else(|| format!("`{text}`: a quote is not closed"))
    }
}

/// A program that somebody else wrote, as `NAME=COMMAND`. The command has `{port}` somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// What the tables call it.
    pub(crate) name: String,
    /// How it is run.
    pub(crate) command: Words,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{text}` is no NAME=COMMAND"))?;
        let words: Words = command.parse()?;
        if !words.0.iter().any(|word| word.contains("{port}")) {
            return Err(format!("`{command}` has no {{port}}: where is it to listen or connect?"));
        }
        Ok(Self { name: name.to_owned(), command: words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_and_a_quoted_command() {
        let other: Other = "go=./echo -name='a b' -listen 127.0.0.1:{port}".parse().unwrap();
        assert_eq!(other.name, "go");
        let filled = other.command.filled(&[("port", "7".to_owned())]);
        assert_eq!(filled, ["./echo", "-name=a b", "-listen", "127.0.0.1:7"]);
    }

    #[test]
    fn fills_every_place_that_it_knows() {
        let words: Words = "{port} -c{conns},{conns} {more}".parse().unwrap();
        let filled = words.filled(&[("port", "7".to_owned()), ("conns", "64".to_owned())]);
        assert_eq!(filled, ["7", "-c64,64", "{more}"]);
    }

    #[test]
    fn refuses_a_program_that_cannot_be_started_or_found() {
        for text in ["", "go", "=./echo {port}", "go=", "go=./echo", "go=./echo '{port}"] {
            assert!(text.parse::<Other>().is_err(), "{text}");
        }
    }
}
