//! Each kernel of the engine at the shapes of the networks: one image, one thread. A benchmark is
//! called by its kernel and the shape.
//!
//! Of convolutions and products the throughput is the operations of direct multiplication, of the
//! others bytes read and written.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odin_cpu::{Engine, Options, Winograd};
use odin_graph::op::{ConvTranspose, Unary, Window};
use odin_graph::{Error, Graph, Op, Shape, Tensor, Type, ValueId, vjp};

/// Adds the operator to a graph whose input is given.
type Build = Box<dyn Fn(&mut Graph, ValueId) -> Result<ValueId, Error>>;

struct Case {
    kernel: &'static str,
    /// What it is done to.
    name: &'static str,
    /// Of the input, without the batch.
    extents: Vec<usize>,
    build: Build,
    /// Measure the gradient of the input, with what it needs of the forward pass; that of the
    /// output is an input.
    gradient: bool,
    winograd: Winograd,
}

fn case(
    kernel: &'static str,
    name: &'static str,
    extents: &[usize],
    build: impl Fn(&mut Graph, ValueId) -> Result<ValueId, Error> + 'static,
) -> Case {
    Case {
        kernel,
        name,
        extents: extents.to_vec(),
        build: Box::new(build),
        gradient: false,
        winograd: Winograd::Never,
    }
}

impl Case {
    fn gradient(mut self) -> Self {
        self.gradient = true;
        self
    }

    fn graph(&self) -> Result<Graph, Error> {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&self.extents)))?;
        let mut y = (self.build)(&mut g, x)?;
        if self.gradient {
            let shape = g.shape(y).clone();
            let cotangent = g.input("cotangent", Type::float(shape))?;
            y = vjp(&mut g, y, cotangent, x)?;
        }
        g.output("y", y);
        Ok(g)
    }
}

