use crate::simd::{InstructionSet, Isa};

/// How an engine computes.
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
    /// The vectors of its kernels; by default the fastest that the processor has. AVX-512 and AVX2
    /// give the same results to the last bit.
    pub instructions: InstructionSet,
    /// When convolutions are transformed.
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

/// When convolutions of 3x3 windows by single steps, and their adjoints, are computed with fewer
/// multiplications by Winograd's minimal filtering. Their rounding errors are then about twice as
/// large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Winograd {
    /// Where it is likely faster, by the shapes alone.
    #[default]
    Auto,
    /// Nowhere.
    Never,
    /// Wherever it is possible, in tiles of 2x2 outputs.
    Tiles2,
    /// Wherever it is possible, in tiles of 4x4 outputs.
    Tiles4,
}
