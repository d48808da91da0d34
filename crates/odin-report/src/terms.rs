//! The names of metrics and of the positive class in reports, and the format of rates.

/// The positive class, named in every format.
pub(crate) const POSITIVE_CLASS: &str = "in-distribution";

/// What the metrics are called, in full and over a column.
pub(crate) const LABELS: [(&str, &str); 5] = [
    ("FPR at TPR 95%", "FPR95"),
    ("Detection error", "Det. error"),
    ("AUROC", "AUROC"),
    ("AUPR In", "AUPR In"),
    ("AUPR Out", "AUPR Out"),
];

/// A score as people call it.
pub(crate) fn score_label(name: &str) -> &str {
    match name {
        "msp" => "baseline",
        "odin" => "ODIN",
        other => other,
    }
}

pub use odin_error::counted;

/// A rate.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1}%", fraction * 100.0)
}
