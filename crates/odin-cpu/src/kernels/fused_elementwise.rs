//! Fused elementwise operators: an expression evaluated block by block, so that intermediate
//! results stay in the first-level cache.
#![allow(unsafe_code)]

use crate::kernels::strided::LoopNest;
use crate::kernels::{ImageIo, SimdKernel, Worker};
use crate::memory::ScratchSize;
use crate::simd::{Isa, MAX_LANES, Simd, math};
use odin_graph::op::{Binary, Compare, Unary};
use std::ops::Range;

/// Elements of a block: a few registers of 2 KiB each fit a first-level cache.
const BLOCK_ELEMENTS: usize = 512;

/// A value computed from its leaves by a straight-line program of elementwise operators.
pub(crate) struct FusedElementwise {
    isa: Isa,
    len: usize,
    leaves: Vec<Leaf>,
    code: Vec<Instruction>,
    /// The registers of the leaves come first, then those that instructions write.
    registers: usize,
}

/// An operand, broadcast to the shape of the value.
#[derive(Debug)]
struct Leaf {
    walk: LoopNest<1>,
    is_mask: bool,
}

/// An operator applied to a block of each source register.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    op: ElementwiseOp,
    from: [usize; 3],
    to: usize,
}

/// An operator. Masks are represented as numbers: 1 for true, 0 for false.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ElementwiseOp {
    Relu,
    Unary(Unary),
    Binary(Binary),
    Compare(Compare),
    Where,
}

/// Builds a [`FusedElementwise`], allocating registers.
pub(crate) struct Builder {
    block: FusedElementwise,
    /// Registers whose contents are dead.
    free: Vec<usize>,
}

impl Leaf {
    /// Whether element i of the value reads element i of the operand.
    fn is_whole(&self) -> bool {
        !self.is_mask && self.walk.is_contiguous()
    }

    fn is_scalar(&self) -> bool {
        self.walk.is_scalar()
    }

    /// Whether each row of a matrix with rows of this length reads the same row of numbers.
    fn is_per_column(&self, row_length: usize) -> bool {
        let repeats = self.walk.axes().skip(1).all(|(_, [stride])| stride == 0);
        let is_row = self.walk.extent == row_length && self.walk.strides == [1];
        !self.is_mask && is_row && repeats
    }

    /// Broadcasts the elements from `start` on.
    fn fill<T: Copy>(&self, x: &[T], start: usize, y: &mut [f32], number: impl Fn(T) -> f32) {
        let (extent, [stride]) = (self.walk.extent.max(1), self.walk.strides);
        let (mut run, mut skip, mut rest) = (start / extent, start % extent, y);
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(extent - skip));
            let [offset] = self.walk.run_offsets(run);
            let x = &x[offset + skip * stride..];
            match stride {
                0 => now.fill(number(x[0])),
                1 => now.iter_mut().zip(x).for_each(|(y, &x)| *y = number(x)),
                s => {
                    let x = x.iter().step_by(s);
                    now.iter_mut().zip(x).for_each(|(y, &x)| *y = number(x));
                }
            }
            (run, skip, rest) = (run + 1, 0, later);
        }
    }
}

impl Builder {
    /// For a value of this shape and operands of these shapes, of which some are masks.
    pub(crate) fn new<'a>(
        isa: Isa,
        shape: &[usize],
        leaves: impl Iterator<Item = (&'a [usize], bool)>,
    ) -> Self {
        let leaf = |(own, is_mask): (&[usize], bool)| Leaf {
            walk: LoopNest::broadcast(shape, [own]),
            is_mask,
        };
        let leaves: Vec<Leaf> = leaves.map(leaf).collect();
        let block = FusedElementwise {
            isa,
            len: shape.iter().product(),
            registers: leaves.len(),
            leaves,
            code: Vec::new(),
        };
        let free = Vec::new();
        Self { block, free }
    }

