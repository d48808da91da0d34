//! ODIN as a graph: Liang, Li, Srikant, *Enhancing the Reliability of Out-of-distribution Image
//! Detection in Neural Networks*, ICLR 2018.

use crate::op::{Axis, Compare};
use crate::{Dim, Error, ErrorKind, Graph, Op, Shape, Type, ValueId, vjp};

/// Names of the inputs and outputs of a transformed graph.
pub mod names {
    /// Input: the temperature T, without axes, positive.
    pub const TEMPERATURE: &str = "temperature";
    /// Input: the step in normalised units, `ε / std`; one entry per channel, shaped to be
    /// broadcast with the images (such as `[1, C, 1, 1]`).
    pub const STEP: &str = "step";
    /// Output: the logits `[N, classes]` of the images.
    pub const LOGITS: &str = "logits";
    /// Output: the predicted classes `[N]`, argmax of the logits.
    pub const PREDICTION: &str = "prediction";
    /// Output: the direction `s` in which each input entry moves, +1 or -1, before its sign is
    /// reversed: `x̃ = x - step · s`.
    pub const DIRECTION: &str = "direction";
    /// Output: the logits `[N, classes]` of the perturbed images.
    pub const PERTURBED_LOGITS: &str = "perturbed_logits";
}

/// Extends a classifier, a graph of one input (images) and one output (logits
/// `[N, classes]`), to the whole of ODIN. [`names`] lists the inputs that are added and the
/// outputs that replace the classifier's own.
///
/// `channel_axis` is where the input has its channels: 1 in NCHW, 3 in NHWC.
///
/// Scores are not part of the graph: they are the largest softmax of the outputs, which must be
/// computed in f64 to tell one image from another at T = 1000.
///
/// # Errors
/// When the graph is not a classifier, or an operator in it has no gradient.
pub fn transform(classifier: &Graph, channel_axis: usize) -> Result<Graph, Error> {
    let (x, logits) = ends(classifier)?;
    if channel_axis == 0 || channel_axis >= classifier.shape(x).rank() {
        let images = classifier.shape(x);
        return Err(not_a_classifier(format!(
            "its input {images} has no channels along axis {channel_axis}"
        )));
    }
    let mut g = classifier.clone();
    g.clear_outputs();
    g.at("ODIN");
    let temperature = g.input(names::TEMPERATURE, Type::float(Shape::default()))?;
    let step = g.input(
        names::STEP,
        Type::float(per_channel(g.shape(x), channel_axis)),
    )?;

    let prediction = g.add(Op::ArgMax(Axis(1)), &[logits])?;
    let loss_gradient = loss_gradient(&mut g, logits, prediction, temperature)?;
    let gradient = vjp(&mut g, logits, loss_gradient, x)?;
    g.at("ODIN");
    let direction = sign(&mut g, gradient)?;
    let perturbed = perturb(&mut g, x, direction, step)?;
    let perturbed_logits = g.replay(logits, x, perturbed)?;

    g.output(names::LOGITS, logits);
    g.output(names::PREDICTION, prediction);
    g.output(names::DIRECTION, direction);
    g.output(names::PERTURBED_LOGITS, perturbed_logits);
    Ok(g)
}

/// The images and the logits.
fn ends(classifier: &Graph) -> Result<(ValueId, ValueId), Error> {
    let inputs: Vec<ValueId> = classifier.inputs().map(|(value, _)| value).collect();
    let (&[x], [logits]) = (&inputs[..], classifier.outputs()) else {
        let (i, o) = (inputs.len(), classifier.outputs().len());
        return Err(not_a_classifier(format!(
            "it has {i} inputs and {o} outputs, not one of each"
        )));
    };
    let shape = classifier.shape(logits.value);
    match shape.dims() {
        [Dim::PerImage(1), Dim::Fixed(_)] => Ok((x, logits.value)),
        _ => Err(not_a_classifier(format!(
            "its output {:?} must be logits [N, classes], it is {shape}",
            logits.name
        ))),
    }
}

fn not_a_classifier(reason: String) -> Error {
    Error::new(
        ErrorKind::InvalidGraph,
        format!("the graph is not a classifier: {reason}"),
    )
}

/// Such as `[N, C, H, W]` to `[1, C, 1, 1]`.
fn per_channel(images: &Shape, channel_axis: usize) -> Shape {
    let keep_channel = |(axis, &dim): (usize, &Dim)| match axis == channel_axis {
        true => dim,
        false => Dim::Fixed(1),
    };
    Shape::new(
        images
            .dims()
            .iter()
            .enumerate()
            .map(keep_channel)
            .collect::<Vec<_>>(),
    )
}

/// `softmax(z / T) - onehot(ŷ)`: the gradient of `-log S_ŷ(z; T)` with respect to the logits z,
/// times T. Only signs are read from what follows from it, so that leaving out the factor `1/T`
/// changes nothing but the risk of underflow.
fn loss_gradient(
    g: &mut Graph,
    logits: ValueId,
    prediction: ValueId,
    temperature: ValueId,
) -> Result<ValueId, Error> {
    let classes = g.shape(logits).dims()[1].at(1);
    let scaled = g.div(logits, temperature)?;
    let softmax = g.softmax(scaled, 1)?;
    let one_hot = g.add(Op::OneHot(classes), &[prediction])?;
    g.sub(softmax, one_hot)
}

/// +1 where `x >= 0`, -1 elsewhere: zero counts as positive.
fn sign(g: &mut Graph, x: ValueId) -> Result<ValueId, Error> {
    let (zero, one, minus_one) = (g.scalar(0.0)?, g.scalar(1.0)?, g.scalar(-1.0)?);
    let not_negative = g.compare(Compare::GreaterOrEqual, x, zero)?;
    g.select(not_negative, one, minus_one)
}

/// `x̃ = x - step · s`. `s` is the sign of the gradient of the *loss* `-log S_ŷ`, so that going
/// against it raises the softmax score of the predicted class: to first order
/// `log S_ŷ(x̃) = log S_ŷ(x) + Σ step · |∂ log S_ŷ|`. The paper writes the same as
/// `x - ε · sign(-∇ log S_ŷ)` (its equation 2).
fn perturb(g: &mut Graph, x: ValueId, direction: ValueId, step: ValueId) -> Result<ValueId, Error> {
    let movement = g.mul(direction, step)?;
    g.sub(x, movement)
}
