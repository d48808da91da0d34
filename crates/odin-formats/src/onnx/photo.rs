//! Resizing and cropping in standard operators: the first nodes of a file that takes photos of any
//! size.
//!
//! A resize is a product with a matrix of weights for the columns and another for the rows. They are
//! computed in the file from the sizes, as Pillow computes them, with rounding to levels behind each.
//! The operator Resize is not used: it has Pillow's kernels only since operator set 18 (`antialias`),
//! of which runtimes make different things, and it does not round in between.

use super::proto::*;
use crate::Error;
use prost::bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// The property of a file that says which these nodes are.
pub(super) const PROPERTY: &str = "odin.photo";

/// The value that they end in: `float32 [N, H, W, C]`, 0 to 255.
pub(super) const PREPARED: &str = "odin.photo/prepared";

/// What begins the names of all their values.
const OWN: &str = "odin.photo/";

/// How photos become the images that a network takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// What is done, one after the other.
    pub steps: Vec<PhotoStep>,
    /// Height, width and channels afterwards.
    pub shape: [usize; 3],
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoStep {
    /// To this height and width.
    Resize([usize; 2], Kernel),
    /// The shorter side to this length, the other by the aspect ratio, rounded down.
    ResizeShorter(usize, Kernel),
    /// The middle, of this height and width; halves are rounded to even.
    CentreCrop([usize; 2]),
}

/// How a resize weighs pixels: Pillow's kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// A triangle of radius 1.
    Bilinear,
    /// The cubic of radius 2 with a = -0.5.
    Bicubic,
    /// The sinc function windowed to radius 3.
    Lanczos,
}

impl fmt::Display for Photo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            match step {
                PhotoStep::Resize([h, w], kernel) => write!(f, "resize {h} {w} {kernel:?}, ")?,
                PhotoStep::ResizeShorter(side, kernel) => write!(f, "shorter {side} {kernel:?}, ")?,
                PhotoStep::CentreCrop([h, w]) => write!(f, "crop {h} {w}, ")?,
            }
        }
        let [h, w, c] = self.shape;
        write!(f, "images {h} {w} {c}")
    }
}

impl FromStr for Photo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::corrupt(format!("the property {PROPERTY} is ill-formed: {text:?}"));
        let (mut steps, mut shape) = (Vec::new(), None);
        for part in text.split(", ") {
            let words: Vec<&str> = part.split(' ').collect();
            let number = |i: usize| -> Result<usize, Error> {
                let number = words.get(i).and_then(|word| word.parse().ok());
                number
                    .filter(|n| (1..=MAX_SIDE).contains(n))
                    .ok_or_else(wrong)
            };
            let kernel = |i: usize| match words.get(i) {
                Some(&"Bilinear") => Ok(Kernel::Bilinear),
                Some(&"Bicubic") => Ok(Kernel::Bicubic),
                Some(&"Lanczos") => Ok(Kernel::Lanczos),
                _ => Err(wrong()),
            };
            match words[0] {
                "resize" => steps.push(PhotoStep::Resize([number(1)?, number(2)?], kernel(3)?)),
                "shorter" => steps.push(PhotoStep::ResizeShorter(number(1)?, kernel(2)?)),
                "crop" => steps.push(PhotoStep::CentreCrop([number(1)?, number(2)?])),
                "images" => shape = Some([number(1)?, number(2)?, number(3)?]),
                _ => return Err(wrong()),
            }
        }
        let shape = shape.ok_or_else(wrong)?;
        Ok(Self { steps, shape })
    }
}

/// No image is larger.
const MAX_SIDE: usize = 1 << 14;

/// The nodes and constants.
pub(super) struct Nodes {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
}