    /// Appends an operator and returns the register of its result. Of the source registers, those
    /// in `dead` are not read by later operators.
    pub(crate) fn push(&mut self, op: ElementwiseOp, from: &[usize], dead: &[usize]) -> usize {
        let leaves = self.block.leaves.len();
        // A dead source may be the target: an instruction reads each vector before it writes it.
        self.free.extend(dead.iter().filter(|&&r| r >= leaves));
        let to = self.free.pop().unwrap_or_else(|| {
            self.block.registers += 1;
            self.block.registers - 1
        });
        let mut all = [from.first().copied().unwrap_or(0); 3];
        all[..from.len()].copy_from_slice(from);
        self.block.code.push(Instruction { op, from: all, to });
        to
    }

    pub(crate) fn finish(self) -> FusedElementwise {
        self.block
    }
}

/// A program applied to the tiles of a matrix product, which is its last leaf.
pub(crate) struct ProductEpilogue {
    pub(crate) program: FusedElementwise,
    /// The number of the operand that is its first leaf.
    pub(crate) first: usize,
}

/// A part of a row-major product: rows of sums, `stride` apart.
pub(crate) struct ProductTile<'a> {
    pub(crate) sums: &'a mut [f32],
    /// At most 64, a multiple of [`MAX_LANES`].
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// The number of the first element.
    pub(crate) start: usize,
    /// The columns of the product.
    pub(crate) row_length: usize,
}

/// Some rows of a [`ProductTile`].
#[derive(Clone, Copy)]
struct TileRows<'a> {
    sums: &'a [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    start: usize,
    row_length: usize,
}

impl TileRows<'_> {
    /// Whether the rows have no padding.
    fn is_full(&self) -> bool {
        self.columns == self.stride
    }
}

impl ProductEpilogue {
    /// The numbers of the operands that are as large as the product.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = usize> {
        let own = self.program.leaves.iter().zip(self.first..);
        let others = own.take(self.program.leaves.len() - 1);
        others.filter(|(leaf, _)| leaf.is_whole()).map(|(_, x)| x)
    }

    /// The scratch memory of a thread.
    pub(crate) fn scratch(&self) -> usize {
        self.program.registers * BLOCK_ELEMENTS
    }

    /// Applies the program to a tile and stores the result.
    ///
    /// # Safety
    /// No other thread accesses the elements of the tile in the output.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        tile: &ProductTile<'_>,
        registers: &mut [f32],
    ) {
        let step = (BLOCK_ELEMENTS / tile.stride).max(1);
        for row in (0..tile.rows).step_by(step) {
            let rows = step.min(tile.rows - row);
            let part = TileRows {
                sums: &tile.sums[row * tile.stride..][..rows * tile.stride],
                stride: tile.stride,
                rows,
                columns: tile.columns,
                start: tile.start + row * tile.row_length,
                row_length: tile.row_length,
            };
            let mut evaluation = Evaluation {
                block: &self.program,
                image,
                first: self.first,
                registers: &mut *registers,
            };
            // SAFETY: by the contract.
            unsafe { evaluation.rows(simd, part) };
        }
    }
}

/// The evaluation of the program for one image.
struct Evaluation<'a> {
    block: &'a FusedElementwise,
    image: &'a ImageIo<'a>,
    /// The number of the operand that is the first leaf.
    first: usize,
    registers: &'a mut [f32],
}

/// Where the elements of a register begin, and the step between them: 0 for a scalar, which is
/// replicated [`MAX_LANES`] times.
#[derive(Clone, Copy)]
struct RegisterPtr {
    start: *const f32,
    step: usize,
    /// The distance between rows.
    row: usize,
}

impl SimdKernel for FusedElementwise {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.registers * BLOCK_ELEMENTS)
    }

    /// Threads partition the elements.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let len = self.len;
        assert!(image.y.floats.len() == len);
        let groups = worker.slice.of(len.div_ceil(MAX_LANES));
        let (mut start, end) = (groups.start * MAX_LANES, len.min(groups.end * MAX_LANES));
        let mut evaluation = Evaluation {
            block: self,
            image,
            first: 0,
            registers: &mut worker.scratch.floats.as_mut_slice()[..self.registers * BLOCK_ELEMENTS],
        };
        while start < end {
            let next = end.min(start + BLOCK_ELEMENTS);
            evaluation.block(simd, start, next - start);
            start = next;
        }
    }
}

