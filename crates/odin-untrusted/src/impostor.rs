//! Files that get the name of another kind of file by accident, by how they begin.

const IMPOSTORS: [(&[u8], &str); 5] = [
    (b"<!DOCTYPE", "a web page: the download went wrong"),
    (b"<!doctype", "a web page: the download went wrong"),
    (b"<html", "a web page: the download went wrong"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer: run `git lfs pull`",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)"),
];

/// What the content is instead of what the file's name promises, where it is known.
pub fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let found = IMPOSTORS.iter().find(|(begin, _)| bytes.starts_with(begin));
    found.map(|(_, what)| *what)
}
