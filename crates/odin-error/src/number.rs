//! Words in the number of what they are about.

/// So many of them: `1 image`, `2 images`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", agree(count, "", "s"))
}

/// The form of a word that goes with so many.
///
/// ```
/// use odin_error::{agree, counted};
/// let left_out = |n| format!("{} {} left out", counted(n, "image"), agree(n, "was", "were"));
/// assert_eq!([0, 1, 2].map(left_out), [
///     "0 images were left out",
///     "1 image was left out",
///     "2 images were left out",
/// ]);
/// ```
pub fn agree<'a>(count: usize, one: &'a str, several: &'a str) -> &'a str {
    match count {
        1 => one,
        _ => several,
    }
}
