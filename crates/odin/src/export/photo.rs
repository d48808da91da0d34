//! The transform of a classifier as nodes of its file, for photos of any size.

use crate::{Classifier, Error, ErrorKind, Layout};
use odin_data::{Filter, Size, Step};
use odin_formats::onnx::{Kernel, Photo, PhotoStep};

/// What a file does with photos before the network.
///
/// # Errors
/// When the network takes no pictures, or the transform is not there, is random or leaves the size
/// open; the message says what to do.
pub(super) fn photo(classifier: &Classifier) -> Result<Photo, Error> {
    let ([c, h, w], layout) = (classifier.image_shape(), classifier.layout());
    if !matches!(layout, Layout::Nchw | Layout::Nhwc) || !matches!(c, 1 | 3) {
        return Err(refused(format!(
            "the network takes {layout} of {c} channels, and photos have 1 or 3"
        )));
    }
    let transform = classifier.transform().ok_or_else(|| {
        refused(format!(
            "the model has no transform; one such as `transform = \"resize:{h}x{w}\"` in its model.toml says how photos become images of {h}x{w}"
        ))
    })?;
    let steps = transform.steps().iter().map(step);
    let steps = steps.collect::<Result<Vec<PhotoStep>, Error>>()?;
    let ends_in = match steps.last() {
        Some(PhotoStep::Resize(size, _) | PhotoStep::CentreCrop(size)) => Some(*size),
        _ => None,
    };
    match ends_in {
        Some(size) if size == [h, w] => Ok(Photo {
            steps,
            shape: [h, w, c],
        }),
        _ => Err(refused(format!(
            "the transform {} does not end in images of {h}x{w}, which the network takes, whatever the photo; end it with centre-crop:{h}x{w}",
            transform.notation()
        ))),
    }
}

fn step(step: &Step) -> Result<PhotoStep, Error> {
    Ok(match *step {
        Step::Resize { size, filter } => {
            let kernel = kernel(filter)?;
            match size {
                Size::Exact { height, width } => PhotoStep::Resize([height, width], kernel),
                Size::ShorterSide(side) => PhotoStep::ResizeShorter(side, kernel),
                _ => return Err(refused("it has a size that no operator has".to_string())),
            }
        }
        Step::CentreCrop { height, width } => PhotoStep::CentreCrop([height, width]),
        _ => {
            return Err(refused(
                "the transform crops at random places, which no operator does; take centre-crop"
                    .to_string(),
            ));
        }
    })
}

fn kernel(filter: Filter) -> Result<Kernel, Error> {
    match filter {
        Filter::Bilinear => Ok(Kernel::Bilinear),
        Filter::Bicubic => Ok(Kernel::Bicubic),
        Filter::Lanczos => Ok(Kernel::Lanczos),
        other => Err(refused(format!(
            "the filter {other} takes the pixels that sums of rounded steps lead to, which other programs do not repeat; take bilinear or bicubic, as the network was trained"
        ))),
    }
}

fn refused(reason: String) -> Error {
    let problem = format!("a file for photos of any size cannot be made: {reason}");
    Error::new(ErrorKind::Invalid, problem)
}