impl Photo {
    /// From the input of this name, `uint8 [N, height, width, C]`, to [`PREPARED`].
    pub(super) fn nodes(&self, input: &str) -> Nodes {
        let mut writer = Writer::default();
        let levels = writer.cast(input, data_type::FLOAT);
        let mut x = writer.transpose(&levels, &[0, 3, 1, 2]);
        for step in &self.steps {
            x = match *step {
                PhotoStep::Resize(size, kernel) => {
                    let size = size.map(|side| writer.integer(side as i64));
                    writer.resize(&x, size, kernel)
                }
                PhotoStep::ResizeShorter(side, kernel) => {
                    let size = writer.by_shorter_side(&x, side);
                    writer.resize(&x, size, kernel)
                }
                PhotoStep::CentreCrop(size) => writer.centre_crop(&x, size),
            };
        }
        let last = writer.transpose(&x, &[0, 2, 3, 1]);
        let [h, w, c] = self.shape.map(|extent| extent as i64);
        let shape = writer.integers(&[0, h, w, c]);
        writer.named("Reshape", &[&last, &shape], PREPARED);
        Nodes {
            nodes: writer.nodes,
            initializers: writer.initializers,
        }
    }

    /// Takes these nodes off a file, whose input is then [`PREPARED`]: images of one size, of real
    /// numbers from 0 to 255.
    ///
    /// # Errors
    /// When the file does not begin with just these nodes.
    pub(super) fn take_off(&self, graph: &mut GraphProto) -> Result<(), Error> {
        let changed = || {
            Error::corrupt(format!(
                "the nodes that resize and crop are not those that its property {PROPERTY} tells of; compile the detector again"
            ))
        };
        let [input] = &graph.input[..] else {
            return Err(changed());
        };
        let own = self.nodes(&input.name);
        let is_own = |name: &str| name.starts_with(OWN);
        let (nodes, rest) = std::mem::take(&mut graph.node)
            .into_iter()
            .partition(|node| node.output.first().is_some_and(|name| is_own(name)));
        let initializers = std::mem::take(&mut graph.initializer).into_iter();
        let (initializers, weights) = initializers.partition(|tensor| is_own(&tensor.name));
        (graph.node, graph.initializer) = (rest, weights);
        if own.nodes != nodes || own.initializers != initializers {
            return Err(changed());
        }
        // Only their number is read of the photos themselves.
        let photos = input.name.clone();
        for node in &mut graph.node {
            for name in &mut node.input {
                if *name == photos {
                    PREPARED.clone_into(name);
                }
            }
        }
        let batch = Extent::Name("N".to_string());
        let extents = self.shape.map(|extent| Extent::Value(extent as i64));
        graph.input = vec![input_of(PREPARED, data_type::FLOAT, batch, extents)];
        Ok(())
    }

    /// What a file says of its input.
    pub(super) fn input(&self, name: &str) -> ValueInfoProto {
        let [height, width] = ["height", "width"].map(|side| Extent::Name(side.to_string()));
        let channels = Extent::Value(self.shape[2] as i64);
        let batch = Extent::Name("N".to_string());
        input_of(name, data_type::UINT8, batch, [height, width, channels])
    }
}

fn input_of(name: &str, elem_type: i32, batch: Extent, rest: [Extent; 3]) -> ValueInfoProto {
    let extents = std::iter::once(batch).chain(rest);
    let dim = extents.map(|extent| Dimension {
        value: Some(extent),
    });
    let tensor_type = Some(TypeTensor {
        elem_type,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    });
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type }),
    }
}

