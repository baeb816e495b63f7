//! Why a text could not be read, and which piece of it is to blame.

/// A piece of a text that cannot be read. Whoever has the whole text can point at the piece in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread<'a> {
    /// The piece: a part of the text itself, not a copy. Empty where something is missing.
    pub place: &'a str,
    /// What is wrong and how to write it, for the user.
    pub why: String,
}

impl<'a> Misread<'a> {
    /// Blames `place`.
    pub fn new(place: &'a str, why: impl Into<String>) -> Self {
        Self { place, why: why.into() }
    }
}
