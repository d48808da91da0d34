//! Numbers that may be symbolic in the batch size, and arithmetic on them.

use odin_graph::Dim;

/// A number that is fixed, proportional to the batch size (`value · N`, as extents of batch axes
/// are), or affine in the index of the image (`value + slope · n` for the n-th).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) per_image: bool,
    pub(super) slope: f64,
}

impl Number {
    pub(super) fn fixed(value: f64) -> Self {
        Self {
            value,
            per_image: false,
            slope: 0.0,
        }
    }

    pub(super) fn truth(holds: bool) -> Self {
        Self::fixed(f64::from(holds))
    }

    /// `0, 1, 2, ...` along the batch axis: the number of the image.
    pub(super) fn of_image() -> Self {
        Self {
            slope: 1.0,
            ..Self::fixed(0.0)
        }
    }

    /// Whether it is the same for every batch and image.
    pub(super) fn is_fixed(self) -> bool {
        !self.per_image && self.slope == 0.0
    }

    /// Whether it is a truth value that holds.
    pub(super) fn holds(self) -> bool {
        self.value != 0.0
    }
}

impl From<Dim> for Number {
    fn from(dim: Dim) -> Self {
        Self {
            per_image: dim.fixed().is_none(),
            ..Self::fixed(dim.at(1) as f64)
        }
    }
}

/// The same value, for each image where one of the operands is.
fn of_batch(a: Number, b: Number, value: f64) -> Number {
    Number {
        per_image: a.per_image || b.per_image,
        ..Number::fixed(value)
    }
}

fn one_grows(a: Number, b: Number) -> bool {
    a.per_image != b.per_image
}

/// What a sum or a difference of numbers along the images is.
fn along_images(a: Number, b: Number, value: f64, slope: f64) -> Option<Number> {
    (!a.per_image && !b.per_image).then_some(Number {
        slope,
        ..Number::fixed(value)
    })
}

fn grows_along(a: Number, b: Number) -> bool {
    a.slope != 0.0 || b.slope != 0.0
}

/// Arithmetic; `None` where the result depends on the batch size in another way.
impl Number {
    pub(super) fn add(self, b: Self) -> Option<Self> {
        let value = self.value + b.value;
        if grows_along(self, b) {
            return along_images(self, b, value, self.slope + b.slope);
        }
        match one_grows(self, b) {
            false => Some(of_batch(self, b, value)),
            true if self.value == 0.0 => Some(b),
            true => (b.value == 0.0).then_some(self),
        }
    }

    pub(super) fn sub(self, b: Self) -> Option<Self> {
        let value = self.value - b.value;
        if grows_along(self, b) {
            return along_images(self, b, value, self.slope - b.slope);
        }
        match one_grows(self, b) {
            false => Some(of_batch(self, b, value)),
            true => (b.value == 0.0).then_some(self),
        }
    }

    pub(super) fn mul(self, b: Self) -> Option<Self> {
        let value = self.value * b.value;
        if grows_along(self, b) {
            let slope = match (self.is_fixed(), b.is_fixed()) {
                (_, true) => self.slope * b.value,
                (true, _) => self.value * b.slope,
                _ => return None,
            };
            return along_images(self, b, value, slope);
        }
        let allowed = !(self.per_image && b.per_image);
        allowed.then(|| of_batch(self, b, value))
    }

    /// Integer division truncates.
    pub(super) fn div(self, b: Self, ints: bool) -> Option<Self> {
        if grows_along(self, b) || (ints && b.value == 0.0) {
            return None;
        }
        let quotient = self.value / b.value;
        let quotient = if ints { quotient.trunc() } else { quotient };
        let exact = quotient * b.value == self.value;
        match (self.per_image, b.per_image) {
            (true, true) => exact.then_some(Self::fixed(quotient)),
            (true, false) => exact.then(|| of_batch(self, b, quotient)),
            (false, true) => None,
            (false, false) => Some(Self::fixed(quotient)),
        }
    }

    pub(super) fn max(self, b: Self) -> Option<Self> {
        let allowed = !grows_along(self, b) && !one_grows(self, b);
        allowed.then(|| of_batch(self, b, self.value.max(b.value)))
    }

    pub(super) fn min(self, b: Self) -> Option<Self> {
        let allowed = !grows_along(self, b) && !one_grows(self, b);
        allowed.then(|| of_batch(self, b, self.value.min(b.value)))
    }

    /// A function of two numbers that are both the same for every batch.
    pub(super) fn with(self, b: Self, f: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let fixed = self.is_fixed() && b.is_fixed();
        fixed.then(|| Self::fixed(f(self.value, b.value)))
    }

    /// Whether two numbers are equal. One that grows with the batch equals no fixed one.
    pub(super) fn equals(self, b: Self) -> Option<bool> {
        let equal = !one_grows(self, b) && self.value == b.value;
        (!grows_along(self, b)).then_some(equal)
    }

    /// Whether an order holds of two numbers. One that grows with the batch exceeds the fixed ones
    /// below its value for a single image.
    pub(super) fn compare(self, b: Self, order: fn(&f64, &f64) -> bool) -> Option<bool> {
        if grows_along(self, b) {
            return None;
        }
        match (self.per_image, b.per_image) {
            (true, false) if b.value < self.value => Some(order(&1.0, &0.0)),
            (false, true) if self.value < b.value => Some(order(&0.0, &1.0)),
            _ => (!one_grows(self, b)).then(|| order(&self.value, &b.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a number is for image `i` of a batch of `n`.
    fn at(number: Number, n: f64, i: f64) -> f64 {
        let scale = if number.per_image { n } else { 1.0 };
        number.value * scale + number.slope * i
    }

    fn number() -> impl Strategy<Value = Number> {
        let kinds = prop::sample::select(vec![(false, 0.0), (true, 0.0), (false, 2.0)]);
        (0..6_i32, kinds).prop_map(|(value, (per_image, slope))| Number {
            value: f64::from(value),
            per_image,
            slope,
        })
    }

    proptest! {
        #[test]
        fn results_hold_for_every_batch(a in number(), b in number()) {
            let int_div = |x: f64, y: f64| (x / y).trunc();
            type Case = (Option<Number>, fn(f64, f64) -> f64);
            let cases: [Case; 7] = [
                (a.add(b), |x, y| x + y),
                (a.sub(b), |x, y| x - y),
                (a.mul(b), |x, y| x * y),
                (a.div(b, true), int_div),
                (a.max(b), f64::max),
                (a.min(b), f64::min),
                (a.with(b, f64::hypot), f64::hypot),
            ];
            for (n, i) in [(1.0, 0.0), (2.0, 1.0), (3.0, 0.0), (3.0, 2.0)] {
                let (x, y) = (at(a, n, i), at(b, n, i));
                for (k, (result, f)) in cases.iter().enumerate() {
                    if let Some(result) = result {
                        prop_assert_eq!(at(*result, n, i), f(x, y), "{}", k);
                    }
                }
                if let Some(greater) = a.compare(b, f64::gt) {
                    prop_assert_eq!(greater, x > y);
                }
            }
        }

        #[test]
        fn fixed_numbers_always_have_a_result(x in -9..9_i32, y in 1..9_i32) {
            let [a, b] = [x, y].map(|v| Number::fixed(f64::from(v)));
            for result in [a.add(b), a.sub(b), a.mul(b), a.div(b, true), a.max(b), a.min(b)] {
                prop_assert!(result.is_some_and(Number::is_fixed));
            }
            prop_assert_eq!(a.equals(b), Some(x == y));
        }
    }
}
