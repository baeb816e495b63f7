//! Values that are texts of a certain form.

use std::str::FromStr;

use volley_proto::{Endpoint, EndpointError};

use super::{Form, Value};
use crate::admin::AdminEndpoint;
use crate::inherit::{ADMIN, BOUND, HANDOVER};
use crate::logging::check_filter;

impl Value for Endpoint {
    const NAME: &'static str = "ENDPOINT";
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: EndpointError| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for AdminEndpoint {
    const NAME: &'static str = "ENDPOINT";
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// What a listener is called, by which a service manager's socket can be meant for it too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    /// Long enough for what people call things, short enough for a column.
    const LONGEST: usize = 64;
}

impl Value for Name {
    const NAME: &'static str = "NAME";
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=Self::LONGEST).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(format!(
                "`{text}` is no name: write 1 to {} letters, digits, `-`, `_` and `.`",
                Self::LONGEST
            ));
        }
        if text == ADMIN || text == HANDOVER || text.starts_with(BOUND) {
            return Err(format!("`{text}` means something else where sockets are passed"));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// What is logged: a level, or directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(pub(crate) String);

impl Value for Filter {
    const NAME: &'static str = "FILTER";
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        check_filter(text).map(Self).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
