//! The words of a line: what a quoted text, a pattern and a bare word look like, and where in them
//! variables stand. What the words mean is for the parser.
//!
//! ```text
//!   "a\n${NAME:-nobody}"     /^done \d+$/     127.0.0.1:7007     # a comment
//! ```

use volley_cli::Misread;
use winnow::combinator::{alt, cut_err, delimited, opt, preceded, repeat};
use winnow::error::{ContextError, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::token::{any, one_of, take_till, take_while};

/// What begins a comment, where a word could begin.
pub(super) const COMMENT: char = '#';

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// These bytes; a text may hold any.
    Bytes(Vec<u8>),
    /// The value of a variable.
    Variable { name: &'a str, default: Option<&'a str> },
}

/// A text in double quotes, with these escapes: `\n \r \t \0 \\ \" \$ \xHH \u{HEX}`.
pub(super) fn text<'a>(line: &mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>> {
    let piece = alt((plain(&['"', '\\', '$']), preceded('\\', escape), variable, dollar));
    lex(delimited('"', repeat(0.., piece), end('"', "a closing quote")), line)
}

/// A pattern between slashes; `\/` is a slash, and what else follows a backslash is the pattern's
/// own affair.
pub(super) fn pattern<'a>(line: &mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>> {
    let slash = "\\/".map(|_| piece("/"));
    let escaped = ('\\', any).take().map(piece);
    let piece = alt((plain(&['/', '\\', '$']), slash, escaped, variable, dollar));
    lex(delimited('/', repeat(0.., piece), end('/', "a closing slash")), line)
}

/// A bare word: what stands up to the next blank or quote. There is at least one character.
pub(super) fn word<'a>(line: &mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>> {
    let piece = alt((plain(&[' ', '\t', '\r', '"', '$']), variable, dollar));
    lex(repeat(1.., piece), line)
}

/// Characters that stand for themselves, up to one of `special`.
fn plain<'a>(special: &[char]) -> impl Parser<&'a str, Piece<'a>, Failed> {
    take_till(1.., special).map(piece)
}

/// A dollar sign that begins no variable.
fn dollar<'a>(line: &mut &'a str) -> ModalResult<Piece<'a>> {
    "$".map(piece).parse_next(line)
}

/// `${NAME}`, or `${NAME:-DEFAULT}`.
fn variable<'a>(line: &mut &'a str) -> ModalResult<Piece<'a>> {
    let name = take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_');
    let name = cut_err(name).context(expected("the name of a variable"));
    let default = opt(preceded(":-", take_till(0.., '}')));
    delimited("${", (name, default), end('}', "} behind the variable"))
        .map(|(name, default)| Piece::Variable { name, default })
        .parse_next(line)
}

/// What may follow a backslash in a text.
fn escape<'a>(line: &mut &'a str) -> ModalResult<Piece<'a>> {
    let short = alt((
        'n'.value(b"\n"),
        'r'.value(b"\r"),
        't'.value(b"\t"),
        '0'.value(b"\0"),
        '\\'.value(b"\\"),
        '"'.value(b"\""),
        '$'.value(b"$"),
    ));
    let byte = preceded('x', cut_err(digits(2, 2)).context(expected("two hexadecimal digits")));
    let scalar = digits(1, 6).verify_map(|digits| {
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).map(String::from)
    });
    let scalar = cut_err(delimited('{', scalar, '}')).context(expected("a character, as u{20ac}"));
    let escape = alt((
        short.map(|byte| byte.to_vec()),
        byte.try_map(|digits| u8::from_str_radix(digits, 16)).map(|byte| vec![byte]),
        preceded('u', scalar).map(String::into_bytes),
    ));
    cut_err(escape)
        .context(expected("one of n r t 0 \\ \" $ xHH u{HEX} behind the backslash"))
        .map(Piece::Bytes)
        .parse_next(line)
}

fn digits<'a>(least: usize, most: usize) -> impl Parser<&'a str, &'a str, Failed> {
    take_while(least..=most, |c: char| c.is_ascii_hexdigit())
}

/// What must end a word that has been begun.
fn end<'a>(mark: char, name: &'static str) -> impl Parser<&'a str, char, Failed> {
    cut_err(one_of(mark)).context(expected(name))
}

fn piece<'a>(text: &'a str) -> Piece<'a> {
    Piece::Bytes(text.as_bytes().to_vec())
}

type Failed = winnow::error::ErrMode<ContextError>;

const fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// Takes a word off the line. What is wrong with it is where the parser stopped.
fn lex<'a, T>(
    mut parser: impl Parser<&'a str, T, Failed>,
    line: &mut &'a str,
) -> Result<T, Misread<'a>> {
    parser.parse_next(line).map_err(|error| {
        let context = error.into_inner().unwrap_or_default();
        // The innermost, which knows best, comes first.
        let wanted = context.context().find_map(|context| match context {
            StrContext::Expected(wanted) => Some(wanted.to_string()),
            _ => None,
        });
        let place = line.chars().next().map_or(0, char::len_utf8);
        Misread::new(&line[..place], format!("{} is missing", wanted.unwrap_or("a word".into())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: &[u8]) -> Piece<'_> {
        Piece::Bytes(bytes.to_vec())
    }

    /// What `lex` makes of the front of a line, and what it leaves.
    fn read<'a>(
        lex: impl Fn(&mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>>,
        line: &'a str,
    ) -> (Vec<Piece<'a>>, &'a str) {
        let mut rest = line;
        (lex(&mut rest).unwrap(), rest)
    }

    /// The offset of what is wrong, and why it is.
    fn wrong<'a>(
        lex: impl Fn(&mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>>,
        line: &'a str,
    ) -> (usize, String) {
        let mut rest = line;
        let Misread { place, why } = lex(&mut rest).unwrap_err();
        (place.as_ptr() as usize - line.as_ptr() as usize, why)
    }

    #[test]
    fn a_text_holds_any_byte() {
        let line = r#""a b\n\x00\xff\u{20ac}\\\"\$" rest"#;
        let expected: [&[u8]; 9] =
            [b"a b", b"\n", b"\0", b"\xff", "\u{20ac}".as_bytes(), b"\\", b"\"", b"$", b""];
        let (pieces, rest) = read(text, line);
        assert_eq!(pieces, expected[..8].iter().map(|e| bytes(e)).collect::<Vec<_>>());
        assert_eq!(rest, " rest");
        assert_eq!(read(text, r#""""#), (vec![], ""));
    }

    #[test]
    fn variables_may_stand_anywhere() {
        let user = Piece::Variable { name: "USER_1", default: None };
        let port = Piece::Variable { name: "PORT", default: Some("70 07") };
        let none = Piece::Variable { name: "X", default: Some("") };
        assert_eq!(
            read(text, r#""${USER_1}$1${X:-}""#).0,
            [user.clone(), bytes(b"$"), bytes(b"1"), none]
        );
        assert_eq!(read(word, "a:${PORT:-70 07} b"), (vec![bytes(b"a:"), port], " b"));
        assert_eq!(read(pattern, "/^${USER_1}$/").0, [bytes(b"^"), user, bytes(b"$")]);
    }

    #[test]
    fn a_pattern_keeps_its_own_backslashes() {
        let (pieces, rest) = read(pattern, r"/a\/b\d\\/ x");
        assert_eq!(pieces, [bytes(b"a"), bytes(b"/"), bytes(b"b"), bytes(br"\d"), bytes(br"\\")]);
        assert_eq!(rest, " x");
    }

    #[test]
    fn a_word_ends_at_a_blank_or_a_quote() {
        assert_eq!(read(word, "ab\tc"), (vec![bytes(b"ab")], "\tc"));
        assert_eq!(read(word, "ab\"c\""), (vec![bytes(b"ab")], "\"c\""));
    }

    #[test]
    fn says_where_a_word_goes_wrong() {
        let missing = |what: &str| format!("{what} is missing");
        assert_eq!(wrong(text, r#""abc"#), (4, missing("a closing quote")));
        assert_eq!(wrong(text, r#""a\x0g""#), (4, missing("two hexadecimal digits")));
        assert_eq!(wrong(text, r#""a\u{d800}""#).1, missing("a character, as u{20ac}"));
        let escapes = r#"one of n r t 0 \ " $ xHH u{HEX} behind the backslash"#;
        assert_eq!(wrong(text, r#""a\q""#), (3, missing(escapes)));
        assert_eq!(wrong(text, r#""${}""#), (3, missing("the name of a variable")));
        assert_eq!(wrong(text, r#""${A""#), (4, missing("} behind the variable")));
        assert_eq!(wrong(pattern, "/abc"), (4, missing("a closing slash")));
        assert_eq!(wrong(word, ""), (0, missing("a word")));
    }
}
