//! The memory of an image: arenas, and the scratch memory of a thread.
//!
//! Each element type has one arena. The memory plan assigns each value a slot in it; slots overlap
//! only where one value aliases a part of another, or where live ranges are disjoint. That reads
//! and writes do not conflict is therefore guaranteed by the plan, not by the borrow checker; the
//! unsafe code that relies on it is in this module.
#![allow(unsafe_code)]

use crate::{Error, ErrorKind};
use odin_graph::Tensor;
use odin_lower::Slot;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;

/// Sizes of scratch memory, in elements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScratchSize {
    pub(crate) floats: usize,
    pub(crate) indices: usize,
}

impl ScratchSize {
    /// `floats` elements and no indices.
    pub(crate) fn floats(floats: usize) -> Self {
        Self { floats, indices: 0 }
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            floats: self.floats.max(other.floats),
            indices: self.indices.max(other.indices),
        }
    }
}

/// The sizes of the arenas, in elements, and of scratch memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArenaSizes {
    pub(crate) floats: usize,
    pub(crate) ints: usize,
    pub(crate) masks: usize,
    /// Bytes of eight sign bits each.
    pub(crate) signs: usize,
    pub(crate) scratch: ScratchSize,
}

impl ArenaSizes {
    /// Bytes per image.
    pub(crate) fn values(&self) -> usize {
        let bytes = |n: usize, width: usize| n.saturating_mul(width);
        bytes(self.floats, size_of::<f32>())
            .saturating_add(bytes(self.ints, size_of::<i64>()))
            .saturating_add(bytes(self.masks, size_of::<bool>()))
            .saturating_add(self.signs)
    }

    /// Bytes of scratch memory per thread.
    pub(crate) fn scratch(&self) -> usize {
        let floats = self.scratch.floats.saturating_mul(size_of::<f32>());
        floats.saturating_add(self.scratch.indices.saturating_mul(size_of::<usize>()))
    }
}

/// A cache line of sixteen floats, for alignment.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; CacheLine::LEN]);

impl CacheLine {
    const LEN: usize = 16;
}

/// Floats aligned to a cache line.
#[derive(Default)]
pub(crate) struct AlignedBuffer(Vec<CacheLine>);

impl AlignedBuffer {
    /// `len` zeros; `None` if memory is exhausted.
    pub(crate) fn zeros(len: usize) -> Option<Self> {
        filled(
            len.div_ceil(CacheLine::LEN),
            CacheLine([0.0; CacheLine::LEN]),
        )
        .map(Self)
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: a `CacheLine` is sixteen floats without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * CacheLine::LEN) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        let len = self.0.len() * CacheLine::LEN;
        // SAFETY: as above; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// Elements that several threads read and write, in slots that the memory plan keeps disjoint.
struct Arena<T>(Box<[UnsafeCell<T>]>);

// SAFETY: the contents are accessed only through unsafe methods, whose callers keep readers and
// writers disjoint.
unsafe impl<T: Send + Sync> Sync for Arena<T> {}

impl<T: Copy> Arena<T> {
    fn new(len: usize, value: T) -> Option<Self> {
        let mut cells = Vec::new();
        cells.try_reserve_exact(len).ok()?;
        cells.resize_with(len, || UnsafeCell::new(value));
        Some(Self(cells.into_boxed_slice()))
    }

    /// # Safety
    /// No thread writes there while the result is in use.
    unsafe fn read(&self, range: Range<usize>) -> &[T] {
        let cells = &self.0[range];
        // SAFETY: an `UnsafeCell` has the layout of its contents.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    fn write(&self, range: Range<usize>) -> SharedSlice<'_, T> {
        let cells = &self.0[range];
        SharedSlice {
            // Through the cell, which permits writes behind a shared reference.
            start: UnsafeCell::raw_get(cells.as_ptr()),
            len: cells.len(),
            arena: PhantomData,
        }
    }
}

/// A mutable slice shared by several threads, each of which writes a part of its own.
#[derive(Clone, Copy)]
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    arena: PhantomData<&'a UnsafeCell<T>>,
}

// SAFETY: the contents are accessed only through the unsafe method, whose callers keep the threads
// disjoint.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    /// The address of the first element.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    /// No other thread reads or writes there while the result is in use.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds, by the assertion; exclusive, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// The arenas of one image.
pub(crate) struct Workspace {
    /// In cache lines, so that aligned vectors do not straddle two of them.
    floats: Arena<CacheLine>,
    ints: Arena<i64>,
    masks: Arena<bool>,
    signs: Arena<u8>,
}

