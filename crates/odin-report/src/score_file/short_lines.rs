//! Lines that end: a file of one endless line must not fill the memory.

use std::io::{Error, ErrorKind, Read, Result};

/// A line that is longer is none of a score file.
const MAX_LINE: usize = 1 << 20;

/// Passes on what it reads, as long as lines end.
pub(super) struct ShortLines<R> {
    file: R,
    /// The bytes since the last end of a line.
    length: usize,
}

impl<R> ShortLines<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, length: 0 }
    }
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read(buffer)?;
        for byte in &buffer[..read] {
            self.length = match byte {
                b'\n' => 0,
                _ => self.length + 1,
            };
            if self.length > MAX_LINE {
                let problem = format!("a line is longer than {MAX_LINE} bytes");
                return Err(Error::new(ErrorKind::InvalidData, problem));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, repeat};

    #[test]
    fn endless_lines_are_refused() {
        let line = || repeat(b'x').take(MAX_LINE as u64);
        let mut text = Vec::new();
        let lines = line().chain(Cursor::new("\n")).chain(line());
        ShortLines::new(lines).read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), 2 * MAX_LINE + 1);
        let error = ShortLines::new(repeat(b'x')).read_to_end(&mut text);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
