//! Which scores a network is known not to suit, by its graph alone: networks of every family.

use crate::{fixture, noise, open};
use odin::{Detector, Method};

/// A file, the operator that its features come from if they may be negative, whether it attends.
const NETWORKS: [(&str, &str, bool); 23] = [
    ("resnet_a.safetensors", "", false),
    ("wide_resnet.safetensors", "", false),
    ("densenet_bc.safetensors", "", false),
    ("onnx/resnet.torchscript9.onnx", "", false),
    ("onnx/resnet.dynamo24.onnx", "", false),
    ("onnx/resnext.torchscript13.onnx", "", false),
    ("onnx/regnet.torchscript17.onnx", "", false),
    ("onnx/densenet.torchscript9.onnx", "", false),
    ("onnx/googlenet.torchscript9.onnx", "", false),
    ("onnx/inception_v3.torchscript13.onnx", "", false),
    ("onnx/shufflenet.torchscript9.onnx", "", false),
    ("onnx/mnasnet.torchscript11.onnx", "", false),
    // ReLU6.
    ("onnx/mobilenet_v2.torchscript9.onnx", "", false),
    // SiLU and hard swish.
    ("onnx/efficientnet.torchscript13.onnx", "Mul", false),
    ("onnx/efficientnet_v2.dynamo24.onnx", "Mul", false),
    ("onnx/mobilenet_v3.torchscript11.onnx", "Mul", false),
    ("onnx/keras_mobilenet.tf2onnx9.softmax.onnx", "Mul", false),
    // Normalisations of layers.
    ("onnx/convnext.torchscript13.onnx", "Add", false),
    ("onnx/mixer.torchscript13.fixed_batch.onnx", "Add", false),
    ("onnx/swin.dynamo18.onnx", "Add", true),
    ("onnx/swin_v2.dynamo24.onnx", "Add", true),
    ("onnx/swin_timm.torchscript17.onnx", "Add", true),
    ("onnx/keras_vit.tf2onnx18.onnx", "Add", true),
];

const RECTIFIED: [Method; 6] = [
    Method::Ash,
    Method::Scale,
    Method::Lts,
    Method::GradNorm,
    Method::AshMap,
    Method::ScaleMap,
];
const WEAK_ON_TRANSFORMERS: [Method; 2] = [Method::Energy, Method::MaxLogit];
const OTHERS: [Method; 4] = [Method::Entropy, Method::Gen, Method::Mcm, Method::RankFeat];

#[test]
fn what_the_graph_tells_is_warned_of_without_training_images() {
    for (file, operator, attends) in NETWORKS {
        let classifier = open(fixture(file));
        let methods = [&RECTIFIED[..], &WEAK_ON_TRANSFORMERS, &OTHERS].concat();
        let each = Detector::builder(&classifier).fit_each(&methods, None, |_| {});
        // Some have no feature map.
        let fitted: Vec<_> = each.unwrap().into_iter().flatten().collect();
        let of_features = fitted.iter().filter(|f| RECTIFIED.contains(&f.method()));
        assert!(of_features.count() >= 4, "{file}");
        for score in &fitted {
            let (method, found) = (score.method(), score.warnings().join(" "));
            let negative = RECTIFIED.contains(&method) && !operator.is_empty();
            let source = format!("{operator} (");
            assert_eq!(
                found.contains("may be negative") && found.contains(&source),
                negative,
                "{file}, {method}: {found}"
            );
            let weak = WEAK_ON_TRANSFORMERS.contains(&method) && attends;
            assert_eq!(
                found.contains("ViT-B/16"),
                weak,
                "{file}, {method}: {found}"
            );
            assert_eq!(found.is_empty(), !negative && !weak, "{file}, {method}");
        }
        let detector = Detector::builder(&classifier).fitted(fitted).build();
        let reasons = usize::from(!operator.is_empty()) + 2 * usize::from(attends);
        assert_eq!(detector.unwrap().warnings().len(), reasons, "{file}");
    }
}

/// What training images show is said instead of what the graph leaves open.
#[test]
fn training_images_tell_more_than_the_graph() {
    let classifier = open(fixture("onnx/efficientnet.torchscript13.onnx"));
    let images = noise(&classifier, 12);
    for (method, seen) in [(Method::Scale, true), (Method::Nci, false)] {
        let methods = [method, Method::Fdbd];
        let builder = Detector::builder(&classifier);
        let fitted = builder.fit(&methods, Some(&images), |_| {}).unwrap();
        let found = fitted[0].warnings().join(" ");
        assert_eq!(found.contains("of the features of the training"), seen);
        assert!(!found.contains("may be negative"), "{found}");
    }
}

/// Scores that a network has nothing for, or that its images do not determine, take no others with
/// them: networks of two heads, or of a last layer that is no linear one.
#[test]
fn one_score_takes_no_other_with_it() {
    const OF_LOGITS: [Method; 3] = [Method::Energy, Method::Gen, Method::KlMatching];
    const OF_FEATURES: [Method; 4] = [
        Method::Mahalanobis,
        Method::Gmm,
        Method::Knn,
        Method::GradNorm,
    ];
    for (file, has_features) in [
        ("onnx/deit.torchscript14.onnx", false),
        ("onnx/squeezenet.torchscript11.onnx", false),
        ("onnx/vit.torchscript17.onnx", true),
        ("onnx/resnet.torchscript9.onnx", true),
    ] {
        let classifier = open(fixture(file));
        let images = noise(&classifier, 12);
        let builder = Detector::builder(&classifier);
        let each = builder
            .clone()
            .fit_each(&Method::ALL, Some(&images), |_| {});
        let each = each.unwrap();
        let outcome = |method: Method| {
            let place = Method::ALL.iter().position(|m| *m == method).unwrap();
            each[place].as_ref().map(|fitted| fitted.method())
        };
        for method in OF_LOGITS {
            assert_eq!(outcome(method).ok(), Some(method), "{file}");
        }
        for method in OF_FEATURES {
            match outcome(method) {
                Ok(fitted) => assert!(has_features && fitted == method, "{file}"),
                Err(error) => {
                    let reason = error.to_string();
                    assert!(!has_features, "{file}: {reason}");
                    assert!(reason.contains("cannot be computed"), "{file}: {reason}");
                }
            }
        }
        // Noise has no labels.
        let reason = outcome(Method::TemperatureScaling).unwrap_err().to_string();
        assert!(
            reason.contains("the labels of the training images"),
            "{reason}"
        );
        let summary = builder.clone().summarize(&OF_LOGITS, &images, |_| {});
        let others = builder.fit_summary_each(&Method::ALL, &summary.unwrap());
        let fitted = others.unwrap().into_iter().flatten().map(|f| f.method());
        let fitted: Vec<Method> = fitted.collect();
        assert!(
            OF_LOGITS.iter().all(|method| fitted.contains(method)),
            "{file}: {fitted:?}"
        );
    }
}
