//! Every operator of ONNX files with extreme attributes, operands and shapes: reading, gradients
//! and planning end in a result or an error, soon, and within memory that this program's allocator
//! counts. It is a program of its own because of that. `ODIN_HOSTILE_CASES=N` tries more cases of
//! each operator.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use odin_cpu::Engine;
use odin_formats::onnx;
use odin_graph::passes::expand_max_pool_grad;
use odin_graph::{DType, Graph, ValueId, verify, vjp};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one case may take at a time: the budgets of a small file, of what is read, of what is
/// folded and of kernels, and what a copy of it takes while it is made.
const CAP: usize = 2 << 30;

/// The system's allocator, which has no more than [`CAP`] to give.
struct Capped;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all memory is the system allocator's, asked for and given back unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if live > CAP {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Capped = Capped;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) as usize) % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Half of them as networks have them, half of them as none does.
    fn int(&mut self) -> i64 {
        const EXTREME: [i64; 12] = [
            -1,
            -2,
            255,
            65_537,
            1_000_000,
            1_000_000_000,
            i32::MAX as i64,
            1 << 31,
            1 << 40,
            1_000_000_000_000_000_000,
            i64::MAX,
            i64::MIN,
        ];
        match self.below(2) {
            0 => self.below(5) as i64,
            _ => self.pick(&EXTREME),
        }
    }

    fn float(&mut self) -> f32 {
        self.pick(&[
            0.0,
            1.0,
            -1.0,
            0.5,
            2.0,
            1e-30,
            1e9,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
        ])
    }

    fn ints(&mut self, most: usize) -> Vec<i64> {
        let count = 1 + self.below(most);
        (0..count).map(|_| self.int()).collect()
    }
}

const INT: usize = 2;
const INTS: usize = 7;

/// Attributes of whole numbers, of all operators.
const ATTRIBUTES: [(&str, usize); 55] = [
    ("allowzero", INT),
    ("antialias", INT),
    ("axes", INTS),
    ("axis", INT),
    ("axis", INTS),
    ("batch_dims", INT),
    ("block_size", INT),
    ("blocksize", INT),
    ("ceil_mode", INT),
    ("count_include_pad", INT),
    ("detect_negative", INT),
    ("detect_positive", INT),
    ("dilations", INTS),
    ("end", INT),
    ("ends", INTS),
    ("exclude_outside", INT),
    ("fmod", INT),
    ("group", INT),
    ("is_test", INT),
    ("k", INT),
    ("keepdims", INT),
    ("kernel_shape", INTS),
    ("kv_num_heads", INT),
    ("largest", INT),
    ("noop_with_empty_axes", INT),
    ("num_groups", INT),
    ("num_outputs", INT),
    ("output_dtype", INT),
    ("output_padding", INTS),
    ("output_shape", INTS),
    ("p", INT),
    ("paddings", INTS),
    ("pads", INTS),
    ("perm", INTS),
    ("q_num_heads", INT),
    ("repeats", INTS),
    ("select_last_index", INT),
    ("shape", INTS),
    ("size", INT),
    ("spatial", INT),
    ("split", INTS),
    ("start", INT),
    ("starts", INTS),
    ("storage_order", INT),
    ("strides", INTS),
    ("tiles", INT),
    ("to", INT),
    ("training_mode", INT),
    ("upper", INT),
    ("transA", INT),
    ("transB", INT),
    ("value_int", INT),
    ("value_ints", INTS),
    ("width", INT),
    ("height", INT),
];

const TEXTS: [(&str, &[&str]); 5] = [
    ("auto_pad", &["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    (
        "mode",
        &[
            "constant", "reflect", "edge", "wrap", "nearest", "linear", "cubic", "DCR", "CRD",
        ],
    ),
    (
        "coordinate_transformation_mode",
        &["align_corners", "asymmetric", "half_pixel"],
    ),
    ("nearest_mode", &["floor", "ceil"]),
    (
        "equation",
        &["ij,jk->ik", "ii->i", "ij,kl->ijkl", "ijkl->lkji", "i,j"],
    ),
];

const REALS: [&str; 8] = [
    "alpha",
    "beta",
    "bias",
    "cubic_coeff_a",
    "epsilon",
    "gamma",
    "scale",
    "value_float",
];

/// A file is bytes of protobuf: fields of a tag and a payload.
mod protobuf {
    fn varint(mut n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let more = n > 127;
            bytes.push((n & 127) as u8 | if more { 128 } else { 0 });
            n >>= 7;
            if !more {
                return bytes;
            }
        }
    }

    pub(crate) fn field(tag: usize, payload: &[u8]) -> Vec<u8> {
        let head = [varint((tag as u64) << 3 | 2), varint(payload.len() as u64)];
        [&head.concat()[..], payload].concat()
    }

    pub(crate) fn number(tag: usize, n: i64) -> Vec<u8> {
        [varint((tag as u64) << 3), varint(n as u64)].concat()
    }

    pub(crate) fn real(tag: usize, x: f32) -> Vec<u8> {
        [&varint((tag as u64) << 3 | 5)[..], &x.to_le_bytes()].concat()
    }
}

