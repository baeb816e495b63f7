//! A value and where it comes from.

use super::layer::Layer;
use super::origin::Origin;
use super::problem::Problem;
use super::row::Row;
use super::value::Value;

/// The value of a setting, in force.
#[derive(Clone, Debug)]
pub(crate) struct Valued<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T: Value> Valued<T> {
    /// From the first of `layers` that has it, or else its default.
    pub(crate) fn resolve(row: &Row, layers: &[&Layer]) -> Result<Self, Problem> {
        match layers.iter().find_map(|layer| layer.get(row.key)) {
            Some(entry) => Self::parse(&entry.text, &entry.origin),
            None => Self::parse(row.default, &Origin::Default),
        }
    }

    pub(crate) fn parse(text: &str, origin: &Origin) -> Result<Self, Problem> {
        match T::parse(text) {
            Ok(value) => Ok(Self { value, origin: origin.clone() }),
            Err(why) => Err(Problem::new(origin, why)),
        }
    }
}

/// A setting in force, without its type.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) row: &'static Row,
    pub(crate) text: String,
    /// What else is to be told of it.
    pub(crate) note: Option<String>,
    pub(crate) origin: &'a Origin,
}

impl<'a> Shown<'a> {
    pub(crate) fn new<T: Value>(row: &'static Row, valued: &'a Valued<T>) -> Self {
        let Valued { value, origin } = valued;
        Self { row, text: value.show(), note: value.note(), origin }
    }
}
