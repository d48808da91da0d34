//! Options and limits for reading the pickles of checkpoints.

use odin_untrusted::ErrorKind;
use odin_untrusted::pickle::{Options, Pickle, Python2Strings};

use crate::Error;

const OPTIONS: Options = Options {
    // Those in a checkpoint are ASCII.
    strings: Python2Strings::Latin1,
    // A checkpoint takes about twenty per tensor; some carry a training log with a number per step.
    max_values: 4_000_000,
    max_steps: 32_000_000,
};

/// The pickle at the start of `input`, which is moved past its end.
pub(super) fn read<'a>(input: &mut &'a [u8]) -> Result<Pickle<'a>, Error> {
    Pickle::read(input, OPTIONS).map_err(|e| match e.kind() {
        ErrorKind::TooLarge => {
            Error::unsupported(format!("{e}; save the model's state_dict alone"))
        }
        _ => e.into(),
    })
}
