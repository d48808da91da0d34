use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use odin_data::{DataSet, Error, ErrorKind, Image, Sample, Synthetic, SyntheticKind};

const KINDS: [SyntheticKind; 2] = [SyntheticKind::PixelShuffle, SyntheticKind::Blend];

/// Image `i` has the value `1000 i + p` at position `p` of the first channel, and the negative of
/// that in the second: every value tells where it comes from. Image `odd` has another size.
#[derive(Debug)]
struct Numbered {
    count: usize,
    odd: Option<usize>,
}

const HEIGHT: usize = 5;
const WIDTH: usize = 7;

fn numbered(count: usize) -> Numbered {
    Numbered { count, odd: None }
}

impl DataSet for Numbered {
    fn name(&self) -> &str {
        "numbered"
    }

    fn len(&self) -> usize {
        self.count
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        format!("{i}.png")
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let height = HEIGHT + usize::from(self.odd == Some(i));
        let value = |place: usize| (1000 * i + place) as f32;
        let first = (0..height * WIDTH).map(value);
        let pixels = first.clone().chain(first.map(|v| -v)).collect();
        let image = Image::new(2, height, WIDTH, pixels)?;
        Ok(Sample::new(self.sample_name(i), Some(i % 3), image))
    }
}

fn synthetic(
    count: usize,
    images: Range<usize>,
    kind: SyntheticKind,
    seed: u64,
) -> Synthetic<Arc<dyn DataSet>> {
    let set: Arc<dyn DataSet> = Arc::new(numbered(count));
    Synthetic::new(set, images, kind, seed).unwrap()
}

fn pixels(set: &dyn DataSet, i: usize) -> Vec<f32> {
    set.get(i).unwrap().image.pixels
}

#[test]
fn samples_keep_names_and_sizes_but_not_labels() {
    for (kind, name) in [
        (SyntheticKind::PixelShuffle, "numbered (pixels shuffled)"),
        (SyntheticKind::Blend, "numbered (blended)"),
    ] {
        let set = synthetic(10, 4..9, kind, 1);
        assert_eq!((set.name(), set.len(), set.kind()), (name, 5, kind));
        assert!(set.class_names().is_none());
        for i in 0..5 {
            let sample = set.get(i).unwrap();
            assert_eq!(sample.name, format!("{}.png", i + 4));
            assert_eq!(sample.name, set.sample_name(i));
            assert_eq!(sample.label, None);
            let image = sample.image;
            assert_eq!(
                (image.channels, image.height, image.width),
                (2, HEIGHT, WIDTH)
            );
        }
        assert_eq!(set.sample_name(5), "");
        assert_eq!(set.get(5).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn shuffling_moves_whole_pixels_within_an_image() {
    let origin = numbered(20);
    let set = synthetic(20, 0..20, SyntheticKind::PixelShuffle, 3);
    let mut orders = BTreeSet::new();
    for i in 0..20 {
        let found = pixels(&set, i);
        let (first, second) = found.split_at(HEIGHT * WIDTH);
        assert!(first.iter().zip(second).all(|(a, b)| *a == -b));
        let mut sorted = first.to_vec();
        sorted.sort_by(f32::total_cmp);
        assert_eq!(sorted, pixels(&origin, i)[..HEIGHT * WIDTH]);
        orders.insert(first.iter().map(|v| *v as usize % 1000).collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 20, "each image has its own order");
}

/// 7,000 orders of 35 pixels: each pixel is at each place 200 times on average, and 5 standard
/// deviations are 70.
#[test]
fn every_place_is_equally_likely() {
    let count = 7000;
    let set = synthetic(count, 0..count, SyntheticKind::PixelShuffle, 0);
    let mut seen = BTreeMap::new();
    for i in 0..count {
        for (place, value) in pixels(&set, i)[..HEIGHT * WIDTH].iter().enumerate() {
            *seen
                .entry((place, (*value - 1000.0 * i as f32) as usize))
                .or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), (HEIGHT * WIDTH).pow(2));
    assert!(seen.values().all(|n| (130..=270).contains(n)), "{seen:?}");
}

/// Index of the other image of a blend, from its first value.
fn partner(set: &dyn DataSet, i: usize, origin: usize) -> usize {
    let mean = pixels(set, i)[0];
    (2.0 * mean / 1000.0) as usize - origin
}

#[test]
fn blends_are_means_with_another_image_of_the_range() {
    let origin = numbered(1000);
    let set = synthetic(1000, 100..110, SyntheticKind::Blend, 5);
    for i in 0..10 {
        let other = partner(&set, i, 100 + i);
        assert!(other != 100 + i && (100..110).contains(&other), "{other}");
        let pairs = pixels(&origin, 100 + i)
            .into_iter()
            .zip(pixels(&origin, other));
        let expected: Vec<f32> = pairs.map(|(a, b)| (a + b) / 2.0).collect();
        assert_eq!(pixels(&set, i), expected);
    }
}

/// 9,000 seeds: each of the 9 others is taken 1,000 times on average; 5 deviations are 150.
#[test]
fn every_other_image_is_equally_likely() {
    let mut seen = BTreeMap::new();
    for seed in 0..9000 {
        let set = synthetic(10, 0..10, SyntheticKind::Blend, seed);
        *seen.entry(partner(&set, 4, 4)).or_insert(0) += 1;
    }
    let others: Vec<usize> = seen.keys().copied().collect();
    assert_eq!(others, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert!(seen.values().all(|n| (850..=1150).contains(n)), "{seen:?}");
}

#[test]
fn an_image_depends_on_seed_and_index_only() {
    for kind in KINDS {
        let set = synthetic(40, 0..40, kind, 7);
        let backwards: Vec<_> = (0..40).rev().map(|i| pixels(&set, i)).collect();
        let expected: Vec<_> = backwards.into_iter().rev().collect();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let found: Vec<_> = (0..40).map(|i| pixels(&set, i)).collect();
                    assert_eq!(found, expected, "{kind}");
                });
            }
        });
        let other = synthetic(40, 0..40, kind, 8);
        assert!((0..40).any(|i| pixels(&other, i) != expected[i]), "{kind}");
    }
    let whole = synthetic(40, 0..40, SyntheticKind::PixelShuffle, 7);
    let part = synthetic(50, 30..40, SyntheticKind::PixelShuffle, 7);
    assert_eq!(pixels(&whole, 33), pixels(&part, 3));
}

