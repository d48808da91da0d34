//! Sets whose images are in memory: arrays that something else holds, and decoded images.

use std::sync::Arc;

use super::array::{self, Array, Element, Endian};
use super::origin::Origin;
use super::{DataSet, OpenOptions, Sample};
use crate::archive::{Blob, SharedBytes};
use crate::error::{Error, ErrorKind};
use crate::image::{Image, MAX_PIXELS};
use odin_error::counted;

/// The type of the values of an array in memory, in the byte order of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArrayElement {
    /// Levels from 0 to 255.
    U8,
    /// Real numbers from 0 to 1, or measurements.
    F32,
    /// The same, rounded to `f32`.
    F64,
}

impl ArrayElement {
    fn element(self) -> Element {
        let endian = match cfg!(target_endian = "big") {
            true => Endian::Big,
            false => Endian::Little,
        };
        match self {
            Self::U8 => Element::U8,
            Self::F32 => Element::F32(endian),
            Self::F64 => Element::F64(endian),
        }
    }
}

/// An array of images in memory, in C order, read image by image where it lies.
///
/// ```
/// use odin_data::{ArrayElement, ArrayImages, DataSet, OpenOptions, SharedBytes};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Levels(Vec<u8>);
///
/// impl SharedBytes for Levels {
///     fn len(&self) -> u64 {
///         self.0.len() as u64
///     }
///     fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
///         buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
///         Ok(())
///     }
/// }
///
/// // Two images of 4x5 pixels, channels last.
/// let levels = Arc::new(Levels(vec![255; 2 * 4 * 5 * 3]));
/// let set = ArrayImages {
///     name: "mine".to_string(),
///     bytes: levels,
///     element: ArrayElement::U8,
///     shape: vec![2, 4, 5, 3],
///     labels: Some(vec![7, 9]),
/// }
/// .open(&OpenOptions::default())?;
/// let sample = set.get(1)?;
/// assert_eq!((sample.label, sample.image.channels, sample.image.pixels[0]), (Some(9), 3, 1.0));
/// # Ok::<(), odin_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArrayImages {
    /// The name of the set.
    pub name: String,
    /// The values.
    pub bytes: Arc<dyn SharedBytes>,
    /// Their type.
    pub element: ArrayElement,
    /// The extents; images are along the first axis.
    pub shape: Vec<usize>,
    /// The class of each image, where known.
    pub labels: Option<Vec<usize>>,
}

impl ArrayImages {
    /// The array as a set; its axes are understood as those of `.npy` files are.
    ///
    /// # Errors
    /// `Unsupported` when the shape is not one of images, `Invalid` where it fits channels in front
    /// and at the end and the options do not say which, `Malformed` when the bytes or the labels
    /// are too few or too many.
    pub fn open(self, options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
        let origin = Origin {
            title: self.name.clone(),
            name: options.name.clone().unwrap_or(self.name),
            path: None,
            labels: None,
            options,
        };
        let element = self.element.element();
        let values = self.shape.iter().try_fold(element.size() as u64, |n, &d| {
            n.checked_mul(u64::try_from(d).ok()?)
        });
        if values != Some(self.bytes.len()) {
            let problem = format!(
                "the shape {:?} does not fit {} bytes of {:?}",
                self.shape,
                self.bytes.len(),
                self.element
            );
            return Err(origin.error(ErrorKind::Malformed, problem));
        }
        let array = Array {
            blob: Arc::new(Blob::Shared(self.bytes)),
            start: 0,
            element,
            shape: self.shape,
        };
        array::open(array, self.labels, Vec::new(), &origin)
    }
}

/// Decoded images of any sizes in memory.
#[derive(Debug, Clone)]
pub struct MemoryImages {
    name: String,
    images: Vec<(Image, Option<usize>)>,
    names: Option<Vec<String>>,
}

impl MemoryImages {
    /// Images with their labels, where known. Their names are their places.
    ///
    /// # Errors
    /// `Empty` if there is none, `Invalid` if the values of one do not fit its size.
    pub fn new(
        name: impl Into<String>,
        images: Vec<(Image, Option<usize>)>,
    ) -> Result<Self, Error> {
        let name = name.into();
        if images.is_empty() {
            return Err(Error::new(
                ErrorKind::Empty,
                format!("{name}: there is no image"),
            ));
        }
        images.iter().try_for_each(|(image, _)| image.check())?;
        Ok(Self {
            name,
            images,
            names: None,
        })
    }

    /// The same with names for the images.
    ///
    /// # Errors
    /// `Invalid` if there are more or fewer names than images.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, Error> {
        if names.len() != self.images.len() {
            let names = counted(names.len(), "name");
            let images = counted(self.images.len(), "image");
            let message = format!("{}: {names} for {images}", self.name);
            return Err(Error::invalid(message));
        }
        self.names = Some(names);
        Ok(self)
    }
}

impl DataSet for MemoryImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        match (&self.names, i < self.len()) {
            (Some(names), true) => names[i].clone(),
            (None, true) => format!("{i:05}"),
            (_, false) => String::new(),
        }
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.images.get(i)?.1
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        let (image, _) = self.images.get(i)?;
        Some([image.channels, image.height, image.width])
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let (image, label) = &self.images[i];
        Ok(Sample::new(self.sample_name(i), *label, image.clone()))
    }
}

