//! The errors of this crate.

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A classifier could not be read or is of an unknown architecture.
    Classifier,
    /// A data set could not be read.
    Data,
    /// An image has not the shape that the classifier takes.
    Shape,
    /// An argument is out of its range.
    Invalid,
    /// The caller's settings for a model do not fit it.
    Options,
    /// The network gave a value that is not a number.
    NotFinite,
    /// The engine could not run the network.
    Engine,
    /// The device, or the library that it needs, is not there.
    Device,
    /// A metric is not defined for the scores.
    Metrics,
    /// A score beside ODIN cannot be fitted or restored.
    Scores,
    /// A saved detector or setting cannot be used: it is damaged, or of a newer format.
    Saved,
    /// A model is not the one that a detector or a setting was made for.
    OtherModel,
    /// A detector has a user-defined score that is not registered.
    MissingScorer,
    /// A file that is needed is not there.
    NotFound,
    /// A file could not be read or written.
    Io,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the file, image or argument, what was expected,
    /// and what to do; its source, where there is one, is the error of the part that failed.
    ErrorKind
}

macro_rules! from_error {
    ($source:ty, $kind:ident) => {
        impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Self::from_cause(ErrorKind::$kind, source)
            }
        }
    };
}

from_error!(odin_formats::Error, Classifier);
from_error!(odin_graph::Error, Classifier);
from_error!(odin_data::Error, Data);
from_error!(odin_cpu::Error, Engine);
from_error!(odin_metrics::Error, Metrics);
from_error!(odin_scores::Error, Scores);
from_error!(odin_untrusted::Error, Io);

#[cfg(feature = "gpu")]
impl From<odin_gpu::Error> for Error {
    fn from(source: odin_gpu::Error) -> Self {
        let kind = match source.kind() {
            odin_gpu::ErrorKind::Device => ErrorKind::Device,
            _ => ErrorKind::Engine,
        };
        Self::from_cause(kind, source)
    }
}

#[cfg(feature = "onnxruntime")]
impl From<odin_ort::Error> for Error {
    fn from(source: odin_ort::Error) -> Self {
        use odin_ort::ErrorKind as Source;
        let kind = match source.kind() {
            Source::Library | Source::Provider => ErrorKind::Device,
            _ => ErrorKind::Engine,
        };
        Self::from_cause(kind, source)
    }
}
