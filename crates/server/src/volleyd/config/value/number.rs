//! Values that count or measure.

use std::num::NonZero;
use std::thread;
use std::time::Duration;

use volley_cli::{
    format_bytes, format_duration, format_rate, parse_bytes, parse_count, parse_duration, read_rate,
};
use volley_proto::MaxFrame;

use super::{Automatic, Form, Value};

/// A number of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections(pub(crate) usize);

impl Value for Connections {
    const NAME: &'static str = "N";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        // More than there can be is as good as what there can be.
        parse_count(text).map(|count| Self(usize::try_from(count).unwrap_or(usize::MAX)))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Automatic for Connections {
    const BY: &'static str = "descriptors";
}

/// A number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads(pub(crate) usize);

impl Threads {
    /// More than any machine has use for.
    const MOST: usize = 1024;

    /// One for each CPU that the process may use.
    pub(crate) fn by_cpus() -> Self {
        Self(thread::available_parallelism().map_or(1, NonZero::get).min(Self::MOST))
    }
}

impl Value for Threads {
    const NAME: &'static str = "N";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        match Connections::parse(text)? {
            Connections(threads @ 1..=Self::MOST) => Ok(Self(threads)),
            _ => Err(format!("`{text}` is no number of threads: write 1 to {}", Self::MOST)),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Automatic for Threads {
    const BY: &'static str = "CPUs";
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Value for Bytes {
    const NAME: &'static str = "BYTES";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        parse_bytes(text).map(Self)
    }

    fn show(&self) -> String {
        format_bytes(self.0)
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// A number of bytes per second; `/s` may stand behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteRate(pub(crate) u64);

impl Value for ByteRate {
    const NAME: &'static str = "BYTES";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        parse_bytes(text.strip_suffix("/s").unwrap_or(text)).map(Self)
    }

    fn show(&self) -> String {
        format_bytes(self.0)
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Value for MaxFrame {
    const NAME: &'static str = "BYTES";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(parse_bytes(text)?).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        format_bytes(self.get().into())
    }
}

/// So many per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) f64);

impl Value for Rate {
    const NAME: &'static str = "RATE";
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        // What it counts is not the same everywhere, so the message is not that of frames.
        read_rate(text).map(Self).map_err(|_| {
            format!("`{text}` is no rate: write how many per second, for example 500 or 50k")
        })
    }

    fn show(&self) -> String {
        format_rate(self.0)
    }

    fn is_zero(&self) -> bool {
        self.0 == 0.0
    }
}

/// Of each source of a listener.
impl Automatic for Option<Rate> {
    const BY: &'static str = "address";
}

/// A part of a whole, in percent from 0 to 100.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent(f64);

impl Percent {
    /// 1.0 is the whole.
    pub(crate) fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl Value for Percent {
    const NAME: &'static str = "PERCENT";
    const FORM: Form = Form::WithUnit("%");

    fn parse(text: &str) -> Result<Self, String> {
        let is_decimal = |number: &&str| number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number =
            text.strip_suffix('%').filter(is_decimal).and_then(|number| number.parse().ok());
        match number {
            Some(percent @ 0.0..=100.0) => Ok(Self(percent)),
            _ => Err(format!("`{text}` is no part of a whole: write 0% to 100%")),
        }
    }

    fn show(&self) -> String {
        format!("{}%", self.0)
    }
}

impl Value for Duration {
    const NAME: &'static str = "DURATION";
    const FORM: Form = Form::WithUnit("s");

    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }

    fn show(&self) -> String {
        format_duration(*self)
    }

    fn is_zero(&self) -> bool {
        Self::is_zero(self)
    }
}
