//! One line of the [table of settings](super::table): a setting as flags, environment, file, help
//! and reference all see it.

use clap::builder::PossibleValue;
use toml_writer::ToTomlValue;

use super::value::Value;

/// What is known of a setting without its value.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its one name: `idle-timeout` in the file, `--idle-timeout`, `VOLLEYD_IDLE_TIMEOUT`.
    pub(crate) key: &'static str,
    pub(crate) group: Group,
    pub(crate) scope: Scope,
    /// Whether SIGHUP can change it.
    pub(crate) reloadable: bool,
    /// The text that is read when nobody says anything.
    pub(crate) default: &'static str,
    /// A text that could stand in its place, for messages and the reference.
    pub(crate) example: &'static str,
    /// What it is in a few words, for `-h`, where a flag has a line.
    pub(crate) brief: &'static str,
    pub(crate) help: &'static str,
    /// What stands for the value in `--help`: `DURATION`.
    pub(crate) value_name: &'static str,
    pub(crate) form: Form,
    /// Whether `off` is a value.
    pub(crate) takes_off: bool,
    /// All values, where they can be counted.
    pub(crate) choices: fn() -> Vec<PossibleValue>,
    /// Says what is wrong with a text.
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// Settings that belong together; headings of `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Listeners,
    Opening,
    Limits,
    Deadlines,
    Operation,
    Logging,
}

/// Where a setting can be written, and what it holds for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For the whole process: by flag, by variable, at the file's top level.
    Process,
    /// For a listener: in its `[[listener]]` section, and everywhere else for all that say nothing
    /// themselves.
    Listener,
    /// In a `[[listener]]` section only.
    Section,
}

/// How a value stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A string.
    Text,
    /// A number, or a string for one with a unit.
    Number,
    /// True or false.
    Switch,
    /// A string, or an array of them; elsewhere with commas in between.
    List,
    /// A string: a number with a unit, such as this one.
    WithUnit(&'static str),
}

impl Row {
    /// What follows from the type of the value; the rest is blank.
    pub(crate) const fn of<T: Value>(scope: Scope) -> Self {
        Self {
            key: "",
            group: Group::Operation,
            scope,
            reloadable: false,
            default: "",
            example: "",
            brief: "",
            help: "",
            value_name: T::NAME,
            form: T::FORM,
            takes_off: T::TAKES_OFF,
            choices: T::choices,
            check: |text| T::parse(text).map(drop),
        }
    }

    /// Whether it can be written outside of sections, and so by a flag and a variable.
    pub(crate) const fn is_general(&self) -> bool {
        matches!(self.scope, Scope::Process | Scope::Listener)
    }

    /// Whether it can be written in a section.
    pub(crate) const fn is_for_sections(&self) -> bool {
        matches!(self.scope, Scope::Listener | Scope::Section)
    }

    /// `VOLLEYD_IDLE_TIMEOUT`, of a setting that [is general](Self::is_general).
    pub(crate) fn variable(&self) -> String {
        format!("VOLLEYD_{}", self.key.to_ascii_uppercase().replace('-', "_"))
    }

    /// `idle-timeout = "5m"`.
    pub(crate) fn toml(&self, text: &str) -> String {
        let is_integer = text.parse::<i64>().is_ok();
        match self.form {
            Form::Number if is_integer => format!("{} = {text}", self.key),
            Form::List if !(self.takes_off && text == "off") => {
                let parts: Vec<_> = text.split(',').map(quoted).collect();
                format!("{} = [{}]", self.key, parts.join(", "))
            }
            Form::Switch => format!("{} = {}", self.key, text == "on"),
            _ => format!("{} = {}", self.key, quoted(text)),
        }
    }
}

/// As a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    text.to_toml_value()
}

impl Group {
    pub(crate) const ALL: [Self; 6] = [
        Self::Listeners,
        Self::Opening,
        Self::Limits,
        Self::Deadlines,
        Self::Operation,
        Self::Logging,
    ];

    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Listeners => "Listeners",
            Self::Opening => "TLS and PROXY protocol",
            Self::Limits => "Limits",
            Self::Deadlines => "Deadlines",
            Self::Operation => "Operation",
            Self::Logging => "Logging",
        }
    }
}
