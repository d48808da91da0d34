//! Scores of distances between features.

use super::terms::{Term, Terms};
use crate::{Error, ErrorKind};
use odin_graph::op::{ReduceKind, Unary};
use odin_graph::{Shape, Tensor, ValueId, odin};

/// The tensor of the mean of the training features.
const MEAN: &str = "features.mean";
/// Shorter features are divided by this.
const LEAST_NORM: f64 = 1e-12;
/// Features nearer than this to the mean count as so far in fDBD.
const LEAST_DISTANCE: f64 = 1e-8;
/// fDBD compares the weights of each class with those of each other.
const MAX_FDBD_CLASSES: usize = 2048;

/// What Mahalanobis distances are of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Space {
    /// The features.
    Plain,
    /// The features divided by their norm.
    Unit,
}

impl Space {
    fn name(self, tensor: &str) -> String {
        match self {
            Self::Plain => tensor.to_string(),
            Self::Unit => format!("unit.{tensor}"),
        }
    }

    fn centred(self, t: &mut Terms<'_>) -> Term {
        match self {
            Self::Plain => t.centred(MEAN),
            Self::Unit => {
                let (unit, mean) = (unit(t)?, t.tensor("unit.mean")?);
                let mean = t.g.constant(mean)?;
                Ok(t.g.sub(unit, mean)?)
            }
        }
    }
}

/// The negated squared distance of whitened features to the nearest mean of a class.
pub(super) fn mahalanobis(t: &mut Terms<'_>, space: Space) -> Term {
    let whitened = whitened(t, space, "within.inverse_root")?;
    let means = t.tensor(&space.name("within.whitened_means"))?;
    let nearest = nearest_row(t, whitened, means)?;
    let difference = t.g.sub(whitened, nearest)?;
    let squared = t.squared_norm(difference)?;
    t.negative(squared)
}

pub(super) fn relative_mahalanobis(t: &mut Terms<'_>, space: Space) -> Term {
    let of_class = mahalanobis(t, space)?;
    let whitened = whitened(t, space, "total.inverse_root")?;
    let of_all = t.squared_norm(whitened)?;
    Ok(t.g.add_values(of_class, of_all)?)
}

fn whitened(t: &mut Terms<'_>, space: Space, inverse_root: &str) -> Term {
    let centred = space.centred(t)?;
    let inverse_root = t.tensor(&space.name(inverse_root))?;
    t.product(centred, inverse_root)
}

/// `log Σ exp (o_c - ‖R_c (h - μ_c)‖² / 2)` over classes.
pub(super) fn gmm(t: &mut Terms<'_>) -> Term {
    let (means, roots) = (t.tensor("gmm.means")?, t.tensor("gmm.inverse_roots")?);
    let (classes, width) = (means.shape()[0], means.shape()[1].max(1));
    let centre = mean_of_rows(&means);
    let whitened_means = whitened_about(&centre, &means, &roots);
    let [features, centre] = [t.features()?, t.g.constant(Tensor::vector(centre))?];
    let centred = t.g.sub(features, centre)?;
    let whitened = t.product(centred, roots)?;
    let whitened_means = t.g.constant(Tensor::vector(whitened_means))?;
    let whitened = t.g.sub(whitened, whitened_means)?;
    let of_classes = t.g.reshape(whitened, Shape::batched(&[classes, width]))?;
    let squares = t.g.mul(of_classes, of_classes)?;
    let squared = t.g.reduce(squares, ReduceKind::Sum, vec![2], true)?;
    // OpenVINO 2026.4 computes wrongly what it fuses to a sum: a reshape lies between.
    let squared = t.g.reshape(squared, Shape::batched(&[classes]))?;
    let half = t.times(squared, 0.5)?;
    let offsets = t.tensor("gmm.offsets")?;
    let offsets = t.g.constant(offsets)?;
    let logarithms = t.g.sub(offsets, half)?;
    t.energy(logarithms)
}

fn mean_of_rows(rows: &Tensor) -> Vec<f32> {
    let (count, width) = (rows.shape()[0], rows.shape()[1].max(1));
    let mut sums = vec![0.0; width];
    for row in rows.data().chunks_exact(width) {
        sums.iter_mut()
            .zip(row)
            .for_each(|(s, &v)| *s += f64::from(v));
    }
    sums.iter().map(|sum| (sum / count as f64) as f32).collect()
}

