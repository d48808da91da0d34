//! The text of an error, and hints below errors of the library, in terms of command-line options,
//! which the library does not know.

use odin::ErrorKind;
use odin_data::registry::Entry;

/// The error with its causes. Errors of the library end in what their causes say already.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// The hint for an error that the library caused, if there is one.
pub(crate) fn of(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(advice) = error.chain().find_map(of_model_file) {
        return Some(advice);
    }
    let of_library = error.chain().find_map(|cause| cause.downcast_ref());
    match of_library.map(odin::Error::kind)? {
        ErrorKind::Shape => Some(
            "Images are only resized when asked to: --transform resize:HxW; --image-size gives a checkpoint's own size, if it is another.",
        ),
        ErrorKind::NotFound => Some("--nn gives the present path of the model."),
        ErrorKind::Saved => Some(
            "`odin calibrate` writes detectors, and `odin tune -o tuned.toml` settings for its --tuned.",
        ),
        _ => None,
    }
}

/// The end of an error that an entry of the registry is not here.
pub(crate) fn of_missing(entry: &Entry) -> String {
    match entry.files.is_empty() {
        true => String::new(),
        false => format!("\n`odin fetch {}` downloads it.", entry.name),
    }
}

/// What helps with a model file that leaves something open.
fn of_model_file(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use odin_formats::ErrorKind;
    match cause.downcast_ref().map(odin_formats::Error::kind)? {
        ErrorKind::OpenShape => {
            Some("--image-size HxW gives the size of the images, or `size` in model.toml.")
        }
        ErrorKind::SeveralOutputs => Some("--output NAME takes one, or `output` in model.toml."),
        _ => None,
    }
}
