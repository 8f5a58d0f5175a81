//! SQL text cut into the few kinds of token that matter to the lexer, by the rules of
//! PostgreSQL's own scanner (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Word(&'a [u8]),
    /// A quoted identifier, without its outer quotes.
    Quoted(&'a [u8]),
    /// A string, number or parameter.
    Literal,
    Punctuation(u8),
    End,
    Undecidable,
}

pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    conforming: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8], conforming: bool) -> Tokens<'a> {
        Tokens { text, at: 0, conforming }
    }

    pub fn next(&mut self) -> Token<'a> {
        if !self.skip_blank() {
            return Token::Undecidable;
        }
        let Some(&byte) = self.text.get(self.at) else { return Token::End };
        match byte {
            b'\'' => self.string(!self.conforming, false),
            b'"' => self.quoted(),
            b'$' => self.dollar(),
            b'0'..=b'9' => {
                self.take_word();
                Token::Literal
            }
            byte if starts_word(byte) => self.word(),
            _ => {
                self.at += 1;
                Token::Punctuation(byte)
            }
        }
    }

    /// Whether a parenthesis comes next.
    pub fn at_parenthesis(&self) -> bool {
        if let [b' ', next, ..] = self.rest()
            && KINDS[*next as usize] == Kind::Letter
        {
            return false;
        }
        let mut ahead = Tokens { ..*self };
        ahead.skip_blank() && ahead.text.get(ahead.at) == Some(&b'(')
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Passes white space and comments; false for a comment without an end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let blank = |byte: &u8| KINDS[*byte as usize] == Kind::Blank;
            while self.text.get(self.at).is_some_and(blank) {
                self.at += 1;
            }
            let rest = self.rest();
            match rest {
                [b'-', b'-', ..] => {
                    let line = rest.iter().position(|&b| b == b'\n' || b == b'\r');
                    self.at += line.unwrap_or(rest.len());
                }
                [b'/', b'*', ..] => {
                    if !self.skip_block_comment() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) -> bool {
        let mut depth = 0;
        while self.at < self.text.len() {
            match self.rest() {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.at += 2;
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn take_word(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|&b| !continues_word(b)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn word(&mut self) -> Token<'a> {
        let word = self.take_word();
        let string_follows = self.text.get(self.at) == Some(&b'\'');
        match word {
            [b'e' | b'E'] if string_follows => self.string(true, true),
            [b'b' | b'B' | b'x' | b'X' | b'n' | b'N'] if string_follows => {
                self.string(!self.conforming, false)
            }
            _ => Token::Word(word),
        }
    }

    /// Reads a string at its opening quote. With `escapes` a backslash protects the next byte;
    /// where that is only so because standard_conforming_strings is off (`!declared`), it is left
    /// undecided.
    fn string(&mut self, escapes: bool, declared: bool) -> Token<'a> {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' if escapes && !declared => return Token::Undecidable,
                b'\\' if escapes => self.at += 1,
                b'\'' if self.text.get(self.at) == Some(&b'\'') => self.at += 1,
                b'\'' => return self.after_string(declared),
                _ => {}
            }
        }
        Token::Undecidable
    }

    /// An escape string may go on after white space, still with escapes: left undecided.
    fn after_string(&mut self, declared: bool) -> Token<'a> {
        let mut ahead = Tokens { ..*self };
        let continued = ahead.skip_blank() && ahead.text.get(ahead.at) == Some(&b'\'');
        if declared && continued { Token::Undecidable } else { Token::Literal }
    }

    fn quoted(&mut self) -> Token<'a> {
        let start = self.at + 1;
        self.at = start;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' if self.text.get(self.at) == Some(&b'"') => self.at += 1,
                b'"' => return Token::Quoted(&self.text[start..self.at - 1]),
                _ => {}
            }
        }
        Token::Undecidable
    }

    /// `$1`, `$$…$$` or `$tag$…$tag$`.
    fn dollar(&mut self) -> Token<'a> {
        let rest = self.rest();
        let tag = 1 + rest[1..].iter().position(|&b| !in_tag(b)).unwrap_or(rest.len() - 1);
        let number = rest.get(1).is_some_and(u8::is_ascii_digit);
        if number || rest.get(tag) != Some(&b'$') {
            self.at += 1;
            self.take_word();
            return Token::Literal;
        }
        let (delimiter, body) = rest.split_at(tag + 1);
        match find(body, delimiter) {
            Some(end) => {
                self.at += 2 * delimiter.len() + end;
                Token::Literal
            }
            None => Token::Undecidable,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn starts_word(byte: u8) -> bool {
    KINDS[byte as usize] == Kind::Letter
}

fn continues_word(byte: u8) -> bool {
    matches!(KINDS[byte as usize], Kind::Letter | Kind::Digit | Kind::Dollar)
}

fn in_tag(byte: u8) -> bool {
    matches!(KINDS[byte as usize], Kind::Letter | Kind::Digit)
}

/// What a byte may be part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Dollar,
    Blank,
    Other,
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
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
}
