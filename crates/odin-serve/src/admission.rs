//! Room for images and bytes: what is let in is bounded, and what finds no room is refused at once
//! instead of waiting for it.

use crate::options::Limits;
use crate::refusal::{Reason, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in units of this many, since a semaphore gives at most `u32::MAX` at once.
const UNIT: usize = 1 << 10;

/// Room for the images and bodies of all requests.
#[derive(Debug)]
pub(crate) struct Admission {
    images: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    limits: Limits,
}

/// Room that is taken until this is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let units = units(limits.buffered_bytes).min(Semaphore::MAX_PERMITS);
        Self {
            images: Arc::new(Semaphore::new(limits.queue.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(units)),
            limits,
        }
    }

    /// Images that are let in and not answered.
    pub(crate) fn queued(&self) -> usize {
        self.limits
            .queue
            .saturating_sub(self.images.available_permits())
    }

    /// Room for the images of a request.
    pub(crate) fn images(&self, count: usize, retry_after: Duration) -> Result<Room, Refusal> {
        let most = self.limits.images;
        if count > most {
            let message = format!(
                "the request has {count} images, more than the {most} that one may have; send several requests"
            );
            return Err(Refusal::new(Reason::TooLarge, message));
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.images).try_acquire_many_owned(count);
        room.map_err(|_| full("the queue of images is full", retry_after))
    }

    /// Room for a body of so many bytes.
    pub(crate) fn bytes(&self, count: usize) -> Result<Room, Refusal> {
        self.units(units(count))
    }

    /// Makes the room of a body one for so many bytes.
    pub(crate) fn grow(&self, room: &mut Room, count: usize) -> Result<(), Refusal> {
        let more = units(count).saturating_sub(room.num_permits());
        if more > 0 {
            room.merge(self.units(more)?);
        }
        Ok(())
    }

    fn units(&self, units: usize) -> Result<Room, Refusal> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.bytes).try_acquire_many_owned(units);
        room.map_err(|_| full("the memory for requests is full", Duration::from_secs(1)))
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

fn full(what: &str, retry_after: Duration) -> Refusal {
    let message = format!("{what}; try again later");
    Refusal::new(Reason::Full(retry_after), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let limits = Limits {
            queue: 4,
            images: 3,
            buffered_bytes: 2 * UNIT,
            ..Limits::default()
        };
        let admission = Admission::new(limits);
        let soon = Duration::from_secs(7);
        let reason = |result: Result<Room, Refusal>| result.unwrap_err().reason;
        assert_eq!(reason(admission.images(4, soon)), Reason::TooLarge);
        let room = admission.images(3, soon).unwrap();
        assert_eq!(admission.queued(), 3);
        assert_eq!(reason(admission.images(2, soon)), Reason::Full(soon));
        drop(room);
        assert!(admission.images(3, soon).is_ok());
        let mut room = admission.bytes(1).unwrap();
        admission.grow(&mut room, UNIT).unwrap();
        admission.grow(&mut room, UNIT + 1).unwrap();
        assert!(matches!(reason(admission.bytes(1)), Reason::Full(_)));
        drop(room);
        assert!(admission.bytes(2 * UNIT).is_ok());
    }
}
