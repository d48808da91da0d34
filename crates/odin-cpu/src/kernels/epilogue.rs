//! Epilogues and prologues: the elementwise operators that are applied to the result of a kernel
//! before it is stored, or to its input while it is packed. They normalise, add, clamp, and mask
//! gradients.
//!
//! The gradient of a ReLU needs only the signs of the activation, which are saved as one bit per
//! element. Each channel takes whole groups of [`MAX_LANES`] bits; bit `i % 8` of byte `i / 8` is
//! set if element `i` is positive. Of a clip, such as ReLU6, the sign bits are those of the distance to
//! the nearer bound: set if the element is between them.
#![allow(unsafe_code)]

use crate::memory::{Operands, SharedSlice};
use crate::simd::{Isa, MAX_LANES, Simd, SimdTask, math};
use std::ops::Range;

/// `activation(masked(mask, scale · x + bias) + addend)`, elementwise, in this order. Applied to
/// the input of a kernel it is called its prologue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Epilogue {
    /// Per channel.
    pub(crate) scale: Option<Vec<f32>>,
    /// Per channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// The number of the operand whose sign bits mask elements: where a bit is clear the element
    /// becomes 0.
    pub(crate) mask: Option<usize>,
    pub(crate) addend: Option<Addend>,
    pub(crate) activation: Activation,
    /// Whether the sign bits of the result are saved.
    pub(crate) save_signs: bool,
}

/// The addend of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addend {
    /// The operand of this number.
    Operand(usize),
    /// What the output holds already.
    InPlace,
}

/// The last operator of an epilogue, with masks of type `M`: the number of an operand, or a value
/// of the graph.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Activation<M = usize> {
    #[default]
    None,
    Relu,
    /// Elements are clamped to these bounds.
    Clip([f32; 2]),
    /// Elements whose bit in this mask is clear become 0.
    Mask(M),
}

/// Bytes of sign bits per channel.
pub(crate) fn sign_bytes(plane: usize) -> usize {
    plane.div_ceil(MAX_LANES) * (MAX_LANES / 8)
}

/// The elements `first..first + len` of each of some channels. Where sign bits are read or saved,
/// `first` is a multiple of [`MAX_LANES`], and so is `len` unless the span ends with the channel.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) channels: Range<usize>,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl Epilogue {
    /// Resolves the operands, for `channels` channels of `plane` elements.
    pub(crate) fn bind<'a>(
        &'a self,
        isa: Isa,
        x: &Operands<'a>,
        signs: Option<SharedSlice<'a, u8>>,
        [channels, plane]: [usize; 2],
    ) -> BoundEpilogue<'a> {
        let bytes = sign_bytes(plane);
        let read = |operand: usize| &x.signs(operand)[..channels * bytes];
        let per_channel = |values: &'a Option<Vec<f32>>| values.as_ref().map(|v| &v[..channels]);
        let saved_signs = signs.filter(|_| self.save_signs);
        assert!(saved_signs.is_none_or(|signs| signs.len() == channels * bytes));
        BoundEpilogue {
            isa,
            channels,
            plane,
            bytes,
            scale: per_channel(&self.scale),
            bias: per_channel(&self.bias),
            mask: self.mask.map(read),
            addend: match self.addend {
                Some(Addend::Operand(operand)) => Some(&x.floats(operand)[..channels * plane]),
                _ => None,
            },
            adds_in_place: self.addend == Some(Addend::InPlace),
            relu: self.activation == Activation::Relu,
            clip: match self.activation {
                Activation::Clip(bounds) => Some(bounds),
                _ => None,
            },
            activation_mask: match self.activation {
                Activation::Mask(operand) => Some(read(operand)),
                _ => None,
            },
            saved_signs,
        }
    }
}

/// An [`Epilogue`] with its operands resolved.
pub(crate) struct BoundEpilogue<'a> {
    isa: Isa,
    channels: usize,
    plane: usize,
    bytes: usize,
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    mask: Option<&'a [u8]>,
    addend: Option<&'a [f32]>,
    adds_in_place: bool,
    relu: bool,
    clip: Option<[f32; 2]>,
    activation_mask: Option<&'a [u8]>,
    saved_signs: Option<SharedSlice<'a, u8>>,
}

/// A pointer to the elements of a channel, and the distance to those of the next channel.
#[derive(Clone, Copy)]
pub(crate) struct StridedPtr<T> {
    pub(crate) start: T,
    pub(crate) stride: usize,
}

impl<T> StridedPtr<T> {
    pub(crate) fn new(start: T, stride: usize) -> Self {
        Self { start, stride }
    }
}

