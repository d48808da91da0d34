//! Elements of stored tensors and their conversion to f32.

use half::{bf16, f16};

use crate::Error;

/// How a container stores one number, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// An integer, a truth value, or a number of a kind that no weight has; of this many bytes.
    Other(usize),
}

impl Element {
    /// Bytes per element.
    pub(crate) fn size(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
            Element::Other(size) => size,
        }
    }
}

/// Where a tensor's elements lie in its storage; all numbers count elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StridedLayout {
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    count: usize,
}

impl StridedLayout {
    /// The layout of a view into a storage of `available` elements. Places may overlap, as those
    /// of an expanded tensor do, so `available` does not bound the number of elements.
    pub(crate) fn new(
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
        available: usize,
    ) -> Result<Self, Error> {
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let count = count.filter(|_| shape.len() == strides.len());
        let reach = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |end, (&d, &s)| {
                end.checked_add(d.saturating_sub(1).checked_mul(s)?)
            });
        match (count, reach) {
            (Some(0), _) => {}
            (Some(_), Some(last)) if last < available => {}
            _ => {
                return Err(Error::corrupt(format!(
                    "shape {shape:?}, strides {strides:?}, offset {offset} reach outside of a \
                     storage of {available} elements; the file is damaged"
                )));
            }
        }
        Ok(Self {
            offset,
            strides,
            count: count.unwrap_or(0),
            shape,
        })
    }

    /// The layout of a tensor that has a storage to itself.
    pub(crate) fn dense(shape: Vec<usize>, available: usize) -> Result<Self, Error> {
        let strides = dense_strides(&shape);
        Self::new(0, shape, strides, available)
    }

    /// The same layout in a storage that has `by` more elements in front.
    pub(crate) fn shifted(mut self, by: usize) -> Self {
        self.offset = self.offset.saturating_add(by);
        self
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The elements in row-major order; `None` when they are no real numbers, or when the
    /// storage is shorter than the layout.
    pub(crate) fn read(&self, storage: &[u8], element: Element) -> Option<Vec<f32>> {
        match element {
            Element::F16 => self.decode(storage, |b| f16::from_le_bytes(b).to_f32()),
            Element::Bf16 => self.decode(storage, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F32 => self.decode(storage, f32::from_le_bytes),
            Element::F64 => self.decode(storage, |b| f64::from_le_bytes(b) as f32),
            Element::Other(_) => None,
        }
    }

    fn decode<const N: usize>(
        &self,
        storage: &[u8],
        number: impl Fn([u8; N]) -> f32,
    ) -> Option<Vec<f32>> {
        let (elements, _) = storage.as_chunks::<N>();
        if self.strides == dense_strides(&self.shape) {
            let end = self.offset.checked_add(self.count)?;
            let own = elements.get(self.offset..end)?;
            return Some(own.iter().map(|&bytes| number(bytes)).collect());
        }
        let places = (0..self.count).map(|k| self.place(k));
        places
            .map(|p| elements.get(p).map(|&bytes| number(bytes)))
            .collect()
    }

    /// The place in the storage of the `k`-th element in row-major order.
    fn place(&self, mut k: usize) -> usize {
        let mut place = self.offset;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            place += k % extent * stride;
            k /= extent;
        }
        place
    }
}

fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn a_transposed_view_reads_in_row_major_order() {
        let storage = bytes(&[9., 0., 1., 2., 3., 4., 5.]);
        let layout = StridedLayout::new(1, vec![3, 2], vec![1, 3], 7).unwrap();
        let read = layout.read(&storage, Element::F32).unwrap();
        assert_eq!(read, [0., 3., 1., 4., 2., 5.]);
    }

    #[test]
    fn places_may_overlap() {
        let storage = bytes(&[1., 2., 3.]);
        let cases: [(&[usize], &[usize], &[f32]); 3] = [
            (&[4], &[0], &[2., 2., 2., 2.]),
            (&[2, 2], &[0, 1], &[2., 3., 2., 3.]),
            (&[2, 2], &[1, 0], &[2., 2., 3., 3.]),
        ];
        for (shape, strides, expected) in cases {
            let layout = StridedLayout::new(1, shape.to_vec(), strides.to_vec(), 3).unwrap();
            assert_eq!(layout.read(&storage, Element::F32).unwrap(), expected);
        }
    }

    #[test]
    fn every_real_element_becomes_f32() {
        let cases: [(Element, Vec<u8>); 4] = [
            (Element::F16, f16::from_f32(-1.5).to_le_bytes().into()),
            (Element::Bf16, bf16::from_f32(-1.5).to_le_bytes().into()),
            (Element::F32, (-1.5f32).to_le_bytes().into()),
            (Element::F64, (-1.5f64).to_le_bytes().into()),
        ];
        for (element, stored) in cases {
            assert_eq!(stored.len(), element.size());
            let layout = StridedLayout::dense(vec![1], 1).unwrap();
            assert_eq!(layout.read(&stored, element), Some(vec![-1.5]));
        }
    }

    #[test]
    fn a_layout_outside_of_its_storage_is_refused() {
        let cases: [(usize, &[usize], &[usize]); 7] = [
            (1, &[4], &[1]),
            (0, &[2, 2], &[3, 1]),
            (0, &[usize::MAX, 2], &[1, 1]),
            (usize::MAX, &[2], &[1]),
            (0, &[2], &[]),
            (4, &[1000], &[0]),
            (0, &[usize::MAX, 2], &[0, 0]),
        ];
        for (offset, shape, strides) in cases {
            let layout = StridedLayout::new(offset, shape.to_vec(), strides.to_vec(), 4);
            assert!(layout.is_err(), "{offset} {shape:?} {strides:?}");
        }
    }
}
