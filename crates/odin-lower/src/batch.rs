//! The position of an image's elements in a batch.

use odin_graph::{Dim, Shape};

/// The row-major layout of a value of a whole batch: for each of `outer` entries, one `block` per
/// image.
#[derive(Debug, Clone, Copy)]
pub struct BatchLayout {
    outer: usize,
    block: usize,
    batched: bool,
}

impl BatchLayout {
    /// The layout of a value of this shape.
    pub fn new(shape: &Shape) -> Self {
        let is_batch = |dim: &Dim| dim.fixed().is_none();
        let axis = shape.dims().iter().position(is_batch);
        let count = |dims: &[Dim]| dims.iter().map(|d| d.at(1)).product();
        let (outer, inner) = shape.dims().split_at(axis.unwrap_or(0));
        Self {
            outer: count(outer),
            block: count(inner),
            batched: axis.is_some(),
        }
    }

    /// The number of blocks per image; those of other images lie between them.
    pub fn outer(&self) -> usize {
        self.outer
    }

    /// Elements of a batch; `None` when the count overflows.
    pub fn len(&self, images: usize) -> Option<usize> {
        let images = if self.batched { images } else { 1 };
        self.outer.checked_mul(self.block)?.checked_mul(images)
    }

    /// Copies an image out of a batch.
    pub fn gather<T: Copy>(&self, batch: &[T], images: usize, image: usize, to: &mut [T]) {
        let (images, image) = if self.batched {
            (images, image)
        } else {
            (1, 0)
        };
        let block = self.block.max(1);
        for (o, to) in to.chunks_exact_mut(block).enumerate() {
            to.copy_from_slice(&batch[(o * images + image) * block..][..block]);
        }
    }

    /// Copies an image into a batch.
    pub fn scatter<T: Copy>(&self, from: &[T], images: usize, image: usize, batch: &mut [T]) {
        let (images, image) = if self.batched {
            (images, image)
        } else {
            (1, 0)
        };
        let block = self.block.max(1);
        for (o, from) in from.chunks_exact(block).enumerate() {
            batch[(o * images + image) * block..][..block].copy_from_slice(from);
        }
    }
}

/// Whether the batch axis of a shape is its first one, and the only axis that grows with the batch.
pub fn is_batch_first(shape: &Shape) -> bool {
    match shape.dims() {
        [Dim::PerImage(1), rest @ ..] => rest.iter().all(|d| d.fixed().is_some()),
        _ => false,
    }
}