/// `R_c (μ_c - centre)` of each class, one after another.
fn whitened_about(centre: &[f32], means: &Tensor, roots: &Tensor) -> Vec<f32> {
    let width = centre.len();
    let roots = roots.data().chunks_exact(width * width);
    let of_class = |(mean, root): (&[f32], &[f32])| -> Vec<f32> {
        let about = mean.iter().zip(centre);
        let about: Vec<f64> = about.map(|(&m, &c)| f64::from(m) - f64::from(c)).collect();
        let row = |row: &[f32]| {
            let products = row.iter().zip(&about).map(|(&r, a)| f64::from(r) * a);
            products.sum::<f64>() as f32
        };
        root.chunks_exact(width).map(row).collect()
    };
    means
        .data()
        .chunks_exact(width)
        .zip(roots)
        .flat_map(of_class)
        .collect()
}

/// `h / ‖h‖`.
fn unit(t: &mut Terms<'_>) -> Term {
    let features = t.features()?;
    let norm = t.norm(features)?;
    let norm = t.at_least(norm, LEAST_NORM)?;
    let norm = t.column(norm)?;
    Ok(t.g.div(features, norm)?)
}

/// The row of a matrix that is nearest to each x. It is found by products, in which distances
/// cancel, so that the distance itself is to be computed from the difference.
fn nearest_row(t: &mut Terms<'_>, x: ValueId, rows: Tensor) -> Term {
    let closeness = closeness(t, x, &rows)?;
    let nearest = t.index_of_largest(closeness)?;
    t.rows_at(rows, nearest)
}

/// `x·r - ‖r‖² / 2` for each row r: the larger, the nearer.
fn closeness(t: &mut Terms<'_>, x: ValueId, rows: &Tensor) -> Term {
    let half_norm = |row: &[f32]| {
        let squares = row.iter().map(|&v| f64::from(v) * f64::from(v));
        (0.5 * squares.sum::<f64>()) as f32
    };
    let width = rows.shape()[1].max(1);
    let half_norms: Vec<f32> = rows.data().chunks_exact(width).map(half_norm).collect();
    let products = t.product(x, rows.clone())?;
    let half_norms = t.g.constant(Tensor::vector(half_norms))?;
    Ok(t.g.sub(products, half_norms)?)
}

/// The negated distance of `h / ‖h‖` to its k-th nearest row of the bank:
/// `√(‖x‖² - 2 (x·r - ‖r‖² / 2))`.
pub(super) fn knn(t: &mut Terms<'_>) -> Term {
    let (bank, k) = (t.tensor("knn.bank")?, t.number("knn.k")? as usize);
    let unit = unit(t)?;
    let closeness = closeness(t, unit, &bank)?;
    let nearest = t.g.top_k(closeness, 1, k)?;
    let kth = t.entry(nearest, k - 1)?;
    let kth = t.sum(kth)?;
    let twice = t.times(kth, 2.0)?;
    let own = t.squared_norm(unit)?;
    let squared = t.g.sub(own, twice)?;
    let squared = t.at_least(squared, 0.0)?;
    let distance = t.g.unary(Unary::Sqrt, squared)?;
    t.negative(distance)
}

/// The mean of the k largest products of `h / ‖h‖` with rows of the bank, times the energy.
pub(super) fn nn_guide(t: &mut Terms<'_>) -> Term {
    let (bank, k) = (t.tensor("nn-guide.bank")?, t.number("nn-guide.k")? as usize);
    let unit = unit(t)?;
    let products = t.product(unit, bank)?;
    let nearest = t.g.top_k(products, 1, k)?;
    let guidance = t.g.reduce(nearest, ReduceKind::Mean, vec![1], false)?;
    let logits = t.logits();
    let energy = t.energy(logits)?;
    Ok(t.g.mul(guidance, energy)?)
}

/// `h · s_ŷ`.
pub(super) fn she(t: &mut Terms<'_>) -> Term {
    let (features, patterns) = (t.features()?, t.tensor("she.patterns")?);
    let pattern = t.of_prediction(patterns)?;
    let products = t.g.mul(features, pattern)?;
    t.sum(products)
}

/// `log Σ exp z - α ‖R (h - o)‖`.
pub(super) fn vim(t: &mut Terms<'_>) -> Term {
    let (residual, alpha) = (t.tensor("vim.residual")?, t.number("vim.alpha")?);
    let centred = t.centred("vim.origin")?;
    let residual = t.product(centred, residual)?;
    let norm = t.norm(residual)?;
    let virtual_logit = t.times(norm, alpha)?;
    let logits = t.logits();
    let energy = t.energy(logits)?;
    Ok(t.g.sub(energy, virtual_logit)?)
}