use protobuf::{field, number, real};

fn node(op: &str, inputs: &[String], output: &str, attributes: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
    bytes.extend(field(2, output.as_bytes()));
    bytes.extend(field(4, op.as_bytes()));
    bytes.extend(attributes);
    field(1, &bytes)
}

fn attributes(random: &mut Random, rank: usize) -> Vec<u8> {
    let mut all = Vec::new();
    // As many as there are spatial axes, or twice, or any number.
    let fitting = rank.saturating_sub(2).max(1);
    for (name, kind) in ATTRIBUTES {
        if random.below(3) > 0 {
            continue;
        }
        let mut bytes = [field(1, name.as_bytes()), number(20, kind as i64)].concat();
        match kind {
            INT => bytes.extend(number(3, random.int())),
            _ => {
                let pads = matches!(name, "pads" | "paddings");
                let count = match random.below(4) {
                    0 => 1 + random.below(8),
                    _ => fitting * if pads { 2 } else { 1 },
                };
                (0..count).for_each(|_| bytes.extend(number(8, random.int())));
            }
        }
        all.extend(field(5, &bytes));
    }
    for (name, texts) in TEXTS {
        if random.below(2) == 0 {
            let text = field(4, random.pick(texts).as_bytes());
            let bytes = [field(1, name.as_bytes()), number(20, 3), text].concat();
            all.extend(field(5, &bytes));
        }
    }
    for name in REALS {
        if random.below(5) == 0 {
            let value = real(2, random.float());
            let bytes = [field(1, name.as_bytes()), number(20, 1), value].concat();
            all.extend(field(5, &bytes));
        }
    }
    all
}

/// An initializer: real numbers of a small shape, or whole numbers.
fn initializer(random: &mut Random, name: &str) -> Vec<u8> {
    let mut bytes = field(8, name.as_bytes());
    if random.below(2) == 0 {
        let ints = random.ints(8);
        bytes.extend(number(1, ints.len() as i64));
        bytes.extend(number(2, 7));
        ints.iter().for_each(|&i| bytes.extend(number(7, i)));
        return field(5, &bytes);
    }
    let rank = random.below(5);
    let shape: Vec<usize> = (0..rank).map(|_| 1 + random.below(3)).collect();
    shape
        .iter()
        .for_each(|&d| bytes.extend(number(1, d as i64)));
    bytes.extend(number(2, 1));
    let count: usize = shape.iter().product();
    let data: Vec<u8> = (0..count)
        .flat_map(|_| random.float().to_le_bytes())
        .collect();
    bytes.extend(field(9, &data));
    field(5, &bytes)
}

/// A file of one operator between an input and an output; sometimes its first operand is a constant
/// that another operator makes.
fn file(random: &mut Random, op: &str) -> Vec<u8> {
    let huge = random.below(4) == 0;
    let rank = 2 + random.below(4);
    let dims = (1..rank).map(|_| match huge {
        true => random.int(),
        false => 1 + random.below(6) as i64,
    });
    let dims: Vec<u8> = dims.flat_map(|d| field(1, &number(1, d))).collect();
    let shape = [field(1, &field(2, b"N")), dims].concat();
    let ty = field(2, &field(1, &[number(1, 1), field(2, &shape)].concat()));
    let input = field(11, &[field(1, b"x"), ty].concat());

    let mut graph = input;
    let first = match random.below(6) {
        0 => {
            graph.extend(initializer(random, "c0"));
            let made = random.pick(&["Range", "ConstantOfShape", "Expand", "Tile"]);
            let from = ["c0", "c0", "c0"].map(str::to_string);
            graph.extend(node(made, &from, "made", &[]));
            "made"
        }
        _ => "x",
    };
    let mut inputs = vec![first.to_string()];
    for i in 1..1 + random.below(6) {
        let name = format!("c{i}");
        match random.below(8) {
            0 => inputs.push(String::new()),
            1 => inputs.push("x".to_string()),
            _ => {
                graph.extend(initializer(random, &name));
                inputs.push(name);
            }
        }
    }
    let attributes = attributes(random, rank);
    graph.extend(node(op, &inputs, "y", &attributes));
    graph.extend(field(12, &field(1, b"y")));
    let opset = random.pick(&[6, 9, 10, 11, 13, 18, 21, 23]);
    [field(8, &number(2, opset)), field(7, &graph)].concat()
}

/// How far a case came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Refused,
    Read,
    Planned,
    Differentiated,
    Run,
}

