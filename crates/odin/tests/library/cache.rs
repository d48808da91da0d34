//! What a cache keeps is what the network gave, for that network, setting and image alone.

use crate::{demo, noise, open, refused};
use odin::{
    Classifier, Detector, DetectorBuilder, ErrorKind, Images, Method, OutputCache, Setting,
};
use std::path::Path;

/// The scores of images, and for how many of them the network was run.
fn scored(builder: DetectorBuilder, folder: &Path, images: &Images) -> (Vec<Vec<u64>>, usize) {
    let cache = OutputCache::open(folder).unwrap();
    let detector = builder.cache(cache.clone()).batch_size(7).build().unwrap();
    let set = detector.score_set(images, |_| {}).unwrap();
    let bits = |row: &odin::Row| row.score.values().iter().map(|v| v.to_bits()).collect();
    assert_eq!(cache.found() + cache.computed(), images.len());
    (set.rows.iter().map(bits).collect(), cache.computed())
}

fn classifier() -> Classifier {
    open(demo("model.safetensors"))
}

#[test]
fn a_second_run_has_the_same_bits_without_the_network() {
    let classifier = classifier();
    let images = classifier.open_images(demo("near.npy")).unwrap();
    let (first, all) = (images.range(0..40), images.range(0..100));
    let setting = |magnitude| Setting::new(1000.0, magnitude).unwrap();
    let plain = || Detector::builder(&classifier).setting(setting(0.005));
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    let methods = [Method::Energy, Method::Vim, Method::Knn];
    let fitted = plain().fit(&methods, Some(&training), |_| {}).unwrap();
    let with_scores = || plain().fitted(fitted.clone());
    let without = |builder: DetectorBuilder, images: &Images| {
        let detector = builder.build().unwrap();
        let set = detector.score_set(images, |_| {}).unwrap();
        let bits = |row: &odin::Row| row.score.values().iter().map(|v| v.to_bits()).collect();
        set.rows.iter().map(bits).collect::<Vec<Vec<u64>>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("nothing is there", plain(), &first, 40),
        ("all is", plain(), &first, 0),
        ("some are", plain(), &all, 60),
        ("other scores, by features", with_scores(), &all, 0),
        (
            "another setting",
            plain().setting(setting(0.002)),
            &first,
            40,
        ),
        ("no gradient", with_scores().odin(false), &all, 0),
        ("another pass", plain().i_odin(true), &first, 40),
    ];
    for (what, builder, images, computed) in cases {
        let expected = without(builder.clone(), images);
        let found = scored(builder, folder.path(), images);
        assert!(found == (expected, computed), "{what}: {}", found.1);
    }
}

#[test]
fn scores_are_fitted_from_what_is_there() {
    let classifier = classifier();
    let images = classifier.open_images(demo("validation.npy")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let methods = [Method::Mahalanobis, Method::KlMatching];
    let fit = |builder: DetectorBuilder| {
        let fitted = builder.fit(&methods, Some(&images), |_| {}).unwrap();
        odin::scores::tensors(&fitted)
    };
    let builder = || Detector::builder(&classifier);
    let expected = fit(builder());
    for computed in [images.len(), 0] {
        let cache = OutputCache::open(folder.path()).unwrap();
        assert!(fit(builder().cache(cache.clone())) == expected);
        assert_eq!(cache.computed(), computed);
    }
    // The images that scores were fitted to need no more than the passes of ODIN.
    let (_, computed) = scored(builder().odin(false), folder.path(), &images);
    assert_eq!(computed, 0);
}

/// Neither other weights nor other pixels are taken for those that were kept.
#[test]
fn networks_and_images_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "detector"] {
        let classifier = match file {
            "detector" => {
                let config = odin::Normalization::new(&[0.5], &[0.25]).unwrap();
                Classifier::open(demo("model.safetensors"), config).unwrap()
            }
            file => open(demo(file)),
        };
        let images = noise(&classifier, 6);
        let (_, computed) = scored(Detector::builder(&classifier), folder.path(), &images);
        assert_eq!(computed, 6, "{file}");
    }
}

#[test]
fn what_is_no_cache_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let held = OutputCache::open(folder.path()).unwrap();
    let again = OutputCache::open(folder.path());
    refused(again, ErrorKind::Io, &["another process uses this cache"]);
    drop(held);
    std::fs::write(folder.path().join("outputs.redb"), "no database at all").unwrap();
    let damaged = OutputCache::open(folder.path());
    refused(damaged, ErrorKind::Io, &["outputs.redb", "delete it"]);
    let file = folder.path().join("outputs.redb").join("below");
    refused(OutputCache::open(file), ErrorKind::Io, &["below"]);
}