#[derive(Default)]
struct Writer {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Writer {
    fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        name: String,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            name: name.clone(),
            op_type: operator.to_string(),
            input: inputs.iter().map(|input| (*input).to_string()).collect(),
            output: vec![name],
            attribute,
            ..NodeProto::default()
        });
    }

    fn named(&mut self, operator: &str, inputs: &[&str], name: &str) {
        self.push(operator, inputs, name.to_string(), Vec::new());
    }

    fn with(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{OWN}{}/{operator}", self.nodes.len());
        self.push(operator, inputs, name.clone(), attributes);
        name
    }

    fn add(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.with(operator, inputs, Vec::new())
    }

    /// A constant; equal ones are stored once.
    fn constant(&mut self, data_type: i32, dims: &[i64], data: Vec<u8>) -> String {
        let data = Some(Bytes::from(data));
        let same =
            |t: &&TensorProto| t.data_type == data_type && t.dims == dims && t.raw_data == data;
        if let Some(known) = self.initializers.iter().find(same) {
            return known.name.clone();
        }
        let name = format!("{OWN}constant/{}", self.initializers.len());
        self.initializers.push(TensorProto {
            name: name.clone(),
            data_type,
            dims: dims.to_vec(),
            raw_data: data,
            ..TensorProto::default()
        });
        name
    }

    fn integer(&mut self, value: i64) -> String {
        self.constant(data_type::INT64, &[], value.to_le_bytes().to_vec())
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let data = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(data_type::INT64, &[values.len() as i64], data.collect())
    }

    fn number(&mut self, value: f32) -> String {
        self.constant(data_type::FLOAT, &[], value.to_le_bytes().to_vec())
    }

    fn cast(&mut self, x: &str, to: i32) -> String {
        let to = AttributeProto {
            name: "to".to_string(),
            r#type: attribute_type::INT,
            i: to.into(),
            ..AttributeProto::default()
        };
        self.with("Cast", &[x], vec![to])
    }

    fn transpose(&mut self, x: &str, axes: &[i64]) -> String {
        let perm = AttributeProto {
            name: "perm".to_string(),
            r#type: attribute_type::INTS,
            ints: axes.to_vec(),
            ..AttributeProto::default()
        };
        self.with("Transpose", &[x], vec![perm])
    }

    /// Height and width of `x [N, C, H, W]`.
    fn size(&mut self, x: &str) -> [String; 2] {
        let shape = self.add("Shape", &[x]);
        [2, 3].map(|axis| {
            let axis = self.integer(axis);
            self.add("Gather", &[&shape, &axis])
        })
    }

    fn by_shorter_side(&mut self, x: &str, side: usize) -> [String; 2] {
        let [h, w] = self.size(x);
        let side = self.integer(side as i64);
        let mut longer = |long: &str, short: &str| {
            let product = self.add("Mul", &[&side, long]);
            self.add("Div", &[&product, short])
        };
        let (tall, wide) = (longer(&h, &w), longer(&w, &h));
        let is_wide = self.add("LessOrEqual", &[&h, &w]);
        let height = self.add("Where", &[&is_wide, &side, &tall]);
        let width = self.add("Where", &[&is_wide, &wide, &side]);
        [height, width]
    }

    fn resize(&mut self, x: &str, [height, width]: [String; 2], kernel: Kernel) -> String {
        let [h, w] = self.size(x);
        let columns = self.weights(&w, &width, kernel);
        let narrow = self.add("MatMul", &[x, &columns]);
        let narrow = self.levels(&narrow);
        let rows = self.weights(&h, &height, kernel);
        let rows = self.transpose(&rows, &[1, 0]);
        let resized = self.add("MatMul", &[&rows, &narrow]);
        self.levels(&resized)
    }

    /// Rounded and clipped to 8-bit levels.
    fn levels(&mut self, x: &str) -> String {
        let (half, zero, white) = (self.number(0.5), self.number(0.0), self.number(255.0));
        let raised = self.add("Add", &[x, &half]);
        let rounded = self.add("Floor", &[&raised]);
        self.add("Clip", &[&rounded, &zero, &white])
    }

    /// The weight of each of `from` positions for each of `to`, `[from, to]`. Position j lies
    /// `(2 j + 1) to - (2 i + 1) from`, in units of the kernel `2 max(from, to)`, from the centre of
    /// position i: whole numbers, exact for images of any size.
    fn weights(&mut self, from: &str, to: &str, kernel: Kernel) -> String {
        let centres = [(from, to, 1), (to, from, 0)].map(|(count, other, axis)| {
            let (zero, one, two) = (self.integer(0), self.integer(1), self.integer(2));
            let positions = self.add("Range", &[&zero, count, &one]);
            let doubled = self.add("Mul", &[&positions, &two]);
            let odd = self.add("Add", &[&doubled, &one]);
            let scaled = self.add("Mul", &[&odd, other]);
            let axis = self.integers(&[axis]);
            self.add("Unsqueeze", &[&scaled, &axis])
        });
        let distance = self.add("Sub", &[&centres[0], &centres[1]]);
        let distance = self.cast(&distance, data_type::FLOAT);
        let larger = self.add("Max", &[from, to]);
        let two = self.integer(2);
        let unit = self.add("Mul", &[&larger, &two]);
        let unit = self.cast(&unit, data_type::FLOAT);
        let distance = self.add("Div", &[&distance, &unit]);
        let distance = self.add("Abs", &[&distance]);
        let weights = self.kernel(&distance, kernel);
        let axis = self.integers(&[0]);
        let total = self.add("ReduceSum", &[&weights, &axis]);
        self.add("Div", &[&weights, &total])
    }

    /// The kernel at a distance of at least 0.
    fn kernel(&mut self, t: &str, kernel: Kernel) -> String {
        let zero = self.number(0.0);
        match kernel {
            Kernel::Bilinear => {
                let one = self.number(1.0);
                let slope = self.add("Sub", &[&one, t]);
                self.add("Max", &[&slope, &zero])
            }
            Kernel::Bicubic => {
                let near = self.polynomial(t, &[1.5, -2.5, 0.0, 1.0]);
                let far = self.polynomial(t, &[-0.5, 2.5, -4.0, 2.0]);
                let far = self.within(t, 2.0, &far, &zero);
                self.within(t, 1.0, &near, &far)
            }
            Kernel::Lanczos => {
                let third = self.number(1.0 / 3.0);
                let narrow = self.sinc(t);
                let slow = self.add("Mul", &[t, &third]);
                let wide = self.sinc(&slow);
                let product = self.add("Mul", &[&narrow, &wide]);
                self.within(t, 3.0, &product, &zero)
            }
        }
    }

    /// By Horner's rule.
    fn polynomial(&mut self, t: &str, coefficients: &[f32]) -> String {
        let mut sum = self.number(coefficients[0]);
        for &coefficient in &coefficients[1..] {
            let coefficient = self.number(coefficient);
            let product = self.add("Mul", &[&sum, t]);
            sum = self.add("Add", &[&product, &coefficient]);
        }
        sum
    }

    fn within(&mut self, t: &str, radius: f32, inside: &str, outside: &str) -> String {
        let radius = self.number(radius);
        let is_inside = self.add("Less", &[t, &radius]);
        self.add("Where", &[&is_inside, inside, outside])
    }

    /// `sin(π t) / (π t)`, 1 at 0.
    fn sinc(&mut self, t: &str) -> String {
        let (pi, least, one) = (
            self.number(std::f32::consts::PI),
            self.number(1e-6),
            self.number(1.0),
        );
        let angle = self.add("Mul", &[t, &pi]);
        let divisor = self.add("Max", &[&angle, &least]);
        let sine = self.add("Sin", &[&angle]);
        let quotient = self.add("Div", &[&sine, &divisor]);
        let is_centre = self.add("Less", &[&angle, &least]);
        self.add("Where", &[&is_centre, &one, &quotient])
    }

    fn centre_crop(&mut self, x: &str, size: [usize; 2]) -> String {
        let own = self.size(x);
        let axis = self.integers(&[0]);
        let mut starts = Vec::new();
        for (own, side) in own.iter().zip(size) {
            let side = self.integer(side as i64);
            let margin = self.add("Sub", &[own, &side]);
            let (two, four, three) = (self.integer(2), self.integer(4), self.integer(3));
            let half = self.add("Div", &[&margin, &two]);
            let rest = self.add("Mod", &[&margin, &four]);
            let is_up = self.add("Equal", &[&rest, &three]);
            let up = self.cast(&is_up, data_type::INT64);
            let start = self.add("Add", &[&half, &up]);
            starts.push(self.add("Unsqueeze", &[&start, &axis]));
        }
        let zero = AttributeProto {
            name: "axis".to_string(),
            r#type: attribute_type::INT,
            ..AttributeProto::default()
        };
        let starts = self.with("Concat", &[&starts[0], &starts[1]], vec![zero]);
        let extents = self.integers(&size.map(|side| side as i64));
        let ends = self.add("Add", &[&starts, &extents]);
        let axes = self.integers(&[2, 3]);
        self.add("Slice", &[x, &starts, &ends, &axes])
    }
}
