//! The setting of ODIN: temperature T and magnitude ε.

use crate::{Error, ErrorKind};
use std::fmt;

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
}

impl Setting {
    /// T = 1000, ε = 0.0014: what the paper uses for its networks on CIFAR-10.
    pub const PAPER: Self = Self {
        temperature: 1000.0,
        magnitude: 0.0014,
    };

    /// The setting of this temperature and this magnitude.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn new(temperature: f64, magnitude: f64) -> Result<Self, Error> {
        Self {
            temperature,
            magnitude,
        }
        .check()
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
        write!(f, "T = {}, ε = {}", self.temperature, self.magnitude)
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
}
