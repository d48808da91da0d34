//! Operands: values in the arena or constants, read by strides.

use super::{Param, SMALL_CONSTANT, Shader, WeightData, Weights, wgsl};
use odin_graph::{DType, Tensor};
use std::fmt::Write;

/// Where the elements of an image lie in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first element of the value that contains it, per image of the arena's capacity.
    pub(crate) slot: usize,
    /// The elements of that value for one image.
    pub(crate) stride: usize,
    /// The first element within an image.
    pub(crate) offset: usize,
}

/// Where an operand is.
#[derive(Debug, Clone)]
pub(crate) enum Home {
    Arena(Place),
    /// A constant, read from this element on.
    Constant(Tensor, usize),
}

/// A value as a step reads it: for one image, the element at position `p` is the one at
/// `p · strides` from its home.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) home: Home,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Operand {
    /// The operand broadcast to a shape.
    pub(crate) fn broadcast(&self, shape: &[usize]) -> Operand {
        let lead = shape.len() - self.shape.len();
        let own = self.shape.iter().zip(&self.strides);
        let strides = own.map(|(&extent, &stride)| if extent == 1 { 0 } else { stride });
        Operand {
            shape: shape.to_vec(),
            strides: std::iter::repeat_n(0, lead).chain(strides).collect(),
            ..self.clone()
        }
    }

    /// The operand without its last `count` axes.
    pub(crate) fn without_last(&self, count: usize) -> Operand {
        let mut outer = self.clone();
        let rank = self.shape.len() - count;
        outer.shape.truncate(rank);
        outer.strides.truncate(rank);
        outer
    }

    /// The offset of the element at flat position `i` of its shape, as WGSL.
    pub(super) fn offset(&self, i: &str) -> String {
        if self.shape.contains(&0) {
            return "0u".to_string();
        }
        let mut terms = Vec::new();
        // Of the axes from the innermost on: how many elements they span, and the run that is open.
        let mut inner = 1;
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if extent == 1 {
                continue;
            }
            match runs.last_mut() {
                Some((_, run, s)) if *s * *run == stride => *run *= extent,
                _ => runs.push((inner, extent, stride)),
            }
            inner *= extent;
        }
        let last = runs.len();
        for (n, (inner, extent, stride)) in runs.into_iter().enumerate() {
            if stride == 0 {
                continue;
            }
            let mut at = i.to_string();
            if inner != 1 {
                at = format!("{at} / {inner}u");
            }
            if n + 1 != last {
                at = format!("({at}) % {extent}u");
            }
            terms.push(if stride == 1 {
                at
            } else {
                format!("({at}) * {stride}u")
            });
        }
        match terms.is_empty() {
            true => "0u".to_string(),
            false => terms.join(" + "),
        }
    }
}

/// How a shader reads an operand.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The function of the image that gives the first element's index.
    base: String,
    array: &'static str,
    dtype: DType,
}

impl Reader {
    /// The index of the first element of an image.
    pub(super) fn base(&self, img: &str) -> String {
        format!("{}({img})", self.base)
    }

    /// The element at an index.
    pub(super) fn at(&self, index: &str) -> String {
        let array = self.array;
        match (array, self.dtype) {
            ("weights", _) => format!("weights[{index}]"),
            (_, DType::Bool) => format!("({array}[{index}] != 0u)"),
            (_, DType::Int) => format!("{array}[{index}]"),
            _ => format!("bitcast<f32>({array}[{index}])"),
        }
    }
}

impl Shader {
    /// Gives access to an operand by index.
    pub(super) fn reader(&mut self, operand: &Operand) -> Reader {
        let base = self.name("base");
        let (array, first) = match &operand.home {
            Home::Arena(place) => {
                let first = self.place(*place);
                ("arena", first)
            }
            Home::Constant(tensor, first) => {
                let (array, start) = self.constant(tensor);
                let first = self.param(*first);
                (array, format!("{start} + {first}"))
            }
        };
        self.write(&format!(
            "fn {base}(img: u32) -> u32 {{ return {first}; }}\n"
        ));
        Reader {
            base,
            array,
            dtype: operand.dtype,
        }
    }

    /// The index in the arena of the first element of the image `img`.
    pub(super) fn place(&mut self, place: Place) -> String {
        let [slot, stride, offset] =
            [place.slot, place.stride, place.offset].map(|n| self.param(n));
        format!("{slot} * run.capacity + img * {stride} + {offset}")
    }

    /// Binds a constant: the array that holds it, and its first index.
    fn constant(&mut self, tensor: &Tensor) -> (&'static str, String) {
        let weights = Weights {
            key: (tensor.data().as_ptr() as usize, "whole".to_string()),
            data: WeightData::Whole(tensor.clone()),
        };
        let same = self.weights.as_ref() == Some(&weights);
        let fits = self.weights.is_none() && tensor.data().len() > SMALL_CONSTANT;
        if same || fits {
            self.weights = Some(weights);
            return ("weights", "0u".to_string());
        }
        let start = self.data.len();
        self.data.extend(tensor.data().iter().map(|x| x.to_bits()));
        ("params", self.push(Param::Data(start)))
    }

    /// A function `(img, i)` that reads the element at flat position `i` of `shape`, which the
    /// operand is broadcast to.
    pub(super) fn load(&mut self, operand: &Operand, shape: &[usize]) -> String {
        let operand = operand.broadcast(shape);
        let reader = self.reader(&operand);
        let name = self.name("load");
        let offset = operand.offset("i");
        let element = reader.at(&format!("{} + {offset}", reader.base("img")));
        let ty = wgsl(operand.dtype);
        let mut text = String::new();
        let _ = writeln!(
            text,
            "fn {name}(img: u32, i: u32) -> {ty} {{ return {element}; }}"
        );
        self.write(&text);
        name
    }
}
