//! Names of scores and of a detector's outputs, as options, columns and files spell them.

use odin_scores::Method;

/// The baseline.
pub(crate) const MSP: &str = "msp";
/// ODIN.
pub(crate) const ODIN: &str = "odin";
/// i-ODIN.
pub(crate) const I_ODIN: &str = "i-odin";

/// Whether the deciding score reaches the threshold, `[N]`.
pub(crate) const IS_IN_DISTRIBUTION: &str = "is_in_distribution";
/// The percentage of the calibration's scores that are not above the deciding one, `[N]`.
pub(crate) const PERCENTILE: &str = "percentile";
/// The conformal p-value of the deciding score, `[N]`.
pub(crate) const P_VALUE: &str = "p_value";

/// All names that outputs of a compiled detector may have beside those of ODIN's graphs.
pub(crate) fn outputs() -> Vec<&'static str> {
    let own = [MSP, ODIN, I_ODIN, IS_IN_DISTRIBUTION, PERCENTILE, P_VALUE];
    let methods = Method::ALL.into_iter().map(Method::name);
    own.into_iter().chain(methods).collect()
}
