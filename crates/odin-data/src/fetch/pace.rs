//! How fast a server sends, and when that is too slow.

use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// The fewest bytes that a server may send in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) bytes_per_second: u64,
    pub(super) over: Duration,
}

/// Time spent waiting for a server, and what came of it, since the average was last taken.
#[derive(Debug, Default)]
struct Meter {
    waited: Duration,
    bytes: u64,
}

impl Meter {
    /// Adds a wait and the bytes that ended it. False if the average has become too low.
    fn add(&mut self, pace: Pace, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < pace.over {
            return true;
        }
        let wanted = pace.bytes_per_second as f64 * self.waited.as_secs_f64();
        let met = self.bytes as f64 >= wanted;
        *self = Self::default();
        met
    }
}

/// A body that fails when it comes too slowly. What the reader of it does between two reads does
/// not count.
pub(super) struct Paced<R> {
    body: R,
    pace: Pace,
    meter: Meter,
}

impl<R> Paced<R> {
    pub(super) fn new(body: R, pace: Pace) -> Self {
        Self {
            body,
            pace,
            meter: Meter::default(),
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = Instant::now();
        let n = self.body.read(buffer)?;
        let ended = n == 0;
        if ended || self.meter.add(self.pace, asked.elapsed(), n as u64) {
            return Ok(n);
        }
        Err(io::Error::other(TooSlow(self.pace)))
    }
}

#[derive(Debug)]
struct TooSlow(Pace);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server is too slow: less than {} bytes a second over {} s",
            self.0.bytes_per_second,
            self.0.over.as_secs_f64()
        )
    }
}

impl std::error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        bytes_per_second: 1024,
        over: Duration::from_secs(30),
    };

    /// Seconds waited and bytes received, in order; the answer to the last.
    #[test]
    fn the_average_decides() {
        let cases: [(&[(u64, u64)], bool); 7] = [
            (&[(29, 1)], true),
            (&[(29, 1), (1, 1)], false),
            (&[(29, 1), (1, 30_720)], true),
            (&[(30, 30_719)], false),
            (&[(30, 30_720)], true),
            // What came fast at first does not make up for what comes later.
            (&[(30, 1 << 30), (30, 1)], false),
            (&[(60, 30_720)], false),
        ];
        for (reads, expected) in cases {
            let mut meter = Meter::default();
            let mut met = true;
            for &(waited, bytes) in reads {
                met = meter.add(PACE, Duration::from_secs(waited), bytes);
            }
            assert_eq!(met, expected, "{reads:?}");
        }
    }
}
