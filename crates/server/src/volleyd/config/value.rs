//! What the values of settings have in common: each is read from a text, the same from a flag, a
//! variable or the file, and written back. Their types stand below this one.

mod access;
mod choice;
mod number;
mod opening;
mod text;

use clap::builder::PossibleValue;

use super::row::Form;

pub(crate) use access::{Group, Mode, User};
pub(crate) use choice::{Framing, LogFormat, Switch};
pub(crate) use number::{ByteRate, Bytes, Connections, Percent, Rate, Threads};
pub(crate) use opening::{FilePath, Networks};
pub(crate) use text::{Filter, Name};

/// What the value of a setting can do.
pub(crate) trait Value: Sized {
    /// What stands for it in `--help`.
    const NAME: &'static str;
    /// How it stands in the file.
    const FORM: Form;
    /// Whether it is off when it reads `off`.
    const TAKES_OFF: bool = false;

    /// All values, where they can be counted.
    fn choices() -> Vec<PossibleValue> {
        Vec::new()
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// A message for the user, in lower case, that says how to write it.
    fn parse(text: &str) -> Result<Self, String>;

    /// A text that reads as the same value.
    fn show(&self) -> String;

    /// Whether it would leave nothing at all, as a limit or a deadline.
    fn is_zero(&self) -> bool {
        false
    }

    /// What else `--print-config` tells of it.
    fn note(&self) -> Option<String> {
        None
    }
}

/// `off` is none. 0 is an error: some tools take it for none, others for nothing at all.
impl<T: Value> Value for Option<T> {
    const NAME: &'static str = T::NAME;
    const FORM: Form = T::FORM;
    const TAKES_OFF: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(None);
        }
        let value = T::parse(text)?;
        if value.is_zero() {
            return Err(format!("`{text}` would allow nothing: write off for no limit"));
        }
        Ok(Some(value))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "off".to_owned(), T::show)
    }
}

/// What the daemon, or the system, finds itself when it is told `auto`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Auto<T>(Option<T>);

/// A value that can be found.
pub(crate) trait Automatic: Value {
    /// What it follows from.
    const BY: &'static str;
}

impl<T: Automatic> Auto<T> {
    /// What was given.
    pub(crate) const fn given(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Automatic + Copy> Auto<T> {
    /// What was given, or else what is found.
    pub(crate) fn unwrap_or_else(&self, find: impl FnOnce() -> T) -> T {
        self.0.unwrap_or_else(find)
    }
}

impl<T: Automatic> Value for Auto<T> {
    const NAME: &'static str = T::NAME;
    const FORM: Form = T::FORM;
    const TAKES_OFF: bool = T::TAKES_OFF;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let value = T::parse(text)?;
        if value.is_zero() {
            return Err(format!("`{text}` would allow nothing: write a number from 1 on, or auto"));
        }
        Ok(Self(Some(value)))
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| "auto".to_owned(), T::show)
    }

    fn note(&self) -> Option<String> {
        self.0.is_none().then(|| format!("by {}", T::BY))
    }
}
