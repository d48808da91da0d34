//! What is done to each element on its way into or out of a heavier operator: normalise, add,
//! clamp, and pass or stop a gradient.
//!
//! The gradient of a ReLU needs no more of the activation than its signs: one bit each. The signs
//! of a channel take whole groups of [`LONGEST`] bits; bit `i % 8` of byte `i / 8` tells whether
//! element `i` is above 0.
#![allow(unsafe_code)]

use crate::simd::{LONGEST, Simd};
use crate::workspace::{Operands, Out};

/// `after(keep(mask, scale · x + bias) + addend)`, element by element, in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pointwise {
    /// For each channel.
    pub(crate) scale: Option<Vec<f32>>,
    /// For each channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// Elements whose sign is not set become 0.
    pub(crate) mask: Option<usize>,
    pub(crate) addend: Option<Addend>,
    pub(crate) after: After,
    /// Whether the signs of the result are kept.
    pub(crate) save: bool,
}

/// What is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addend {
    /// The operand of this number.
    Operand(usize),
    /// What is there already where the result goes.
    Output,
}

/// What comes last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum After {
    #[default]
    Nothing,
    Relu,
    /// Elements whose sign is not set, in the operand of this number, become 0.
    Keep(usize),
}

/// Bytes for the signs of a channel.
pub(crate) fn sign_bytes(plane: usize) -> usize {
    plane.div_ceil(LONGEST) * (LONGEST / 8)
}

/// Neighbouring elements of a channel. Where signs are read or kept, `first` is a multiple of
/// [`LONGEST`], and so is `len` unless the channel ends there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) channel: usize,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl Pointwise {
    /// Finds what the elements of `channels` channels of `plane` elements will meet.
    pub(crate) fn bind<'a>(
        &'a self,
        x: &Operands<'a>,
        signs: Option<Out<'a, u8>>,
        [channels, plane]: [usize; 2],
    ) -> Bound<'a> {
        let bytes = sign_bytes(plane);
        let read = |operand: usize| &x.signs(operand)[..channels * bytes];
        let own = |values: &'a Option<Vec<f32>>| values.as_ref().map(|v| &v[..channels]);
        let save = signs.filter(|_| self.save);
        assert!(save.is_none_or(|save| save.len() == channels * bytes));
        Bound {
            channels,
            plane,
            bytes,
            scale: own(&self.scale),
            bias: own(&self.bias),
            mask: self.mask.map(read),
            addend: match self.addend {
                Some(Addend::Operand(operand)) => Some(&x.floats(operand)[..channels * plane]),
                _ => None,
            },
            adds_output: self.addend == Some(Addend::Output),
            relu: self.after == After::Relu,
            keep: match self.after {
                After::Keep(operand) => Some(read(operand)),
                _ => None,
            },
            save,
        }
    }
}

/// A [`Pointwise`] and what it reads and keeps.
pub(crate) struct Bound<'a> {
    channels: usize,
    plane: usize,
    bytes: usize,
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    mask: Option<&'a [u8]>,
    addend: Option<&'a [f32]>,
    adds_output: bool,
    relu: bool,
    keep: Option<&'a [u8]>,
    save: Option<Out<'a, u8>>,
}

/// What a run of elements meets.
#[derive(Clone, Copy)]
struct Meets<V> {
    scale: Option<V>,
    bias: Option<V>,
    mask: Option<*const u8>,
    addend: Option<*const f32>,
    relu: bool,
    keep: Option<*const u8>,
}

