//! Long work: without the interpreter's lock, interruptible, with progress.

use crate::error::failed;
use odin::data::{DataSet, Error, Sample};
use pyo3::prelude::*;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often signals are looked at, and the least time between two reports of progress.
const PERIOD: Duration = Duration::from_millis(50);

enum Message<T> {
    Progress(usize, usize),
    Done(T),
}

/// What work is given: whether to go on, and where to say how far it is.
pub(crate) struct Job<T> {
    stop: Arc<AtomicBool>,
    sender: Sender<Message<T>>,
    reported: Option<Instant>,
}

impl<T> Job<T> {
    /// Whether nobody waits for the result any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// True once nobody waits for the result any more.
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(crate) fn progress(&mut self, done: usize, total: usize) {
        let due = self.reported.is_none_or(|at| at.elapsed() >= PERIOD);
        if due || done == total {
            self.reported = Some(Instant::now());
            // Nobody listens after an interrupt.
            let _ = self.sender.send(Message::Progress(done, total));
        }
    }

    /// The same set, of which no image can be read once the work is to end.
    pub(crate) fn stoppable(&self, set: &Arc<dyn DataSet>) -> Box<dyn DataSet> {
        Box::new(Stoppable {
            set: Arc::clone(set),
            stop: Arc::clone(&self.stop),
        })
    }
}

/// Does `work` on a thread of its own, while this one waits for signals and calls `progress` with
/// the numbers of images done and in all. An interrupt, or an exception of `progress`, ends the
/// wait at once; the work ends with its current batch.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&mut Job<T>) -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let mut job = Job {
        stop: Arc::clone(&stop),
        sender: sender.clone(),
        reported: None,
    };
    let run = move || {
        let done = work(&mut job);
        let _ = sender.send(Message::Done(done));
    };
    let spawned = thread::Builder::new().name("odin".to_string()).spawn(run);
    spawned.map_err(|e| failed(format!("no thread can be started: {e}")))?;
    // A receiver is for one thread at a time, which the borrow is.
    let mut receiver = receiver;
    let mut wait = || match py.detach(|| receive(&mut receiver)) {
        Ok(Message::Done(done)) => Ok(Some(done)),
        Ok(Message::Progress(done, total)) => {
            if let Some(progress) = progress {
                progress.call1((done, total))?;
            }
            Ok(None)
        }
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(failed("the engine stopped without a result")),
    };
    loop {
        match py.check_signals().and_then(|()| wait()) {
            Ok(None) => {}
            Ok(Some(done)) => return Ok(done),
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
    }
}

/// As [`interruptible`] for `images` images; a single one is scored by this thread, without the cost
/// of another: its work is short.
pub(crate) fn interruptible_unless_short<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    images: usize,
    work: impl FnOnce(&mut Job<T>) -> T + Send + 'static,
) -> PyResult<T> {
    if images > 1 || progress.is_some() {
        return interruptible(py, progress, work);
    }
    let (sender, _) = channel();
    let mut job = Job {
        stop: Arc::default(),
        sender,
        reported: None,
    };
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(|| work(&mut job))));
    py.check_signals()?;
    done.map_err(|_| failed("the engine stopped without a result"))
}

fn receive<T>(receiver: &mut Receiver<T>) -> Result<T, RecvTimeoutError> {
    receiver.recv_timeout(PERIOD)
}

struct Stoppable {
    set: Arc<dyn DataSet>,
    stop: Arc<AtomicBool>,
}

impl DataSet for Stoppable {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.set.class_names()
    }

    fn sample_name(&self, i: usize) -> String {
        self.set.sample_name(i)
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.set.label(i)
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        self.set.size(i)
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::from(io::ErrorKind::Interrupted).into()),
            false => self.set.get(i),
        }
    }

    fn notes(&self) -> &[String] {
        self.set.notes()
    }
}
