//! Images of a request as the library reads them. No name of a request is ever a path.

use crate::detectors::Served;
use crate::refusal::Refusal;
use bytes::Bytes;
use odin::Images;
use odin_data::{ArrayElement, ArrayImages, EncodedImages, SharedBytes};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Encoded files with the names that answers and errors give them.
pub(crate) fn encoded(
    served: &Served,
    files: Vec<(String, Bytes)>,
    max_pixels: usize,
) -> Result<Images, Refusal> {
    let classifier = served.detector.classifier();
    let channels = classifier.open_options().channels;
    let files = files.into_iter();
    let files = files.map(|(name, bytes)| (name, Arc::from(&bytes[..])));
    let set = EncodedImages::new("the request", files.collect(), channels).map_err(invalid)?;
    Ok(classifier.images(Box::new(set.within(max_pixels))))
}

/// An array of images in C order, its values in the byte order of the machine.
pub(crate) fn array(
    served: &Served,
    values: Bytes,
    element: ArrayElement,
    shape: Vec<usize>,
) -> Result<Images, Refusal> {
    let classifier = served.detector.classifier();
    let images = ArrayImages {
        name: "the request".to_string(),
        bytes: Arc::new(Held(values)),
        element,
        shape,
        labels: None,
    };
    let set = images.open(&classifier.open_options()).map_err(invalid)?;
    Ok(classifier.images(set))
}

fn invalid(error: odin_data::Error) -> Refusal {
    Refusal::invalid(error.to_string())
}

struct Held(Bytes);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl SharedBytes for Held {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let part = start.and_then(|start| self.0.get(start..start.checked_add(buffer.len())?));
        let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