/// `Σ (z_ŷ - z_c) / ‖w_ŷ - w_c‖`, divided by the number of boundaries and by `‖h - μ‖`.
pub(super) fn fdbd(t: &mut Terms<'_>) -> Term {
    let (logits, weight) = (t.logits(), &t.head()?.weight);
    let factors = boundary_factors(weight)?;
    let factors = t.of_prediction(factors)?;
    let max = t.largest(logits)?;
    let max = t.column(max)?;
    let gaps = t.g.sub(max, logits)?;
    let distances = t.g.mul(gaps, factors)?;
    let sum = t.sum(distances)?;
    let centred = t.centred(MEAN)?;
    let to_mean = t.norm(centred)?;
    let to_mean = t.at_least(to_mean, LEAST_DISTANCE)?;
    Ok(t.g.div(sum, to_mean)?)
}

/// For each class, `1 / ‖w - w_c‖` divided by the number of classes that have other weights; 0 for
/// those of the same.
fn boundary_factors(weight: &Tensor) -> Result<Tensor, Error> {
    let (classes, width) = (weight.shape()[0], weight.shape()[1].max(1));
    if classes > MAX_FDBD_CLASSES {
        return Err(Error::new(
            ErrorKind::Scores,
            format!(
                "the score fdbd of {classes} classes cannot be compiled, its table of distances would have {classes} x {classes} numbers; up to {MAX_FDBD_CLASSES} classes can be"
            ),
        ));
    }
    let rows = || weight.data().chunks_exact(width);
    let distance = |a: &[f32], b: &[f32]| {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let mut factors = Vec::with_capacity(classes * classes);
    for own in rows() {
        let distances: Vec<f64> = rows().map(|other| distance(own, other)).collect();
        let boundaries = distances.iter().filter(|&&d| d > 0.0).count().max(1) as f64;
        let factor = |d: f64| if d > 0.0 { 1.0 / (d * boundaries) } else { 0.0 };
        factors.extend(distances.into_iter().map(|d| factor(d) as f32));
    }
    Ok(Tensor::new(vec![classes, classes], factors)?)
}

/// `w_ŷ · (h - μ) / ‖h - μ‖ + α ‖h‖₁`.
pub(super) fn nci(t: &mut Terms<'_>) -> Term {
    let (weight, alpha) = (t.head()?.weight.clone(), t.number("nci.alpha")?);
    let weight = t.of_prediction(weight)?;
    let centred = t.centred(MEAN)?;
    let products = t.g.mul(weight, centred)?;
    let along = t.sum(products)?;
    let norm = t.norm(centred)?;
    let norm = t.at_least(norm, f64::from(f32::MIN_POSITIVE))?;
    let proximity = t.g.div(along, norm)?;
    let features = t.features()?;
    let size = t.l1_norm(features)?;
    let size = t.times(size, alpha)?;
    Ok(t.g.add_values(proximity, size)?)
}

/// `max softmax(cos / τ)` of the cosines between h and the rows of W; 0 where one has no length.
pub(super) fn mcm(t: &mut Terms<'_>) -> Term {
    let temperature = t.number("mcm.temperature")?;
    let (logits, head) = (t.logits(), t.head()?);
    let width = head.weight.shape()[1].max(1);
    let inverse_length = |row: &[f32]| {
        let squares = row.iter().map(|&w| f64::from(w) * f64::from(w));
        match squares.sum::<f64>().sqrt() {
            length if length > 0.0 => (1.0 / length) as f32,
            _ => 0.0,
        }
    };
    let rows = head.weight.data().chunks_exact(width);
    let inverse_lengths: Vec<f32> = rows.map(inverse_length).collect();
    let bias = t.g.constant(head.bias.clone())?;
    let inverse_lengths = t.g.constant(Tensor::vector(inverse_lengths))?;
    let products = t.g.sub(logits, bias)?;
    let along = t.g.mul(products, inverse_lengths)?;
    let features = t.features()?;
    let length = t.norm(features)?;
    let length = t.at_least(length, f64::from(f32::MIN_POSITIVE))?;
    let length = t.column(length)?;
    let cosines = t.g.div(along, length)?;
    Ok(odin::max_softmax(t.g, cosines, temperature as f32)?)
}
