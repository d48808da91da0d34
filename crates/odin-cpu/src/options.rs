//! Options of an engine.

use crate::simd::bf16::{Bf16Instructions, Bf16Isa};
use crate::simd::{InstructionSet, Isa};
use odin_graph::Graph;

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
    /// The most bytes that a thread may take for the values of the images that it computes at a
    /// time, and for its scratch memory; graphs that need more are refused. By default 4 GiB and 16
    /// times the bytes of the graph's constants.
    pub max_thread_bytes: Option<usize>,
    /// The precision of matrix products and convolutions.
    pub precision: Precision,
    /// The instructions for [`Precision::Fast`]; by default the fastest that the processor has, if they
    /// are faster than f32: AVX-512 BF16 is not on Intel's. If there are none, it is computed as
    /// [`Precision::Exact`].
    pub bf16: Option<Bf16Instructions>,
}

impl Options {
    /// The most bytes that a thread may take for a graph.
    pub(crate) fn thread_bytes(&self, graph: &Graph) -> usize {
        let constants = graph.values().filter_map(|v| graph.constant_value(v));
        let bytes = constants.map(|c| size_of_val(c.data()));
        let by_constants = bytes.fold(0usize, usize::saturating_add).saturating_mul(16);
        let default = by_constants.saturating_add(4 << 30);
        self.max_thread_bytes.unwrap_or(default)
    }
}

impl Default for Options {
    fn default() -> Self {
        let isa = Isa::best();
        Self {
            instructions: InstructionSet(isa),
            winograd: Winograd::default(),
            max_thread_bytes: None,
            precision: Precision::default(),
            bf16: Bf16Isa::best(isa).map(Bf16Instructions),
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

/// The precision of matrix products and convolutions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// f32, bit-identical across threads, batches, AVX-512 and AVX2.
    #[default]
    Exact,
    /// bf16 for values that reach the outputs only through a sign or an arg-max, such as the gradient
    /// of ODIN ([`Graph::direction`]); for the others two bf16 parts for each operand, which is nearly
    /// f32, or f32. On processors without bf16 as [`Precision::Exact`].
    Fast,
}
