//! SQL text cut into the few kinds of token that matter to the lexer, by the rules of
//! PostgreSQL's own scanner (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Word(&'a [u8]),
    /// A quoted identifier, without its outer quotes.
    Quoted(&'a [u8]),
    Dot,
    /// A closing parenthesis.
    Close,
    Semicolon,
    /// A string, number, parameter, or any other byte.
    Other,
    End,
    Undecidable,
}

/// The tokens of a text. What is long or rare is measured by functions of the bytes alone, so that
/// the fields can stay in registers.
pub struct Tokens<'a> {
    /// The text from the next token on.
    rest: &'a [u8],
    /// What the rest begins with; white space and comments have been passed.
    kind: Kind,
    conforming: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8], conforming: bool) -> Tokens<'a> {
        let mut tokens = Tokens { rest: text, kind: Kind::End, conforming };
        tokens.pass(0);
        tokens
    }

    #[inline(always)]
    pub fn next(&mut self) -> Token<'a> {
        match self.kind {
            Kind::Letter => self.word(),
            Kind::DoubleQuote => self.quoted(),
            Kind::Digit => self.other(Some(word_length(self.rest))),
            Kind::Dollar => self.other(dollar_length(self.rest)),
            Kind::Quote => self.other(string_length(self.rest, self.conforming)),
            Kind::Dot => self.byte(Token::Dot),
            Kind::Close => self.byte(Token::Close),
            Kind::Semicolon => self.byte(Token::Semicolon),
            Kind::Open | Kind::Blank | Kind::Comment | Kind::Other => self.byte(Token::Other),
            Kind::End => Token::End,
            Kind::Unclosed => Token::Undecidable,
        }
    }

    /// Whether a parenthesis comes next.
    pub fn at_parenthesis(&self) -> bool {
        self.kind == Kind::Open
    }

    /// How many bytes are left, from the next token on.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether a dot comes next.
    pub fn at_dot(&self) -> bool {
        self.kind == Kind::Dot
    }

    /// The text from the next token on.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes a token, and white space and comments behind it.
    #[inline(always)]
    fn pass(&mut self, length: usize) -> &'a [u8] {
        let (token, rest) = self.rest.split_at(length);
        (self.rest, self.kind) = skip_blank(rest);
        token
    }

    #[inline(always)]
    fn byte(&mut self, token: Token<'a>) -> Token<'a> {
        self.pass(1);
        token
    }

    /// A token of `length`, which one without an end has not.
    #[inline(always)]
    fn other(&mut self, length: Option<usize>) -> Token<'a> {
        let Some(length) = length else { return Token::Undecidable };
        self.pass(length);
        Token::Other
    }

    #[inline(always)]
    fn word(&mut self) -> Token<'a> {
        let length = word_length(self.rest);
        if length == 1
            && let Some(string) = prefixed_string(self.rest, self.conforming)
        {
            return self.other(string);
        }
        Token::Word(self.pass(length))
    }

    #[inline(always)]
    fn quoted(&mut self) -> Token<'a> {
        let Some(length) = quoted_length(self.rest, b'"') else { return Token::Undecidable };
        Token::Quoted(&self.pass(length)[1..length - 1])
    }
}

/// What comes behind white space and comments, and what it begins with.
#[inline(always)]
fn skip_blank(mut text: &[u8]) -> (&[u8], Kind) {
    while let [byte, behind @ ..] = text {
        match KINDS[*byte as usize] {
            Kind::Blank => text = behind,
            Kind::Comment => return skip_comments(text),
            kind => return (text, kind),
        }
    }
    (text, Kind::End)
}

/// [`skip_blank`] where a comment may start.
#[inline(never)]
fn skip_comments(mut text: &[u8]) -> (&[u8], Kind) {
    while let [byte, behind @ ..] = text {
        text = match (KINDS[*byte as usize], comment_length(text)) {
            (Kind::Blank, _) => behind,
            (Kind::Comment, None) => return (text, Kind::Unclosed),
            (Kind::Comment, Some(0)) => return (text, Kind::Other),
            (Kind::Comment, Some(length)) => &text[length..],
            (kind, _) => return (text, kind),
        };
    }
    (text, Kind::End)
}