impl Workspace {
    pub(crate) fn new(sizes: &ArenaSizes) -> Result<Self, Error> {
        let allocate = || {
            Some(Self {
                floats: Arena::new(
                    sizes.floats.div_ceil(CacheLine::LEN),
                    CacheLine([0.0; CacheLine::LEN]),
                )?,
                ints: Arena::new(sizes.ints, 0)?,
                masks: Arena::new(sizes.masks, false)?,
                signs: Arena::new(sizes.signs, 0)?,
            })
        };
        allocate().ok_or_else(|| out_of_memory("the values of one image", sizes.values()))
    }

    /// # Safety
    /// No thread writes there while the result is in use.
    unsafe fn floats(&self, slot: Slot) -> &[f32] {
        let out = self.floats_out(slot);
        // SAFETY: `floats_out` has checked the bounds; no thread writes there, by the contract.
        unsafe { std::slice::from_raw_parts(out.start, out.len) }
    }

    pub(crate) fn floats_out(&self, slot: Slot) -> SharedSlice<'_, f32> {
        let lines = &self.floats.0;
        assert!(slot.offset + slot.len <= lines.len() * CacheLine::LEN);
        let start = UnsafeCell::raw_get(lines.as_ptr()).cast::<f32>();
        SharedSlice {
            // SAFETY: in bounds, by the assertion.
            start: unsafe { start.add(slot.offset) },
            len: slot.len,
            arena: PhantomData,
        }
    }

    pub(crate) fn ints_out(&self, slot: Slot) -> SharedSlice<'_, i64> {
        self.ints.write(slot.range())
    }

    pub(crate) fn masks_out(&self, slot: Slot) -> SharedSlice<'_, bool> {
        self.masks.write(slot.range())
    }

    pub(crate) fn signs_out(&self, slot: Slot) -> SharedSlice<'_, u8> {
        self.signs.write(slot.range())
    }
}

/// Scratch memory, one per thread.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) floats: AlignedBuffer,
    pub(crate) indices: Vec<usize>,
}

impl Scratch {
    pub(crate) fn new(sizes: &ArenaSizes) -> Result<Self, Error> {
        let allocate = || {
            Some(Self {
                floats: AlignedBuffer::zeros(sizes.scratch.floats)?,
                indices: filled(sizes.scratch.indices, 0)?,
            })
        };
        allocate().ok_or_else(|| out_of_memory("the scratch memory of one thread", sizes.scratch()))
    }
}

pub(crate) fn out_of_memory(what: &str, bytes: usize) -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        format!(
            "{what} need {bytes} bytes, which could not be allocated; use fewer threads or smaller batches"
        ),
    )
}

/// `len` copies of `value`; `None` if memory is exhausted.
pub(crate) fn filled<T: Copy>(len: usize, value: T) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).ok()?;
    vec.resize(len, value);
    Some(vec)
}

/// The location of an operand: a constant, or a slot of an arena.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Constant(Tensor),
    Value(Slot),
}

/// The batch of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) images: usize,
    /// In the order of the graph's inputs.
    pub(crate) inputs: &'a [&'a [f32]],
}

/// The operands of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    workspace: &'a Workspace,
    sources: &'a [Source],
    request: &'a Request<'a>,
    image: usize,
}

impl<'a> Operands<'a> {
    /// # Safety
    /// While the operands are in use no thread writes to their slots.
    pub(crate) unsafe fn new(
        workspace: &'a Workspace,
        sources: &'a [Source],
        request: &'a Request<'a>,
        image: usize,
    ) -> Self {
        Self {
            workspace,
            sources,
            request,
            image,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn request(&self) -> &'a Request<'a> {
        self.request
    }

    pub(crate) fn image(&self) -> usize {
        self.image
    }

    /// The elements of a float operand.
    pub(crate) fn floats(&self, operand: usize) -> &'a [f32] {
        match &self.sources[operand] {
            Source::Constant(tensor) => tensor.data(),
            // SAFETY: no thread writes there, by the contract of `new`.
            Source::Value(slot) => unsafe { self.workspace.floats(*slot) },
        }
    }

    /// The elements of an integer operand.
    pub(crate) fn ints(&self, operand: usize) -> &'a [i64] {
        match &self.sources[operand] {
            Source::Constant(_) => &[],
            // SAFETY: as above.
            Source::Value(slot) => unsafe { self.workspace.ints.read(slot.range()) },
        }
    }

    /// The elements of a Boolean operand.
    pub(crate) fn masks(&self, operand: usize) -> &'a [bool] {
        match &self.sources[operand] {
            Source::Constant(_) => &[],
            // SAFETY: as above.
            Source::Value(slot) => unsafe { self.workspace.masks.read(slot.range()) },
        }
    }

    /// The sign bits of an activation, see [`crate::kernels::epilogue`].
    pub(crate) fn signs(&self, operand: usize) -> &'a [u8] {
        match &self.sources[operand] {
            Source::Constant(_) => &[],
            // SAFETY: as above.
            Source::Value(slot) => unsafe { self.workspace.signs.read(slot.range()) },
        }
    }
}
