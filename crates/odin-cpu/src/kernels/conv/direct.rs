//! Direct convolutions of one or two axes with constant weights, and their adjoints, as implicit
//! matrix products.
//!
//! The output is computed strip by strip; a strip is a range of its rows. The receptive field of a
//! strip is copied with its padding; then each tile of weights is multiplied with the copy, while
//! its part of the output is prefetched, and the epilogue is applied while the sums are in the
//! cache.
//!
//! [`Products`] are those of f32, which read the copy where it lies, or of bf16, for which the copy is
//! unfolded to a panel (im2col) whose tiles are aligned.

use crate::kernels::conv::axis::{Axis, OutPhase};
use crate::kernels::conv::op::ConvOp;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::prefetch;
use crate::simd::{Isa, MAX_LANES};
use products::{CopyShape, Footprint, Products, Shifted, TapAt, Taps};
use std::sync::Arc;

pub(crate) mod products;
mod strip;

/// A direct convolution, specialised to a shape.
pub(crate) struct Conv<P: Products> {
    isa: Isa,
    products: P,
    rows: Axis,
    columns: Axis,
    groups: usize,
    /// Input channels per group.
    inner: usize,
    /// Output channels per group.
    outer: usize,
    /// The length of a row of the copy of one image.
    row: usize,
    /// That of one image and, where several lie side by side, that of as many as are multiplied
    /// together.
    layouts: Vec<Layout>,
    /// Rows of a strip.
    strip: usize,
    /// The number of images that are multiplied together. If there are several, a strip is an image.
    images: usize,
    /// One per output phase, column phases innermost.
    pub(crate) phases: Arc<Vec<Phase<P::Weights>>>,
    /// The cache lines of a strip in the channels of a tile, to prefetch.
    cache_lines: Vec<u32>,
    pub(crate) epilogue: Epilogue,
}

/// The copy of some images.
struct Layout {
    /// Images in a row of the copy.
    images: usize,
    /// The length of a row, and of a plane.
    row: usize,
    plane: usize,
    /// What each output phase reads of it.
    reads: Vec<Reads>,
}

/// What an output phase reads.
pub(crate) struct Reads {
    /// Where rows of elements begin in the copy, see [`Products::offsets`].
    offsets: Vec<u32>,
    last_offset: usize,
    /// Where the blocks of a panel begin.
    blocks: Vec<u32>,
}

/// The weights of one output phase.
pub(crate) struct Phase<W> {
    row: usize,
    column: usize,
    taps: usize,
    /// Per group.
    weights: Vec<W>,
}

impl<W> Phase<W> {
    /// Whether no tap contributes, so that all sums are 0.
    fn is_empty(&self) -> bool {
        self.taps == 0
    }
}

impl<P: Products> Conv<P> {
    /// Shapes of one image, `[1, C, spatial...]`, of one or two spatial axes; `None` if there are
    /// more, or the image is too large.
    pub(crate) fn new(
        isa: Isa,
        products: P,
        op: &ConvOp,
        x: &[usize],
        y: &[usize],
    ) -> Option<Self> {
        let (window, groups) = op.window();
        let [rows, columns] = match window.axes() {
            // A single axis is cut into strips as rows are.
            1 => [op.axis(0, x, y), Axis::single()],
            2 => [op.axis(0, x, y), op.axis(1, x, y)],
            _ => return None,
        };
        let mut conv = Self {
            isa,
            products,
            groups,
            inner: x[1] / groups,
            outer: y[1] / groups,
            row: products.row(&columns, 1),
            layouts: Vec::new(),
            strip: 0,
            images: 1,
            phases: Arc::default(),
            cache_lines: Vec::new(),
            epilogue: Epilogue::default(),
            rows,
            columns,
        };
        conv.strip = conv.rows_per_strip();
        conv.images = conv.images_per_strip();
        conv.layouts.push(conv.layout(1)?);
        if P::IMAGES_IN_ROWS && conv.images > 1 {
            conv.layouts.push(conv.layout(conv.images)?);
        }
        let [_, plane] = conv.planes();
        let positions = plane.min(conv.strip * conv.columns.output());
        conv.cache_lines = prefetch::cache_lines(conv.height(), plane, positions);
        Some(conv)
    }

