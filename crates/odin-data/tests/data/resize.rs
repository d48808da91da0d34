use std::fs;

use odin_data::{ErrorKind, Image, Transform};

use super::{fixtures, levels, open};

fn apply(transform: &str, image: &Image, index: usize) -> Image {
    let transform: Transform = transform.parse().unwrap();
    transform.apply(image, index).unwrap()
}

/// `FILTER-HEIGHTxWIDTH.EXT`, made by Pillow, against ours.
fn check(extension: &str, compare: impl Fn(&Image, &Image, &str)) {
    let input = open(format!("resize/in.{extension}"))
        .unwrap()
        .get(0)
        .unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(fixtures().join("resize")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let (stem, found) = file.rsplit_once('.').unwrap();
        let Some((filter, size)) = stem.split_once('-').filter(|_| found == extension) else {
            continue;
        };
        let expected = open(format!("resize/{file}"))
            .unwrap()
            .get(0)
            .unwrap()
            .image;
        let ours = apply(&format!("resize:{size}:{filter}"), &input.image, 0);
        assert_eq!((ours.height, ours.width), (expected.height, expected.width));
        compare(&ours, &expected, &file);
        seen += 1;
    }
    assert_eq!(seen, if extension == "png" { 24 } else { 4 });
}

#[test]
fn eight_bit_images_are_resized_exactly_as_pillow_does() {
    check("png", |ours, pillow, file| {
        assert_eq!(levels(ours), levels(pillow), "{file}");
    });
}

#[test]
fn other_images_are_resized_as_pillow_resizes_floats() {
    check("npy", |ours, pillow, file| {
        for (a, b) in ours.pixels.iter().zip(&pillow.pixels) {
            assert!((a - b).abs() <= 1e-7, "{file}: {a} {b}");
        }
    });
}

#[test]
fn the_shorter_side_keeps_the_aspect_ratio() {
    let image = Image::new(1, 23, 37, vec![0.0; 23 * 37]).unwrap();
    let tall = Image::new(1, 37, 23, vec![0.0; 23 * 37]).unwrap();
    for (side, long) in [(32, 51), (10, 16), (23, 37), (1, 1)] {
        let ours = apply(&format!("resize:{side}"), &image, 0);
        assert_eq!((ours.height, ours.width), (side, long));
        let ours = apply(&format!("resize:{side}"), &tall, 0);
        assert_eq!((ours.height, ours.width), (long, side));
    }
}

#[test]
fn crops() {
    let image = open("resize/in.png").unwrap().get(0).unwrap().image;
    let centre = apply("centre-crop:20x32", &image, 0);
    // torchvision: round(3 / 2) = 2 rows, round(5 / 2) = 2 columns.
    assert_eq!(centre.pixels[0], image.pixels[2 * 37 + 2]);
    assert_eq!(
        apply("random-crop:8:3", &image, 5),
        apply("random-crop:8:3", &image, 5)
    );
    assert_ne!(
        apply("random-crop:8:3", &image, 5),
        apply("random-crop:8:3", &image, 6)
    );
    assert_ne!(
        apply("random-crop:8:3", &image, 5),
        apply("random-crop:8:4", &image, 5)
    );
    let too_large: Transform = "centre-crop:24x8".parse().unwrap();
    assert_eq!(
        too_large.apply(&image, 0).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn an_image_that_contradicts_itself_is_refused() {
    let image = Image {
        channels: 3,
        height: 8,
        width: 8,
        pixels: vec![0.0; 8],
    };
    for transform in ["none", "resize:4", "centre-crop:4"] {
        let transform: Transform = transform.parse().unwrap();
        assert_eq!(
            transform.apply(&image, 0).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    // The horizontal pass alone would need terabytes.
    let thin = Image::new(1, 50_000_000, 1, vec![0.0; 50_000_000]).unwrap();
    let transform: Transform = "resize:1x16384".parse().unwrap();
    assert_eq!(
        transform.apply(&thin, 0).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
