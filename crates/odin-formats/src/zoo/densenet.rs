//! DenseNet: Huang, Liu, van der Maaten, Weinberger, *Densely Connected Convolutional
//! Networks*, CVPR 2017.
//!
//! A layer is BN-ReLU-conv1x1-BN-ReLU-conv3x3 with bottleneck, BN-ReLU-conv3x3 without, and its
//! output is concatenated with its input. Between blocks there is a transition,
//! BN-ReLU-conv1x1-average pooling of 2x2; after the last block BN-ReLU, global average pooling,
//! classifier.

use odin_graph::ValueId;

use super::Built;
use super::net::{Conv, Net, Params};
use crate::Error;

/// How an implementation names its parts. `{}` is the number of a block or layer.
struct Names {
    stem: &'static str,
    /// Normalises the output of the first convolution, where there is such.
    stem_norm: &'static str,
    block: &'static str,
    layer: &'static str,
    first_layer: usize,
    /// BN-conv pairs of a layer.
    inner: [(&'static str, &'static str); 2],
    transition: &'static str,
    /// The BN-conv pair of a transition.
    transition_inner: (&'static str, &'static str),
    /// What the last BN may be called.
    last_norm: &'static [&'static str],
    /// Whether a layer concatenates its output in front of its input.
    new_first: bool,
}

const NAMES: [Names; 4] = [
    // The authors of ODIN, andreasveit/densenet-pytorch.
    Names {
        stem: "conv1",
        stem_norm: "",
        block: "block{}",
        layer: "layer.{}",
        first_layer: 0,
        inner: [("bn1", "conv1"), ("bn2", "conv2")],
        transition: "trans{}",
        transition_inner: ("bn1", "conv1"),
        last_norm: &["bn1"],
        new_first: false,
    },
    // kuangliu/pytorch-cifar.
    Names {
        stem: "conv1",
        stem_norm: "",
        block: "dense{}",
        layer: "{}",
        first_layer: 0,
        inner: [("bn1", "conv1"), ("bn2", "conv2")],
        transition: "trans{}",
        transition_inner: ("bn", "conv"),
        last_norm: &["bn"],
        new_first: true,
    },
    // torchvision, gpleiss/efficient_densenet_pytorch.
    Names {
        stem: "features.conv0",
        stem_norm: "features.norm0",
        block: "features.denseblock{}",
        layer: "denselayer{}",
        first_layer: 1,
        inner: [("norm1", "conv1"), ("norm2", "conv2")],
        transition: "features.transition{}",
        transition_inner: ("norm", "conv"),
        last_norm: &["features.norm5", "features.norm_final"],
        new_first: false,
    },
    // torchvision before 2018.
    Names {
        stem: "features.conv0",
        stem_norm: "features.norm0",
        block: "features.denseblock{}",
        layer: "denselayer{}",
        first_layer: 1,
        inner: [("norm.1", "conv.1"), ("norm.2", "conv.2")],
        transition: "features.transition{}",
        transition_inner: ("norm", "conv"),
        last_norm: &["features.norm5"],
        new_first: false,
    },
];

