//! Parses transforms, and formats them as text that can be parsed again.

use std::str::FromStr;

use super::Transform;
use super::steps::{Filter, Size, Step};
use crate::error::Error;

const GRAMMAR: &str = "expected steps like resize:32, resize:32x48:bicubic, centre-crop:32 or \
                       random-crop:32:7, separated by commas";

impl FromStr for Transform {
    type Err = Error;

    /// `none` and the empty text are the identity.
    fn from_str(text: &str) -> Result<Self, Error> {
        if matches!(text.trim(), "" | "none") {
            return Ok(Self::default());
        }
        let steps = text
            .split(',')
            .map(|step| parse_step(step.trim(), text))
            .collect::<Result<_, _>>()?;
        Self::new(steps)
    }
}

impl Transform {
    /// The text that is read back as this transform, such as `resize:36:bicubic,centre-crop:32x32`.
    pub fn notation(&self) -> String {
        let steps = self.steps().iter().map(|step| match step {
            Step::Resize { size, filter } => match size {
                Size::Exact { height, width } => format!("resize:{height}x{width}:{filter}"),
                Size::ShorterSide(side) => format!("resize:{side}:{filter}"),
            },
            Step::CentreCrop { height, width } => format!("centre-crop:{height}x{width}"),
            Step::RandomCrop {
                height,
                width,
                seed,
            } => format!("random-crop:{height}x{width}:{seed}"),
        });
        match self.is_identity() {
            true => "none".to_string(),
            false => steps.collect::<Vec<_>>().join(","),
        }
    }
}

fn parse_step(step: &str, text: &str) -> Result<Step, Error> {
    let wrong = || {
        let message = format!("transform {text:?}: {step:?} is not understood; {GRAMMAR}");
        Error::invalid(message)
    };
    let mut parts = step.split(':');
    let (name, size, argument) = (parts.next(), parts.next(), parts.next());
    let size = size.and_then(parse_size).ok_or_else(wrong)?;
    if parts.next().is_some() {
        return Err(wrong());
    }
    let (height, width) = match size {
        Size::Exact { height, width } => (height, width),
        Size::ShorterSide(side) => (side, side),
    };
    match (name, argument) {
        (Some("resize"), filter) => Ok(Step::Resize {
            size,
            filter: filter.map_or(Ok(Filter::Bilinear), str::parse)?,
        }),
        (Some("centre-crop" | "center-crop"), None) => Ok(Step::CentreCrop { height, width }),
        (Some("random-crop"), seed) => Ok(Step::RandomCrop {
            height,
            width,
            seed: seed.unwrap_or("0").parse().map_err(|_| wrong())?,
        }),
        _ => Err(wrong()),
    }
}

fn parse_size(text: &str) -> Option<Size> {
    Some(match text.split_once('x') {
        Some((height, width)) => Size::Exact {
            height: height.parse().ok()?,
            width: width.parse().ok()?,
        },
        None => Size::ShorterSide(text.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn transforms_say_in_words_what_they_do() {
        for (text, words) in [
            ("", "none"),
            ("none", "none"),
            ("resize:32", "resize the shorter side to 32 (bilinear)"),
            ("resize:32x48:lanczos", "resize to 32x48 (lanczos)"),
            (
                "resize:36:bicubic, center-crop:32",
                "resize the shorter side to 36 (bicubic), then crop 32x32 from the centre",
            ),
            ("random-crop:8x9:7", "crop 8x9 at a random place (seed 7)"),
        ] {
            let transform: Transform = text.parse().unwrap();
            assert_eq!(transform.to_string(), words);
            let again: Transform = transform.notation().parse().unwrap();
            assert_eq!(again, transform);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "resize",
            "resize:",
            "resize:0",
            "resize:32x",
            "resize:-3",
            "resize:32:cubic",
            "resize:99999",
            "crop:32",
            "centre-crop:32:7",
            "random-crop:32:x",
            "resize:32,,",
            "resize:32:bicubic:1",
            "resize:16384x16384",
        ] {
            let error = text.parse::<Transform>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }
}
