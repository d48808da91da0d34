//! What the service does for a request, whatever protocol it came by.

use crate::admission::{Admission, Room};
use crate::batcher::Judged;
use crate::detectors::{Detectors, Served};
use crate::options::Limits;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::RequestMetrics;
use odin::{Images, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// So many bytes are parsed in less time than a thread takes to be woken.
const LITTLE: usize = 1 << 14;

/// All that requests share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) detectors: Arc<Detectors>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) limits: Limits,
    pub(crate) requests: RequestMetrics,
    /// How many images are decoded at once: more would not be faster, and take memory.
    decoders: Arc<Semaphore>,
    ending: watch::Sender<bool>,
}

impl Service {
    pub(crate) fn new(detectors: Detectors, limits: Limits, decoders: usize) -> Self {
        Self {
            detectors: Arc::new(detectors),
            admission: Arc::new(Admission::new(limits)),
            limits,
            requests: RequestMetrics::new(),
            decoders: Arc::new(Semaphore::new(decoders)),
            ending: watch::Sender::new(false),
        }
    }

    /// From now on it is not ready for more requests.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    pub(crate) fn is_ready(&self) -> bool {
        !*self.ending.borrow()
    }

    /// How many requests are being answered.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.requests.in_flight.get()).unwrap_or_default()
    }

    /// Waits until [`Service::end`] is called.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        // The sender is a field of this.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// Judges images in their order: a verdict for each, or what is wrong with it.
    pub(crate) async fn judge(
        &self,
        served: &Arc<Served>,
        images: Images,
    ) -> Result<Vec<Judged>, Refusal> {
        let room = self.room(served, images.len())?;
        let asker = Asker::default();
        let judged = async {
            let waiting = self.prepare(served, images, room, &asker).await?;
            let mut all = Vec::with_capacity(waiting.len());
            for image in waiting {
                all.push(image.verdict().await?);
            }
            Ok(all)
        };
        self.in_time(judged).await
    }

    /// Judges one image, whose fault is that of the request.
    pub(crate) async fn judge_one(
        &self,
        served: &Arc<Served>,
        images: Images,
    ) -> Result<Verdict, Refusal> {
        let judged = self.judge(served, images).await?.into_iter().next();
        let judged = judged.ok_or_else(|| Refusal::invalid("there is no image"))?;
        judged.map_err(Refusal::invalid)
    }

    /// Runs work that takes a thread, of one image, as admitted and bounded in time as all else.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        served: &Arc<Served>,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let room = self.room(served, 1)?;
        let done = async {
            let turn = self.turn().await?;
            let work = move || {
                let _kept = (room, turn);
                work()
            };
            spawn_blocking(work).await.unwrap_or_else(|_| Err(defect()))
        };
        self.in_time(done).await
    }

    /// Work on bytes that a request brought: a little of them at once, many on a thread of its own,
    /// so that other requests are not kept waiting.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= LITTLE {
            return work();
        }
        let parsed = async {
            let turn = self.turn().await?;
            let work = move || {
                let _turn = turn;
                work()
            };
            spawn_blocking(work).await.unwrap_or_else(|_| Err(defect()))
        };
        self.in_time(parsed).await
    }

    fn room(&self, served: &Served, images: usize) -> Result<Room, Refusal> {
        if images == 0 {
            return Err(Refusal::invalid("there is no image in the request"));
        }
        let queued = self.admission.queued();
        let retry_after = served.batcher.estimate(queued).max(Duration::from_secs(1));
        self.admission.images(images, retry_after)
    }

    async fn turn(&self) -> Result<Room, Refusal> {
        let turn = Arc::clone(&self.decoders).acquire_owned().await;
        turn.map_err(|_| defect())
    }

    /// Reads the images, decoding and transforming them, and hands them to the batcher one by one.
    async fn prepare(
        &self,
        served: &Arc<Served>,
        images: Images,
        room: Room,
        asker: &Asker,
    ) -> Result<Vec<Waiting>, Refusal> {
        let turn = self.turn().await?;
        let served = Arc::clone(served);
        let room = Arc::new(room);
        let is_gone = asker.is_gone();
        let read = move || {
            let _turn = turn;
            let still = |_: &usize| !is_gone.load(Ordering::Relaxed);
            let each = (0..images.len()).take_while(still);
            let each = each.map(|i| match served.prepared(&images, i) {
                Ok(image) => Waiting::Queued(served.batcher.judge(image), Arc::clone(&room)),
                Err(error) => {
                    served.metrics.failed.inc();
                    Waiting::Failed(error.to_string())
                }
            });
            each.collect()
        };
        spawn_blocking(read).await.map_err(|_| defect())
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let time = self.limits.time;
        timeout(time, work).await.unwrap_or_else(|_| {
            let message = format!(
                "no answer within {} s; send fewer images at once",
                time.as_secs_f64()
            );
            Err(Refusal::new(Reason::Timeout, message))
        })
    }
}

/// Who waits for the images of a request: when this is dropped, because the client went away or the
/// time is over, no further image is decoded.
#[derive(Debug, Default)]
struct Asker(Arc<AtomicBool>);

impl Asker {
    fn is_gone(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An image that was handed to the batcher, or was not.
enum Waiting {
    /// With the room that its request takes.
    Queued(oneshot::Receiver<Judged>, Arc<Room>),
    Failed(String),
}

impl Waiting {
    async fn verdict(self) -> Result<Judged, Refusal> {
        match self {
            Self::Queued(verdict, _room) => verdict.await.map_err(|_| defect()),
            Self::Failed(problem) => Ok(Err(problem)),
        }
    }
}

fn defect() -> Refusal {
    Refusal::internal("a defect of the service; its log says more")
}
