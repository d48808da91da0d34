//! Dynamic batching: a thread for each detector that gathers the images of all requests to batches.

use crate::error::{Error, ErrorKind};
use crate::options::Batching;
use crate::telemetry::DetectorMetrics;
use odin::{CalibratedDetector, Image, Verdict};
use odin_untrusted::guard::contain;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What the batcher says of an image; the error's message is for whoever sent it.
pub(crate) type Judged = Result<Verdict, String>;

/// An image of the network's shape, and who waits for its verdict.
struct Job {
    image: Image,
    since: Instant,
    reply: oneshot::Sender<Judged>,
}

/// Where images wait for their batch. Its thread ends when this is dropped and the images that
/// wait are judged.
#[derive(Debug)]
pub(crate) struct Batcher {
    jobs: Sender<Job>,
    /// Nanoseconds that an image took in the last batches.
    pace: Arc<AtomicU64>,
}

impl Batcher {
    /// # Errors
    /// When the operating system refuses a thread.
    pub(crate) fn start(
        detector: Arc<CalibratedDetector>,
        batching: Batching,
        metrics: Arc<DetectorMetrics>,
    ) -> Result<Self, Error> {
        let (jobs, waiting) = channel();
        let pace = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            detector,
            batching,
            metrics,
            waiting,
            pace: Arc::clone(&pace),
        };
        let thread = std::thread::Builder::new().name("batcher".to_string());
        let thread = thread.spawn(move || worker.run());
        thread.map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread").because(e))?;
        Ok(Self { jobs, pace })
    }

    /// Hands over an image of the network's shape. What is received is an error where the thread
    /// is no more.
    pub(crate) fn judge(&self, image: Image) -> oneshot::Receiver<Judged> {
        let (reply, verdict) = oneshot::channel();
        let since = Instant::now();
        // A job that is not taken drops its reply, which the receiver sees.
        let _ = self.jobs.send(Job {
            image,
            since,
            reply,
        });
        verdict
    }

    /// How long so many images are likely to take.
    pub(crate) fn estimate(&self, images: usize) -> Duration {
        let pace = Duration::from_nanos(self.pace.load(Ordering::Relaxed));
        pace.saturating_mul(u32::try_from(images).unwrap_or(u32::MAX))
    }
}

struct Worker {
    detector: Arc<CalibratedDetector>,
    batching: Batching,
    metrics: Arc<DetectorMetrics>,
    waiting: Receiver<Job>,
    pace: Arc<AtomicU64>,
}

impl Worker {
    fn run(self) {
        while let Ok(first) = self.waiting.recv() {
            let mut batch = self.gather(first);
            // Who has gone away needs no verdict.
            batch.retain(|job| !job.reply.is_closed());
            if !batch.is_empty() {
                self.judge(batch);
            }
        }
    }

    /// The batch that begins with this image: all that wait, and all that come in time.
    fn gather(&self, first: Job) -> Vec<Job> {
        let Batching { images, wait } = self.batching;
        let until = Instant::now() + wait;
        let mut batch = vec![first];
        while batch.len() < images {
            let left = until.saturating_duration_since(Instant::now());
            match self.waiting.recv_timeout(left) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        batch
    }

    fn judge(&self, batch: Vec<Job>) {
        let begun = Instant::now();
        for job in &batch {
            self.metrics.waited(begun.duration_since(job.since));
        }
        let (images, replies): (Vec<Image>, Vec<_>) =
            batch.into_iter().map(|job| (job.image, job.reply)).unzip();
        let verdicts = self.verdicts(&images);
        self.keep_pace(begun.elapsed(), images.len());
        self.metrics.batch(images.len());
        for (reply, verdict) in replies.into_iter().zip(verdicts) {
            self.metrics.judged(&verdict);
            let _ = reply.send(verdict);
        }
    }

    /// A verdict or what is wrong for each image. A panic, which would be a defect, ends neither
    /// this thread nor the service.
    fn verdicts(&self, images: &[Image]) -> Vec<Judged> {
        let judged = contain(|| self.detector.judge_prepared(images));
        let problem = match judged {
            Ok(Ok(verdicts)) => {
                let each = verdicts.into_iter();
                return each.map(|v| v.map_err(|e| e.to_string())).collect();
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => format!("a defect of the engine: {panicked}"),
        };
        tracing::error!(images = images.len(), "a batch failed: {problem}");
        images.iter().map(|_| Err(problem.clone())).collect()
    }

    fn keep_pace(&self, took: Duration, images: usize) {
        let now = took.as_nanos() as u64 / images.max(1) as u64;
        let before = self.pace.load(Ordering::Relaxed);
        let pace = if before == 0 {
            now
        } else {
            before - before / 8 + now / 8
        };
        self.pace.store(pace, Ordering::Relaxed);
    }
}
