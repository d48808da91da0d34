//! Scores of the feature map that a global average pooling makes the features of: the map is
//! changed, then pooled, and the last layer applied.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use super::logits::doubles;
use super::shaping::{add_column, energy, kept_features, quantile, sharpening};
use super::{Fitting, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::linalg::leading_direction;
use crate::matrix::Matrix;
use crate::numeric::{largest, log_sum_exp};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

/// The activations of a map, of so many channels.
fn channels(map: &[f32], count: usize) -> std::slice::ChunksExact<'_, f32> {
    map.chunks_exact((map.len() / count).max(1))
}

/// Clipped activations.
#[derive(Debug)]
pub(super) struct ReactMap {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
    threshold: f64,
}

const THRESHOLD: &str = "react-map.threshold";

impl ReactMap {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let levels = fitting.summary()?.map_activations();
        let share = fitting.parameters.react_map_quantile;
        let threshold = quantile(levels.count(), |rank| levels.ranked(rank), share);
        if threshold <= f64::from(levels.ranked(0)) {
            return Err(Error::new(
                ErrorKind::Degenerate,
                format!(
                    "the quantile {share} of the activations before pooling is their least, \
                     {threshold}: nothing would be left of them; give a higher quantile"
                ),
            ));
        }
        Ok(Self {
            threshold,
            columns: fitting.columns()?,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            threshold: source.reader.number(THRESHOLD)?,
            columns: source.columns()?,
        })
    }
}

impl Score for ReactMap {
    /// The pooled map is h less the mean of what is above the threshold.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let map = channels(observation.feature_map, self.columns.rows());
        let mut logits: Vec<f64> = doubles(observation.logits).collect();
        for (column, channel) in self.columns.iter_rows().zip(map) {
            let above: f64 = doubles(channel)
                .map(|x| (x - self.threshold).max(0.0))
                .sum();
            if above > 0.0 {
                add_column(&mut logits, column, -above / channel.len() as f64);
            }
        }
        energy(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.columns.columns())
    }

    fn features(&self) -> Option<usize> {
        Some(self.columns.rows())
    }

    fn save(&self, writer: &mut Writer) {
        writer.number(THRESHOLD, self.threshold);
    }
}

/// Pruned and sharpened activations.
#[derive(Debug)]
pub(super) struct AshMap {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
    bias: Vec<f32>,
    pruned: f64,
}

impl AshMap {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            columns: fitting.columns()?,
            bias: fitting.head()?.bias().to_vec(),
            pruned: fitting.parameters.ash_map_pruned,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            ash_map_pruned: source.reader.number("ash-map.pruned")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            columns: source.columns()?,
            bias: source.head()?.bias().to_vec(),
            pruned: parameters.ash_map_pruned,
        })
    }
}

impl Score for AshMap {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let map = observation.feature_map;
        let positions = map.len() / self.columns.rows();
        let mut sums = vec![0.0; self.columns.rows()];
        for i in largest(map, kept_features(map.len(), self.pruned)) {
            sums[i / positions] += f64::from(map[i]);
        }
        let factor = sharpening(doubles(map).sum(), sums.iter().sum());
        let mut logits: Vec<f64> = doubles(&self.bias).collect();
        for (column, sum) in self.columns.iter_rows().zip(sums) {
            if sum != 0.0 {
                add_column(&mut logits, column, factor * sum / positions as f64);
            }
        }
        energy(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.columns.rows())
    }

    fn save(&self, writer: &mut Writer) {
        writer.number("ash-map.pruned", self.pruned);
    }
}

/// Scaled activations.
#[derive(Debug)]
pub(super) struct ScaleMap {
    bias: Vec<f32>,
    features: usize,
    pruned: f64,
}

impl ScaleMap {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            bias: fitting.head()?.bias().to_vec(),
            features: fitting.head()?.features(),
            pruned: fitting.parameters.scale_map_pruned,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            scale_map_pruned: source.reader.number("scale-map.pruned")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            bias: source.head()?.bias().to_vec(),
            features: source.head()?.features(),
            pruned: parameters.scale_map_pruned,
        })
    }
}

impl Score for ScaleMap {
    /// Pooling is linear: `W (s h) + b = s (z - b) + b`.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let map = observation.feature_map;
        let largest = largest(map, kept_features(map.len(), self.pruned));
        let rest: f64 = largest.iter().map(|&i| f64::from(map[i])).sum();
        let factor = sharpening(doubles(map).sum(), rest);
        let logits = doubles(observation.logits).zip(doubles(&self.bias));
        log_sum_exp(logits.map(|(z, b)| factor * (z - b) + b))
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.features)
    }

    fn save(&self, writer: &mut Writer) {
        writer.number("scale-map.pruned", self.pruned);
    }
}

/// The map without the matrix of rank 1 that is nearest to it.
#[derive(Debug)]
pub(super) struct RankFeat {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
}

impl RankFeat {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            columns: fitting.columns()?,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            columns: source.columns()?,
        })
    }
}

/// The mean over positions of `σ u vᵀ`, the leading singular triplet of a map X of D channels and P
/// positions: `X v · mean v`, or `u (uᵀ mean X)`, of the smaller of the Gram matrices.
fn pooled_leading(map: &[f32], features: usize) -> Result<DVector<f64>, Error> {
    let positions = map.len() / features;
    let x = DMatrix::from_row_iterator(features, positions, doubles(map));
    if positions <= features {
        let v = leading_direction(x.tr_mul(&x))?;
        return Ok(&x * &v * v.mean());
    }
    let u = leading_direction(&x * x.transpose())?;
    let along = u.dot(&x.column_mean());
    Ok(u * along)
}

impl Score for RankFeat {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let leading = pooled_leading(observation.feature_map, self.columns.rows());
        let Ok(leading) = leading else {
            return f64::NAN;
        };
        let mut logits: Vec<f64> = doubles(observation.logits).collect();
        for (column, feature) in self.columns.iter_rows().zip(leading.iter()) {
            add_column(&mut logits, column, -feature);
        }
        energy(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.columns.columns())
    }

    fn features(&self) -> Option<usize> {
        Some(self.columns.rows())
    }
}
