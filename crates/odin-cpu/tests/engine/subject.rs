//! The engine, as the tests that engines share run it.

use odin_cpu::{Engine, ErrorKind, InstructionSet};
use odin_graph::Graph;

pub(crate) use odin_cpu::Output;

/// How many random graphs of moves, and how many random networks.
pub(crate) const CASES: u32 = 400;
pub(crate) const NETWORKS: u32 = 24;

/// Whether a case is run.
pub(crate) fn takes(_case: &str) -> bool {
    true
}

/// The outputs of a batch with every instruction set that this machine has, on one and two threads
/// (of which the second shares the last image), which change no bit.
pub(crate) fn runs(
    g: &Graph,
    images: usize,
    inputs: &[(&str, &[f32])],
) -> Vec<(String, Vec<Output>)> {
    // The last set multiplies and adds in two roundings, all others in one.
    let sets = InstructionSet::available();
    let mut fastest = None;
    let run = |(i, &set): (usize, &InstructionSet)| {
        let on = |threads| {
            let engine = Engine::with_instructions(g, threads, set).unwrap();
            engine.run(images, inputs).unwrap()
        };
        let found = on(1);
        // As text, in which not a number equals itself.
        let bits = format!("{found:?}");
        if i + 1 < sets.len() {
            let fastest = fastest.get_or_insert_with(|| bits.clone());
            assert!(*fastest == bits, "{set}: other bits");
        }
        assert!(
            bits == format!("{:?}", on(2)),
            "{set}: threads change the result"
        );
        (set.to_string(), found)
    };
    sets.iter().enumerate().map(run).collect()
}

/// The outputs for one image; `None` if the engine refuses the graph, which it may do.
pub(crate) fn run_or_refuse(
    g: &Graph,
    inputs: &[(&str, &[f32])],
    what: &str,
) -> Option<Vec<Output>> {
    match Engine::new(g, 1) {
        Ok(engine) => Some(engine.run(1, inputs).unwrap()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::UnsupportedGraph, "{what}: {error}");
            None
        }
    }
}

/// What the engine says of inputs that do not fit the graph.
pub(crate) fn wrong_input(g: &Graph, images: usize, inputs: &[(&str, &[f32])]) -> Option<String> {
    let error = Engine::new(g, 1).unwrap().run(images, inputs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    Some(error.to_string())
}
