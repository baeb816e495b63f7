//! Why a text could not be read, and which piece of it is to blame.

use std::ops::Range;

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

    /// The bytes of `text` that are to blame: for [`Excerpt`](crate::Excerpt), which points at
    /// them.
    ///
    /// # Panics
    ///
    /// With debug assertions, when the place is no piece of `text`.
    pub fn span_in(&self, text: &str) -> Range<usize> {
        let start = self.place.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let span = start..start.wrapping_add(self.place.len());
        debug_assert_eq!(text.get(span.clone()), Some(self.place), "a copy of it was parsed");
        span
    }
}
