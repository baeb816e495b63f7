//! Values that say who may connect to a Unix socket.

use nix::unistd;

use super::{Automatic, Form, Value};

/// The permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Value for Mode {
    const NAME: &'static str = "MODE";
    // As a number TOML would have it begin with 0o.
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let is_octal = matches!(text.len(), 3..=4) && text.bytes().all(|b| b.is_ascii_digit());
        match u32::from_str_radix(text, 8) {
            Ok(mode @ 0..=0o777) if is_octal => Ok(Self(mode)),
            _ => Err(format!("`{text}` is no mode: write it in octal, for example 0660")),
        }
    }

    fn show(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// Who owns a file.
#[derive(Clone, Debug)]
pub(crate) struct User(Account);

/// Whose group a file is of.
#[derive(Clone, Debug)]
pub(crate) struct Group(Account);

/// What the system knows by a number, and people by a name.
#[derive(Clone, Debug)]
struct Account {
    /// As it was written: a number needs no name.
    text: String,
    id: u32,
}

impl User {
    pub(crate) const fn id(&self) -> u32 {
        self.0.id
    }
}

impl Group {
    pub(crate) const fn id(&self) -> u32 {
        self.0.id
    }
}

impl Account {
    fn find(
        text: &str,
        noun: &str,
        by_name: impl Fn(&str) -> nix::Result<Option<u32>>,
    ) -> Result<Self, String> {
        let id = match number(text) {
            Some(id) => id,
            None => by_name(text)
                .map_err(|error| format!("{noun} `{text}` can't be looked up: {error}"))?
                .ok_or_else(|| format!("there is no {noun} `{text}`"))?,
        };
        Ok(Self { text: text.to_owned(), id })
    }
}

impl Value for User {
    const NAME: &'static str = "USER";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let by_name = |name: &str| Ok(unistd::User::from_name(name)?.map(|user| user.uid.as_raw()));
        Account::find(text, "user", by_name).map(Self)
    }

    fn show(&self) -> String {
        self.0.text.clone()
    }
}

impl Value for Group {
    const NAME: &'static str = "GROUP";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let by_name =
            |name: &str| Ok(unistd::Group::from_name(name)?.map(|group| group.gid.as_raw()));
        Account::find(text, "group", by_name).map(Self)
    }

    fn show(&self) -> String {
        self.0.text.clone()
    }
}

impl Automatic for User {
    const BY: &'static str = "who runs it";
}

impl Automatic for Group {
    const BY: &'static str = "who runs it";
}

/// The number of an account. The highest one stands for none (chown(2)).
fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&id| is_number && id < u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_of_permissions_only() {
        for (text, mode) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777), ("000", 0)] {
            assert_eq!(Mode::parse(text), Ok(Mode(mode)));
            assert_eq!(Mode::parse(&Mode(mode).show()), Ok(Mode(mode)));
        }
        for text in ["", "0", "66", "0668", "1660", "00660", "0o660", "+660", "rw-rw----", "432 "] {
            let why = format!("`{text}` is no mode: write it in octal, for example 0660");
            assert_eq!(Mode::parse(text), Err(why));
        }
    }

    #[test]
    fn an_account_has_a_name_or_a_number() {
        assert_eq!((User::parse("root").unwrap().id(), Group::parse("root").unwrap().id()), (0, 0));
        // Whether anybody is called so or not.
        let user = User::parse("4294967294").unwrap();
        assert_eq!((user.id(), user.show()), (4_294_967_294, "4294967294".to_owned()));
        for text in ["", "no such", "4294967295", "-1", "+1", "root\0"] {
            assert_eq!(User::parse(text).unwrap_err(), format!("there is no user `{text}`"));
            assert_eq!(Group::parse(text).unwrap_err(), format!("there is no group `{text}`"));
        }
    }
}