/// Numbers around 0 of both signs.
fn values(count: usize) -> Vec<f32> {
    let value = |i: usize| (i * 631 % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(value).collect()
}

fn weights(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
    let mut data = values(dims.iter().product());
    let fan_in: usize = dims[1..].iter().product();
    data.iter_mut().for_each(|w| *w /= fan_in as f32);
    g.constant(Tensor::new(dims.to_vec(), data)?)
}

fn conv(
    name: &'static str,
    [out, channels, side, kernel, stride]: [usize; 5],
    groups: usize,
) -> Case {
    let which = match (kernel, stride, groups) {
        (_, _, 2..) => "depthwise convolution",
        (1, 1, _) => "1x1 convolution",
        _ => "direct convolution",
    };
    case(which, name, &[channels, side, side], move |g, x| {
        let w = weights(g, &[out, channels / groups, kernel, kernel])?;
        // Patches do not overlap and have no border.
        let pad = match stride == kernel {
            true => 0,
            false => kernel / 2,
        };
        let window = Window::new(&[kernel; 2]).stride(stride).pad(pad);
        g.conv(x, w, None, window, groups)
    })
}

/// A convolution of 3x3 windows by single steps, or its gradient, in every way there is.
fn conv3x3(name: &'static str, [out, channels, side]: [usize; 3], gradient: bool) -> [Case; 3] {
    [
        ("direct convolution", Winograd::Never),
        ("Winograd 2x2", Winograd::Tiles2),
        ("Winograd 4x4", Winograd::Tiles4),
    ]
    .map(|(kernel, winograd)| Case {
        kernel,
        winograd,
        gradient,
        ..conv(name, [out, channels, side, 3, 1], 1)
    })
}

/// The adjoint of a 3x3 convolution of stride 2, which doubles the sides.
fn conv_transpose(name: &'static str, [out, channels, side]: [usize; 3]) -> Case {
    case(
        "direct convolution",
        name,
        &[channels, side, side],
        move |g, x| {
            let w = weights(g, &[channels, out, 3, 3])?;
            let op = ConvTranspose {
                window: Window::new(&[3, 3]).stride(2).pad(1),
                output_padding: vec![1, 1],
                groups: 1,
            };
            g.add(Op::ConvTranspose(op), &[x, w])
        },
    )
}

fn batch_norm_relu(name: &'static str, [channels, side]: [usize; 2]) -> Case {
    case("map", name, &[channels, side, side], move |g, x| {
        let mut of_each = |value: f32| g.constant(Tensor::vector(vec![value; channels]));
        let parameters = [of_each(1.1)?, of_each(0.1)?, of_each(0.2)?, of_each(0.9)?];
        let normalized = g.batch_norm(x, parameters, 1e-5)?;
        g.relu(normalized)
    })
}

fn max_pool(name: &'static str, [channels, side]: [usize; 2]) -> Case {
    let window = Window::new(&[3, 3]).stride(2).pad(1);
    case("pool", name, &[channels, side, side], move |g, x| {
        g.max_pool(x, window.clone())
    })
}

fn avg_pool(name: &'static str, [channels, side]: [usize; 2]) -> Case {
    case("pool", name, &[channels, side, side], move |g, x| {
        g.avg_pool(x, Window::new(&[2, 2]).stride(2), false)
    })
}

fn mat_mul(name: &'static str, [rows, inner, columns]: [usize; 3]) -> Case {
    case("product", name, &[rows, inner], move |g, x| {
        let w = weights(g, &[inner, columns])?;
        g.mat_mul(x, w)
    })
}

/// `x/2 · (1 + erf(x/√2))`, as exporters write it.
fn gelu(g: &mut Graph, x: ValueId) -> Result<ValueId, Error> {
    let (root, half, one) = (
        g.scalar(std::f32::consts::SQRT_2)?,
        g.scalar(0.5)?,
        g.scalar(1.0)?,
    );
    let scaled = g.div(x, root)?;
    let erf = g.unary(Unary::Erf, scaled)?;
    let factor = g.add_values(erf, one)?;
    let halved = g.mul(x, half)?;
    g.mul(halved, factor)
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    // Convolutions: output channels, input channels, side, kernel, stride.
    let mut cases = vec![
        conv("1x1, 120 to 48, 32x32 (DenseNet)", [48, 120, 32, 1, 1], 1),
        conv("1x1, 204 to 48, 32x32 (DenseNet)", [48, 204, 32, 1, 1], 1),
        conv("1x1, 342 to 48, 8x8 (DenseNet)", [48, 342, 8, 1, 1], 1),
        conv("gradient of 1x1, 120 to 48, 32x32 (DenseNet)", [48, 120, 32, 1, 1], 1).gradient(),
        conv("1x1, 256 to 64, 56x56 (ResNet-50)", [64, 256, 56, 1, 1], 1),
        conv("1x1, 1024 to 256, 14x14 (ResNet-50)", [256, 1024, 14, 1, 1], 1),
        conv("1x1, 512 to 2048, 7x7 (ResNet-50)", [2048, 512, 7, 1, 1], 1),
        conv("3x3 stride 2, 160 to 320, 32x32 (WRN-28-10)", [320, 160, 32, 3, 2], 1),
        conv("gradient of 3x3 stride 2, 160 to 320, 32x32 (WRN-28-10)", [320, 160, 32, 3, 2], 1).gradient(),
        conv("7x7 stride 2, 3 to 64, 224x224 (ResNet-50)", [64, 3, 224, 7, 2], 1),
        conv("16x16 stride 16, 3 to 768, 224x224 (ViT-B/16)", [768, 3, 224, 16, 16], 1),
        conv("3x3, 144, 56x56 (MobileNet)", [144, 144, 56, 3, 1], 144),
        conv("gradient of 3x3, 144, 56x56 (MobileNet)", [144, 144, 56, 3, 1], 144).gradient(),
        conv_transpose("transposed 3x3 stride 2, 320 to 160, 16x16", [160, 320, 16]),
        batch_norm_relu("batch norm, ReLU, 216, 32x32 (DenseNet)", [216, 32]),
        batch_norm_relu("gradient of batch norm, ReLU, 216, 32x32 (DenseNet)", [216, 32]).gradient(),
        avg_pool("mean 2x2 stride 2, 108, 32x32 (DenseNet)", [108, 32]),
        avg_pool("gradient of mean 2x2 stride 2, 108, 32x32 (DenseNet)", [108, 32]).gradient(),
        max_pool("max 3x3 stride 2, 64, 112x112 (ResNet-50)", [64, 112]),
        max_pool("gradient of max 3x3 stride 2, 64, 112x112 (ResNet-50)", [64, 112]).gradient(),
        mat_mul("197x768x768 (ViT-B/16)", [197, 768, 768]),
        mat_mul("197x768x3072 (ViT-B/16)", [197, 768, 3072]),
        mat_mul("gradient of 197x768x3072 (ViT-B/16)", [197, 768, 3072]).gradient(),
        case("softmax", "12x197x197 (ViT-B/16)", &[12, 197, 197], |g, x| g.softmax(x, 3)),
        case("softmax", "gradient of 12x197x197 (ViT-B/16)", &[12, 197, 197], |g, x| g.softmax(x, 3)).gradient(),
        case("block", "GELU, 197x3072 (ViT-B/16)", &[197, 3072], gelu),
        case("block", "gradient of GELU, 197x3072 (ViT-B/16)", &[197, 3072], gelu).gradient(),
    ];
    for (name, shape) in [
        ("3x3, 48 to 12, 32x32 (DenseNet)", [12, 48, 32]),
        ("3x3, 48 to 12, 8x8 (DenseNet)", [12, 48, 8]),
        ("3x3, 16 to 16, 32x32 (ResNet-20)", [16, 16, 32]),
        ("3x3, 64 to 64, 56x56 (ResNet-50)", [64, 64, 56]),
        ("3x3, 256 to 256, 14x14 (ResNet-50)", [256, 256, 14]),
        ("3x3, 160 to 160, 32x32 (WRN-28-10)", [160, 160, 32]),
        ("3x3, 640 to 640, 8x8 (WRN-28-10)", [640, 640, 8]),
    ] {
        cases.extend(conv3x3(name, shape, false));
    }
    cases.extend(conv3x3("gradient of 3x3, 48 to 12, 32x32 (DenseNet)", [12, 48, 32], true));
    cases.extend(conv3x3("gradient of 3x3, 320 to 320, 16x16 (WRN-28-10)", [320, 320, 16], true));
    cases
}

fn throughput(graph: &Graph) -> Throughput {
    let elements = |value: ValueId| graph.shape(value).at(1).iter().product::<usize>();
    match odin::multiply_adds(graph) {
        0 => {
            let inputs: usize = graph.inputs().map(|(value, _)| elements(value)).sum();
            let outputs: usize = graph.outputs().iter().map(|o| elements(o.value)).sum();
            Throughput::Bytes(4 * (inputs + outputs) as u64)
        }
        multiply_adds => Throughput::Elements(2 * multiply_adds),
    }
}

fn kernels(c: &mut Criterion) {
    for case in cases() {
        let graph = case.graph().expect("the graph is sound");
        let mut options = Options::default();
        options.winograd = case.winograd;
        let engine = Engine::with_options(&graph, 1, options).expect("the engine runs it");
        let inputs = graph.inputs().map(|(value, input)| {
            let count = graph.shape(value).at(1).iter().product();
            (input.name.clone(), values(count))
        });
        let inputs: Vec<(String, Vec<f32>)> = inputs.collect();
        let inputs: Vec<(&str, &[f32])> = inputs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let mut group = c.benchmark_group(case.kernel);
        group.throughput(throughput(&graph));
        group.bench_function(case.name, |b| b.iter(|| engine.run(1, &inputs)));
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
