//! The normalisation that is assumed where no source states one: read off the graph, or the usual
//! one.

use super::{Layout, Normalization, Provenance, Sourced};
use odin_graph::op::Binary;
use odin_graph::{Graph, Op, Tensor, ValueId, passes};

/// Sides up to this are those of CIFAR and the like.
const LARGEST_SMALL_IMAGE: usize = 64;
/// Sides from this on are those of ImageNet and the like.
const SMALLEST_LARGE_IMAGE: usize = 96;

/// `image_shape` is `[C, H, W]`, `channels` those of the input.
pub(super) fn normalization(
    graph: &Graph,
    layout: Layout,
    channels: usize,
    image_shape: [usize; 3],
) -> Sourced<Normalization> {
    let usual = |value, reason: &str| Sourced {
        value,
        from: Provenance::Assumed(reason.to_string()),
    };
    if let Some(read_off) = own_preprocessing(graph) {
        return read_off;
    }
    let images = matches!(layout, Layout::Nchw | Layout::Nhwc);
    let colour = images && channels == 3;
    let side = image_shape[1].min(image_shape[2]);
    match colour {
        true if side <= LARGEST_SMALL_IMAGE => {
            usual(Normalization::cifar(), "that of the paper's CIFAR networks")
        }
        true if side >= SMALLEST_LARGE_IMAGE => {
            usual(Normalization::imagenet(), "that usual for ImageNet")
        }
        _ if images && matches!(channels, 1 | 3) => {
            usual(Normalization::identity(), "none, values in [0, 1]")
        }
        _ => usual(Normalization::identity(), "none, values as they are"),
    }
}

/// Arithmetic with constants: the name of the operator, and the largest absolute constant.
type Step = (&'static str, f32);

/// The most elements that are computed in order to see constants as such.
const LARGEST_CONSTANTS: usize = 1 << 20;

/// A network that begins by normalising its input takes pixels as they are: in [0, 1], or from
/// 0 to 255 where its constants are of that size.
fn own_preprocessing(graph: &Graph) -> Option<Sourced<Normalization>> {
    let graph = passes::fold_constants(graph, LARGEST_CONSTANTS).ok()?;
    let (mut value, _) = graph.inputs().next()?;
    let mut steps: Vec<Step> = Vec::new();
    while let Some((next, step)) = next_step(&graph, value) {
        steps.extend(step);
        value = next;
    }
    if steps.is_empty() {
        return None;
    }
    let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let of_bytes = steps.iter().any(|&(name, size)| match name {
        "Div" => size > 4.0,
        "Mul" => size < 0.05,
        _ => size > 4.0,
    });
    Some(match of_bytes {
        true => Sourced {
            value: Normalization::bytes(),
            from: Provenance::Network(format!(
                "the network itself normalises values from 0 to 255 ({names})"
            )),
        },
        false => Sourced {
            value: Normalization::identity(),
            from: Provenance::Network(format!(
                "the network itself normalises values in [0, 1] ({names})"
            )),
        },
    })
}

/// Whether a matrix makes every result a mean of entries, as resizing does. It multiplies from
/// the right or from the left.
fn resamples(matrix: &Tensor, from_right: bool) -> bool {
    let &[rows, columns] = matrix.shape() else {
        return false;
    };
    let at = |row: usize, column: usize| matrix.data()[row * columns + column];
    let is_mean = |sum: f32| (sum - 1.0).abs() < 1e-4;
    match from_right {
        true => (0..columns).all(|c| is_mean((0..rows).map(|r| at(r, c)).sum())),
        false => (0..rows).all(|r| is_mean((0..columns).map(|c| at(r, c)).sum())),
    }
}

/// The one value computed from `value` by arithmetic with constants, or by moving or resampling
/// elements; and of arithmetic, its name and how large its constants are.
fn next_step(graph: &Graph, value: ValueId) -> Option<(ValueId, Option<Step>)> {
    let mut users = graph
        .values()
        .filter(|&user| graph.node(user).operands.contains(&value));
    let (user, None) = (users.next()?, users.next()) else {
        return None;
    };
    let node = graph.node(user);
    let largest = |constant: ValueId| {
        let data = graph.constant_value(constant)?.data();
        Some(data.iter().fold(0f32, |max, v| max.max(v.abs())))
    };
    let other = || node.operands.iter().find(|&&operand| operand != value);
    let step = match &node.op {
        Op::Transpose(_) | Op::Reshape(_) | Op::Slice(_) => None,
        Op::MatMul if resamples(graph.constant_value(*other()?)?, node.operands[0] == value) => {
            None
        }
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul) => {
            Some((node.op.name(), largest(*other()?)?))
        }
        Op::Binary(Binary::Div) if node.operands[0] == value => {
            Some((node.op.name(), largest(*other()?)?))
        }
        Op::BatchNorm(_) => Some((node.op.name(), largest(node.operands[3])?)),
        _ => return None,
    };
    Some((user, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use odin_graph::{Error, Shape, Tensor, Type};

    type Begin = fn(&mut Graph, ValueId) -> Result<ValueId, Error>;

    fn rgb(g: &mut Graph, values: [f32; 3]) -> Result<ValueId, Error> {
        g.constant(Tensor::new(vec![1, 3, 1, 1], values.to_vec())?)
    }

    /// A network for RGB images of this side that begins like this.
    fn assumed(begin: Begin, side: usize) -> Normalization {
        let mut g = Graph::new();
        let shape = Shape::batched(&[3, side, side]);
        let x = g.input("x", Type::float(shape)).unwrap();
        let y = begin(&mut g, x).unwrap();
        let y = g.add(Op::Relu, &[y]).unwrap();
        g.output("y", y);
        normalization(&g, Layout::Nchw, 3, [3, side, side]).value
    }

    #[test]
    fn normalisations_are_assumed_from_how_a_network_begins() {
        let plain: Begin = |_, x| Ok(x);
        let torchvision: Begin = |g, x| {
            let (mean, std) = (
                rgb(g, [0.485, 0.456, 0.406])?,
                rgb(g, [0.229, 0.224, 0.225])?,
            );
            let centred = g.sub(x, mean)?;
            g.div(centred, std)
        };
        let caffe: Begin = |g, x| {
            let mean = rgb(g, [104.0, 117.0, 123.0])?;
            g.sub(x, mean)
        };
        let keras: Begin = |g, x| {
            let x = g.add(Op::Transpose(vec![0, 1, 3, 2]), &[x])?;
            let (scale, one) = (g.scalar(1.0 / 127.5)?, g.scalar(1.0)?);
            let scaled = g.mul(x, scale)?;
            g.sub(scaled, one)
        };
        let symmetric: Begin = |g, x| {
            let (two, one) = (g.scalar(2.0)?, g.scalar(1.0)?);
            let scaled = g.mul(x, two)?;
            g.sub(scaled, one)
        };
        let cases = [
            (plain, 32, Normalization::cifar()),
            (plain, 224, Normalization::imagenet()),
            (plain, 80, Normalization::identity()),
            (torchvision, 224, Normalization::identity()),
            (caffe, 224, Normalization::bytes()),
            (keras, 224, Normalization::bytes()),
            (symmetric, 32, Normalization::identity()),
        ];
        for (i, (begin, side, expected)) in cases.into_iter().enumerate() {
            assert_eq!(assumed(begin, side), expected, "case {i}");
        }
    }
}
