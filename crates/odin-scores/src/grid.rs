//! Grids of a score's parameters, of which tuning chooses one.

use crate::error::{Error, ErrorKind};
use crate::method::Method;
use crate::named::{Parameter, named, of};
use crate::parameters::Parameters;

/// More points are a typing error.
const MAX_POINTS: usize = 1000;

/// Values of a score's parameters, each with each, to choose from.
///
/// ```
/// use odin_scores::ParameterGrid;
///
/// let grid = ParameterGrid::read("ash:0.65/0.9")?;
/// assert_eq!(grid.spec(1), "ash:pruned=0.9");
/// assert_eq!(grid.points()[1].ash_pruned, 0.9);
/// assert_eq!(ParameterGrid::read("adascale-a")?.points().len(), 36);
/// # Ok::<(), odin_scores::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGrid {
    method: Method,
    /// The parameters that have values.
    names: Vec<&'static str>,
    points: Vec<Parameters>,
}

/// A parameter and the values to try.
struct Axis {
    parameter: &'static Parameter,
    values: Vec<String>,
    /// Whether they were given, and are not the published ones.
    given: bool,
}

/// What authors and benchmarks choose from, as text.
#[rustfmt::skip]
fn published(method: Method) -> &'static [(&'static str, &'static str)] {
    const GEN: &[(&str, &str)] = &[("gamma", "0.01/0.1/0.5/1/2/5/10"), ("top", "10/50/100/200/500/1000")];
    const KNN: &[(&str, &str)] = &[("k", "1/10/20/50/100/200/500/1000/3000/5000")];
    const REACT: &[(&str, &str)] = &[("quantile", "0.85/0.9/0.95/0.99")];
    const SHAPING: &[(&str, &str)] = &[("pruned", "0.65/0.7/0.75/0.8/0.85/0.9/0.95")];
    const DICE: &[(&str, &str)] = &[("pruned", "0.1/0.3/0.5/0.7/0.9/0.99")];
    const NCI: &[(&str, &str)] = &[("alpha", "0.0001/0.001/0.01/0.1")];
    const MCM: &[(&str, &str)] = &[("temperature", "0.01/1/10")];
    const ADASCALE: &[(&str, &str)] = &[
        ("pmin", "0.6/0.65/0.7/0.75/0.8/0.85/0.9/0.95"),
        ("pmax", "0.65/0.7/0.75/0.8/0.85/0.9/0.95/0.99"),
    ];
    match method {
        Method::Gen => GEN,
        Method::Knn => KNN,
        Method::React | Method::ReactMap => REACT,
        Method::Ash | Method::Scale | Method::AshMap | Method::ScaleMap => SHAPING,
        Method::Dice => DICE,
        Method::Nci => NCI,
        Method::Mcm => MCM,
        Method::AdaScaleA | Method::AdaScaleL => ADASCALE,
        _ => &[],
    }
}

impl ParameterGrid {
    /// Reads the name of a score, whose published values are taken, and values to take instead, or
    /// for other parameters: `adascale-a`, `knn:k=1/5/10`, `adascale-a:pmin=0.6:lambda=5/10`.
    ///
    /// Points whose values do not go together, such as a `pmin` above `pmax`, are left out.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] for another name; [`ErrorKind::Invalid`] for a parameter that the
    /// score does not have, a value that no point can have, a score without published values of
    /// which none are given, and more than 1,000 points.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut parts = text.split(':').map(str::trim);
        let method: Method = parts.next().unwrap_or_default().parse()?;
        let mut axes = published_axes(method);
        let mut as_published = true;
        for part in parts {
            as_published = false;
            let (parameter, values) = named(method, part)?;
            let values = values.split('/').map(|value| value.trim().to_string());
            axes.retain(|axis| axis.parameter.name != parameter.name);
            axes.push(Axis {
                parameter,
                values: values.collect(),
                given: true,
            });
        }
        if axes.is_empty() {
            return Err(without_values(method));
        }
        let mut grid = Self {
            method,
            names: axes.iter().map(|axis| axis.parameter.name).collect(),
            points: each_with_each(method, &axes)?,
        };
        if as_published {
            // OpenOOD has pairs of different percentiles only.
            let differ = |p: &Parameters| p.adascale_pmin < p.adascale_pmax;
            grid.points.retain(differ);
        }
        Ok(grid)
    }

    /// The score.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The points, the last parameter changing first.
    pub fn points(&self) -> &[Parameters] {
        &self.points
    }

    /// A point as [`Parameters::read`] reads it; the name alone for one that is not there.
    pub fn spec(&self, point: usize) -> String {
        let parameters = self.points.get(point);
        let own = of(self.method).iter();
        let own = own.filter(|parameter| self.names.contains(&parameter.name));
        let set = parameters.into_iter().flat_map(|parameters| {
            own.clone()
                .map(|p| format!(":{}={}", p.name, (p.get)(parameters)))
        });
        std::iter::once(self.method.to_string())
            .chain(set)
            .collect()
    }
}

fn published_axes(method: Method) -> Vec<Axis> {
    let named = published(method).iter().filter_map(|(name, values)| {
        let parameter = of(method).iter().find(|p| p.name == *name)?;
        let values = values.split('/').map(str::to_string);
        Some(Axis {
            parameter,
            values: values.collect(),
            given: false,
        })
    });
    named.collect()
}

