//! What one source says: texts by key, and where each of them stands.

use std::collections::BTreeMap;

use super::origin::Origin;

/// A text that has been found in a source.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// The flags, the environment, the file's top level, or a section of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<&'static str, Entry>,
}

impl Layer {
    pub(crate) fn insert(&mut self, key: &'static str, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }
}