impl Names {
    fn of(params: &Params<'_>) -> Option<&'static Names> {
        NAMES.iter().find(|names| {
            let (_, conv) = names.inner[0];
            params.any(&format!("{}.{conv}.", names.layer(1, names.first_layer)))
                && params.any(&format!("{}.", fill(names.transition, 1)))
        })
    }

    fn layer(&self, block: usize, layer: usize) -> String {
        format!("{}.{}", fill(self.block, block), fill(self.layer, layer))
    }

    /// The number of layers of a block.
    fn depth(&self, params: &Params<'_>, block: usize) -> usize {
        let template = format!("{}.{}.", fill(self.block, block), self.layer);
        params.count(&template, self.first_layer)
    }
}

fn fill(template: &str, number: usize) -> String {
    template.replace("{}", &number.to_string())
}

pub(super) fn recognises(params: &Params<'_>) -> bool {
    Names::of(params).is_some()
}

pub(super) fn build(net: &mut Net<'_>) -> Result<Built, Error> {
    let names = Names::of(&net.params).unwrap_or(&NAMES[0]);
    let blocks = net.params.count(&format!("{}.", names.block), 1);
    let shape = Shape::of(net, names)?;

    let mut x = stem(net, names)?;
    let mut layers = 0;
    let mut compressed = false;
    for block in 1..=blocks {
        let depth = names.depth(&net.params, block);
        for layer in 0..depth {
            let name = names.layer(block, names.first_layer + layer);
            x = shape.layer(net, names, &name, x)?;
        }
        layers += depth;
        if block < blocks {
            let wide = net.channels(x);
            x = transition(net, names, block, x)?;
            compressed |= net.channels(x) < wide;
        }
    }
    let last = names.last_norm.iter().copied();
    let last = last
        .clone()
        .find(|name| net.params.any(&format!("{name}.")));
    let x = net.batch_norm_relu(x, last.unwrap_or(names.last_norm[0]))?;
    let logits = net.classify(x)?;

    // The depth counts convolutions and the classifier.
    let depth = layers * if shape.bottleneck { 2 } else { 1 } + blocks + 1;
    let kind = match (shape.bottleneck, compressed) {
        (true, true) => "DenseNet-BC",
        (true, false) => "DenseNet-B",
        (false, true) => "DenseNet-C",
        (false, false) => "DenseNet",
    };
    Ok(Built {
        architecture: format!("{kind}-{depth}-{}", shape.growth),
        logits,
    })
}

/// What all layers have in common.
struct Shape {
    bottleneck: bool,
    /// Channels that a layer adds.
    growth: usize,
}

impl Shape {
    fn of(net: &Net<'_>, names: &Names) -> Result<Self, Error> {
        let first = names.layer(1, names.first_layer);
        let [(_, conv1), (norm2, conv2)] = names.inner;
        let has = |part| net.params.any(&format!("{first}.{part}."));
        let bottleneck = has(norm2) || has(conv2);
        let last = if bottleneck { conv2 } else { conv1 };
        Ok(Self {
            bottleneck,
            growth: net.out_channels(&format!("{first}.{last}"))?,
        })
    }

    fn layer(
        &self,
        net: &mut Net<'_>,
        names: &Names,
        name: &str,
        x: ValueId,
    ) -> Result<ValueId, Error> {
        let [(norm1, conv1), (norm2, conv2)] = names.inner;
        let grow = Conv::new(3, Some(self.growth));
        let active = net.batch_norm_relu(x, &format!("{name}.{norm1}"))?;
        let conv1 = format!("{name}.{conv1}");
        let new = if self.bottleneck {
            let narrow = net.conv(active, &conv1, Conv::new(1, None))?;
            let active = net.batch_norm_relu(narrow, &format!("{name}.{norm2}"))?;
            net.conv(active, &format!("{name}.{conv2}"), grow)?
        } else {
            net.conv(active, &conv1, grow)?
        };
        net.concat(&if names.new_first { [new, x] } else { [x, new] })
    }
}

fn stem(net: &mut Net<'_>, names: &Names) -> Result<ValueId, Error> {
    let stem = net.stem(names.stem)?;
    if !stem.large && (names.stem_norm.is_empty() || !net.params.any(names.stem_norm)) {
        return Ok(stem.x);
    }
    let x = net.batch_norm_relu(stem.x, names.stem_norm)?;
    if stem.large { net.stem_pool(x) } else { Ok(x) }
}

fn transition(
    net: &mut Net<'_>,
    names: &Names,
    block: usize,
    x: ValueId,
) -> Result<ValueId, Error> {
    let name = fill(names.transition, block);
    let (norm, conv) = names.transition_inner;
    let x = net.batch_norm_relu(x, &format!("{name}.{norm}"))?;
    let x = net.conv(x, &format!("{name}.{conv}"), Conv::new(1, None))?;
    net.halve(x)
}
