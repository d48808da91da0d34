//! Any bytes as a checkpoint.

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    crate::check::checkpoint(bytes);
}