impl Evaluation<'_> {
    /// Evaluates elements `start..start + len` of the value.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, start: usize, len: usize) {
        let padded = len.next_multiple_of(MAX_LANES);
        for register in 0..self.block.leaves.len() {
            self.load(register, start, len);
        }
        let Some((last, others)) = self.block.code.split_last() else {
            return;
        };
        for instruction in others {
            self.execute(simd, instruction, start, padded, None);
        }
        // SAFETY: the elements are in this thread's work slice.
        let y = unsafe { self.image.y.floats.part(start..start + len) };
        if len == padded {
            self.execute(simd, last, start, len, Some(y.as_mut_ptr()));
        } else {
            self.execute(simd, last, start, padded, None);
            y.copy_from_slice(&self.registers[last.to * BLOCK_ELEMENTS..][..len]);
        }
    }

    /// Evaluates rows of a product, at most [`BLOCK_ELEMENTS`] with their padding.
    ///
    /// # Safety
    /// As for [`ProductEpilogue::apply`].
    #[inline(always)]
    unsafe fn rows<S: Simd>(&mut self, simd: S, tile: TileRows<'_>) {
        let starts = |row: usize| tile.start + row * tile.row_length;
        for register in 0..self.block.leaves.len() - 1 {
            let leaf = &self.block.leaves[register];
            if leaf.is_scalar() {
                self.fill(register, 0, 0..MAX_LANES);
                continue;
            }
            if tile.is_full() && (leaf.is_whole() || leaf.is_per_column(tile.row_length)) {
                continue;
            }
            for row in 0..tile.rows {
                let to = row * tile.stride;
                self.fill(register, starts(row), to..to + tile.columns);
            }
        }
        let Some((last, others)) = self.block.code.split_last() else {
            return;
        };
        for instruction in others {
            self.execute_rows(simd, instruction, tile, None);
        }
        let end = starts(tile.rows.max(1) - 1) + tile.columns;
        assert!(end <= self.image.y.floats.len());
        if tile.is_full() {
            let y = self.image.y.floats.start().wrapping_add(tile.start);
            self.execute_rows(simd, last, tile, Some(y));
            return;
        }
        self.execute_rows(simd, last, tile, None);
        let result = &self.registers[last.to * BLOCK_ELEMENTS..][..tile.rows * tile.stride];
        for (row, result) in result.chunks_exact(tile.stride).enumerate() {
            let start = starts(row);
            // SAFETY: by the contract.
            let y = unsafe { self.image.y.floats.part(start..start + tile.columns) };
            y.copy_from_slice(&result[..tile.columns]);
        }
    }

    /// Executes an instruction on the rows of a tile. The result goes to `y`, if given, whose rows are
    /// as far apart as those of the product; else to the target register.
    #[inline(always)]
    fn execute_rows<S: Simd>(
        &mut self,
        simd: S,
        instruction: &Instruction,
        tile: TileRows<'_>,
        y: Option<*mut f32>,
    ) {
        let to = instruction.to * BLOCK_ELEMENTS;
        assert!(tile.rows * tile.stride <= BLOCK_ELEMENTS);
        assert!(to + BLOCK_ELEMENTS <= self.registers.len());
        let registers = self.registers.as_mut_ptr();
        let x = instruction.from;
        let vectors = Args {
            x: x.map(|r| self.tile_operand(registers, r, tile)),
            y: y.unwrap_or(registers.wrapping_add(to)),
            y_row: if y.is_some() {
                tile.row_length
            } else {
                tile.stride
            },
            rows: tile.rows,
            len: tile.stride,
        };
        // SAFETY: `tile_operand` points to that many rows; so does the register, or `y`.
        unsafe { apply(simd, instruction.op, &vectors) }
    }

    /// The rows of a register or of the leaf that is read in its place.
    #[inline(always)]
    fn tile_operand(
        &self,
        registers: *mut f32,
        register: usize,
        tile: TileRows<'_>,
    ) -> RegisterPtr {
        let leaf = self.block.leaves.get(register);
        let (mut step, mut row) = (1, tile.stride);
        if register + 1 == self.block.leaves.len() {
            let start = tile.sums[..tile.rows * tile.stride].as_ptr();
            return RegisterPtr { start, step, row };
        }
        if let Some(leaf) = leaf.filter(|_| tile.is_full()) {
            let operand = self.first + register;
            let x = || self.image.x.floats(operand);
            if leaf.is_whole() {
                let len = (tile.rows.max(1) - 1) * tile.row_length + tile.stride;
                let start = x()[tile.start..][..len].as_ptr();
                row = tile.row_length;
                return RegisterPtr { start, step, row };
            }
            if leaf.is_per_column(tile.row_length) {
                let start = x()[tile.start % tile.row_length..][..tile.stride].as_ptr();
                return RegisterPtr {
                    start,
                    step,
                    row: 0,
                };
            }
        }
        if leaf.is_some_and(Leaf::is_scalar) {
            (step, row) = (0, 0);
        }
        assert!((register + 1) * BLOCK_ELEMENTS <= self.registers.len());
        let start = registers.wrapping_add(register * BLOCK_ELEMENTS);
        RegisterPtr { start, step, row }
    }

    /// Whether a leaf is read in place instead of being copied to its register.
    #[inline(always)]
    fn is_direct(&self, register: usize, padded: usize, start: usize) -> bool {
        let leaf = self.block.leaves.get(register);
        leaf.is_some_and(Leaf::is_whole) && start + padded <= self.block.len
    }

    /// Loads a block of an operand into its register, unless it is read in place.
    #[inline(always)]
    fn load(&mut self, register: usize, start: usize, len: usize) {
        let leaf = &self.block.leaves[register];
        if self.is_direct(register, len.next_multiple_of(MAX_LANES), start) {
            return;
        }
        let len = if leaf.is_scalar() { MAX_LANES } else { len };
        self.fill(register, start, 0..len);
    }

    /// Fills a part of a register with elements of an operand from `start` on.
    #[inline(always)]
    fn fill(&mut self, register: usize, start: usize, part: Range<usize>) {
        let leaf = &self.block.leaves[register];
        let y = &mut self.registers[register * BLOCK_ELEMENTS..][..BLOCK_ELEMENTS][part];
        let (x, operand) = (self.image.x, self.first + register);
        match (leaf.is_scalar(), leaf.is_mask) {
            (true, true) => y.fill(f32::from(x.masks(operand)[0])),
            (true, false) => y.fill(x.floats(operand)[0]),
            (false, true) => leaf.fill(x.masks(operand), start, y, f32::from),
            (false, false) => leaf.fill(x.floats(operand), start, y, |x| x),
        }
    }

    /// The elements of a register or of the leaf that is read in its place.
    #[inline(always)]
    fn from(
        &self,
        registers: *mut f32,
        register: usize,
        start: usize,
        padded: usize,
    ) -> RegisterPtr {
        let leaf = self.block.leaves.get(register);
        if self.is_direct(register, padded, start) {
            let start = self.image.x.floats(register)[start..start + padded].as_ptr();
            return RegisterPtr {
                start,
                step: 1,
                row: 0,
            };
        }
        assert!((register + 1) * BLOCK_ELEMENTS <= self.registers.len());
        RegisterPtr {
            start: registers.wrapping_add(register * BLOCK_ELEMENTS),
            step: usize::from(!leaf.is_some_and(Leaf::is_scalar)),
            row: 0,
        }
    }

    /// Executes an instruction on `padded` elements, whole vectors. The result goes to `y`, if
    /// given, which is valid for writing them; else to the target register.
    #[inline(always)]
    fn execute<S: Simd>(
        &mut self,
        simd: S,
        instruction: &Instruction,
        start: usize,
        padded: usize,
        y: Option<*mut f32>,
    ) {
        let to = instruction.to * BLOCK_ELEMENTS;
        assert!(padded <= BLOCK_ELEMENTS && to + BLOCK_ELEMENTS <= self.registers.len());
        let registers = self.registers.as_mut_ptr();
        let own = registers.wrapping_add(to);
        let x = instruction.from;
        let x = x.map(|r| self.from(registers, r, start, padded));
        let vectors = Args {
            x,
            y: y.unwrap_or(own),
            y_row: 0,
            rows: 1,
            len: padded,
        };
        // SAFETY: `from` points to `padded` elements; the register or `y` has room for as many.
        unsafe { apply(simd, instruction.op, &vectors) }
    }
}

