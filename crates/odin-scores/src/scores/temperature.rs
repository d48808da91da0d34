//! Temperature scaling: the softmax at the temperature of the least negative log-likelihood.

use super::logits::{doubles, msp};
use super::{Fitting, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::numeric::max;
use crate::observation::Observation;
use crate::tensor::Writer;

const TEMPERATURE: &str = "temperature-scaling.temperature";
/// Temperatures that are looked for.
const RANGE: [f64; 2] = [1e-3, 1e3];

/// The temperature of the least negative log-likelihood.
#[derive(Debug)]
pub(super) struct Temperature {
    temperature: f64,
}

impl Temperature {
    /// The negative log-likelihood is convex in β = 1 / T, so its slope has one zero, which
    /// Newton's method finds inside a bracket that shrinks.
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        if !summary.has_labels() {
            let message = "the training images have no labels";
            return Err(Error::new(ErrorKind::Missing, message));
        }
        let rows = summary.logits();
        let [mut low, mut high] = [RANGE[1].recip(), RANGE[0].recip()];
        check_bracket(slope(&rows, low).0, slope(&rows, high).0)?;
        let mut beta = 1.0;
        for _ in 0..200 {
            let (slope, curvature) = slope(&rows, beta);
            if slope > 0.0 {
                high = beta;
            } else {
                low = beta;
            }
            let newton = beta - slope / curvature;
            let next = if low < newton && newton < high {
                newton
            } else {
                (low * high).sqrt()
            };
            let step = (next - beta).abs();
            beta = next;
            if step <= 1e-12 * beta {
                break;
            }
        }
        Ok(Self {
            temperature: beta.recip(),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let temperature = source.reader.number(TEMPERATURE)?;
        if temperature <= 0.0 {
            return Err(source.reader.wrong(TEMPERATURE, "a number above 0"));
        }
        Ok(Self { temperature })
    }
}

fn check_bracket(slope_low: f64, slope_high: f64) -> Result<(), Error> {
    let [least, greatest] = RANGE;
    let message = if slope_low >= 0.0 {
        format!(
            "the likelihood of the labels grows with T beyond {greatest}: the predictions say \
             nothing of these labels"
        )
    } else if slope_high <= 0.0 {
        format!(
            "the likelihood of the labels grows as T falls below {least}: (almost) every image is \
             classified correctly; fit to images that the network was not trained on"
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Degenerate, message))
}

/// First and second derivative with respect to β of the mean of `log Σ exp(β z) - β z_y`: the mean
/// of `E z - z_y`, and that of the variance of z, both under softmax(β z). A row has z_y, then z.
fn slope(rows: &[&[f32]], beta: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for row in rows {
        let (of_label, logits) = (row[0], &row[1..]);
        let max = max(logits);
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        for z in doubles(logits).map(|z| z - max) {
            let weight = (beta * z).exp();
            sum += weight;
            mean += weight * z;
            square += weight * z * z;
        }
        mean /= sum;
        first += mean - (f64::from(of_label) - max);
        second += square / sum - mean * mean;
    }
    let images = rows.len() as f64;
    (first / images, second / images)
}

impl Score for Temperature {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        msp(observation.logits, self.temperature)
    }

    fn save(&self, writer: &mut Writer) {
        writer.number(TEMPERATURE, self.temperature);
    }
}
