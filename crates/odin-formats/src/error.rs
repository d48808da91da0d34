use std::fmt;

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file could not be opened or read.
    Io,
    /// The content is none of the containers that this crate reads.
    UnknownContainer,
    /// The content contradicts its own format: truncated, damaged or hostile.
    Corrupt,
    /// The content is valid and of a kind that this crate does not read.
    Unsupported,
    /// The file holds no weights, or several candidates for them.
    NoWeights,
    /// A weight is NaN or infinite.
    NotFinite,
    /// The names of the tensors are those of no architecture in the zoo.
    UnknownArchitecture,
    /// A tensor of the architecture is missing, left over, or of the wrong shape.
    Mismatch,
}

/// An error of this crate. Its message names the file or the tensor, what was found, and what
/// was expected. Control characters in it, as hostile files have them in names, are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: escaped(&message.into(), |c| c == '\n'),
        }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The same error, its message led by the file or tensor that it is about.
    pub(crate) fn about(mut self, subject: impl fmt::Display) -> Self {
        let subject = escaped(&subject.to_string(), |_| false);
        self.message = format!("{subject}: {}", self.message);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Characters of a name that messages show.
const MAX_SHOWN: usize = 200;

/// A name from a file as messages show it: characters that a terminal would take for a command
/// become escapes such as `\u{1b}`, and of a long name the beginning stands for the whole.
pub(crate) fn shown(name: &str) -> String {
    match name.char_indices().nth(MAX_SHOWN) {
        None => escaped(name, |_| false),
        Some((end, _)) => {
            let begin = escaped(&name[..end], |_| false);
            format!("{begin}… ({} bytes)", name.len())
        }
    }
}

/// The first few of many names, as messages show them.
pub(crate) fn first_shown<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.take(8).map(shown).collect()
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) && !keep(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// Control characters, and those that change the direction of the text after them.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_shortened() {
        let long = "é".repeat(MAX_SHOWN + 1);
        let cut = format!("{}… (402 bytes)", &long[..2 * MAX_SHOWN]);
        for (name, expected) in [
            ("layer1.0.größe", "layer1.0.größe"),
            ("\x1b]0;owned\x07\n", "\\u{1b}]0;owned\\u{7}\\u{a}"),
            ("a\u{9b}\u{202e}", "a\\u{9b}\\u{202e}"),
            (&long, &cut),
        ] {
            assert_eq!(shown(name), expected);
        }
    }

    #[test]
    fn no_message_acts_on_a_terminal() {
        let error = Error::corrupt("one\ntwo \x1b[2J").about("a\r\nb\x07");
        assert_eq!(
            error.to_string(),
            "a\\u{d}\\u{a}b\\u{7}: one\ntwo \\u{1b}[2J"
        );
    }
}
