//! Parts of a set hold its classes in proportion, and are the same however the set is listed.

use crate::{demo, fixture, folder, npy, open, photo, pixels, refused};
use odin::data::{
    ImageList, Joined, NoiseKind, OpenOptions, Synthetic, SyntheticKind, Transformed, noise,
};
use odin::{Classifier, DataSet, ErrorKind, Image, Images, Normalization, Sample};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Image `i` of the classes of these sizes, one class behind the other.
fn class_of(i: usize, sizes: &[usize]) -> usize {
    let ends = sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end)
    });
    ends.take_while(|&end| end <= i).count()
}

fn labels(images: &Images) -> Vec<usize> {
    let labels = (0..images.len()).map(|i| images.get(i).unwrap().label.unwrap());
    labels.collect()
}

fn names(images: &Images) -> Vec<String> {
    (0..images.len()).map(|i| images.image_name(i)).collect()
}

fn rgb_network() -> Classifier {
    Classifier::open(fixture(crate::RGB_NETWORK), Normalization::cifar()).unwrap()
}

/// Sorted by class: a folder for each of the classes.
fn class_folders(sizes: &[usize]) -> (tempfile::TempDir, Images) {
    let count: usize = sizes.iter().sum();
    let names: Vec<String> = (0..count)
        .map(|i| format!("{}/{i:03}.bmp", ["cat", "dog", "emu"][class_of(i, sizes)]))
        .collect();
    let photo = photo(32, 32, 1);
    let files: Vec<(&str, Vec<u8>)> = names
        .iter()
        .map(|name| (&name[..], photo.clone()))
        .collect();
    let folder = folder(&files);
    let images = rgb_network().open_images(folder.path()).unwrap();
    (folder, images)
}

/// Sorted by class: an array with labels beside it.
fn labelled_array(sizes: &[usize]) -> (tempfile::TempDir, Images) {
    let count: usize = sizes.iter().sum();
    let levels: Vec<u8> = (0..count * 64).map(|i| i as u8).collect();
    let labels: Vec<u8> = (0..count).map(|i| class_of(i, sizes) as u8).collect();
    let folder = folder(&[
        ("set.npy", npy(&[count, 1, 8, 8], &levels)),
        ("set_labels.npy", npy(&[count], &labels)),
    ]);
    let classifier = open(demo("model.safetensors"));
    let images = classifier.open_images(folder.path().join("set.npy"));
    let images = images.unwrap();
    (folder, images)
}

#[test]
fn parts_of_a_sorted_set_hold_all_classes_in_proportion() {
    let sizes = [24, 12, 6];
    for (_folder, images) in [class_folders(&sizes), labelled_array(&sizes)] {
        assert_eq!(images.len(), 42);
        for (count, expected) in [(7, [4, 2, 1]), (14, [8, 4, 2]), (21, [12, 6, 3])] {
            let (first, rest) = images.split(count, 5);
            let of_class =
                |images: &Images, class| labels(images).into_iter().filter(|&l| l == class).count();
            for (class, (size, expected)) in sizes.iter().zip(expected).enumerate() {
                assert_eq!(of_class(&first, class), expected, "{count} images");
                assert_eq!(of_class(&rest, class), size - expected, "{count} images");
            }
            assert_eq!(names(&images.at_most(count, 5)), names(&first));
            // Each in the order of the set, and together the whole of it.
            let all = names(&images);
            for part in [&first, &rest] {
                let part = names(part);
                assert!(all.iter().filter(|name| part.contains(name)).eq(&part));
            }
            let mut both = [names(&first), names(&rest)].concat();
            both.sort_by_key(|name| all.iter().position(|other| other == name));
            assert_eq!(both, all);
            assert_ne!(names(&first), names(&images.at_most(count, 6)), "{count}");
        }
        assert_eq!(names(&images.at_most(99, 0)), names(&images));
        assert_eq!(images.split(99, 0).1.len(), 0);
    }
}

/// A set whose images come in another order.
struct Shuffled(Arc<dyn DataSet>);

impl Shuffled {
    fn place(&self, i: usize) -> usize {
        i * 5 % self.0.len()
    }
}

impl DataSet for Shuffled {
    fn name(&self) -> &str {
        "shuffled"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.0.class_names()
    }

    fn sample_name(&self, i: usize) -> String {
        self.0.sample_name(self.place(i))
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.0.label(self.place(i))
    }

    fn get(&self, i: usize) -> Result<Sample, odin::data::Error> {
        self.0.get(self.place(i))
    }
}

#[test]
fn parts_do_not_depend_on_how_a_set_is_listed() {
    let (folder, images) = class_folders(&[24, 12, 6]);
    let classifier = rgb_network();
    let set = odin::data::open(folder.path(), &classifier.open_options()).unwrap();
    let shuffled = classifier.images(Box::new(Shuffled(Arc::from(set))));
    assert_ne!(names(&shuffled), names(&images));
    let sorted = |images: Images| {
        let mut names = names(&images);
        names.sort();
        names
    };
    for count in [1, 7, 10, 41] {
        let (a, b) = (images.at_most(count, 3), shuffled.at_most(count, 3));
        assert_eq!(sorted(a), sorted(b), "{count}");
    }
}