    /// The copy of some images in each row; `None` if it is too large.
    fn layout(&self, images: usize) -> Option<Layout> {
        let row = self.products.row(&self.columns, images);
        let plane = self.plane_of(self.strip, row)?;
        // Offsets are stored in 32 bits.
        u32::try_from(self.copied_planes().checked_mul(plane)?).ok()?;
        let copy = self.copy_shape();
        let mut reads = Vec::new();
        for (by_row, by_column) in self.out_phases() {
            let taps = self.taps_at(by_row, by_column);
            let offsets = self.products.offsets(copy, plane, row, &taps);
            reads.push(Reads {
                last_offset: offsets.iter().max().map_or(0, |&o| o as usize),
                offsets,
                blocks: self.products.blocks(self.shape(taps.len())),
            });
        }
        Some(Layout {
            images,
            row,
            plane,
            reads,
        })
    }

    /// The output phases of rows and columns, column phases innermost.
    fn out_phases(&self) -> impl Iterator<Item = (&OutPhase, &OutPhase)> {
        let rows = self.rows.out_phases.iter();
        rows.flat_map(|row| {
            self.columns
                .out_phases
                .iter()
                .map(move |column| (row, column))
        })
    }

    fn taps_at(&self, by_row: &OutPhase, by_column: &OutPhase) -> Vec<TapAt> {
        let mut taps = Vec::new();
        for r in &by_row.taps {
            for (index, c) in by_column.taps.iter().enumerate() {
                taps.push(TapAt {
                    entries: [r.entry, c.entry],
                    phases: [r.in_phase, c.in_phase],
                    shifts: [r.shift, c.shift],
                    column: index,
                });
            }
        }
        taps
    }

    fn shape(&self, taps: usize) -> Taps {
        Taps {
            outer: self.outer,
            inner: self.inner,
            taps,
        }
    }

    /// Elements per channel of the input and of the output.
    fn planes(&self) -> [usize; 2] {
        [
            self.rows.input() * self.columns.input(),
            self.rows.output() * self.columns.output(),
        ]
    }

    fn copy_shape(&self) -> CopyShape {
        CopyShape {
            inner: self.inner,
            row_phases: self.rows.in_phases.len(),
            column_phases: self.columns.in_phases.len(),
            column_taps: self.columns.out_phases[0].taps.len(),
        }
    }

    fn copied_planes(&self) -> usize {
        self.products.planes(self.copy_shape())
    }

    /// The length of a plane that holds the receptive field of a strip: an odd number of cache
    /// lines, so that planes do not map to the same cache sets.
    fn plane_of(&self, strip: usize, row: usize) -> Option<usize> {
        let lines = self
            .receptive_rows(strip)
            .checked_mul(row)?
            .div_ceil(MAX_LANES);
        Some((lines | 1) * MAX_LANES)
    }

    /// The most rows of the copy in the receptive field of `strip` output rows.
    fn receptive_rows(&self, strip: usize) -> usize {
        let receptive_rows_from = |first: usize| {
            let end = (first + strip).min(self.rows.output());
            self.rows.receptive_field(&(first..end)).len()
        };
        // Strips begin at any row.
        let starts = 0..self.rows.output().min(self.rows.out_stride());
        starts
            .map(receptive_rows_from)
            .max()
            .unwrap_or(0)
            .max(receptive_rows_from(0))
    }

    /// The fewest rows whose sign bits are whole groups.
    fn grain(&self) -> usize {
        let width = self.columns.output().max(1);
        let common = (1..=MAX_LANES)
            .rev()
            .find(|&d| MAX_LANES.is_multiple_of(d) && width.is_multiple_of(d));
        MAX_LANES / common.unwrap_or(1)
    }

    fn rows_per_strip(&self) -> usize {
        let grain = self.grain();
        let all = self.rows.output().max(1).next_multiple_of(grain);
        let fits = |rows: usize| {
            let footprint = self.footprint(rows);
            footprint.is_some_and(|footprint| self.products.fits(footprint))
        };
        let mut rows = grain;
        while rows < all && fits(rows + grain) {
            rows += grain;
        }
        rows
    }

    /// What a strip of some rows takes of the caches; `None` if its size overflows.
    fn footprint(&self, rows: usize) -> Option<Footprint> {
        let positions = rows * self.columns.output();
        Some(Footprint {
            copy: self
                .plane_of(rows, self.row)?
                .checked_mul(self.copied_planes())?,
            panel: self.panel_len(rows),
            sums: positions * self.height(),
            weights: self.inner * self.outer * self.taps(),
        })
    }

