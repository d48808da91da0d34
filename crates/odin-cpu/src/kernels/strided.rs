//! Strided iteration over several arrays at once.

use odin_lower::broadcast_strides;

/// A loop nest over the positions of a shape in row-major order, and their offsets in K strided
/// arrays. Neighbouring axes are merged where all arrays are contiguous across them, so that
/// operands of equal shape, scalars and per-channel operands become a few long runs.
#[derive(Debug)]
pub(crate) struct LoopNest<const K: usize> {
    /// Extents and strides of all loops but the innermost, innermost first.
    outer: Vec<(usize, [usize; K])>,
    /// The extent of the innermost loop: the length of a run.
    pub(crate) extent: usize,
    /// The strides of the innermost loop.
    pub(crate) strides: [usize; K],
}

impl<const K: usize> LoopNest<K> {
    pub(crate) fn new(extents: &[usize], strides: [&[usize]; K]) -> Self {
        let mut axes: Vec<(usize, [usize; K])> = Vec::new();
        for (axis, &extent) in extents.iter().enumerate().rev().filter(|&(_, &e)| e != 1) {
            let own = strides.map(|s| s[axis]);
            match axes.last_mut() {
                Some((inner, s)) if own == s.map(|s| s * *inner) => *inner *= extent,
                _ => axes.push((extent, own)),
            }
        }
        let mut axes = axes.into_iter();
        let (extent, strides) = axes.next().unwrap_or((1, [1; K]));
        let outer = axes.collect();
        Self {
            outer,
            extent,
            strides,
        }
    }

    /// Operands of these shapes, broadcast to `shape`.
    pub(crate) fn broadcast(shape: &[usize], operands: [&[usize]; K]) -> Self {
        let strides = operands.map(|own| broadcast_strides(own, shape));
        Self::new(shape, std::array::from_fn(|k| &strides[k][..]))
    }

    /// Whether all arrays are read contiguously.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.outer.is_empty() && self.strides == [1; K]
    }

    /// Whether every position reads the same element of each array.
    pub(crate) fn is_scalar(&self) -> bool {
        let still = |strides: &[usize; K]| *strides == [0; K];
        let outer = self.outer.iter().all(|(_, strides)| still(strides));
        outer && (still(&self.strides) || (self.extent == 1 && self.outer.is_empty()))
    }

    /// Extents and strides of all loops, innermost first.
    pub(crate) fn axes(&self) -> impl Iterator<Item = (usize, [usize; K])> {
        let inner = std::iter::once((self.extent, self.strides));
        inner.chain(self.outer.iter().copied())
    }

    /// The number of runs.
    pub(crate) fn run_count(&self) -> usize {
        self.outer.iter().map(|&(extent, _)| extent).product()
    }

    /// The offsets of the start of run number `run`.
    pub(crate) fn run_offsets(&self, mut run: usize) -> [usize; K] {
        let mut offsets = [0; K];
        for &(extent, strides) in &self.outer {
            let index = run % extent;
            run /= extent;
            for (offset, stride) in offsets.iter_mut().zip(strides) {
                *offset += index * stride;
            }
        }
        offsets
    }

    /// The offsets of position number `position`.
    pub(crate) fn offsets_at(&self, position: usize) -> [usize; K] {
        let (run, index) = (position / self.extent, position % self.extent);
        let start = self.run_offsets(run);
        std::array::from_fn(|k| start[k] + index * self.strides[k])
    }

    /// Calls `f` with the offsets of the start of each run.
    pub(crate) fn for_each_run(&self, mut f: impl FnMut([usize; K])) {
        if self.extent == 0 || self.outer.iter().any(|&(extent, _)| extent == 0) {
            return;
        }
        let mut index = vec![0; self.outer.len()];
        let mut offsets = [0; K];
        loop {
            f(offsets);
            let mut axis = 0;
            loop {
                let Some(&(extent, strides)) = self.outer.get(axis) else {
                    return;
                };
                index[axis] += 1;
                let wrapped = index[axis] == extent;
                for (offset, stride) in offsets.iter_mut().zip(strides) {
                    *offset += stride;
                    *offset -= if wrapped { extent * stride } else { 0 };
                }
                if !wrapped {
                    break;
                }
                index[axis] = 0;
                axis += 1;
            }
        }
    }
}