/// Pointers to the operands of the span's first channel; null where there is none.
#[derive(Clone, Copy)]
struct Pointers {
    scale: *const f32,
    bias: *const f32,
    mask: *const u8,
    addend: StridedPtr<*const f32>,
    activation_mask: *const u8,
    saved_signs: *mut u8,
}

impl<'a> BoundEpilogue<'a> {
    /// The addend, unless it is added in place.
    pub(crate) fn addend(&self) -> Option<&'a [f32]> {
        self.addend
    }

    /// Applies the epilogue to a span: reads `from`, writes `to`. With [`Addend::InPlace`], `to` is
    /// also read.
    ///
    /// # Safety
    /// `from` is valid for reading and `to` for writing `span.len` elements in each channel; they
    /// are identical or disjoint. No other thread accesses the span's part of the saved sign bits.
    pub(crate) unsafe fn apply(
        &self,
        span: Span,
        from: StridedPtr<*const f32>,
        to: StridedPtr<*mut f32>,
    ) {
        let Span {
            channels,
            first,
            len,
        } = span;
        assert!(channels.start <= channels.end && channels.end <= self.channels);
        assert!(first + len <= self.plane);
        debug_assert!(
            (self.mask.is_none() && self.activation_mask.is_none() && self.saved_signs.is_none())
                || (first.is_multiple_of(MAX_LANES)
                    && (len.is_multiple_of(MAX_LANES) || first + len == self.plane))
        );
        let start = channels.start * self.plane + first;
        let byte = channels.start * self.bytes + first / 8;
        let signs = |signs: Option<&[u8]>| match signs {
            Some(signs) => signs.as_ptr().wrapping_add(byte),
            None => std::ptr::null(),
        };
        let per_channel = |values: Option<&[f32]>| match values {
            Some(values) => values.as_ptr().wrapping_add(channels.start),
            None => std::ptr::null(),
        };
        let pointers = Pointers {
            scale: per_channel(self.scale),
            bias: per_channel(self.bias),
            mask: signs(self.mask),
            addend: match (self.adds_in_place, self.addend) {
                (true, _) => StridedPtr::new(to.start.cast_const(), to.stride),
                (false, Some(addend)) => {
                    StridedPtr::new(addend.as_ptr().wrapping_add(start), self.plane)
                }
                (false, None) => StridedPtr::new(std::ptr::null(), 0),
            },
            activation_mask: signs(self.activation_mask),
            saved_signs: match self.saved_signs {
                Some(signs) => signs.start().wrapping_add(byte),
                None => std::ptr::null_mut(),
            },
        };
        let saves = self.saved_signs.is_some();
        let activation = match (self.relu, self.clip, self.activation_mask) {
            (true, ..) if saves => RELU_AND_SAVE,
            (true, ..) => RELU,
            (_, Some(_), _) if saves => CLIP_AND_SAVE,
            (_, Some(_), _) => CLIP,
            (.., Some(_)) => MASK_LAST,
            _ if saves => SAVE,
            _ => NONE,
        };
        self.isa.dispatch(SpanTask {
            pointers,
            channels: channels.len(),
            len,
            bytes: self.bytes,
            from,
            to,
            affine: self.scale.is_some() || self.bias.is_some(),
            mask: self.mask.is_some(),
            add: self.adds_in_place || self.addend.is_some(),
            activation,
            bounds: self.clip.unwrap_or_default(),
        });
    }
}

/// Elements whose sign bits are stored as one word.
const WORD: usize = 64;

const NONE: u8 = 0;
const RELU: u8 = 1;
const RELU_AND_SAVE: u8 = 2;
const SAVE: u8 = 3;
const MASK_LAST: u8 = 4;
const CLIP: u8 = 5;
const CLIP_AND_SAVE: u8 = 6;

/// Whether sign bits are saved.
const fn saves(activation: u8) -> bool {
    matches!(activation, RELU_AND_SAVE | CLIP_AND_SAVE | SAVE)
}

/// The application of an epilogue to a span.
struct SpanTask {
    pointers: Pointers,
    channels: usize,
    len: usize,
    /// The distance between the sign bits of two channels.
    bytes: usize,
    from: StridedPtr<*const f32>,
    to: StridedPtr<*mut f32>,
    affine: bool,
    mask: bool,
    add: bool,
    activation: u8,
    /// Of a clip.
    bounds: [f32; 2],
}

/// The numbers of a channel.
#[derive(Clone, Copy)]
struct Numbers<V> {
    scale: V,
    bias: V,
    bounds: [V; 2],
}

impl SimdTask for SpanTask {
    type Output = ();

