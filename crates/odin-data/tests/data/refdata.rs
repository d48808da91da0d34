use std::fs;
use std::path::PathBuf;

use super::open;

fn refdata() -> Option<PathBuf> {
    odin_test::refdata("")
}

/// The golden files list the images in the order in which Python sorted them, with the class
/// that a model predicts; most predictions are right.
#[test]
fn real_sets_are_read_in_the_order_of_the_golden_files() {
    let Some(refdata) = refdata() else { return };
    for (set, golden, classes) in [
        (
            "cifar10",
            "densenet10.cifar10.T1000.eps0.0014.f64",
            Some(10),
        ),
        (
            "Imagenet_resize",
            "densenet10.Imagenet_resize.T1000.eps0.0014.f64",
            None,
        ),
    ] {
        let table = fs::read_to_string(refdata.join(format!("golden/{golden}.csv"))).unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(1)
            .map(|r| r.split(',').collect())
            .collect();
        let set = open(refdata.join("sets").join(set)).unwrap();
        assert_eq!(set.len(), rows.len());
        assert_eq!(set.class_names().map(<[String]>::len), classes);
        let mut right = 0;
        for (i, row) in rows.iter().enumerate() {
            let sample = set.get(i).unwrap();
            assert_eq!(sample.name, row[0]);
            let image = &sample.image;
            assert_eq!((image.channels, image.height, image.width), (3, 32, 32));
            right += usize::from(sample.label == row[1].parse().ok());
        }
        assert!(classes.is_none() || right * 10 > rows.len() * 9, "{right}");
    }
}
