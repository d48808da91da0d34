//! The command line as a shell takes it, for reports that say how to repeat them.

use std::ffi::OsString;

/// `odin` and its arguments, those in quotes that a shell would change.
pub(crate) fn command_line(arguments: &[OsString]) -> String {
    let arguments = arguments.iter().skip(1);
    let quoted = arguments.map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("odin".to_string())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        let arguments = [
            "x",
            "eval",
            "--nn=a.pth",
            "my set/",
            "it's",
            "",
            "$(rm)",
            "é",
        ];
        let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        let expected = r"odin eval --nn=a.pth 'my set/' 'it'\''s' '' '$(rm)' 'é'";
        assert_eq!(command_line(&arguments), expected);
    }
}
