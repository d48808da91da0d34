//! Work on two threads.

use std::panic::resume_unwind;
use std::thread;

/// Elements below which starting a thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;

/// The results of both, of which one is computed on another thread where there are `elements`
/// enough. The results do not depend on it.
pub(crate) fn both<A: Send, B>(
    elements: usize,
    first: impl Fn() -> A + Sync,
    second: impl FnOnce() -> B,
) -> (A, B) {
    if elements < WORTH_A_THREAD {
        return (first(), second());
    }
    thread::scope(
        |scope| match thread::Builder::new().spawn_scoped(scope, &first) {
            Ok(other) => {
                let second = second();
                (
                    other.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    second,
                )
            }
            // Without a second thread this one does both.
            Err(_) => (first(), second()),
        },
    )
}
