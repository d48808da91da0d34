//! What preparing convolutions takes: tables as long as windows and strides, which a hostile file
//! makes long. It is counted before any table is made; those of pools are no longer than inputs.

use crate::{Error, ErrorKind};
use odin_graph::op::Window;
use odin_graph::{Graph, Op, ValueId};

/// The most bytes of all tables, and the most steps to fill them.
const MAX_BYTES: usize = 1 << 30;
const MAX_WORK: usize = 1 << 31;

/// What preparing one kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tables {
    bytes: usize,
    work: usize,
}

/// What may still be prepared.
pub(super) struct Preparation {
    left: Tables,
}

impl Preparation {
    pub(super) fn new() -> Self {
        let (bytes, work) = (MAX_BYTES, MAX_WORK);
        Self {
            left: Tables { bytes, work },
        }
    }

    /// Counts the kernel of a node.
    pub(super) fn count(&mut self, graph: &Graph, v: ValueId) -> Result<(), Error> {
        let node = graph.node(v);
        let spatial = |v: ValueId| graph.shape(v).at(1).split_off(2);
        let operand = |i: usize| spatial(node.operands[i]);
        let tables = match &node.op {
            Op::Conv(conv) => of_conv(&conv.window, &spatial(v)),
            Op::ConvTranspose(conv) => of_conv(&conv.window, &operand(0)),
            _ => return Ok(()),
        };
        let left = (
            self.left.bytes.checked_sub(tables.bytes),
            self.left.work.checked_sub(tables.work),
        );
        let (Some(bytes), Some(work)) = left else {
            let place = graph.describe(v);
            let message = format!(
                "{place}: its window or stride is too large; all kernels may take {MAX_BYTES} bytes and {MAX_WORK} steps to prepare"
            );
            return Err(Error::new(ErrorKind::UnsupportedGraph, message));
        };
        self.left = Tables { bytes, work };
        Ok(())
    }
}

fn product(factors: impl Iterator<Item = usize>) -> usize {
    factors.fold(1, usize::saturating_mul)
}

/// The phases of the output, of which there are as many as the strides, and their taps.
fn of_conv(window: &Window, positions: &[usize]) -> Tables {
    let window = without_idle_strides(window, positions);
    let phases = product(window.strides.iter().copied());
    let along = |axis: usize| {
        let (stride, kernel) = (window.strides[axis], window.kernel[axis]);
        let each = stride
            .saturating_add(kernel)
            .saturating_add(positions[axis]);
        stride.saturating_mul(each)
    };
    Tables {
        bytes: phases.saturating_mul(256),
        work: (0..window.axes()).map(along).fold(0, usize::saturating_add),
    }
}

/// Strides up to this are left as they are.
const USUAL_STRIDE: usize = 64;

/// The same window, without large strides along axes that have one position only.
pub(super) fn without_idle_strides(window: &Window, positions: &[usize]) -> Window {
    let mut window = window.clone();
    for (stride, &positions) in window.strides.iter_mut().zip(positions) {
        if positions == 1 && *stride > USUAL_STRIDE {
            *stride = 1;
        }
    }
    window
}