    /// Each combination of operators is a loop of its per_channel: branching for each vector takes longer
    /// than the arithmetic.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        macro_rules! choose {
            ($affine:literal, $mask:literal, $add:literal) => {
                match self.activation {
                    RELU => self.all_channels::<S, $affine, $mask, $add, RELU>(simd),
                    RELU_AND_SAVE => {
                        self.all_channels::<S, $affine, $mask, $add, RELU_AND_SAVE>(simd)
                    }
                    CLIP => self.all_channels::<S, $affine, $mask, $add, CLIP>(simd),
                    CLIP_AND_SAVE => {
                        self.all_channels::<S, $affine, $mask, $add, CLIP_AND_SAVE>(simd)
                    }
                    SAVE => self.all_channels::<S, $affine, $mask, $add, SAVE>(simd),
                    MASK_LAST => self.all_channels::<S, $affine, $mask, $add, MASK_LAST>(simd),
                    _ => self.all_channels::<S, $affine, $mask, $add, NONE>(simd),
                }
            };
        }
        match (self.affine, self.mask, self.add) {
            (false, false, false) => choose!(false, false, false),
            (false, false, true) => choose!(false, false, true),
            (false, true, false) => choose!(false, true, false),
            (false, true, true) => choose!(false, true, true),
            (true, false, false) => choose!(true, false, false),
            (true, false, true) => choose!(true, false, true),
            (true, true, false) => choose!(true, true, false),
            (true, true, true) => choose!(true, true, true),
        }
    }
}

impl SpanTask {
    #[inline(always)]
    fn all_channels<
        S: Simd,
        const AFFINE: bool,
        const MASK: bool,
        const ADD: bool,
        const ACTIVATION: u8,
    >(
        mut self,
        simd: S,
    ) {
        for _ in 0..self.channels {
            self.channel::<S, AFFINE, MASK, ADD, ACTIVATION>(simd);
            self.next();
        }
    }

    /// Advances to the next channel.
    #[inline(always)]
    fn next(&mut self) {
        let pointers = &mut self.pointers;
        self.from.start = self.from.start.wrapping_add(self.from.stride);
        self.to.start = self.to.start.wrapping_add(self.to.stride);
        pointers.addend.start = pointers.addend.start.wrapping_add(pointers.addend.stride);
        for one in [&mut pointers.scale, &mut pointers.bias] {
            *one = if one.is_null() {
                *one
            } else {
                one.wrapping_add(1)
            };
        }
        for signs in [&mut pointers.mask, &mut pointers.activation_mask] {
            *signs = signs.wrapping_add(self.bytes);
        }
        pointers.saved_signs = pointers.saved_signs.wrapping_add(self.bytes);
    }

    #[inline(always)]
    fn channel<
        S: Simd,
        const AFFINE: bool,
        const MASK: bool,
        const ADD: bool,
        const ACTIVATION: u8,
    >(
        &self,
        simd: S,
    ) {
        let (from, to, addend) = (self.from.start, self.to.start, self.pointers.addend.start);
        let per_channel = |value: *const f32, otherwise: f32| match value.is_null() {
            true => otherwise,
            // SAFETY: `bind` has checked that there is a value per channel.
            false => unsafe { *value },
        };
        let numbers = Numbers {
            scale: simd.splat(per_channel(self.pointers.scale, 1.0)),
            bias: simd.splat(per_channel(self.pointers.bias, 0.0)),
            bounds: self.bounds.map(|bound| simd.splat(bound)),
        };
        let whole = self.len / S::LANES * S::LANES;
        let words = match saves(ACTIVATION) {
            true => self.len / WORD * WORD,
            false => 0,
        };
        for first in (0..words).step_by(WORD) {
            let mut bits = 0;
            for i in (0..WORD).step_by(S::LANES) {
                // SAFETY: as below.
                let y = unsafe {
                    self.vector::<S, AFFINE, MASK, ADD, ACTIVATION>(simd, numbers, first + i)
                };
                bits |= u64::from(signs::<S, ACTIVATION>(simd, numbers, y)) << i;
            }
            // SAFETY: the sign bits of the span are valid for writing.
            unsafe {
                let to = self.pointers.saved_signs.add(first / 8).cast::<u64>();
                to.write_unaligned(bits.to_le());
            }
        }
        for i in (words..whole).step_by(S::LANES) {
            // SAFETY: whole vectors inside of the span, by the contract of
            // [`BoundEpilogue::apply`]; `bind` has checked that the operands are as long.
            unsafe {
                let y = self.vector::<S, AFFINE, MASK, ADD, ACTIVATION>(simd, numbers, i);
                if saves(ACTIVATION) {
                    let bits = signs::<S, ACTIVATION>(simd, numbers, y);
                    store_signs::<S>(self.pointers.saved_signs, i, bits);
                }
            }
        }
        let rest = self.len - whole;
        if rest > 0 {
            // SAFETY: the first `rest` elements of the last vector are inside of the span; sign
            // bits come in whole groups.
            unsafe {
                let x = simd.load_first(rest, from.add(whole));
                let addend = match ADD {
                    true => simd.load_first(rest, addend.add(whole)),
                    false => x,
                };
                let y = self
                    .compute::<S, AFFINE, MASK, ADD, ACTIVATION>(simd, numbers, whole, x, addend);
                simd.store_first(rest, to.add(whole), y);
                if saves(ACTIVATION) {
                    let inside = (1u16 << rest) - 1;
                    let bits = signs::<S, ACTIVATION>(simd, numbers, y) & inside;
                    store_signs::<S>(self.pointers.saved_signs, whole, bits);
                }
            }
        }
    }