/// Encoded image files in memory, each decoded when it is read.
#[derive(Debug, Clone)]
pub struct EncodedImages {
    name: String,
    files: Vec<(String, Arc<[u8]>)>,
    channels: Option<usize>,
    max_pixels: usize,
}

impl EncodedImages {
    /// PNG, JPEG, BMP, WebP or GIF files with their names; `channels` as of [`Image::decode`].
    ///
    /// # Errors
    /// `Empty` if there is none.
    pub fn new(
        name: impl Into<String>,
        files: Vec<(String, Arc<[u8]>)>,
        channels: Option<usize>,
    ) -> Result<Self, Error> {
        let name = name.into();
        match files.is_empty() {
            false => Ok(Self {
                name,
                files,
                channels,
                max_pixels: MAX_PIXELS,
            }),
            true => Err(Error::new(
                ErrorKind::Empty,
                format!("{name}: there is no image"),
            )),
        }
    }
}

impl EncodedImages {
    /// The same, in which an image of more pixels (height times width) than this is an error.
    #[must_use]
    pub fn within(mut self, max_pixels: usize) -> Self {
        self.max_pixels = max_pixels;
        self
    }
}

impl DataSet for EncodedImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        self.files
            .get(i)
            .map_or(String::new(), |(name, _)| name.clone())
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let (name, bytes) = &self.files[i];
        let image = Image::decode_within(self.max_pixels, bytes, name, self.channels)?;
        Ok(Sample::new(name, None, image))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl SharedBytes for Bytes {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            Ok(())
        }
    }

    fn array(bytes: Vec<u8>, element: ArrayElement, shape: &[usize]) -> ArrayImages {
        ArrayImages {
            name: "array".to_string(),
            bytes: Arc::new(Bytes(bytes)),
            element,
            shape: shape.to_vec(),
            labels: None,
        }
    }

    #[test]
    fn arrays_are_read_where_they_lie() {
        let options = OpenOptions::default();
        let reals: Vec<u8> = [0.0f32, 0.25, 0.5, 1.0].map(f32::to_ne_bytes).concat();
        let set = array(reals, ArrayElement::F32, &[2, 1, 1, 2])
            .open(&options)
            .unwrap();
        assert_eq!(set.get(1).unwrap().image.pixels, [0.5, 1.0]);
        let doubles: Vec<u8> = [0.0f64, 0.75].map(f64::to_ne_bytes).concat();
        let set = array(doubles, ArrayElement::F64, &[1, 1, 2])
            .open(&options)
            .unwrap();
        assert_eq!(set.get(0).unwrap().image.pixels, [0.0, 0.75]);
    }

    #[test]
    fn shapes_and_labels_are_checked() {
        let options = OpenOptions::default();
        let cases: [(usize, &[usize], Option<usize>, &str); 6] = [
            (11, &[1, 2, 2, 3], None, "does not fit 11 bytes"),
            (12, &[usize::MAX, 2, 2, 3], None, "does not fit 12 bytes"),
            (0, &[0, 2, 2, 3], None, "holds no image"),
            (12, &[12], None, "expected [N, H, W]"),
            (27, &[1, 3, 3, 3], None, "in front and at the end"),
            (12, &[1, 2, 2, 3], Some(2), "2 labels for 1 image"),
        ];
        for (bytes, shape, labels, expected) in cases {
            let mut array = array(vec![0; bytes], ArrayElement::U8, shape);
            array.labels = labels.map(|count| vec![0; count]);
            let error = array.open(&options).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn images_in_memory_keep_their_sizes_and_names() {
        let image = |side: usize| Image::new(1, side, side, vec![0.5; side * side]).unwrap();
        let set = MemoryImages::new("mine", vec![(image(2), Some(4)), (image(3), None)]).unwrap();
        assert_eq!(
            (set.size(1), set.label(0), set.label(1)),
            (Some([1, 3, 3]), Some(4), None)
        );
        assert_eq!(set.sample_name(1), "00001");
        assert!(set.get(2).is_err());
        let error = set.clone().with_names(vec!["a".into()]).unwrap_err();
        assert!(error.to_string().contains("1 name for 2 images"));
        let names = ["a.png", "b.png"].map(String::from).to_vec();
        assert_eq!(set.with_names(names).unwrap().get(1).unwrap().name, "b.png");
        assert!(MemoryImages::new("none", Vec::new()).is_err());
    }

    #[test]
    fn encoded_images_are_decoded_when_they_are_read() {
        let grey =
            b"GIF89a\x01\0\x01\0\x80\0\0\x80\x80\x80\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let files = vec![
            ("a.gif".to_string(), Arc::from(&grey[..])),
            ("b.gif".to_string(), Arc::from(&b"GIF89a"[..])),
        ];
        let set = EncodedImages::new("files", files, Some(1)).unwrap();
        let image = set.get(0).unwrap().image;
        assert_eq!((image.channels, image.pixels), (1, vec![128.0 / 255.0]));
        assert!(set.get(1).unwrap_err().to_string().contains("b.gif"));
        let error = set.clone().within(0).get(0).unwrap_err().to_string();
        assert!(error.contains("more than the limit of 0 pixels"), "{error}");
        assert!(EncodedImages::new("none", Vec::new(), None).is_err());
    }
}
