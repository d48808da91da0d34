//! Axes of plots: linear and logarithmic scales, round ticks, labels.

use super::drawable::{drawable, range};

/// An axis of a plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The quantity that it shows, with its unit.
    pub label: String,
    /// How values become places.
    pub scale: Scale,
}

/// How values become places on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scale {
    /// Equal differences are equally far.
    Linear,
    /// Equal ratios are equally far. Values that are not positive are gaps.
    Logarithmic,
}

impl Scale {
    /// Whether a value has a place.
    pub(super) fn shows(self, value: f64) -> bool {
        match self {
            Self::Linear => drawable(value),
            Self::Logarithmic => drawable(value) && value >= 1e-300,
        }
    }

    fn position(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.log10(),
        }
    }
}

/// A place on an axis with a line, and with a label if it is an important one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: Option<String>,
}

/// The part of a scale that a plot shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    scale: Scale,
    /// Ends as positions: of a logarithmic scale, decimal logarithms.
    low: f64,
    high: f64,
}

impl Span {
    /// Around the values that the scale can show, with a margin, and wide enough to have ticks.
    pub(super) fn around(scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let shown = values.into_iter().filter(|value| scale.shows(*value));
        let (low, high) = range(shown.map(|value| scale.position(value))).unwrap_or((0.0, 1.0));
        let least = match scale {
            // Below that, labels would need too many digits.
            Scale::Linear => 1e-6 * low.abs().max(high.abs()),
            Scale::Logarithmic => 1e-3,
        };
        let air = if high - low > least {
            0.03 * (high - low)
        } else {
            match scale {
                Scale::Linear if high == 0.0 => 1.0,
                Scale::Linear => 0.1 * low.abs().max(high.abs()),
                Scale::Logarithmic => 0.5,
            }
        };
        Self {
            scale,
            low: low - air,
            high: high + air,
        }
    }

    /// From one value to another on a linear scale, without a margin.
    pub(super) fn between(low: f64, high: f64) -> Self {
        let around = Self::around(Scale::Linear, [low, high]);
        match high - low > 1e-6 * low.abs().max(high.abs()) && drawable(high - low) {
            true => Self {
                low,
                high,
                ..around
            },
            false => around,
        }
    }

    /// The values at its ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        let value = |position: f64| match self.scale {
            Scale::Linear => position,
            Scale::Logarithmic => 10_f64.powf(position),
        };
        (value(self.low), value(self.high))
    }

    /// The place of a value that the scale shows: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        (self.scale.position(value) - self.low) / (self.high - self.low)
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => labelled(round_values(self.low, self.high, 7)),
            Scale::Logarithmic => self.logarithmic_ticks(),
        }
    }

    /// Powers of ten with labels, and their multiples without; where there are too few powers,
    /// multiples with labels.
    fn logarithmic_ticks(&self) -> Vec<Tick> {
        let inside = |value: &f64| (self.low..=self.high).contains(&value.log10());
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let multiples = |factors: &'static [f64]| {
            decades
                .clone()
                .flat_map(move |decade| factors.iter().map(move |f| f * 10_f64.powi(decade)))
                .filter(inside)
                .collect::<Vec<f64>>()
        };
        let powers = multiples(&[1.0]);
        if powers.len() > 8 {
            let step = powers.len().div_ceil(8);
            return powers.into_iter().step_by(step).map(Tick::new).collect();
        }
        if powers.len() >= 3 {
            let minor = multiples(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
            let minor = minor.into_iter().map(|value| Tick { value, label: None });
            return powers.into_iter().map(Tick::new).chain(minor).collect();
        }
        let several = multiples(&[1.0, 2.0, 5.0]);
        if several.len() >= 3 {
            return several.into_iter().map(Tick::new).collect();
        }
        let (low, high) = (10_f64.powf(self.low), 10_f64.powf(self.high));
        labelled(round_values(low, high, 5))
    }
}

impl Tick {
    fn new(value: f64) -> Self {
        Self {
            value,
            label: Some(short(value)),
        }
    }
}

/// The multiples from `low` to `high` of 1, 2 or 5 times a power of ten, about `wanted` of them
/// (half to one and a half times as many), and this step.
pub(super) fn round_values(low: f64, high: f64, wanted: u32) -> (Vec<f64>, f64) {
    let rough = (high - low) / f64::from(wanted);
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|f| f * power >= 0.8 * rough);
    let step = factor.unwrap_or(10.0) * power;
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first + 1.0) as usize;
    let values = (0..count).map(|i| (first + i as f64) * step).collect();
    (values, step)
}

