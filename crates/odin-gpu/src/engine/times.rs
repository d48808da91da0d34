//! The time of each step, by the clock of the device.

use super::{Arena, Engine};
use crate::{Error, ErrorKind};
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

/// Steps whose times are taken together: a query set holds two numbers for each.
const TIMED_STEPS: usize = 1024;

impl Engine {
    /// Runs a batch `repetitions` times, and returns the shortest time of each step of
    /// [`Engine::program`], by the clock of the device. A step without work takes no time.
    ///
    /// # Errors
    /// As [`Engine::run`], and if the device has no such clock.
    pub fn times(
        &self,
        images: usize,
        inputs: &[(&str, &[f32])],
        repetitions: usize,
    ) -> Result<Vec<Duration>, Error> {
        let device = self.gpu.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let name = &self.gpu.info().name;
            let message = format!("{name}: the device does not measure times");
            return Err(Error::new(ErrorKind::Device, message));
        }
        let inputs = self.check_inputs(images, inputs)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve(&mut held, images)?;
        let arena = held.arena.as_ref().ok_or_else(|| self.out_of_memory())?;
        if arena.capacity < images {
            let (name, most) = (&self.gpu.info().name, arena.capacity);
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "{name}: steps are timed for a batch that is run at once, which {images} images are too many for; use a batch of at most {most}"
                ),
            ));
        }
        let mut fastest = vec![Duration::MAX; self.plan.steps.len()];
        for _ in 0..repetitions.max(1) {
            self.gpu
                .checked(|| self.upload(arena, images, &(0..images), &inputs))?;
            for (first, fastest) in fastest.chunks_mut(TIMED_STEPS).enumerate() {
                let steps = first * TIMED_STEPS..first * TIMED_STEPS + fastest.len();
                let times = self.times_of(arena, images, steps)?;
                for (fastest, time) in fastest.iter_mut().zip(times) {
                    *fastest = time.min(*fastest);
                }
            }
        }
        Ok(fastest)
    }

    /// The times of some steps, each in a pass of its own.
    fn times_of(
        &self,
        arena: &Arena,
        images: usize,
        steps: Range<usize>,
    ) -> Result<Vec<Duration>, Error> {
        let device = self.gpu.device();
        let count = 2 * steps.len() as u32;
        let bytes = 8 * u64::from(count);
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        };
        let staging = self.gpu.checked(|| {
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
            let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("odin"),
            });
            for (step, query) in steps.zip((0..count).step_by(2)) {
                let writes = wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(query),
                    end_of_pass_write_index: Some(query + 1),
                };
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("odin"),
                    timestamp_writes: Some(writes),
                });
                self.dispatch(&mut pass, arena, step, images);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
            self.gpu.queue().submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., |_| ());
            staging
        })?;
        let failed = |e: String| Error::new(ErrorKind::Run, format!("times of the device: {e}"));
        self.gpu.wait(None)?;
        let view = staging.slice(..).get_mapped_range();
        let view = view.map_err(|e| failed(e.to_string()))?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
        let period = f64::from(self.gpu.queue().get_timestamp_period());
        let time = |pair: &[u64]| {
            let ticks = pair[1].saturating_sub(pair[0]);
            Duration::from_nanos((ticks as f64 * period) as u64)
        };
        Ok(stamps.chunks_exact(2).map(time).collect())
    }
}
