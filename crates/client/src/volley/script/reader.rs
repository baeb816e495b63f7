//! A script: from its text to its statements.

use std::mem;

use super::error::{Fault, ScriptError};
use super::parser::{Line, Surroundings, parse};
use super::statement::{Action, Place, Script, Statement};

/// Blocks within each other, at most. Nobody writes more by hand, and each takes its part of the
/// stack when the statements are given back.
const DEEPEST: usize = 64;

/// Reads the script that is called `name`. Files that it sends are read as well: who mistypes a
/// path learns it before anything is sent.
///
/// # Errors
///
/// [`ScriptError::Wrong`] for the first line that cannot be read.
pub(super) fn read(
    name: &str,
    text: &[u8],
    surroundings: &Surroundings<'_>,
) -> Result<Script, ScriptError> {
    let text = utf8(name, text)?;
    let mut reading = Reading::default();
    for (number, line) in (1..).zip(text.lines()) {
        reading
            .take(number, line, surroundings)
            .map_err(|fault| fault.within(line, number, name))?;
    }
    match reading.open.first() {
        None => Ok(Script { name: name.to_owned(), statements: reading.statements }),
        Some(Open { number, line, .. }) => {
            let fault =
                Fault::new(line.trim(), "nothing ends what is repeated: an `end` is missing");
            Err(fault.within(line, *number, name))
        }
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Reading<'a> {
    /// Those of the innermost block.
    statements: Vec<Statement>,
    /// The blocks that have no end yet, the innermost last.
    open: Vec<Open<'a>>,
}

/// A `repeat` whose `end` has not come.
#[derive(Debug)]
struct Open<'a> {
    number: usize,
    line: &'a str,
    times: u64,
    /// The statements before it, of the block that it stands in.
    before: Vec<Statement>,
}

impl<'a> Reading<'a> {
    fn take(
        &mut self,
        number: usize,
        line: &'a str,
        surroundings: &Surroundings<'_>,
    ) -> Result<(), Fault<'a>> {
        match parse(line, surroundings)? {
            Line::Blank => {}
            Line::Action(action) => self.add(number, line, action),
            Line::Repeat(_) if self.open.len() == DEEPEST => {
                let why = format!("at most {DEEPEST} blocks can stand within each other");
                return Err(Fault::new(line.trim(), why));
            }
            Line::Repeat(times) => {
                let before = mem::take(&mut self.statements);
                self.open.push(Open { number, line, times, before });
            }
            Line::End => {
                let Some(Open { number, line: begins, times, before }) = self.open.pop() else {
                    return Err(Fault::new(
                        line.trim(),
                        "there is no `repeat` that this could end",
                    ));
                };
                let body = mem::replace(&mut self.statements, before);
                if times > 0 && !body.is_empty() {
                    self.add(number, begins, Action::Repeat { times, body });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, line: usize, text: &str, action: Action) {
        let column = 1 + text.chars().take_while(|c| c.is_whitespace()).count();
        let (place, source) = (Place { line, column }, text.trim().to_owned());
        self.statements.push(Statement { place, source, action });
    }
}

/// The text of a script, without the mark with which some editors begin a file (U+FEFF). One that is
/// not UTF-8 is mostly no script at all.
fn utf8<'a>(name: &str, text: &'a [u8]) -> Result<&'a str, ScriptError> {
    let read = str::from_utf8(text).map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    read.map_err(|error| {
        let good = String::from_utf8_lossy(&text[..error.valid_up_to()]);
        let number = 1 + good.matches('\n').count();
        let line = good.rsplit('\n').next().unwrap_or_default();
        Fault::new(&line[line.len()..], "this is not UTF-8: write other bytes as \\xHH")
            .within(line, number, name)
    })
}

#[cfg(test)]
mod tests;
