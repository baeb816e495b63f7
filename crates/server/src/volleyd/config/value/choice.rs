//! Values that are one of a few words.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use volley_cli::Reply;

use super::{Form, Value};

/// The forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// for people; coloured on a terminal
    Text,
    /// one JSON object per line
    Json,
}

/// How the bytes of a listener's connections are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// frames behind their length
    Frames,
    /// none: what comes in goes back
    Raw,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl Value for Switch {
    const NAME: &'static str = "on|off";
    const FORM: Form = Form::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => Err(format!("`{text}` is neither on nor off")),
        }
    }

    fn show(&self) -> String {
        if self.0 { "on" } else { "off" }.to_owned()
    }
}

/// Those that clap knows by their words.
macro_rules! choices {
    ($($value:ty, $name:literal;)*) => {$(
        impl Value for $value {
            const NAME: &'static str = $name;
            const FORM: Form = Form::Text;

            fn choices() -> Vec<PossibleValue> {
                choices_of::<Self>()
            }

            fn parse(text: &str) -> Result<Self, String> {
                choose(text)
            }

            fn show(&self) -> String {
                name_of(self)
            }
        }
    )*};
}

choices! {
    Framing, "FRAMING";
    LogFormat, "FORMAT";
    Reply, "KIND";
}

fn choices_of<T: ValueEnum>() -> Vec<PossibleValue> {
    T::value_variants().iter().filter_map(T::to_possible_value).collect()
}

fn choose<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let names: Vec<String> = T::value_variants().iter().map(name_of).collect();
        format!("`{text}` is not known: write {}", names.join(" or "))
    })
}

/// Each variant has one: none is hidden.
fn name_of<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
