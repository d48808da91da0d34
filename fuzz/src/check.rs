//! What must hold of whatever a reader accepts.

use odin::DetectorRecord;
use odin_data::{DataSet, Error, Image};
use odin_formats::onnx::{self, ReadOptions};
use odin_formats::{Checkpoint, zoo};
use odin_graph::passes::fold_batch_norm;

/// The most images of a set that are read.
const MAX_IMAGES: usize = 4;

/// Reads a checkpoint and builds the network that it holds.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes, "fuzzed") else {
        return;
    };
    assert!(
        checkpoint.tensors().len() > 0,
        "a checkpoint without weights"
    );
    for (name, tensor) in checkpoint.tensors() {
        let count: usize = tensor.shape().iter().product();
        assert_eq!(count, tensor.data().len(), "{name}");
        assert!(tensor.data().iter().all(|v| v.is_finite()), "{name}");
    }
    network(&checkpoint, None);
}

/// Builds the network of a checkpoint, and ODIN around it.
pub fn network(checkpoint: &Checkpoint, image_shape: Option<[usize; 3]>) {
    let Ok(model) = zoo::build(checkpoint, image_shape) else {
        return;
    };
    odin_graph::verify(&model.graph).expect("the zoo builds sound graphs");
    let folded = fold_batch_norm(&model.graph).expect("batch norms of the zoo fold");
    odin_graph::odin::transform(&folded, 1).expect("the zoo builds classifiers");
}

/// Reads an ONNX file, as a classifier and as any graph, and builds ODIN around the classifier.
pub fn onnx(bytes: &[u8]) {
    let Ok(file) = onnx::File::parse(bytes.to_vec(), "fuzzed", None) else {
        return;
    };
    if let Ok(model) = file.classifier(&ReadOptions::default()) {
        odin_graph::verify(&model.graph).expect("the reader builds sound graphs");
        if let Ok(detector) = odin_graph::odin::transform(&model.graph, 1) {
            odin_graph::verify(&detector).expect("ODIN is a sound graph");
        }
    }
    if let Ok(graph) = file.graph() {
        odin_graph::verify(&graph).expect("the reader builds sound graphs");
    }
}

/// Reads a `detector.toml`, and what is written of it.
pub fn saved_detector(text: &str) {
    let detector = match DetectorRecord::from_toml(text) {
        Ok(detector) => detector,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let deciding = detector
        .deciding()
        .expect("a detector that is read has a score");
    for score in [deciding.threshold, f64::MIN, f64::MAX, f64::NAN] {
        let judged = deciding.decide(score, 0);
        assert!((0.0..=100.0).contains(&judged.percentile), "{judged:?}");
        assert!(judged.p_value > 0.0 && judged.p_value <= 1.0, "{judged:?}");
    }
    let written = detector.to_toml();
    let again = DetectorRecord::from_toml(&written).expect("what is written can be read");
    // Of rates that are no numbers `==` says nothing.
    assert_eq!(again.to_toml(), written);
}

/// Reads the first images and the last one of a set.
pub fn data_set(set: Result<Box<dyn DataSet>, Error>) {
    let set = match set {
        Ok(set) => set,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!set.is_empty());
    let classes = set.class_names().map(<[String]>::len);
    for i in (0..set.len().min(MAX_IMAGES)).chain([set.len() - 1]) {
        let Ok(sample) = set.get(i) else { continue };
        assert_eq!(sample.name, set.sample_name(i));
        if let (Some(label), Some(classes)) = (sample.label, classes) {
            assert!(label < classes, "label {label} of {classes} classes");
        }
        fields(&sample.image);
    }
    assert!(set.get(set.len()).is_err());
    assert_eq!(set.sample_name(set.len()), "");
}

/// The fields agree with each other and the values lie in [0, 1].
pub fn image(image: &Image) {
    fields(image);
    assert!(image.pixels.iter().all(|v| (0.0..=1.0).contains(v)));
}

/// The fields agree with each other, and the values, which may be measurements, are numbers.
fn fields(image: &Image) {
    let count = image.channels * image.height * image.width;
    assert_eq!(image.pixels.len(), count);
    assert!(image.pixels.iter().all(|v| v.is_finite()));
}
