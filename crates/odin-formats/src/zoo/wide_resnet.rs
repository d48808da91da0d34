//! Wide ResNet: Zagoruyko, Komodakis, *Wide Residual Networks*, BMVC 2016.
//!
//! A block is BN-ReLU-conv3x3-BN-ReLU-conv3x3, added to its input; where the width changes, to a
//! 1x1 convolution of it. After the last block: BN-ReLU, global average pooling, classifier.

use odin_graph::ValueId;

use super::Built;
use super::net::{Conv, Net, Params};
use crate::Error;

/// How an implementation names its parts, and in what it differs.
struct Names {
    /// A block; the first `{}` is the number of its stage, the second its own.
    stage: &'static str,
    layer: &'static str,
    shortcut: &'static str,
    /// Whether a shortcut convolution takes the activated input rather than the raw one.
    activated_shortcut: bool,
    /// Which of a block's two convolutions has the stride.
    strides: fn(usize) -> [usize; 2],
    /// Whether the original ResNet has these names too.
    ambiguous: bool,
}

const NAMES: [Names; 2] = [
    // The authors of ODIN, xternalz/WideResNet-pytorch.
    Names {
        stage: "block{}",
        layer: "layer",
        shortcut: "convShortcut",
        activated_shortcut: true,
        strides: |stride| [stride, 1],
        ambiguous: false,
    },
    // meliketoy/wide-resnet.pytorch.
    Names {
        stage: "layer{}",
        layer: "",
        shortcut: "shortcut.0",
        activated_shortcut: false,
        strides: |stride| [1, stride],
        ambiguous: true,
    },
];

impl Names {
    fn of(params: &Params<'_>) -> Option<&'static Names> {
        NAMES.iter().find(|names| {
            params.any(&format!("{}.conv1.", names.block(1, "0")))
                && (!names.ambiguous || ends_in_norm(params))
        })
    }

    fn block(&self, stage: usize, block: &str) -> String {
        let stage = self.stage.replace("{}", &stage.to_string());
        match self.layer {
            "" => format!("{stage}.{block}"),
            layer => format!("{stage}.{layer}.{block}"),
        }
    }
}

/// Whether `bn1` normalises the last stage, as in pre-activation networks, and not the first
/// convolution, as in the original ResNet.
fn ends_in_norm(params: &Params<'_>) -> bool {
    let extent = |name| params.peek(name).and_then(|t| t.shape().first().copied());
    extent("bn1.weight").is_some() && extent("bn1.weight") != extent("conv1.weight")
}

pub(super) fn recognises(params: &Params<'_>) -> bool {
    Names::of(params).is_some()
}

pub(super) fn build(net: &mut Net<'_>) -> Result<Built, Error> {
    let names = Names::of(&net.params).unwrap_or(&NAMES[0]);
    let stages = net.params.count(&format!("{}.", names.stage), 1);

    let mut x = net.stem("conv1")?.x;
    let base = net.channels(x);
    let mut blocks = 0;
    let mut widths = Vec::new();
    for stage in 1..=stages {
        let count = net
            .params
            .count(&format!("{}.", names.block(stage, "{}")), 0);
        for block in 0..count {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            let name = names.block(stage, &block.to_string());
            x = residual(net, names, &name, x, stride)?;
        }
        blocks += count;
        widths.push(net.channels(x));
    }
    let x = net.batch_norm_relu(x, "bn1")?;
    let logits = net.classify(x)?;

    // The depth counts convolutions: two a block, the first one, and a shortcut per stage.
    let depth = 2 * blocks + 1 + stages;
    let widening = widths.first().map_or(0.0, |&w| w as f64 / base as f64);
    Ok(Built {
        architecture: format!("WRN-{depth}-{widening}"),
        logits,
    })
}

fn residual(
    net: &mut Net<'_>,
    names: &Names,
    name: &str,
    x: ValueId,
    stride: usize,
) -> Result<ValueId, Error> {
    let out = net.out_channels(&format!("{name}.conv2"))?;
    let [stride1, stride2] = (names.strides)(stride);
    let conv = Conv::new(3, Some(out));
    let active = net.batch_norm_relu(x, &format!("{name}.bn1"))?;
    let y = net.conv(active, &format!("{name}.conv1"), conv.stride(stride1))?;
    let y = net.batch_norm_relu(y, &format!("{name}.bn2"))?;
    let y = net.conv(y, &format!("{name}.conv2"), conv.stride(stride2))?;

    let same = stride == 1 && out == net.channels(x);
    let shortcut = if same {
        x
    } else {
        let input = if names.activated_shortcut { active } else { x };
        let conv = Conv::new(1, Some(out)).stride(stride);
        net.conv(input, &format!("{name}.{}", names.shortcut), conv)?
    };
    net.add(y, shortcut)
}
