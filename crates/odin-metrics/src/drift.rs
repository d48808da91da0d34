//! Drift between two periods: tests of the score distribution and of the rejection rate.

use crate::error::{Error, ErrorKind};
use crate::kolmogorov_smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};
use crate::rates::{Rate, RateChange};

/// Two periods compared: whether the scores, or the share of rejected images, have changed.
///
/// The two tests complement each other. The rejection rate is what users feel, and sees only what
/// happens at the threshold; the scores may move long before an image is rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The distributions of the scores compared.
    pub scores: KolmogorovSmirnov,
    /// The rejection rates compared.
    pub rejections: RateChange,
}

/// What the tests of a [`Drift`] allow to say. What has not moved *has not been shown to move*:
/// with few images a real change may stay hidden. The intervals of [`Drift::rejections`] say how
/// large a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The scores of the two periods differ in distribution.
    pub scores_moved: bool,
    /// The rejection rates differ.
    pub rejections_moved: bool,
}

impl Drift {
    /// The level that [`verdict`](Self::verdict) is usually asked at: of periods without any
    /// change, one pair in a hundred is called moved.
    pub const LEVEL: f64 = 0.01;

    /// From the scores of two periods and the threshold below which images are rejected.
    ///
    /// # Errors
    /// [`ErrorKind::EmptyScores`], [`ErrorKind::NonFiniteScore`] or
    /// [`ErrorKind::InvalidThreshold`].
    pub fn between(before: &[f64], after: &[f64], threshold: f64) -> Result<Self, Error> {
        Ok(Self {
            scores: kolmogorov_smirnov(before, after)?,
            rejections: RateChange::between(
                Rate::rejected(before, threshold)?,
                Rate::rejected(after, threshold)?,
            ),
        })
    }

    /// What has moved, at a significance level for both tests together: when nothing has changed,
    /// the probability that either is called moved is at most `level`.
    ///
    /// By Holm's procedure (1979): the smaller p-value is compared with `level / 2`, and if it
    /// passes, the other with `level`. That holds however the two tests depend on each other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLevel`] unless `0 < level < 1`.
    pub fn verdict(&self, level: f64) -> Result<Verdict, Error> {
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::new(
                ErrorKind::InvalidLevel,
                format!("the significance level {level} is not in (0, 1); 0.01 is usual"),
            ));
        }
        let (scores, rejections) = (self.scores.p_value, self.rejections.p_value);
        let any = scores.min(rejections) <= 0.5 * level;
        Ok(Verdict {
            scores_moved: any && scores <= level,
            rejections_moved: any && rejections <= level,
        })
    }
}

impl Verdict {
    /// Whether anything has moved.
    pub fn moved(&self) -> bool {
        self.scores_moved || self.rejections_moved
    }
}