fn labelled((values, step): (Vec<f64>, f64)) -> Vec<Tick> {
    values
        .into_iter()
        .map(|value| Tick {
            value,
            label: Some(to_step(value, step)),
        })
        .collect()
}

/// A number to the digits that a step between neighbours needs.
pub(super) fn to_step(value: f64, step: f64) -> String {
    let digits = (-step.log10() - 1e-9).ceil();
    let text = if value.abs() < 1e7 && digits <= 7.0 {
        format!("{value:.0$}", digits.max(0.0) as usize)
    } else {
        let leading = value.abs().max(step).log10().floor();
        format!("{value:.0$e}", (leading + digits).clamp(0.0, 16.0) as usize)
    };
    match text.strip_prefix('-') {
        Some(rest) if value.abs() < 0.5 * step => rest.into(),
        _ => text,
    }
}

/// A number to six digits.
pub(super) fn short(value: f64) -> String {
    let exponential = format!("{value:.5e}");
    let rounded: f64 = exponential.parse().unwrap_or(value);
    if rounded == 0.0 {
        "0".into()
    } else if (1e-5..1e7).contains(&rounded.abs()) {
        rounded.to_string()
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, values: &[f64]) -> Vec<String> {
        let ticks = Span::around(scale, values.iter().copied()).ticks();
        ticks.into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        use Scale::{Linear, Logarithmic};
        let cases: [(Scale, &[f64], &[&str]); 13] = [
            (Linear, &[0.0, 100.0], &["0", "20", "40", "60", "80", "100"]),
            (
                Linear,
                &[0.0, 0.003],
                &[
                    "0.0000", "0.0005", "0.0010", "0.0015", "0.0020", "0.0025", "0.0030",
                ],
            ),
            (Linear, &[-1.0, 1.0], &["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
            (Linear, &[5.0, 5.0], &["4.6", "4.8", "5.0", "5.2", "5.4"]),
            (Linear, &[0.0], &["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
            (Linear, &[], &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (
                Linear,
                &[0.9999, 1.0],
                &[
                    "0.99990", "0.99992", "0.99994", "0.99996", "0.99998", "1.00000",
                ],
            ),
            (
                Linear,
                &[0.0, 1e-9],
                &["0e0", "2e-10", "4e-10", "6e-10", "8e-10", "1.0e-9"],
            ),
            (
                Linear,
                &[0.0, f64::NAN, f64::INFINITY, 10.0],
                &["0", "2", "4", "6", "8", "10"],
            ),
            (Logarithmic, &[1.0, 1000.0], &["1", "10", "100", "1000"]),
            (Logarithmic, &[0.0, -1.0, 1.0, 10.0], &["1", "2", "5", "10"]),
            (Logarithmic, &[100.0], &["50", "100", "200"]),
            (
                Logarithmic,
                &[2.0, 2.5],
                &["2.0", "2.1", "2.2", "2.3", "2.4", "2.5"],
            ),
        ];
        for (scale, values, expected) in cases {
            assert_eq!(labels(scale, values), expected, "{scale:?} {values:?}");
        }
    }

    #[test]
    fn any_span_has_a_few_ticks_inside_it() {
        let ends = [-1e300, -1e9, -3.7, -1e-200, 0.0, 1e-300, 2.5, 7e5, 1e300];
        for scale in [Scale::Linear, Scale::Logarithmic] {
            for (low, high) in ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b))) {
                let span = Span::around(scale, [low, high]);
                let ticks = span.ticks();
                let labels = ticks.iter().filter(|tick| tick.label.is_some()).count();
                assert!(
                    (2..=12).contains(&labels),
                    "{scale:?} {low} {high}: {ticks:?}"
                );
                for place in ticks.iter().map(|tick| span.place(tick.value)) {
                    assert!((-1e-9..=1.0 + 1e-9).contains(&place), "{place}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0014, "0.0014"),
            (1000.0, "1000"),
            (0.1 + 0.2, "0.3"),
            (-2.0 / 3.0, "-0.666667"),
            (1e-9, "1e-9"),
            (2.5e20, "2.5e20"),
            (-0.0, "0"),
        ] {
            assert_eq!(short(value), expected);
        }
    }
}