/// The sources and the target of an instruction.
struct Args {
    x: [RegisterPtr; 3],
    y: *mut f32,
    /// The distance between rows of `y`.
    y_row: usize,
    rows: usize,
    /// The elements of a row, a multiple of [`MAX_LANES`].
    len: usize,
}

impl Args {
    /// Applies `f` to whole vectors.
    ///
    /// # Safety
    /// Each row of `y` is valid for writing `len` elements; those of the first `K` of `x` are valid for
    /// reading `len` elements, or [`MAX_LANES`] where the step is 0. Each is identical to `y` or
    /// disjoint from it.
    #[inline(always)]
    unsafe fn map_vectors<S: Simd, const K: usize>(&self, simd: S, f: impl Lanewise<K>) {
        for row in 0..self.rows {
            for i in (0..self.len).step_by(S::LANES) {
                // SAFETY: a whole vector inside of `len`, by the contract.
                unsafe {
                    let mut x = [simd.splat(0.0); K];
                    for (x, from) in x.iter_mut().zip(&self.x) {
                        *x = simd.load(from.start.add(row * from.row + i * from.step));
                    }
                    simd.store(self.y.add(row * self.y_row + i), f.of(simd, x));
                }
            }
        }
    }

    /// Applies `f` to one element at a time.
    ///
    /// # Safety
    /// As for [`Args::map_vectors`].
    unsafe fn map_elements<const K: usize>(&self, f: impl Fn([f32; K]) -> f32) {
        for (row, i) in (0..self.rows).flat_map(|row| (0..self.len).map(move |i| (row, i))) {
            // SAFETY: by the contract.
            unsafe {
                let at = |x: &RegisterPtr| row * x.row + i * x.step;
                let load = |k: usize| *self.x[k].start.add(at(&self.x[k]));
                *self.y.add(row * self.y_row + i) = f(std::array::from_fn(load));
            }
        }
    }
}

