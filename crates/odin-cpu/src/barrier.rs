//! The barrier between the steps of an image that several threads share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// As [`std::sync::Barrier`], but spinning instead of sleeping: the steps of an image take
/// microseconds.
pub(crate) struct Barrier {
    threads: usize,
    arrived: Apart<AtomicUsize>,
    round: Apart<AtomicUsize>,
    broken: AtomicBool,
}

/// Padded to two cache lines, since processors prefetch lines in pairs: threads that spin on one
/// counter are not disturbed by writes to the other.
#[repr(align(128))]
struct Apart<T>(T);

/// Spins without a pause instruction, which takes as long as the fastest steps, and longer under a
/// hypervisor that traps it.
const EAGER: usize = 1 << 14;
/// Spins before the time slice is yielded.
const SPINS: usize = 1 << 10;

impl Barrier {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: Apart(AtomicUsize::new(0)),
            round: Apart(AtomicUsize::new(0)),
            broken: AtomicBool::new(false),
        }
    }

    /// Returns once all threads have arrived, with their earlier writes visible; `false` if one has
    /// panicked and will never arrive.
    pub(crate) fn wait(&self) -> bool {
        if self.threads == 1 {
            return true;
        }
        let round = self.round.0.load(Ordering::Relaxed);
        if self.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.0.store(0, Ordering::Relaxed);
            self.round.0.store(round.wrapping_add(1), Ordering::Release);
            return true;
        }
        let mut spins = 0;
        while self.round.0.load(Ordering::Acquire) == round {
            if self.broken.load(Ordering::Relaxed) {
                return false;
            }
            spins += 1;
            match spins {
                0..EAGER => {}
                _ if spins % SPINS == 0 => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
        true
    }

    /// Releases the other threads if the holder of the guard panics.
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard(self)
    }
}

/// See [`Barrier::guard`].
pub(crate) struct Guard<'a>(&'a Barrier);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn nobody_goes_ahead() {
        let (barrier, steps) = (Barrier::new(3), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for step in 0..200 {
                        steps.fetch_add(1, Ordering::Relaxed);
                        assert!(barrier.wait());
                        assert!(steps.load(Ordering::Relaxed) >= 3 * (step + 1));
                        assert!(barrier.wait());
                    }
                });
            }
        });
        assert_eq!(steps.into_inner(), 600);
    }

    #[test]
    fn a_panic_lets_the_others_go() {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| barrier.wait());
            let panics = scope.spawn(|| {
                let _guard = barrier.guard();
                panic!("on purpose");
            });
            assert!(panics.join().is_err());
            assert!(!waits.join().unwrap_or(true));
        });
    }
}