#[test]
fn impossible_sets_are_refused() {
    use SyntheticKind::{Blend, PixelShuffle};
    let reversed = Range { start: 5, end: 2 };
    let cases = [
        (10, 3..3, PixelShuffle, ErrorKind::Empty),
        (10, reversed, Blend, ErrorKind::Empty),
        (10, 5..11, PixelShuffle, ErrorKind::Invalid),
        (10, 0..usize::MAX, Blend, ErrorKind::Invalid),
        (10, 3..4, Blend, ErrorKind::Invalid),
        (1, 0..1, Blend, ErrorKind::Invalid),
    ];
    for (count, images, kind, expected) in cases {
        let set = numbered(count);
        let error = Synthetic::new(&set, images.clone(), kind, 0).unwrap_err();
        assert_eq!(error.kind(), expected, "{images:?}, {kind}: {error}");
    }
    assert!(Synthetic::new(&numbered(1), 0..1, PixelShuffle, 0).is_ok());
}

#[test]
fn blending_unequal_sizes_names_both_images() {
    let set: Box<dyn DataSet> = Box::new(Numbered {
        count: 2,
        odd: Some(1),
    });
    let blended = Synthetic::new(set, 0..2, SyntheticKind::Blend, 0).unwrap();
    for i in 0..2 {
        let error = blended.get(i).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        for word in ["0.png", "1.png", "5x7", "6x7", "resize"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

/// Published results name a seed, so the streams must never change. The numbers come from an
/// independent ChaCha12 in Python.
#[test]
fn streams_are_pinned() {
    let shuffled = pixels(&synthetic(5, 0..5, SyntheticKind::PixelShuffle, 2018), 4);
    let order: Vec<usize> = shuffled[..8].iter().map(|v| *v as usize - 4000).collect();
    assert_eq!(order, [0, 14, 32, 28, 20, 30, 21, 23]);
    let blended = synthetic(1000, 0..1000, SyntheticKind::Blend, 2018);
    assert_eq!(
        [0, 1, 999].map(|i| partner(&blended, i, i)),
        [196, 331, 810]
    );
}