impl Bound<'_> {
    /// `to` becomes what it is of `from`, for a run of elements. With [`Addend::Output`], `to` is
    /// also read.
    ///
    /// # Safety
    /// `from` is valid for reading and `to` for writing `run.len` elements; they are the same or
    /// apart. Nobody else touches the run's part of the signs that are kept.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(&self, simd: S, run: Run, from: *const f32, to: *mut f32) {
        assert!(run.channel < self.channels && run.first + run.len <= self.plane);
        debug_assert!(
            (self.mask.is_none() && self.keep.is_none() && self.save.is_none())
                || (run.first.is_multiple_of(LONGEST)
                    && (run.len.is_multiple_of(LONGEST) || run.first + run.len == self.plane))
        );
        let start = run.channel * self.plane + run.first;
        let byte = run.channel * self.bytes + run.first / 8;
        // SAFETY: the run is inside of the channels, by the assertion, whose elements and signs
        // `bind` has found to be there.
        let (meets, save) = unsafe {
            let own = |values: &[f32]| simd.splat(*values.get_unchecked(run.channel));
            let meets = Meets {
                scale: self.scale.map(own),
                bias: self.bias.map(own),
                mask: self.mask.map(|signs| signs.as_ptr().add(byte)),
                addend: match self.adds_output {
                    true => Some(to.cast_const()),
                    false => self.addend.map(|addend| addend.as_ptr().add(start)),
                },
                relu: self.relu,
                keep: self.keep.map(|signs| signs.as_ptr().add(byte)),
            };
            let bytes = byte..byte + sign_bytes(run.len);
            (meets, self.save.map(|signs| signs.part(bytes).as_mut_ptr()))
        };
        let whole = run.len / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: whole vectors inside of the run.
            unsafe {
                let y = vector(simd, &meets, i, simd.load(from.add(i)), |p| simd.load(p));
                simd.store(to.add(i), y);
                if let Some(save) = save {
                    set::<S>(save, i, simd.positive(y));
                }
            }
        }
        let rest = run.len - whole;
        if rest > 0 {
            // SAFETY: the first `rest` elements of the last vector are inside of the run; signs
            // come in whole groups.
            unsafe {
                let first = |p| simd.load_first(rest, p);
                let y = vector(simd, &meets, whole, first(from.add(whole)), first);
                simd.store_first(rest, to.add(whole), y);
                if let Some(save) = save {
                    let inside = (1u16 << rest) - 1;
                    set::<S>(save, whole, simd.positive(y) & inside);
                }
            }
        }
    }
}

/// # Safety
/// A vector from element `i` is inside of the run.
#[inline(always)]
unsafe fn vector<S: Simd>(
    simd: S,
    meets: &Meets<S::Vector>,
    i: usize,
    x: S::Vector,
    load: impl Fn(*const f32) -> S::Vector,
) -> S::Vector {
    let mut y = match (meets.scale, meets.bias) {
        (Some(scale), Some(bias)) => simd.mul_add(x, scale, bias),
        (Some(scale), None) => simd.mul(x, scale),
        (None, Some(bias)) => simd.add(x, bias),
        (None, None) => x,
    };
    // SAFETY: by the contract.
    unsafe {
        if let Some(mask) = meets.mask {
            y = simd.keep(get::<S>(mask, i), y);
        }
        if let Some(addend) = meets.addend {
            y = simd.add(y, load(addend.add(i)));
        }
        if meets.relu {
            y = simd.relu(y);
        }
        if let Some(keep) = meets.keep {
            y = simd.keep(get::<S>(keep, i), y);
        }
    }
    y
}

/// The signs of a vector that begins at element `i`.
///
/// # Safety
/// They are valid for reading.
#[inline(always)]
unsafe fn get<S: Simd>(signs: *const u8, i: usize) -> u16 {
    // SAFETY: by the contract.
    unsafe {
        match S::LANES {
            16 => u16::from_le_bytes([*signs.add(i / 8), *signs.add(i / 8 + 1)]),
            _ => u16::from(*signs.add(i / 8)),
        }
    }
}

/// # Safety
/// The signs of a vector that begins at element `i` are valid for writing.
#[inline(always)]
unsafe fn set<S: Simd>(signs: *mut u8, i: usize, bits: u16) {
    let [low, high] = bits.to_le_bytes();
    // SAFETY: by the contract.
    unsafe {
        *signs.add(i / 8) = low;
        if S::LANES == 16 {
            *signs.add(i / 8 + 1) = high;
        }
    }
}
