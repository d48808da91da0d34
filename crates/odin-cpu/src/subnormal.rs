//! The floating-point mode of a thread while it computes: subnormal numbers count as zero.
//!
//! Processors compute with subnormal numbers, those below 1.2e-38, up to a hundred times slower than
//! with others. On x86-64 the bits "flush to zero" and "denormals are zero" of MXCSR are set, on
//! AArch64 the bit FZ of FPCR; other processors have no such mode, and compute with subnormal
//! numbers.
//!
//! The compiler assumes the default mode. What it may do with that is to compute an operation on
//! constants in the default mode, or to move one across the switch; kernels are called through
//! pointers, work on memory, and have no constants that are subnormal.
#![allow(unsafe_code)]

use std::marker::PhantomData;

/// Counts subnormal numbers as zero on this thread until it is dropped, which restores the mode that
/// was set before.
pub(crate) struct FlushSubnormals {
    before: mode::Register,
    /// Not to be sent to another thread.
    thread: PhantomData<*const ()>,
}

impl FlushSubnormals {
    pub(crate) fn new() -> Self {
        let before = mode::get();
        mode::set(before | mode::FLUSH);
        Self {
            before,
            thread: PhantomData,
        }
    }
}

impl Drop for FlushSubnormals {
    fn drop(&mut self) {
        mode::set(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
mod mode {
    use std::arch::asm;

    pub(super) type Register = u32;
    /// Flush to zero, and denormals are zero.
    pub(super) const FLUSH: Register = 1 << 15 | 1 << 6;

    pub(super) fn get() -> Register {
        let mut mode: Register = 0;
        // SAFETY: stores MXCSR to a variable of its size.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags));
        }
        mode
    }

    pub(super) fn set(mode: Register) {
        // SAFETY: `mode` is what the register held, up to the defined bits of `FLUSH`: rounding,
        // exception masks and reserved bits are kept.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod mode {
    use std::arch::asm;

    pub(super) type Register = u64;
    /// Flush to zero, operands and results.
    pub(super) const FLUSH: Register = 1 << 24;

    pub(super) fn get() -> Register {
        let mode: Register;
        // SAFETY: reads FPCR.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn set(mode: Register) {
        // SAFETY: `mode` is what the register held, up to the defined bit `FLUSH`.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod mode {
    pub(super) type Register = u32;
    pub(super) const FLUSH: Register = 0;

    pub(super) fn get() -> Register {
        0
    }

    pub(super) fn set(_: Register) {}
}

#[cfg(test)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tests {
    use super::{FlushSubnormals, mode};
    use std::hint::black_box;

    /// Half of the smallest normal number, computed from it.
    fn half_of_smallest() -> f32 {
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    fn the_mode_ends_with_its_guard() {
        assert!(half_of_smallest() > 0.0);
        let outer = FlushSubnormals::new();
        assert_eq!(half_of_smallest().to_bits(), 0);
        // The inner one restores what the outer one has set.
        drop(FlushSubnormals::new());
        assert_eq!(half_of_smallest().to_bits(), 0);
        drop(outer);
        assert_eq!(mode::get() & mode::FLUSH, 0);
        assert!(half_of_smallest() > 0.0);
    }

    #[test]
    fn operands_count_as_zero() {
        let subnormal = f32::MIN_POSITIVE / 2.0;
        let product = || black_box(subnormal) * black_box(1e30);
        let _mode = FlushSubnormals::new();
        assert_eq!(product().to_bits(), 0);
    }
}