    /// Computes, stores and returns the vector at element `i`.
    ///
    /// # Safety
    /// The vector is inside of the span.
    #[inline(always)]
    unsafe fn vector<
        S: Simd,
        const AFFINE: bool,
        const MASK: bool,
        const ADD: bool,
        const ACTIVATION: u8,
    >(
        &self,
        simd: S,
        numbers: Numbers<S::Vector>,
        i: usize,
    ) -> S::Vector {
        // SAFETY: by the contract.
        unsafe {
            let x = simd.load(self.from.start.add(i));
            let addend = match ADD {
                true => simd.load(self.pointers.addend.start.add(i)),
                false => x,
            };
            let y = self.compute::<S, AFFINE, MASK, ADD, ACTIVATION>(simd, numbers, i, x, addend);
            simd.store(self.to.start.add(i), y);
            y
        }
    }

    /// Applies the operators to the vector `x` at element `i`.
    ///
    /// # Safety
    /// The vector is inside of the span.
    #[inline(always)]
    unsafe fn compute<
        S: Simd,
        const AFFINE: bool,
        const MASK: bool,
        const ADD: bool,
        const ACTIVATION: u8,
    >(
        &self,
        simd: S,
        numbers: Numbers<S::Vector>,
        i: usize,
        x: S::Vector,
        addend: S::Vector,
    ) -> S::Vector {
        let mut y = x;
        if AFFINE {
            y = simd.mul_add(y, numbers.scale, numbers.bias);
        }
        // SAFETY: by the contract.
        unsafe {
            if MASK {
                y = simd.keep_bits(load_signs::<S>(self.pointers.mask, i), y);
            }
            if ADD {
                y = simd.add(y, addend);
            }
            if ACTIVATION == RELU || ACTIVATION == RELU_AND_SAVE {
                y = simd.relu(y);
            }
            if ACTIVATION == CLIP || ACTIVATION == CLIP_AND_SAVE {
                let [min, max] = numbers.bounds;
                y = math::clip(simd, y, min, max);
            }
            if ACTIVATION == MASK_LAST {
                y = simd.keep_bits(load_signs::<S>(self.pointers.activation_mask, i), y);
            }
        }
        y
    }
}

/// The sign bits of a vector of results.
#[inline(always)]
fn signs<S: Simd, const ACTIVATION: u8>(simd: S, numbers: Numbers<S::Vector>, y: S::Vector) -> u16 {
    match ACTIVATION {
        CLIP_AND_SAVE => {
            let [min, max] = numbers.bounds;
            simd.bits(simd.gt(y, min)) & simd.bits(simd.gt(max, y))
        }
        _ => simd.positive(y),
    }
}

/// The sign bits of the vector at element `i`.
///
/// # Safety
/// They are valid for reading.
#[inline(always)]
unsafe fn load_signs<S: Simd>(signs: *const u8, i: usize) -> u16 {
    // SAFETY: by the contract.
    unsafe {
        match S::LANES {
            16 => u16::from_le(signs.add(i / 8).cast::<u16>().read_unaligned()),
            _ => u16::from(*signs.add(i / 8)),
        }
    }
}

/// Stores the sign bits of the vector at element `i`.
///
/// # Safety
/// They are valid for writing.
#[inline(always)]
unsafe fn store_signs<S: Simd>(signs: *mut u8, i: usize, bits: u16) {
    // SAFETY: by the contract.
    unsafe {
        match S::LANES {
            16 => signs.add(i / 8).cast::<u16>().write_unaligned(bits.to_le()),
            _ => *signs.add(i / 8) = bits as u8,
        }
    }
}