/// The length of a word or a number.
#[inline(always)]
fn word_length(text: &[u8]) -> usize {
    let ends = |byte: &u8| !continues_word(*byte);
    let mut length = 0;
    while let Some(eight) = text[length..].first_chunk::<8>() {
        if let Some(end) = eight.iter().position(ends) {
            return length + end;
        }
        length += 8;
    }
    text[length..].iter().position(ends).map_or(text.len(), |end| length + end)
}

/// The length of what is quoted, with its quotes; a doubled one stands for itself.
fn quoted_length(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += 1 + text[at..].iter().position(|&b| b == quote)?;
        if text.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// The length of `'…'`. A backslash is a byte like others, unless standard_conforming_strings is
/// off: then the string is left undecided.
fn string_length(text: &[u8], conforming: bool) -> Option<usize> {
    let length = quoted_length(text, b'\'')?;
    (conforming || !text[..length].contains(&b'\\')).then_some(length)
}

/// If `text` begins with one, the length of `e'…'`, `b'…'`, `x'…'` or `n'…'`.
fn prefixed_string(text: &[u8], conforming: bool) -> Option<Option<usize>> {
    match text {
        [b'e' | b'E', b'\'', ..] => Some(escape_string_length(text)),
        [b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', ..] => {
            Some(string_length(&text[1..], conforming).map(|length| 1 + length))
        }
        _ => None,
    }
}

/// The length of `e'…'`, where a backslash protects the next byte. It may go on after white space,
/// still with escapes: left undecided.
fn escape_string_length(text: &[u8]) -> Option<usize> {
    let length = escaped_length(text)?;
    let (_, next) = skip_blank(&text[length..]);
    (next != Kind::Quote).then_some(length)
}

fn escaped_length(text: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        at += match text.get(at..)? {
            [b'\\', _, ..] | [b'\'', b'\'', ..] => 2,
            [b'\'', ..] => return Some(at + 1),
            [] => return None,
            _ => 1,
        };
    }
}

/// The length of `$1`, `$$…$$` or `$tag$…$tag$`.
fn dollar_length(text: &[u8]) -> Option<usize> {
    let behind = &text[1..];
    let tag = behind.iter().position(|&b| !in_tag(b)).unwrap_or(behind.len());
    if behind.first().is_some_and(u8::is_ascii_digit) || behind.get(tag) != Some(&b'$') {
        return Some(1 + word_length(behind));
    }
    let (delimiter, body) = text.split_at(tag + 2);
    Some(2 * delimiter.len() + find(body, delimiter)?)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The length of a comment: 0 for none, `None` for one without an end.
fn comment_length(text: &[u8]) -> Option<usize> {
    match text {
        [b'-', b'-', ..] => {
            let end = text.iter().position(|&b| b == b'\n' || b == b'\r');
            Some(end.unwrap_or(text.len()))
        }
        [b'/', b'*', ..] => block_comment_length(text),
        _ => Some(0),
    }
}

/// Block comments nest.
fn block_comment_length(text: &[u8]) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    loop {
        at += match text[at..] {
            [b'*', b'/', ..] if depth == 1 => return Some(at + 2),
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [] => return None,
            _ => 1,
        };
    }
}

fn continues_word(byte: u8) -> bool {
    matches!(KINDS[byte as usize], Kind::Letter | Kind::Digit | Kind::Dollar)
}

fn in_tag(byte: u8) -> bool {
    matches!(KINDS[byte as usize], Kind::Letter | Kind::Digit)
}

/// What a byte may begin or be part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Dollar,
    Blank,
    /// A comment may start with it.
    Comment,
    Quote,
    DoubleQuote,
    Dot,
    Open,
    Close,
    Semicolon,
    Other,
    /// No byte: the text has ended.
    End,
    /// A comment that does not end.
    Unclosed,
}

static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            b'$' => Kind::Dollar,
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Kind::Blank,
            b'\'' => Kind::Quote,
            b'"' => Kind::DoubleQuote,
            b'.' => Kind::Dot,
            b'(' => Kind::Open,
            b')' => Kind::Close,
            b';' => Kind::Semicolon,
            b'-' | b'/' => Kind::Comment,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
}
