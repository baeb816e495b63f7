//! The configuration file: from its text to layers of texts, or everything that is wrong with it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use volley_cli::suggest;

use super::layer::{Entry, Layer};
use super::listener::{Section, repeated_endpoints, repeated_names};
use super::literal::text_of;
use super::origin::Origin;
use super::place::{Place, SourceFile};
use super::problem::Problem;
use super::row::Row;
use super::table::{LISTEN, NAME, rows};
use super::value::Value;
use super::valued::Valued;

/// The key of a section.
const LISTENER: &str = "listener";

/// How many problems are told at once; who reads them has enough to do.
const MOST_PROBLEMS: usize = 20;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct FileSettings {
    /// What stands outside of sections.
    pub(crate) top: Layer,
    /// One for each listener, whether it has a section or stands in `listen`.
    pub(crate) listeners: Vec<Section>,
}

impl FileSettings {
    /// Reads a file's bytes.
    ///
    /// # Errors
    ///
    /// The first 20 problems, in the order of the file; of TOML's own only one, because what
    /// follows it is a guess.
    pub(crate) fn read(path: &Path, bytes: Vec<u8>) -> Result<Self, Vec<Problem>> {
        let path = path.to_owned();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let place = Place::new(&Arc::new(SourceFile { path, text }), start..start + 1);
                let why = "this is no UTF-8, in which a TOML file is written";
                return Err(vec![Problem::new(&Origin::File(place), why)]);
            }
        };
        let file = Arc::new(SourceFile { path, text });
        let mut reader = Reader { file: &file, problems: Vec::new() };
        let settings = match DeTable::parse(&file.text) {
            Ok(table) => reader.top(table.get_ref()),
            Err(error) => {
                let end = file.text.len();
                reader.blame(error.span().unwrap_or(end..end), error.message());
                Self::default()
            }
        };
        let Reader { mut problems, .. } = reader;
        problems.sort_by_key(|problem| problem.origin.place().map(Place::start));
        problems.truncate(MOST_PROBLEMS);
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

/// Goes through the file and gathers problems on the way.
struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File(Place::new(self.file, span))
    }

    fn blame(&mut self, span: Range<usize>, message: impl Into<String>) {
        let origin = self.origin(span);
        self.problems.push(Problem::new(&origin, message));
    }

    fn top(&mut self, table: &DeTable<'_>) -> FileSettings {
        let top = self.layer(table, Row::is_general, &[LISTEN.key, LISTENER]);
        let listeners = match (table.get_key_value(LISTEN.key), table.get_key_value(LISTENER)) {
            (Some((key, _)), Some(_)) => {
                self.blame(
                    key.span(),
                    "`listen` and [[listener]] can't both be there: move it into a section",
                );
                Vec::new()
            }
            (Some((_, value)), None) => self.endpoints(value),
            (None, Some((key, value))) => self.sections(key.span(), value),
            (None, None) => Vec::new(),
        };
        let endpoints: Vec<_> = listeners.iter().map(|listener| &listener.endpoint).collect();
        self.problems.extend(repeated_endpoints(&endpoints));
        self.problems.extend(repeated_names(&listeners));
        FileSettings { top, listeners }
    }

    /// `listen` at the top level: a string or an array of them.
    fn endpoints(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<Section> {
        let values = match value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                self.blame(value.span(), "`listen` is empty: write at least one endpoint");
                return Vec::new();
            }
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        let endpoints = values.into_iter().filter_map(|value| self.value(&LISTEN, value));
        endpoints.map(Section::plain).collect()
    }

    fn sections(&mut self, span: Range<usize>, value: &Spanned<DeValue<'_>>) -> Vec<Section> {
        let DeValue::Array(sections) = value.get_ref() else {
            self.blame(span, "write [[listener]], in two pairs of brackets: there may be several");
            return Vec::new();
        };
        if sections.is_empty() {
            self.blame(value.span(), "`listener` is empty: write at least one [[listener]]");
        }
        let mut listeners = Vec::new();
        for section in sections {
            match section.get_ref() {
                DeValue::Table(table) => listeners.extend(self.section(section.span(), table)),
                _ => self.blame(section.span(), "write a [[listener]] section in its place"),
            }
        }
        listeners
    }

    fn section(&mut self, span: Range<usize>, table: &DeTable<'_>) -> Option<Section> {
        let layer = self.layer(table, Row::is_for_sections, &[LISTEN.key, NAME.key]);
        let name = table.get(NAME.key).and_then(|value| self.value(&NAME, value));
        let Some(value) = table.get(LISTEN.key) else {
            self.blame(span, "this [[listener]] has no `listen`");
            return None;
        };
        let endpoint = self.value(&LISTEN, value)?;
        Some(Section { endpoint, name, layer })
    }

    /// The settings of a table, of rows that can be written `here`; `others` are left to the
    /// caller.
    fn layer(
        &mut self,
        table: &DeTable<'_>,
        here: fn(&Row) -> bool,
        others: &[&'static str],
    ) -> Layer {
        let mut layer = Layer::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if others.contains(&name) {
                continue;
            }
            match rows().find(|row| here(row) && row.key == name) {
                Some(row) => {
                    if let Some(entry) = self.entry(row, value) {
                        layer.insert(row.key, entry);
                    }
                }
                None => self.unknown(key.span(), name, here, others),
            }
        }
        layer
    }

    /// Reads a value of a type that is known here.
    fn value<T: Value>(&mut self, row: &Row, value: &Spanned<DeValue<'_>>) -> Option<Valued<T>> {
        let entry = self.entry(row, value)?;
        Valued::parse(&entry.text, &entry.origin).ok()
    }

    /// The text of a value, if it is one that `row` takes.
    fn entry(&mut self, row: &Row, value: &Spanned<DeValue<'_>>) -> Option<Entry> {
        let checked = text_of(row, value.get_ref()).and_then(|text| match (row.check)(&text) {
            Ok(()) => Ok(text),
            Err(why) => Err(format!("`{}`: {why}", row.key)),
        });
        match checked {
            Ok(text) => Some(Entry { text, origin: self.origin(value.span()) }),
            Err(why) => {
                self.blame(value.span(), why);
                None
            }
        }
    }

    /// Blames a key that is none `here`.
    fn unknown(
        &mut self,
        span: Range<usize>,
        key: &str,
        here: fn(&Row) -> bool,
        others: &[&'static str],
    ) {
        let known_here = rows().filter(|row| here(row)).map(|row| row.key);
        let message = match rows().find(|row| row.key == key) {
            Some(row) if row.is_general() => format!(
                "`{key}` is the same for all listeners: write it above the first [[listener]]"
            ),
            Some(_) => format!("`{key}` is of one listener: write it in a [[listener]] section"),
            None => match suggest(key, known_here.chain(others.iter().copied())) {
                Some(meant) => format!("unknown key `{key}`: did you mean `{meant}`?"),
                None => format!("unknown key `{key}`"),
            },
        };
        self.blame(span, message);
    }
}
