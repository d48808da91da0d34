//! Parameters and weights of all steps on the device.

use crate::device::Gpu;
use crate::lower::Plan;
use crate::shader::Weights;
use crate::{Error, ErrorKind};
use std::collections::HashMap;
use std::ops::Range;

/// Bytes of constants that are uploaded before the device is waited for: until then they take as
/// much memory once more.
const UPLOAD: usize = 1 << 26;

/// The buffers, and what each step binds of them.
pub(crate) struct Constants {
    pub(crate) params: wgpu::Buffer,
    pub(crate) weights: wgpu::Buffer,
    pub(crate) bounds: Vec<Bound>,
}

/// What a step binds of the parameters and of the weights, in bytes.
pub(crate) struct Bound {
    pub(crate) params: Range<u64>,
    pub(crate) weights: Range<u64>,
}

/// Uploads parameters and weights.
pub(crate) fn upload(gpu: &Gpu, plan: &Plan) -> Result<Constants, Error> {
    let grain = u64::from(gpu.limits().min_storage_buffer_offset_alignment).max(16);
    let next = |end: u64, words: usize| {
        let start = end.next_multiple_of(grain);
        start..start + (4 * words as u64).max(16).next_multiple_of(16)
    };
    let mut bounds: Vec<Bound> = Vec::new();
    let mut known: HashMap<&(usize, String), Range<u64>> = HashMap::new();
    let mut uploads: Vec<(u64, &Weights)> = Vec::new();
    // Where no weights are bound, the first bytes are.
    let (mut params_end, mut weights_end) = (0, 16);
    for step in &plan.steps {
        let kernel = &step.kernel;
        let params = next(params_end, kernel.params.len());
        params_end = params.end;
        let weights = match &kernel.weights {
            None => 0..16,
            Some(weights) => known
                .entry(&weights.key)
                .or_insert_with(|| {
                    let range = next(weights_end, weights.data.elements().len());
                    weights_end = range.end;
                    uploads.push((range.start, weights));
                    range
                })
                .clone(),
        };
        bounds.push(Bound { params, weights });
    }
    let limits = gpu.limits();
    let largest = bounds.iter().flat_map(|b| [&b.params, &b.weights]);
    let largest = largest.map(|r| r.end - r.start).max().unwrap_or(0);
    let total = params_end.max(weights_end);
    if total > limits.max_buffer_size || largest > limits.max_storage_buffer_binding_size {
        let name = &gpu.info().name;
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "{name}: the weights need a buffer of {total} bytes, of which a layer binds {largest}; the device allows {} and {}; use the device cpu",
                limits.max_buffer_size, limits.max_storage_buffer_binding_size
            ),
        ));
    }
    let buffer = |label, size: u64| {
        gpu.checked(|| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size.max(16),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    };
    let (params, weights) = (
        buffer("parameters", params_end)?,
        buffer("weights", weights_end)?,
    );
    gpu.checked(|| {
        for (step, bound) in plan.steps.iter().zip(&bounds) {
            let words = bytemuck::cast_slice(&step.kernel.params);
            gpu.queue().write_buffer(&params, bound.params.start, words);
        }
    })?;
    let mut waiting = 0;
    for (at, constant) in uploads {
        let pieces = constant.data.elements().chunks(UPLOAD / 4);
        for (piece, at) in pieces.zip((at..).step_by(UPLOAD)) {
            let words = bytemuck::cast_slice(piece);
            gpu.checked(|| gpu.queue().write_buffer(&weights, at, words))?;
            waiting += words.len();
            if waiting >= UPLOAD {
                gpu.checked(|| gpu.queue().submit([]))?;
                gpu.wait(None)?;
                waiting = 0;
            }
        }
    }
    Ok(Constants {
        params,
        weights,
        bounds,
    })
}