fn try_all(bytes: &[u8]) -> Reached {
    let Ok(graph) = onnx::read_graph(bytes, "hostile") else {
        return Reached::Refused;
    };
    verify(&graph).unwrap();
    if Engine::new(&graph, 1).is_err() {
        return Reached::Read;
    }
    let Some(gradient) = gradient(&graph) else {
        return Reached::Planned;
    };
    verify(&gradient).unwrap();
    let _ = expand_max_pool_grad(&gradient).map(|g| verify(&g).unwrap());
    match Engine::new(&gradient, 1) {
        Ok(_) => Reached::Run,
        Err(_) => Reached::Differentiated,
    }
}

/// The graph of the gradient of its output, where that is a real number that depends on the input.
fn gradient(graph: &Graph) -> Option<Graph> {
    let mut gradient = graph.clone();
    let x: ValueId = graph.inputs().next()?.0;
    let y = graph.outputs().first()?.value;
    if graph.ty(y).dtype != DType::Float {
        return None;
    }
    let one = gradient.scalar(1.0).ok()?;
    let cotangent = gradient.expand(one, graph.shape(y).clone()).ok()?;
    let dx = vjp(&mut gradient, y, cotangent, x).ok()?;
    gradient.clear_outputs();
    gradient.output("dx", dx);
    Some(gradient)
}

/// The operators that are read, as the documentation lists them.
fn operators() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let names = rows.filter_map(|row| row.split(' ').next());
    let names: Vec<String> = names.map(str::to_string).collect();
    names
        .into_iter()
        .filter(|name| name != "operator")
        .collect()
}

/// One test at a time: the memory of both would count together.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn extreme_attributes_of_every_operator() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let operators = operators();
    let more = std::env::var("ODIN_HOSTILE_CASES").ok();
    let cases: usize = more.and_then(|n| n.parse().ok()).unwrap_or(60);
    assert!(operators.len() > 80, "{operators:?}");
    let mut slowest = (Duration::ZERO, String::new());
    for (seed, op) in operators.iter().enumerate() {
        let mut random = Random(seed as u64);
        let mut furthest = Reached::Refused;
        for case in 0..cases {
            let bytes = file(&mut random, op);
            let begun = Instant::now();
            furthest = furthest.max(try_all(&bytes));
            let took = begun.elapsed();
            slowest = slowest.max((took, format!("{op}, case {case}")));
        }
        println!("{op}: {furthest:?}");
    }
    let peak = PEAK.load(Ordering::Relaxed);
    println!("slowest: {slowest:?}; peak: {peak} bytes");
}

/// An attribute of whole numbers.
fn attribute(name: &str, ints: &[i64]) -> Vec<u8> {
    let mut bytes = field(1, name.as_bytes());
    match ints {
        [int] => bytes.extend([number(3, *int), number(20, INT as i64)].concat()),
        _ => {
            ints.iter().for_each(|&i| bytes.extend(number(8, i)));
            bytes.extend(number(20, INTS as i64));
        }
    }
    field(5, &bytes)
}

/// The same nodes, one after the other.
fn chain(op: &str, twice: bool, attributes: &[u8], length: usize) -> Vec<u8> {
    let name = |i: usize| match i {
        0 => "x".to_string(),
        i if i == length => "y".to_string(),
        i => format!("v{i}"),
    };
    let link = |i: usize| {
        let inputs = vec![name(i); if twice { 2 } else { 1 }];
        node(op, &inputs, &name(i + 1), attributes)
    };
    (0..length).flat_map(link).collect()
}

/// A model of these nodes and initializers from `x [N, 3, 8, 8]` to `y`, with functions.
fn model(graph: &[u8], functions: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = [3, 8, 8]
        .iter()
        .flat_map(|&d| field(1, &number(1, d)))
        .collect();
    let shape = [field(1, &field(2, b"N")), dims].concat();
    let ty = field(2, &field(1, &[number(1, 1), field(2, &shape)].concat()));
    let ends = [
        field(11, &[field(1, b"x"), ty].concat()),
        field(12, &field(1, b"y")),
    ]
    .concat();
    let graph = field(7, &[graph, &ends].concat());
    [&field(8, &number(2, 13))[..], &graph, functions].concat()
}

/// A function of one operand `i`: the same nodes one after the other.
fn function(name: &str, op: &str, domain: &str, fields: &[u8], length: usize) -> Vec<u8> {
    let place = |i: usize| {
        if i == 0 {
            "i".to_string()
        } else {
            format!("t{i}")
        }
    };
    let inner = |i: usize| {
        let own = [fields, &field(7, domain.as_bytes())].concat();
        let graph_field = node(op, &[place(i)], &place(i + 1), &own);
        // The same node under the tag that functions have for it.
        let mut bytes = graph_field;
        bytes[0] = 7 << 3 | 2;
        bytes
    };
    let body: Vec<u8> = (0..length).flat_map(inner).collect();
    let ends = [field(4, b"i"), field(5, place(length).as_bytes())].concat();
    field(
        25,
        &[
            &field(1, name.as_bytes())[..],
            &ends,
            &body,
            &field(10, b"f"),
        ]
        .concat(),
    )
}

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let mut bytes = [field(8, name.as_bytes()), number(2, 7)].concat();
    bytes.extend(number(1, values.len() as i64));
    values.iter().for_each(|&i| bytes.extend(number(7, i)));
    field(5, &bytes)
}

