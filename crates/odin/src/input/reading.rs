//! Reads and decodes images on several threads, ahead of those that are being scored.

use super::Images;
use crate::{Error, ErrorKind};
use odin_data::Sample;
use odin_untrusted::guard::contain;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// An image that was read, or why it was not.
pub(crate) struct Reading {
    /// Which of the images it is.
    pub(crate) place: usize,
    pub(crate) sample: Result<Sample, Error>,
}

/// The batches of some images in their order, decoded ahead by a pool of threads. At most three
/// batches are in memory: the one that was given out and two that are being read.
pub(crate) struct Batches {
    images: Images,
    batch: usize,
    /// The first image of the next batch.
    next: usize,
    decoders: Option<Decoders>,
}

/// Batches that are read ahead of the one that is given out.
const AHEAD: usize = 2;

impl Batches {
    /// Batches of `batch` images, decoded by at most `threads` threads.
    pub(crate) fn new(images: &Images, batch: usize, threads: usize) -> Self {
        let (images, batch) = (images.clone(), batch.max(1));
        // A single batch of one image leaves nothing to overlap.
        let wanted = threads.min(images.len());
        let decoders = (wanted > 1 || images.len() > batch)
            .then(|| Decoders::start(&images, AHEAD.saturating_mul(batch), wanted));
        Self {
            images,
            batch,
            next: 0,
            decoders: decoders.flatten(),
        }
    }

    /// The next batch; `None` behind the last.
    pub(crate) fn next_batch(&mut self) -> Option<Vec<Reading>> {
        let start = self.next;
        let end = self.images.len().min(start.saturating_add(self.batch));
        if start == end {
            return None;
        }
        self.next = end;
        let readings = (start..end).map(|place| Reading {
            place,
            sample: match &mut self.decoders {
                Some(decoders) => decoders.take(place),
                None => read(&self.images, place),
            },
        });
        Some(readings.collect())
    }
}

/// A decoder that panics on an image has failed on that image, no more.
fn read(images: &Images, place: usize) -> Result<Sample, Error> {
    contain(|| images.get(place)).unwrap_or_else(|panicked| {
        let problem = "reading it failed where it should not; it may be damaged";
        let error = Error::new(ErrorKind::Data, problem).because(panicked);
        Err(error.about(images.image_name(place)))
    })
}

/// Threads that decode the images one after the other, in no fixed order among those that are due.
struct Decoders {
    /// The places to read; closed when this is dropped, which ends the threads.
    due: SyncSender<usize>,
    read: Receiver<(usize, Result<Sample, Error>)>,
    /// What was read before its turn.
    early: BTreeMap<usize, Result<Sample, Error>>,
    /// The next place to be due.
    next: usize,
    images: Images,
    /// How many images may be due, being decoded or early.
    ahead: usize,
}

impl Decoders {
    /// `None` where no thread can be started: then images are read as they are needed.
    fn start(images: &Images, ahead: usize, threads: usize) -> Option<Self> {
        let ahead = ahead.min(images.len());
        let (due, queue) = sync_channel(ahead);
        let queue = Arc::new(Mutex::new(queue));
        let (done, read) = channel();
        let mut started = 0;
        for _ in 0..threads {
            let (images, queue, done) = (images.clone(), Arc::clone(&queue), done.clone());
            let decoder = move || decode(&images, &queue, &done);
            started += usize::from(thread::Builder::new().spawn(decoder).is_ok());
        }
        let mut decoders = Self {
            due,
            read,
            early: BTreeMap::new(),
            next: 0,
            images: images.clone(),
            ahead,
        };
        decoders.fill(0);
        (started > 0).then_some(decoders)
    }

    /// Lets the images behind `place` be decoded, as many as may be.
    fn fill(&mut self, place: usize) {
        let end = self.images.len().min(place.saturating_add(self.ahead));
        while self.next < end && self.due.send(self.next).is_ok() {
            self.next += 1;
        }
    }

    /// The image of this place, which is the one behind the last that was taken.
    fn take(&mut self, place: usize) -> Result<Sample, Error> {
        self.fill(place + 1);
        loop {
            if let Some(sample) = self.early.remove(&place) {
                return sample;
            }
            match self.read.recv() {
                Ok((place, sample)) => self.early.insert(place, sample),
                // All threads have ended, which they do not as long as images are due.
                Err(_) => return read(&self.images, place),
            };
        }
    }
}

fn decode(
    images: &Images,
    queue: &Mutex<Receiver<usize>>,
    done: &Sender<(usize, Result<Sample, Error>)>,
) {
    loop {
        let due = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(place) = due else { return };
        if done.send((place, read(images, place))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use odin_data::{DataSet, NoiseKind, noise};

    #[test]
    fn batches_hold_all_images_in_their_order() {
        let set = || noise(NoiseKind::Uniform, 1, 2, 2, 23, 0).unwrap();
        for threads in [1, 2, 5] {
            for batch in [1, 4, 23, 100] {
                let images = Images::of(Arc::new(set()));
                let mut batches = Batches::new(&images, batch, threads);
                let mut names = Vec::new();
                while let Some(readings) = batches.next_batch() {
                    assert!(readings.len() <= batch);
                    for reading in readings {
                        assert_eq!(reading.place, names.len());
                        names.push(reading.sample.unwrap().name);
                    }
                }
                let expected = (0..23).map(|i| set().sample_name(i));
                assert!(names.into_iter().eq(expected), "{threads}, {batch}");
            }
        }
    }

    /// Dropping them ends the threads, which then no longer hold the set.
    #[test]
    fn what_is_not_read_to_the_end_is_let_go() {
        let set: Arc<dyn DataSet> = Arc::new(noise(NoiseKind::Uniform, 1, 2, 2, 100, 0).unwrap());
        let mut batches = Batches::new(&Images::of(Arc::clone(&set)), 3, 2);
        batches.next_batch().unwrap();
        drop(batches);
        while Arc::strong_count(&set) > 1 {
            thread::yield_now();
        }
    }
}
