//! The barrier between the steps of an image that several threads share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// As [`std::sync::Barrier`], but spinning before it sleeps: the steps of an image take microseconds.
pub(crate) struct Barrier {
    threads: usize,
    arrived: Apart<AtomicUsize>,
    round: Apart<AtomicUsize>,
    broken: AtomicBool,
    /// The number of threads that sleep, or are about to.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
}

/// Padded to two cache lines, since processors prefetch lines in pairs: threads that spin on one
/// counter are not disturbed by writes to the other.
#[repr(align(128))]
struct Apart<T>(T);

/// Spins before a thread sleeps, tens of microseconds: whoever comes later than that is likely not
/// running, and spinning would keep the processor from it. Without a pause instruction, which takes as
/// long as the fastest steps, and longer under a hypervisor that traps it.
const SPINS: usize = 1 << 16;

impl Barrier {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: Apart(AtomicUsize::new(0)),
            round: Apart(AtomicUsize::new(0)),
            broken: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
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
            self.round.0.store(round.wrapping_add(1), Ordering::SeqCst);
            self.wake();
            return true;
        }
        for _ in 0..SPINS {
            if self.is_over(round) {
                return self.round.0.load(Ordering::Acquire) != round;
            }
        }
        self.sleep(round);
        self.round.0.load(Ordering::Acquire) != round
    }

    /// Whether there is nothing to wait for any more.
    fn is_over(&self, round: usize) -> bool {
        self.round.0.load(Ordering::Acquire) != round || self.broken.load(Ordering::Relaxed)
    }

    fn sleep(&self, round: usize) {
        // Sequentially consistent, as is the end of a round: either this thread sees it, or the thread
        // that ends it sees that this one sleeps.
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let mut lying = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        while self.round.0.load(Ordering::SeqCst) == round && !self.broken.load(Ordering::SeqCst) {
            let woken = self.alarm.wait(lying);
            lying = woken.unwrap_or_else(PoisonError::into_inner);
        }
        drop(lying);
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 {
            // Whoever has seen the old round holds the lock until it sleeps.
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.alarm.notify_all();
        }
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
            self.0.broken.store(true, Ordering::SeqCst);
            self.0.wake();
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

    /// Threads that come so late that the others sleep wake them.
    #[test]
    fn whoever_is_late_wakes_the_others() {
        let (barrier, steps) = (Barrier::new(3), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for index in 0..3 {
                let (barrier, steps) = (&barrier, &steps);
                scope.spawn(move || {
                    for step in 0..30 {
                        if step % 3 == index {
                            std::thread::sleep(std::time::Duration::from_millis(2));
                        }
                        steps.fetch_add(1, Ordering::Relaxed);
                        assert!(barrier.wait());
                        assert!(steps.load(Ordering::Relaxed) >= 3 * (step + 1));
                        assert!(barrier.wait());
                    }
                });
            }
        });
        assert_eq!(steps.into_inner(), 90);
        assert_eq!(barrier.asleep.into_inner(), 0);
    }

    #[test]
    fn a_panic_lets_sleepers_go() {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| barrier.wait());
            let panics = scope.spawn(|| {
                let _guard = barrier.guard();
                while barrier.asleep.load(Ordering::Relaxed) == 0 {
                    std::thread::yield_now();
                }
                panic!("on purpose");
            });
            assert!(panics.join().is_err());
            assert!(!waits.join().unwrap_or(true));
        });
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