fn each_with_each(method: Method, axes: &[Axis]) -> Result<Vec<Parameters>, Error> {
    let lengths = axes.iter().map(|axis| axis.values.len());
    let count = lengths.fold(1, usize::saturating_mul);
    if count > MAX_POINTS {
        return Err(invalid(format!(
            "{method}: a grid of {count} points is too large; there may be {MAX_POINTS}"
        )));
    }
    let mut points = vec![Parameters::default()];
    for axis in axes {
        let mut longer = Vec::new();
        for point in &points {
            for value in &axis.values {
                let mut point = *point;
                point.set(method, axis.parameter, value)?;
                longer.push(point);
            }
        }
        points = longer;
    }
    let sound = points.iter().filter(|point| point.check().is_ok());
    let sound: Vec<Parameters> = sound.copied().collect();
    match unused(axes, &sound, &points) {
        Some(error) => Err(error.about(format_args!("{method}"))),
        None => Ok(sound),
    }
}

/// What is wrong with a value that was given and that no sound point has.
fn unused(axes: &[Axis], sound: &[Parameters], all: &[Parameters]) -> Option<Error> {
    let given = axes.iter().filter(|axis| axis.given);
    let mut errors = given.flat_map(|axis| {
        let get = axis.parameter.get;
        all.iter().filter_map(move |point| {
            let value = get(point);
            let used = sound.iter().any(|sound| get(sound) == value);
            (!used).then(|| point.check().err())?
        })
    });
    errors.next()
}

fn without_values(method: Method) -> Error {
    let names: Vec<&str> = of(method).iter().map(|p| p.name).collect();
    invalid(match names.first() {
        None => format!("{method} has no parameters to tune"),
        Some(first) => format!(
            "{method} has no published values to choose from; give some, such as {method}:{first}=A/B/C (its parameters are {})",
            names.join(", ")
        ),
    })
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::Invalid, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_read_to_points() {
        for (text, count, first, last) in [
            (
                "adascale-a",
                36,
                "adascale-a:pmin=0.6:pmax=0.65",
                "adascale-a:pmin=0.95:pmax=0.99",
            ),
            (
                "adascale-l",
                36,
                "adascale-l:pmin=0.6:pmax=0.65",
                "adascale-l:pmin=0.95:pmax=0.99",
            ),
            (
                "adascale-a:pmin=0.8:pmax=0.85:lambda=5/10",
                2,
                "adascale-a:pmin=0.8:pmax=0.85:lambda=5",
                "adascale-a:pmin=0.8:pmax=0.85:lambda=10",
            ),
            (
                "adascale-a:pmin=0.9",
                3,
                "adascale-a:pmin=0.9:pmax=0.9",
                "adascale-a:pmin=0.9:pmax=0.99",
            ),
            ("knn", 10, "knn:k=1", "knn:k=5000"),
            ("knn: k = 5 / 7 ", 2, "knn:k=5", "knn:k=7"),
            ("knn:3/4", 2, "knn:k=3", "knn:k=4"),
            ("gen", 42, "gen:gamma=0.01:top=10", "gen:gamma=10:top=1000"),
            ("gen:top=5", 7, "gen:gamma=0.01:top=5", "gen:gamma=10:top=5"),
            (
                "vra:lower=0.5/0.95:upper=0.9/0.99",
                3,
                "vra:lower=0.5:upper=0.9",
                "vra:lower=0.95:upper=0.99",
            ),
            ("react", 4, "react:quantile=0.85", "react:quantile=0.99"),
            (
                "scale-map",
                7,
                "scale-map:pruned=0.65",
                "scale-map:pruned=0.95",
            ),
        ] {
            let grid = ParameterGrid::read(text).unwrap();
            let specs: Vec<String> = (0..grid.points().len()).map(|i| grid.spec(i)).collect();
            assert_eq!(specs.len(), count, "{text}: {specs:?}");
            assert_eq!(specs[0], first, "{text}");
            assert_eq!(specs[count - 1], last, "{text}");
            for (spec, point) in specs.iter().zip(grid.points()) {
                let mut read = Parameters::default();
                assert_eq!(read.read(spec), Ok(grid.method()));
                assert_eq!(read, *point, "{spec}");
            }
        }
    }

    #[test]
    fn every_published_grid_can_be_read() {
        for method in Method::ALL {
            let grid = ParameterGrid::read(method.name());
            assert_eq!(
                grid.is_ok(),
                !published(method).is_empty(),
                "{method}: {grid:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_grid_is_named() {
        for (text, part) in [
            ("energy", "has no parameters to tune"),
            ("vim", "vim:d=A/B/C"),
            ("vims", "vims"),
            ("ash:0.5/1.5", "below 1"),
            ("ash:pruned=0.5/many", "\"many\""),
            ("ash:0.5/", "\"\""),
            ("vra:lower=0.95:upper=0.9", "at most vra_upper"),
            ("vra:lower=0.5/0.95:upper=0.9", "at most vra_upper"),
            ("knn:n=5", "knn:k=VALUE"),
            (
                "adascale-a:lambda=1/2/3/4/5/6/7/8/9/10:o=0.1/0.2",
                "1280 points",
            ),
        ] {
            let error = ParameterGrid::read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
