//! The five metrics of the paper as one type.

/// The five metrics of the paper, one `T` for each.
///
/// `Metrics<f64>` holds the values, as fractions in `[0, 1]`; `Metrics<Interval>` their
/// confidence intervals; `Metrics<bool>` a mark for each. Positive class: in-distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics<T = f64> {
    /// Share of out-of-distribution inputs that are taken for in-distribution when 95 % of the
    /// in-distribution inputs are kept. Lower is better.
    pub fpr_at_95_tpr: T,
    /// Smallest `0.5 (1 - TPR) + 0.5 FPR` over all thresholds: the error of the best threshold
    /// when both classes are equally likely. At most 0.5; lower is better.
    pub detection_error: T,
    /// Area under the receiver operating characteristic: the probability that an
    /// in-distribution score exceeds an out-of-distribution score. Chance is 0.5.
    pub auroc: T,
    /// Area under the precision-recall curve with in-distribution as positive class.
    pub aupr_in: T,
    /// Area under the precision-recall curve with out-of-distribution as positive class and
    /// negated scores.
    pub aupr_out: T,
}

impl<T> Metrics<T> {
    /// Applies `f` to every metric.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Metrics<U> {
        Metrics::from(<[T; 5]>::from(self).map(f))
    }

    /// Every metric with its key (the field's name), in the order of the paper's tables.
    pub fn named(self) -> [(&'static str, T); 5] {
        [
            ("fpr_at_95_tpr", self.fpr_at_95_tpr),
            ("detection_error", self.detection_error),
            ("auroc", self.auroc),
            ("aupr_in", self.aupr_in),
            ("aupr_out", self.aupr_out),
        ]
    }
}

impl<T> From<[T; 5]> for Metrics<T> {
    fn from(values: [T; 5]) -> Self {
        let [fpr_at_95_tpr, detection_error, auroc, aupr_in, aupr_out] = values;
        Self {
            fpr_at_95_tpr,
            detection_error,
            auroc,
            aupr_in,
            aupr_out,
        }
    }
}

impl<T> From<Metrics<T>> for [T; 5] {
    fn from(metrics: Metrics<T>) -> Self {
        metrics.named().map(|(_, value)| value)
    }
}
