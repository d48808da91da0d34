//! ResNet: He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016, with
//! the CIFAR stem (conv3x3) and the ImageNet one (conv7x7, maximum pool); and ResNeXt: Xie,
//! Girshick, Dollár, Tu, He, *Aggregated Residual Transformations for Deep Neural Networks*,
//! CVPR 2017.
//!
//! A basic block is conv3x3-BN-ReLU-conv3x3-BN, a bottleneck conv1x1-BN-ReLU-conv3x3-BN-ReLU-
//! conv1x1-BN. It is added to its input, then ReLU. Where the shapes differ the input passes
//! through a shortcut first: option B of the paper is conv1x1-BN; option A takes every second
//! pixel and adds channels of zeros, half of them in front.

use odin_graph::ValueId;

use super::Built;
use super::net::{Conv, Net, Params, mismatch};
use crate::Error;

/// The names of the convolution and the BN of a shortcut.
const SHORTCUTS: [[&str; 2]; 2] = [
    ["downsample.0", "downsample.1"],
    ["shortcut.0", "shortcut.1"],
];

pub(super) fn recognises(params: &Params<'_>) -> bool {
    params.any("layer1.0.conv1.")
}

pub(super) fn build(net: &mut Net<'_>) -> Result<Built, Error> {
    let stem = net.stem("conv1")?;
    let mut x = net.batch_norm_relu(stem.x, "bn1")?;
    if stem.large {
        x = net.stem_pool(x)?;
    }
    let bottleneck = net.params.any("layer1.0.conv3.");
    let stages = net.params.count("layer{}.", 1);
    let mut blocks = 0;
    let mut grouped = false;
    for stage in 1..=stages {
        let count = net.params.count(&format!("layer{stage}.{{}}."), 0);
        for block in 0..count {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            let name = format!("layer{stage}.{block}");
            let y = if bottleneck {
                let groups = groups(net, &name)?;
                grouped |= groups > 1;
                bottleneck_path(net, &name, x, stride, groups)?
            } else {
                basic_path(net, &name, x, stride)?
            };
            let shortcut = shortcut(net, &name, x, net.channels(y), stride)?;
            let sum = net.add(y, shortcut)?;
            x = net.relu(sum)?;
        }
        blocks += count;
    }
    let logits = net.classify(x)?;

    let depth = blocks * if bottleneck { 3 } else { 2 } + 2;
    let kind = if grouped { "ResNeXt" } else { "ResNet" };
    Ok(Built {
        architecture: format!("{kind}-{depth}"),
        logits,
    })
}

fn basic_path(net: &mut Net<'_>, name: &str, x: ValueId, stride: usize) -> Result<ValueId, Error> {
    let out = net.out_channels(&format!("{name}.conv2"))?;
    let conv = Conv::new(3, Some(out));
    let x = net.conv(x, &format!("{name}.conv1"), conv.stride(stride))?;
    let x = net.batch_norm_relu(x, &format!("{name}.bn1"))?;
    let x = net.conv(x, &format!("{name}.conv2"), conv)?;
    net.batch_norm(x, &format!("{name}.bn2"))
}

fn bottleneck_path(
    net: &mut Net<'_>,
    name: &str,
    x: ValueId,
    stride: usize,
    groups: usize,
) -> Result<ValueId, Error> {
    let width = net.out_channels(&format!("{name}.conv1"))?;
    let conv3x3 = Conv::new(3, Some(width)).stride(stride).groups(groups);
    let x = net.conv(x, &format!("{name}.conv1"), Conv::new(1, None))?;
    let x = net.batch_norm_relu(x, &format!("{name}.bn1"))?;
    let x = net.conv(x, &format!("{name}.conv2"), conv3x3)?;
    let x = net.batch_norm_relu(x, &format!("{name}.bn2"))?;
    let x = net.conv(x, &format!("{name}.conv3"), Conv::new(1, None))?;
    net.batch_norm(x, &format!("{name}.bn3"))
}

/// Into how many groups the 3x3 convolution of a bottleneck splits its channels.
fn groups(net: &Net<'_>, name: &str) -> Result<usize, Error> {
    let width = net.out_channels(&format!("{name}.conv1"))?;
    let weight = net.params.peek(&format!("{name}.conv2.weight"));
    match weight.map(|w| w.shape()) {
        Some(&[_, per_group, _, _]) if per_group > 0 && width % per_group == 0 => {
            Ok(width / per_group)
        }
        // The convolution itself says what is wrong.
        _ => Ok(1),
    }
}

fn shortcut(
    net: &mut Net<'_>,
    name: &str,
    x: ValueId,
    out: usize,
    stride: usize,
) -> Result<ValueId, Error> {
    for [conv, norm] in SHORTCUTS {
        if net.params.any(&format!("{name}.{conv}.")) {
            let conv1x1 = Conv::new(1, Some(out)).stride(stride);
            let x = net.conv(x, &format!("{name}.{conv}"), conv1x1)?;
            return net.batch_norm(x, &format!("{name}.{norm}"));
        }
    }
    match out.checked_sub(net.channels(x)) {
        Some(0) if stride == 1 => Ok(x),
        Some(extra) => net.slice_and_pad(x, stride, extra),
        None => Err(mismatch(format!(
            "block `{name}` narrows {} channels to {out}, which takes a shortcut with weights",
            net.channels(x)
        ))),
    }
}
