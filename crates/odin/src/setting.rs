//! The setting of ODIN: temperature T, magnitude ε, and the precision that the network computes in.

use crate::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;

/// What ODIN scores with: everything that changes a score and is not the model's own.
///
/// ```
/// use odin::Setting;
///
/// let setting = Setting::new(1000.0, 0.002)?;
/// assert_eq!(Setting::default(), Setting::new(1000.0, 0.0014)?);
/// assert!(Setting::new(-1.0, 0.002).is_err());
/// # Ok::<(), odin::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// The temperature T of both the perturbation and the score, positive.
    pub temperature: f64,
    /// The magnitude ε of the perturbation in units of the [0, 1] pixel scale, from 0.
    pub magnitude: f64,
    /// The precision of the network's products.
    pub precision: Precision,
}

/// The precision of the network's products: part of the [`Setting`], because it changes scores, if
/// little.
///
/// ```
/// use odin::{Precision, Setting};
///
/// let setting = Setting::new(1000.0, 0.0014)?.with_precision(Precision::Fast);
/// assert_eq!(setting.to_string(), "T = 1000, ε = 0.0014, fast");
/// assert_eq!(setting.precision, "fast".parse()?);
/// # Ok::<(), odin::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// `float32`: the same bits whatever the threads, the batch, and the instructions (AVX-512 or
    /// AVX2).
    #[default]
    Exact,
    /// What reaches the scores only through a sign, the direction in which ODIN moves an image, or
    /// through the predicted class, in `bfloat16`; all else to nearly `float32`. The built-in engine
    /// does so on processors on which that is faster, and computes exactly on others.
    Fast,
}

impl Precision {
    /// As options and files spell it: `exact` or `fast`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reverse of [`Display`](fmt::Display).
impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = [Self::Exact, Self::Fast];
        known
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| {
                let problem = format!("there is no precision {text:?}; it is exact or fast");
                Error::new(ErrorKind::Invalid, problem)
            })
    }
}

impl Setting {
    /// T = 1000, ε = 0.0014: what the paper uses for its networks on CIFAR-10.
    pub const PAPER: Self = Self {
        temperature: 1000.0,
        magnitude: 0.0014,
        precision: Precision::Exact,
    };

    /// The setting of this temperature and this magnitude, computed exactly.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn new(temperature: f64, magnitude: f64) -> Result<Self, Error> {
        Self {
            temperature,
            magnitude,
            precision: Precision::Exact,
        }
        .check()
    }

    /// The same in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The setting itself, if T is positive and finite as `f32`, as which the network computes
    /// with it, and ε is finite and not negative.
    ///
    /// # Errors
    /// When they are not.
    pub fn check(self) -> Result<Self, Error> {
        let (t, magnitude) = (self.temperature, self.magnitude);
        if !((t as f32).is_finite() && t as f32 > 0.0) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the temperature must be a positive number, such as 1000; it is {t}"),
            ));
        }
        if !(magnitude.is_finite() && magnitude >= 0.0) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the magnitude must be a finite number from 0; it is {magnitude}"),
            ));
        }
        Ok(self)
    }
}

impl Default for Setting {
    /// [`Setting::PAPER`].
    fn default() -> Self {
        Self::PAPER
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T = {}, ε = {}", self.temperature, self.magnitude)?;
        match self.precision {
            Precision::Exact => Ok(()),
            precision => write!(f, ", {precision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        for (t, magnitude, part) in [
            (0.0, 0.0, "temperature"),
            (f64::NAN, 0.0, "temperature"),
            (1e-60, 0.0, "temperature"),
            (1e60, 0.0, "temperature"),
            (1.0, -0.1, "magnitude"),
            (1.0, f64::INFINITY, "magnitude"),
        ] {
            let error = Setting::new(t, magnitude).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(Setting::default().to_string(), "T = 1000, ε = 0.0014");
    }

    #[test]
    fn precisions_are_read_as_they_are_written() {
        for precision in [Precision::Exact, Precision::Fast] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        for text in ["", "Fast", "f32", "bf16"] {
            let error = text.parse::<Precision>().unwrap_err().to_string();
            assert!(error.contains("exact or fast"), "{error}");
        }
    }
}
