//! The engine, as the tests that engines share run it.

use odin_gpu::{Choice, Engine, ErrorKind, Gpu};
use odin_graph::Graph;
use std::sync::OnceLock;

pub(crate) use odin_gpu::Output;

/// How many random graphs of moves, and how many random networks.
pub(crate) const CASES: u32 = 40;
pub(crate) const NETWORKS: u32 = 6;

/// One of so many cases of the operators is run, unless `ODIN_GPU_ALL=1` asks for all: each takes a
/// compilation or several.
const SLICE: u64 = 40;

/// Cases that have failed once.
const ALWAYS: [&str; 7] = [
    "Pow [1, 3, 4, 5]",
    "concat of a transposed part",
    "products that views read, 0",
    "products that views read, 1",
    "products that views read, 2",
    "a bias that is computed",
    "a slice of one element of many",
];

/// Whether a case is run.
pub(crate) fn takes(case: &str) -> bool {
    let all = std::env::var_os("ODIN_GPU_ALL").is_some_and(|value| value == "1");
    // FNV-1a, so that the cases are always the same.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = case.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    all || hash % SLICE == 0 || ALWAYS.contains(&case)
}

/// The device that tests run on.
pub(crate) fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let open = || {
        let hardware = std::env::var_os("ODIN_GPU_TEST").is_some_and(|value| value == "hardware");
        let choice = match hardware {
            true => Choice::Hardware(0),
            false => Choice::Software,
        };
        match Gpu::open(choice) {
            Ok(gpu) => Some(gpu),
            Err(e) => {
                odin_test::skip(e);
                None
            }
        }
    };
    GPU.get_or_init(open).as_ref()
}

/// The outputs of a batch, and by what they were computed.
pub(crate) fn runs(
    g: &Graph,
    images: usize,
    inputs: &[(&str, &[f32])],
) -> Vec<(String, Vec<Output>)> {
    let Some(gpu) = gpu() else { return Vec::new() };
    let engine = Engine::new(g, gpu, 2).unwrap();
    let found = engine.run(images, inputs).unwrap();
    vec![(gpu.info().to_string(), found)]
}

/// The outputs for one image; `None` if the engine refuses the graph, which it may do.
pub(crate) fn run_or_refuse(
    g: &Graph,
    inputs: &[(&str, &[f32])],
    what: &str,
) -> Option<Vec<Output>> {
    match Engine::new(g, gpu()?, 1) {
        Ok(engine) => Some(engine.run(1, inputs).unwrap()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::UnsupportedGraph, "{what}: {error}");
            None
        }
    }
}

/// What the engine says of inputs that do not fit the graph; `None` where there is no device.
pub(crate) fn wrong_input(g: &Graph, images: usize, inputs: &[(&str, &[f32])]) -> Option<String> {
    let error = Engine::new(g, gpu()?, 1)
        .unwrap()
        .run(images, inputs)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    Some(error.to_string())
}
