//! The machine's peak of f32 multiply-adds, measured.

use std::fmt;
use std::sync::Barrier;
use std::time::Instant;

/// Multiply-add instructions that do not wait for one another. Two of them may start in a cycle,
/// each takes four cycles or five: twelve keep the units busy, and AVX2 has sixteen registers.
const CHAINS: usize = 12;

const STEPS: u64 = 1 << 20;
const REPETITIONS: usize = 40;

/// The vectors that multiply-adds work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 16 lanes.
    Avx512,
    /// 8 lanes.
    Avx2,
    /// 4 lanes.
    Neon,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512 => "AVX-512",
            Isa::Avx2 => "AVX2",
            Isa::Neon => "NEON",
        })
    }
}

impl Isa {
    /// What this machine has, widest first; empty where it is none of these.
    pub fn available() -> Vec<Isa> {
        #[cfg(target_arch = "x86_64")]
        let found = [
            (Isa::Avx512, is_x86_feature_detected!("avx512f")),
            (
                Isa::Avx2,
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            ),
        ];
        #[cfg(target_arch = "aarch64")]
        let found = [(Isa::Neon, true)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let found: [(Isa, bool); 0] = [];
        let available = found.into_iter().filter(|(_, here)| *here);
        available.map(|(isa, _)| isa).collect()
    }

    fn lanes(self) -> u64 {
        match self {
            Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Neon => 4,
        }
    }

    /// GFLOP/s of `threads` threads that do nothing else, the best of a few repetitions.
    pub fn peak(self, threads: usize) -> f64 {
        let flops = 2 * STEPS * CHAINS as u64 * self.lanes() * threads as u64;
        let barrier = Barrier::new(threads);
        let seconds = std::thread::scope(|scope| {
            let worker = || {
                scope.spawn(|| {
                    let timed = |_| {
                        barrier.wait();
                        let begun = Instant::now();
                        self.multiply_adds();
                        barrier.wait();
                        begun.elapsed().as_secs_f64()
                    };
                    (0..REPETITIONS).map(timed).fold(f64::INFINITY, f64::min)
                })
            };
            let workers: Vec<_> = (0..threads).map(|_| worker()).collect();
            let times = workers.into_iter().filter_map(|w| w.join().ok());
            times.fold(0.0, f64::max)
        });
        flops as f64 / seconds / 1e9
    }

    fn multiply_adds(self) {
        // SAFETY: only `available` gives values of this type, after it has asked the machine;
        // NEON is part of every aarch64.
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::avx512() },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::avx2() },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe { arm::neon() },
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
}

/// The peak of the widest vectors of this machine, GFLOP/s.
pub fn widest(threads: usize) -> Option<(Isa, f64)> {
    let isa = *Isa::available().first()?;
    Some((isa, isa.peak(threads)))
}

/// `STEPS` rounds of `CHAINS` multiply-adds.
macro_rules! chains {
    ($set:ident, $fma:expr) => {{
        let (a, b) = ($set(std::hint::black_box(0.999)), $set(1e-3));
        let mut sums = [b; CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = $fma(a, *sum, b);
            }
        }
        std::hint::black_box(sums);
    }};
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, STEPS};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512() {
        chains!(_mm512_set1_ps, |a, x, b| _mm512_fmadd_ps(a, x, b));
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2() {
        chains!(_mm256_set1_ps, |a, x, b| _mm256_fmadd_ps(a, x, b));
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{CHAINS, STEPS};
    use std::arch::aarch64::*;

    #[target_feature(enable = "neon")]
    pub(super) fn neon() {
        chains!(vdupq_n_f32, |a, x, b| vfmaq_f32(b, a, x));
    }
}
