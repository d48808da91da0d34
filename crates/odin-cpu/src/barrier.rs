//! Where threads that work on one image wait for each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// As [`std::sync::Barrier`], but without going to sleep: the steps of an image take microseconds.
pub(crate) struct Barrier {
    threads: usize,
    arrived: Apart<AtomicUsize>,
    round: Apart<AtomicUsize>,
    broken: AtomicBool,
}

/// In a cache line of its own, and not in the one next to it, which processors fetch along with
/// it: who waits looks at one number while the others change another.
#[repr(align(128))]
struct Apart<T>(T);

/// How often to look without a pause: a pause takes as long as the fastest steps, and longer where
/// a hypervisor notices.
const EAGER: usize = 1 << 14;
/// How often to look before letting another thread have the processor.
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

    /// Returns once all threads are here: what each did before, all see afterwards. `false` if one
    /// will never come, because it panicked.
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

    /// Lets the others go if the thread that holds the result panics.
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
