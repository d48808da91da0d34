//! Scores a batch of decoded images, with a result or an error for each image.

use super::run::ImageError;
use crate::input::{InputPipeline, Reading};
use crate::{Error, ErrorKind, Images};
use odin_data::{Image, Sample};

/// The samples of the network's shape; what cannot be read is left out where the images say so.
///
/// # Errors
/// When an image cannot be read and is not left out, or has another shape.
pub(super) fn usable(
    images: &Images,
    readings: Vec<Reading>,
    input: &InputPipeline,
    skipped: &mut Vec<ImageError>,
) -> Result<Vec<Sample>, Error> {
    let mut usable = Vec::with_capacity(readings.len());
    for Reading { place, sample } in readings {
        match sample {
            Ok(sample) => {
                let about = |e: Error| e.about(format_args!("{}, {}", images.name(), sample.name));
                input.check_shape(&sample.image).map_err(about)?;
                usable.push(sample);
            }
            Err(error) if error.kind() == ErrorKind::Shape => {
                return Err(error.about(format_args!(
                    "{}, {}",
                    images.name(),
                    images.image_name(place)
                )));
            }
            Err(error) if images.skips_bad() => skipped.push(ImageError {
                name: images.image_name(place),
                error,
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(usable)
}

/// An image with its name and its label.
pub(crate) type Named<T> = (String, Option<usize>, T);

/// What `score` gives for each of the images that were read, in their order, or why it gives
/// nothing. Where `score` fails as a whole, none has anything.
pub(crate) fn each_of_batch<T>(
    images: &Images,
    readings: Vec<Reading>,
    input: &InputPipeline,
    score: impl FnOnce(&[Image]) -> Result<Vec<Result<T, Error>>, Error>,
) -> Vec<Result<Named<T>, ImageError>> {
    let mut usable = Vec::new();
    let mut known = Vec::with_capacity(readings.len());
    for Reading { place, sample } in readings {
        let sample = sample.and_then(|sample| {
            input.check_shape(&sample.image)?;
            usable.push(sample.image);
            Ok((sample.name, sample.label))
        });
        let name = || images.image_name(place);
        known.push(sample.map_err(|error| ImageError {
            name: name(),
            error,
        }));
    }
    let mut scored = score(&usable).map(Vec::into_iter);
    let of_image = known.into_iter().map(|known| {
        let (name, label) = known?;
        let scored = match &mut scored {
            Ok(scored) => scored.next().unwrap_or_else(|| {
                let problem = "the engine left out an image";
                Err(Error::new(ErrorKind::Engine, problem))
            }),
            Err(error) => Err(error.clone()),
        };
        match scored {
            Ok(scored) => Ok((name, label, scored)),
            Err(error) => Err(ImageError { name, error }),
        }
    });
    of_image.collect()
}