#[test]
fn parts_of_parts_are_those_of_the_set() {
    let (_folder, images) = labelled_array(&[10, 10]);
    let middle = images.range(5..15);
    assert_eq!(
        names(&middle),
        ["5", "6", "7", "8", "9", "10", "11", "12", "13", "14"]
    );
    assert_eq!(names(&middle.range(8..99)), ["13", "14"]);
    assert_eq!(names(&middle.these([9, 0, 0, 10])), ["14", "5", "5"]);
    assert_eq!(names(&middle.these([9, 0]).range(1..2)), ["5"]);
    assert_eq!(labels(&middle.at_most(4, 0)), [0, 0, 1, 1]);
    assert!(middle.range(4..2).is_empty());
    // Sets made of a part come from its images alone.
    let one = images.range(3..4);
    let shuffled = one.synthetic(SyntheticKind::PixelShuffle, 0).unwrap();
    let sorted = |images: &Images| {
        let mut values = pixels(images).remove(0).pixels;
        values.sort_by(f32::total_cmp);
        values
    };
    assert_eq!(sorted(&shuffled), sorted(&one));
    let blend = one.synthetic(SyntheticKind::Blend, 0).map(drop);
    refused(blend, ErrorKind::Data, &["blended"]);
    let noise = middle.noise_like(NoiseKind::Gaussian, 0).unwrap();
    assert_eq!(noise.len(), 10);
    let none = images.range(0..0).noise_like(NoiseKind::Gaussian, 0);
    refused(none.map(drop), ErrorKind::Data, &["set"]);
}

/// What a set says of a label without decoding is what decoding gives.
#[track_caller]
fn check_labels(set: &dyn DataSet) -> usize {
    let labelled = (0..set.len()).filter(|&i| {
        let label = set.get(i).ok().and_then(|sample| sample.label);
        assert_eq!(set.label(i), label, "{}, image {i}", set.name());
        label.is_some()
    });
    let labelled = labelled.count();
    assert_eq!(set.label(set.len()), None, "{}", set.name());
    labelled
}

#[test]
fn labels_without_decoding_are_those_of_the_images() {
    let fixtures = fixture("../../../odin-data/tests/fixtures");
    let open = |path: &Path| odin::data::open(path, &OpenOptions::default());
    // What lies there, and whether it has labels.
    let cases = [
        ("cifar-10-python.tar.gz", true),
        ("cifar-10-binary.tar.gz", true),
        ("cifar-100-python.tar.gz", true),
        ("cifar-100-binary.tar.gz", true),
        ("mnist", true),
        ("svhn/test_32x32.mat", true),
        ("svhn/doubles.mat", true),
        ("archives/set.zip", true),
        ("archives/gnu.tar.gz", true),
        ("archives/pax.tgz", true),
        ("archives/ustar.tar.gz", true),
        ("arrays/with_sibling.npy", true),
        ("arrays/stored.npz", true),
        ("arrays/deflated.npz", true),
        ("arrays/u8_nchw.npy", false),
        ("images", false),
        ("images/rgb.png", false),
    ];
    for (file, has_labels) in cases {
        let set = open(&fixtures.join(file)).unwrap();
        assert_eq!(check_labels(&*set) > 0, has_labels, "{file}");
    }
}

#[test]
fn labels_without_decoding_hold_for_sets_made_of_others() {
    let (folder, images) = class_folders(&[3, 2, 1]);
    std::fs::write(folder.path().join("cat/bad.bmp"), "no image").unwrap();
    let open = || odin::data::open(folder.path(), &OpenOptions::default()).unwrap();
    let files: Vec<PathBuf> = ["cat/000.bmp", "cat/bad.bmp", "absent.bmp"]
        .map(|name| folder.path().join(name))
        .to_vec();
    let list = ImageList::new("list", files, OpenOptions::default()).unwrap();
    let parts = vec![("a".to_string(), open()), ("b".to_string(), open())];
    let joined = Joined::new("both", parts).unwrap();
    let transformed = Transformed::new(open(), "centre-crop:8".parse().unwrap());
    let origin: Arc<dyn DataSet> = Arc::from(open());
    let synthetic = Synthetic::new(origin, 1..4, SyntheticKind::PixelShuffle, 0).unwrap();
    let noise = noise(NoiseKind::Uniform, 3, 8, 8, 4, 0).unwrap();
    let mut counts = Vec::new();
    let sets: [&dyn DataSet; 6] = [&list, &joined, &transformed, &synthetic, &noise, &*open()];
    for set in sets {
        let known = |i: usize| set.label(i) == set.get(i).ok().and_then(|sample| sample.label);
        // A folder knows the class of an image that does not decode.
        assert!((0..set.len()).all(|i| set.get(i).is_err() || known(i)));
        assert_eq!(set.label(set.len()), None, "{}", set.name());
        counts.push((0..set.len()).filter(|&i| set.label(i).is_some()).count() > 0);
    }
    assert_eq!(counts, [false, true, true, false, false, true]);
    assert_eq!(labels(&images), [0, 0, 0, 1, 1, 2]);
}

#[test]
fn a_set_keeps_its_name_unless_it_gets_another() {
    let (_folder, images) = labelled_array(&[2, 2]);
    assert_eq!(images.name(), "set");
    assert_eq!(images.at_most(2, 0).name(), "set");
    let named = images.clone().named("mine");
    assert_eq!(named.range(0..1).name(), "mine");
    let debug = format!("{named:?}");
    assert!(debug.contains("mine") && debug.contains('4'), "{debug}");
    let first: Vec<Image> = pixels(&images.range(0..1));
    assert_eq!(first, pixels(&named.range(0..1)));
}
