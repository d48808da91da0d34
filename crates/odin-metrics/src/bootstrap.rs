//! Confidence intervals of metrics by a stratified percentile bootstrap.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;

use crate::counts::Counts;
use crate::error::{Error, ErrorKind};
use crate::interval::{Interval, TAILS};
use crate::metrics::Metrics;

/// Enough that 2.5 % of the resamples lie beyond either end; not so many that they fill memory.
const RESAMPLES: RangeInclusive<usize> = 40..=1_000_000;

/// Resamples that a thread takes from the queue at a time.
const BLOCK: usize = 8;

/// How confidence intervals are made: a stratified percentile bootstrap (Efron 1979).
///
/// Each resample draws `n_in` in-scores and `n_out` out-scores with replacement, the two sides
/// apart. The interval runs from the 2.5 % to the 97.5 % quantile of the metric over the
/// resamples, quantiles interpolated linearly. It covers the chance of which images were drawn,
/// with this model as it is: not the chance of training, nor another choice of data set.
///
/// The result depends on the scores, the number of resamples and the seed, and on nothing else:
/// resample `r` uses stream `r` of a ChaCha8 generator, whichever thread computes it.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    resamples: usize,
    seed: u64,
    threads: usize,
    stop: Arc<AtomicBool>,
}

impl Bootstrap {
    /// `resamples` from 40 to 1,000,000 (1,000 is usual); `threads` = 0 counts as 1.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidResamples`] when `resamples` is out of that range.
    pub fn new(resamples: usize, seed: u64, threads: usize) -> Result<Self, Error> {
        if !RESAMPLES.contains(&resamples) {
            return Err(Error::new(
                ErrorKind::InvalidResamples,
                format!(
                    "{resamples} bootstrap resamples were asked for; a 95 % interval takes {} to \
                     {}, usually 1000",
                    RESAMPLES.start(),
                    RESAMPLES.end()
                ),
            ));
        }
        Ok(Self {
            resamples,
            seed,
            threads,
            stop: Arc::default(),
        })
    }

    /// The same, ended as soon as this is true: with the resamples that are being computed.
    #[must_use]
    pub fn stopped_by(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// The intervals of `metrics`, a function of the counts of the scores; `sample` gives the
    /// number of scores on both sides.
    pub(crate) fn intervals(
        &self,
        sample: &Counts,
        metrics: impl Fn(&Counts) -> Metrics + Sync,
    ) -> Result<Metrics<Interval>, Error> {
        let estimates = self.estimates(sample, metrics);
        if self.is_stopped() {
            let message = "the bootstrap was stopped before its end";
            return Err(Error::new(ErrorKind::Stopped, message));
        }
        let column = |metric: usize| estimates.iter().map(|e| e[metric]).collect();
        let intervals = [0, 1, 2, 3, 4].map(|metric| percentile_interval(column(metric)));
        Ok(Metrics::from(intervals))
    }

    /// The five metrics of each resample.
    fn estimates(
        &self,
        sample: &Counts,
        metrics: impl Fn(&Counts) -> Metrics + Sync,
    ) -> Vec<[f64; 5]> {
        let mut estimates = vec![[0.0; 5]; self.resamples];
        let queue = Mutex::new(estimates.chunks_mut(BLOCK).enumerate());
        let work = || {
            let mut counts = sample.clone();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((block, estimates)) = next else {
                    return;
                };
                for (i, estimate) in estimates.iter_mut().enumerate() {
                    if self.is_stopped() {
                        return;
                    }
                    counts.resample(&mut self.generator(block * BLOCK + i));
                    *estimate = metrics(&counts).into();
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(self.resamples.div_ceil(BLOCK)) {
                // Without this thread the others do its share: a refusal costs time only.
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        estimates
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn generator(&self, resample: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(resample as u64);
        generator
    }
}

fn percentile_interval(mut estimates: Vec<f64>) -> Interval {
    estimates.sort_unstable_by(f64::total_cmp);
    Interval {
        lower: quantile(&estimates, TAILS.0),
        upper: quantile(&estimates, TAILS.1),
    }
}

/// The quantile at `probability`, interpolated linearly between order statistics (type 7 of
/// Hyndman and Fan 1996, numpy's default).
fn quantile(ascending: &[f64], probability: f64) -> f64 {
    let place = probability * (ascending.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    ascending[low] + place.fract() * (ascending[high] - ascending[low])
}