/// Small files that unfold to gigabytes, or to work without end, unless that is counted.
#[test]
fn files_that_unfold() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let named = |bytes: usize| field(3, "n".repeat(bytes).as_bytes());
    let calls = |op: &str, fields: &[u8], count: usize| {
        let domain = field(7, b"f");
        chain(op, false, &[fields, &domain].concat(), count)
    };
    let x = || "x".to_string();
    let of_const = |op: &str, attributes: &[u8], values: &[i64]| {
        let operands = [x(), "c".to_string()];
        [ints("c", values), node(op, &operands, "y", attributes)].concat()
    };
    let nested: Vec<u8> = (0..14)
        .flat_map(|depth| match depth {
            0 => function("F0", "Relu", "", &[], 8),
            _ => function(
                &format!("F{depth}"),
                &format!("F{}", depth - 1),
                "f",
                &[],
                8,
            ),
        })
        .collect();
    let many: Vec<i64> = vec![1; 100_000];
    let billion = 1_000_000_000;
    let pool = |name: &str| {
        let sizes = [
            attribute("kernel_shape", &[2, 2]),
            attribute(name, &[billion; 2]),
        ];
        chain("AveragePool", false, &sizes.concat(), 1)
    };
    use Reached::*;
    let cases = [
        (
            "activations that double",
            model(&chain("Concat", true, &attribute("axis", &[1]), 40), &[]),
            Refused,
        ),
        (
            "fewer that double",
            model(&chain("Concat", true, &attribute("axis", &[1]), 22), &[]),
            Run,
        ),
        (
            "calls in calls",
            model(&calls("F13", &[], 1), &nested),
            Refused,
        ),
        (
            "names of calls",
            model(
                &calls("F", &named(10_000), 100),
                &function("F", "Relu", "", &named(1000), 100),
            ),
            Run,
        ),
        (
            "attributes of functions",
            model(
                &calls("F", &[], 1_000),
                &function("F", "Softmax", "", &attribute("axes", &many), 2),
            ),
            Run,
        ),
        (
            "a long chain",
            model(&chain("Relu", false, &[], 20_000), &[]),
            Run,
        ),
        (
            "axes",
            model(&of_const("Reshape", &[], &many), &[]),
            Refused,
        ),
        (
            "parts",
            model(
                &node("Concat", &vec![x(); 400_000], "y", &attribute("axis", &[1])),
                &[],
            ),
            Refused,
        ),
        (
            "repeats",
            model(&of_const("Tile", &[], &[1, billion, 1, 1]), &[]),
            Refused,
        ),
        (
            "splits",
            model(
                &chain("Split", false, &attribute("num_outputs", &[billion]), 1),
                &[],
            ),
            Refused,
        ),
        (
            "borders",
            model(
                &of_const("Pad", &[], &[0, billion, 0, 0, 0, billion, 0, 0]),
                &[],
            ),
            Refused,
        ),
        (
            "a range",
            model(
                &[
                    ints("c", &[0]),
                    ints("d", &[billion]),
                    ints("e", &[1]),
                    node("Range", &["c", "d", "e"].map(str::to_string), "y", &[]),
                ]
                .concat(),
                &[],
            ),
            Refused,
        ),
        (
            "a shape",
            model(
                &[
                    ints("c", &[billion]),
                    node("ConstantOfShape", &["c".to_string()], "y", &[]),
                ]
                .concat(),
                &[],
            ),
            Refused,
        ),
        (
            "neighbours",
            model(
                &chain("LRN", false, &attribute("size", &[(1 << 31) - 1]), 1),
                &[],
            ),
            Run,
        ),
        ("strides", model(&pool("strides"), &[]), Run),
        ("dilations", model(&pool("dilations"), &[]), Refused),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases {
        assert!(bytes.len() < 2_000_000, "{name}: {}", bytes.len());
        PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
        let begun = Instant::now();
        let reached = try_all(&bytes);
        let (took, peak) = (begun.elapsed(), PEAK.load(Ordering::Relaxed) >> 20);
        println!(
            "{name}: {} bytes, {reached:?}, {took:?}, {peak} MiB",
            bytes.len()
        );
        if reached != expected {
            wrong.push(format!("{name}: {reached:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
