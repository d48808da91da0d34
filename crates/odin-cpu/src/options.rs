//! Options of an engine.

use crate::simd::{InstructionSet, Isa};

/// How an engine is prepared.
///
/// ```
/// use odin_cpu::{Options, Winograd};
///
/// let mut options = Options::default();
/// options.winograd = Winograd::Never;
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// The instruction set of the kernels; by default the fastest that the processor has. AVX-512
    /// and AVX2 give bit-identical results.
    pub instructions: InstructionSet,
    /// When convolutions are computed by Winograd's method.
    pub winograd: Winograd,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            instructions: InstructionSet(Isa::best()),
            winograd: Winograd::default(),
        }
    }
}

/// When 3x3 convolutions of stride 1, and their adjoints, are computed with fewer multiplications
/// by Winograd's minimal filtering, at about twice the rounding error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Winograd {
    /// Where it is expected to be faster, by the shapes alone.
    #[default]
    Auto,
    /// Nowhere.
    Never,
    /// Wherever it is possible, in output tiles of 2x2.
    Tiles2,
    /// Wherever it is possible, in output tiles of 4x4.
    Tiles4,
}