    /// The number of images that are multiplied with weights while these are in the cache.
    fn images_per_strip(&self) -> usize {
        let is_decomposed = P::IMAGES_IN_ROWS && self.out_phases().count() > 1;
        match self.footprint(self.strip) {
            Some(footprint) if self.strip >= self.rows.output() && !is_decomposed => {
                let width = self.columns.output();
                self.products.images(footprint, width)
            }
            _ => 1,
        }
    }

    /// The taps of all output phases.
    fn taps(&self) -> usize {
        let phases = self.out_phases();
        let taps = phases.map(|(row, column)| row.taps.len() * column.taps.len());
        taps.sum()
    }

    /// Elements of the panels of all output phases of a strip of some rows.
    fn panel_len(&self, rows: usize) -> usize {
        let columns = self.strip_positions(rows);
        let panel = |(row, column): (&OutPhase, &OutPhase)| {
            let shape = self.shape(row.taps.len() * column.taps.len());
            self.products.panel(shape, columns)
        };
        self.out_phases().map(panel).sum()
    }

    /// The most positions of an output phase in a strip, with the padding between rows.
    fn strip_positions(&self, rows: usize) -> usize {
        let phase_rows = match self.rows.out_stride() {
            1 => rows,
            stride => rows / stride + 1,
        };
        phase_rows * self.row
    }

    /// Packs the weights; `None` if memory is exhausted.
    pub(crate) fn pack(&self, op: &ConvOp, w: &[f32]) -> Option<Vec<Phase<P::Weights>>> {
        let entries = self.kernel_extents(op);
        let mut phases = Vec::new();
        for (row, by_row) in self.rows.out_phases.iter().enumerate() {
            for (column, by_column) in self.columns.out_phases.iter().enumerate() {
                let taps = self.taps_at(by_row, by_column);
                let weight = |group: usize, out: usize, channel: usize, tap: usize| {
                    let kernel = match op {
                        ConvOp::Forward(_) => (group * self.outer + out) * self.inner + channel,
                        ConvOp::Adjoint(_) => (group * self.inner + channel) * self.outer + out,
                    };
                    let [r, c] = taps[tap].entries;
                    w[(kernel * entries[0] + r) * entries[1] + c]
                };
                let shape = self.shape(taps.len());
                let pack = |group| {
                    self.products.pack(self.isa, shape, |out, channel, tap| {
                        weight(group, out, channel, tap)
                    })
                };
                phases.push(Phase {
                    row,
                    column,
                    taps: taps.len(),
                    weights: (0..self.groups).map(pack).collect::<Option<_>>()?,
                });
            }
        }
        Some(phases)
    }

    fn kernel_extents(&self, op: &ConvOp) -> [usize; 2] {
        match op.window().0.kernel[..] {
            [rows] => [rows, 1],
            [rows, columns, ..] => [rows, columns],
            [] => [1, 1],
        }
    }

    /// The distance between the accumulators of two channels: the positions of a strip in all images
    /// that are multiplied together.
    fn stride(&self) -> usize {
        let rows = self
            .layouts
            .iter()
            .map(|layout| self.strip.max(1) * layout.row);
        let longest = rows.max().unwrap_or(0).next_multiple_of(MAX_LANES);
        longest.max(self.images * self.image_stride())
    }

    /// The positions of a strip in an image, with the padding between rows unless images lie side by
    /// side, in whole vectors.
    fn image_stride(&self) -> usize {
        let width = self.columns.output();
        let row = match self.layouts.len() {
            1 => self.row.max(width),
            _ => width,
        };
        (self.strip.max(1) * row).next_multiple_of(MAX_LANES)
    }

    fn copy_len(&self) -> usize {
        // The last vector may extend beyond the last plane.
        let len = |layout: &Layout| {
            let reach = layout.row + 2 * MAX_LANES;
            (self.copied_planes() * layout.plane + reach).next_multiple_of(MAX_LANES)
        };
        self.layouts.iter().map(len).max().unwrap_or(0)
    }

    /// The height of the highest tile.
    fn height(&self) -> usize {
        self.products.height(self.isa, self.outer)
    }
}

impl Conv<Shifted> {
    /// Whether it is expected to take less time than [`products::Unfolded`]: not if strips are so short
    /// that most rows are copied several times.
    pub(crate) fn is_faster_shifted(&self) -> bool {
        let rows = self.rows.out_phases.iter().map(|p| p.taps.len());
        let width = self.columns.output();
        self.columns.out_stride() == 1
            && 2 * self.strip * self.rows.in_stride() >= self.receptive_rows(self.strip)
            && Shifted::is_faster(self.copy_shape(), self.outer, rows.sum(), width)
    }
}