/// A function of vectors. Not a closure, which the compiler might not inline into the function that
/// is compiled for the instruction set.
trait Lanewise<const K: usize>: Copy {
    /// To be marked `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, x: [S::Vector; K]) -> S::Vector;
}

macro_rules! lanewise {
    ($($name:ident $(($($field:ident),+))? [$($x:ident),+] = |$simd:ident| $y:expr;)+) => {$(
        #[derive(Clone, Copy)]
        struct $name $(($(lanewise!(@number $field)),+))?;

        impl Lanewise<{ [$(stringify!($x)),+].len() }> for $name {
            #[inline(always)]
            fn of<S: Simd>(self, $simd: S, [$($x),+]: [S::Vector; { [$(stringify!($x)),+].len() }]) -> S::Vector {
                let Self $(($($field),+))? = self;
                $y
            }
        }
    )+};
    (@number $field:ident) => { f32 };
}

lanewise! {
    Relu[x] = |simd| simd.relu(x);
    Clip(min, max)[x] = |simd| math::clip(simd, x, simd.splat(min), simd.splat(max));
    Erf[x] = |simd| math::erf(simd, x);
    Exp[x] = |simd| math::exp(simd, x);
    Log[x] = |simd| math::log(simd, x);
    Sigmoid[x] = |simd| math::sigmoid(simd, x);
    Softplus[x] = |simd| math::softplus(simd, x);
    Sqrt[x] = |simd| simd.sqrt(x);
    Tanh[x] = |simd| math::tanh(simd, x);
    Add[a, b] = |simd| simd.add(a, b);
    Sub[a, b] = |simd| simd.sub(a, b);
    Mul[a, b] = |simd| simd.mul(a, b);
    Div[a, b] = |simd| simd.div(a, b);
    Max[a, b] = |simd| math::max(simd, a, b);
    Min[a, b] = |simd| math::min(simd, a, b);
    Greater[a, b] = |simd| simd.select(simd.gt(a, b), simd.splat(1.0), simd.splat(0.0));
    GreaterOrEqual[a, b] = |simd| simd.select(simd.ge(a, b), simd.splat(1.0), simd.splat(0.0));
    Where[mask, a, b] = |simd| simd.select(simd.gt(mask, simd.splat(0.0)), a, b);
}

