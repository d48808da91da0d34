//! Grids of workgroups, and how many images they and the memory of a device allow at a time.

use crate::device::Gpu;
use crate::lower::Plan;
use crate::shader::{Grid, Kernel};
use crate::{Error, ErrorKind};

/// The most operations of a submission of several steps, and a quarter of those of a single one: a
/// driver may take a device for hung that is busy with one for seconds, and small ones compute less
/// than 2^37 in a second.
pub(crate) const SUBMISSION_FLOPS: u64 = 1 << 36;
/// The most workgroups along an axis of a grid.
const MAX_GROUPS: u64 = 65_535;

/// The workgroups of a step for a batch, along three axes.
pub(crate) fn workgroups(kernel: &Kernel, images: usize) -> [u64; 3] {
    let images = images as u64;
    let (groups, z) = match kernel.grid {
        Grid::PerImage(groups) => (groups as u64, images),
        Grid::Columns {
            row_tiles,
            per_image,
            tile,
            products,
            is_merged,
        } => {
            let (row_tiles, per_image) = (row_tiles as u64, per_image as u64);
            let (columns, z) = match is_merged {
                true => (per_image * images, products as u64),
                false => (per_image, products as u64 * images),
            };
            (row_tiles * columns.div_ceil(tile as u64), z)
        }
    };
    let x = groups.min(MAX_GROUPS);
    [x, groups.div_ceil(x.max(1)), z]
}

/// The most images at a time that the device can address; an error if it is none.
pub(crate) fn most_images(plan: &Plan, gpu: &Gpu) -> Result<usize, Error> {
    let limits = gpu.limits();
    let bytes = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
        .min(4 * u64::from(u32::MAX));
    let image = 4 * (plan.words as u64).max(1);
    let downloaded = plan.output_places.iter().map(|output| {
        let words = output.download().map_or(0, |words| words.len());
        4 * words as u64
    });
    let downloaded = limits.max_buffer_size / downloaded.sum::<u64>().max(1);
    let heaviest = plan.steps.iter().map(|step| step.cost.flops).max();
    let computed = (4 * SUBMISSION_FLOPS / heaviest.unwrap_or(0).max(1)).max(1);
    let mut most = (bytes / image).min(downloaded).min(computed);
    if most == 0 {
        let name = &gpu.info().name;
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "{name}: the values of one image need {image} bytes, and the device binds at most {bytes}; use smaller images, or the device cpu"
            ),
        ));
    }
    for step in &plan.steps {
        let fits = |images: u64| {
            let [_, y, z] = workgroups(&step.kernel, images as usize);
            let columns = match step.kernel.grid {
                Grid::Columns {
                    per_image,
                    is_merged: true,
                    ..
                } => per_image as u64 * images,
                _ => 0,
            };
            y <= MAX_GROUPS && z <= MAX_GROUPS && columns < u64::from(u32::MAX / 2)
        };
        while most > 1 && !fits(most) {
            most /= 2;
        }
        if !fits(most) {
            return Err(Error::new(
                ErrorKind::UnsupportedGraph,
                format!(
                    "{}: too large for a grid of workgroups; use the device cpu",
                    step.what
                ),
            ));
        }
    }
    Ok(most as usize)
}
