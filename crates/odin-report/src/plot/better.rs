//! Whether small or large values of a metric are good.

/// Which values of a metric are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Better {
    /// Small ones, as of FPR at 95 % TPR.
    Lower,
    /// Large ones, as of AUROC.
    Higher,
}

impl Better {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Lower => "lower is better",
            Self::Higher => "higher is better",
        }
    }
}
