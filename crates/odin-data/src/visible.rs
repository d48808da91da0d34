//! Names as they are shown. A file or an archive member may be called anything, also what a
//! terminal would take for a command; such characters are shown as escapes, `\u{1b}`.

/// The text without characters that do something instead of being seen.
pub(crate) fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same with line breaks left in, for messages that are lists.
pub(crate) fn visible_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
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
    fn only_what_acts_is_escaped() {
        for (text, shown) in [
            ("ä b/日本.png", "ä b/日本.png"),
            ("\x1b]0;owned\x07.png", "\\u{1b}]0;owned\\u{7}.png"),
            ("a\r\nb\u{9b}", "a\\u{d}\\u{a}b\\u{9b}"),
            ("gnp\u{202e}.exe", "gnp\\u{202e}.exe"),
            ("back\\slash", "back\\slash"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\n\tb"), "a\n\\u{9}b");
    }
}
