//! Shards of a scoring job that several machines share.

use super::parts::name_hash;
use crate::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;

/// A part of a job that several machines share: part `i` of `n`. An image belongs to a part by its
/// name alone, so that the machines need not communicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: u64,
    count: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether an image of this name belongs to the part. Exactly one part of `n` holds it: that
    /// of the number that the first 8 bytes of the SHA-256 of the name are (big-endian), modulo
    /// `n`, plus 1. `\` counts as `/`.
    pub fn contains(&self, name: &str) -> bool {
        if self.count == 1 {
            return true;
        }
        name_hash(name, None) % self.count == self.index
    }
}

/// `i/n`, with `i` from 1 to `n`.
impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse().ok()?)));
        match parts {
            Some((i, count)) if (1..=count).contains(&i) => Ok(Self {
                index: i - 1,
                count,
            }),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("{text:?} is no part of a job; the second of four is 2/4"),
            )),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_one_part() {
        let names: Vec<String> = (0..1000).map(|i| format!("a/{i}.png")).collect();
        for count in [1, 2, 3, 7] {
            let parts: Vec<Shard> = (1..=count)
                .map(|i| format!("{i}/{count}").parse().unwrap())
                .collect();
            for name in &names {
                assert_eq!(parts.iter().filter(|part| part.contains(name)).count(), 1);
            }
            for part in &parts {
                let own = names.iter().filter(|name| part.contains(name)).count();
                assert!(own * count > 800, "{part}: {own} of {}", names.len());
            }
        }
    }

    /// Other machines and other versions must agree. The SHA-256 of "abc" begins with
    /// ba7816bf8f01cfea.
    #[test]
    fn parts_stay_the_same() {
        let number = 0xba78_16bf_8f01_cfea_u64;
        for count in [2, 3, 10, 97] {
            let part: Shard = format!("{}/{count}", number % count + 1).parse().unwrap();
            assert!(part.contains("abc"));
        }
        let part: Shard = "1/2".parse().unwrap();
        assert_eq!(part.contains("a\\b.png"), part.contains("a/b.png"));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