/// # Safety
/// As for [`Args::map_vectors`], `K` being the number of operands of the function.
#[inline(always)]
unsafe fn apply<S: Simd>(simd: S, op: ElementwiseOp, v: &Args) {
    // SAFETY: by the contract.
    unsafe {
        match op {
            ElementwiseOp::Relu => v.map_vectors(simd, Relu),
            ElementwiseOp::Unary(unary) => apply_unary(simd, unary, v),
            ElementwiseOp::Binary(binary) => apply_binary(simd, binary, v),
            ElementwiseOp::Compare(Compare::Greater) => v.map_vectors(simd, Greater),
            ElementwiseOp::Compare(Compare::GreaterOrEqual) => v.map_vectors(simd, GreaterOrEqual),
            ElementwiseOp::Where => v.map_vectors(simd, Where),
        }
    }
}

/// # Safety
/// As for [`Args::map_vectors`] of one operand.
#[inline(always)]
unsafe fn apply_unary<S: Simd>(simd: S, unary: Unary, v: &Args) {
    // SAFETY: by the contract.
    unsafe {
        match unary {
            Unary::Clip { min, max } => v.map_vectors(simd, Clip(min, max)),
            Unary::Cos => v.map_elements(|[x]| x.cos()),
            Unary::Erf => v.map_vectors(simd, Erf),
            Unary::Exp => v.map_vectors(simd, Exp),
            Unary::Log => v.map_vectors(simd, Log),
            Unary::Sigmoid => v.map_vectors(simd, Sigmoid),
            Unary::Sin => v.map_elements(|[x]| x.sin()),
            Unary::Softplus => v.map_vectors(simd, Softplus),
            Unary::Sqrt => v.map_vectors(simd, Sqrt),
            Unary::Tanh => v.map_vectors(simd, Tanh),
        }
    }
}

/// # Safety
/// As for [`Args::map_vectors`] of two operands.
#[inline(always)]
unsafe fn apply_binary<S: Simd>(simd: S, binary: Binary, v: &Args) {
    // SAFETY: by the contract.
    unsafe {
        match binary {
            Binary::Add => v.map_vectors(simd, Add),
            Binary::Sub => v.map_vectors(simd, Sub),
            Binary::Mul => v.map_vectors(simd, Mul),
            Binary::Div => v.map_vectors(simd, Div),
            Binary::Pow => v.map_elements(|[a, b]| power(a, b)),
            Binary::Max => v.map_vectors(simd, Max),
            Binary::Min => v.map_vectors(simd, Min),
        }
    }
}

/// Common exponents are computed by multiplication.
fn power(a: f32, b: f32) -> f32 {
    match b {
        2.0 => a * a,
        3.0 => a * a * a,
        b => a.powf(b),
    }
}
