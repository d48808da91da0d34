//! Tuning ends in a setting that can be written, read again, and is held to its model.

use crate::{demo, folder, open, refused};
use odin::{
    Detector, ErrorKind, Grid, InOnlyRule, Objective, ParameterGrid, ScoreTuner, Setting,
    TuneOptions, Tuned, Tuner,
};
use std::sync::LazyLock;

fn options() -> TuneOptions {
    let grid = Grid::new(&[1.0, 1000.0], &[0.0, 0.005, 0.1]).unwrap();
    TuneOptions::default().grid(grid)
}

fn tune(options: &TuneOptions, with_out: bool) -> Tuned {
    let classifier = open(demo("model.safetensors"));
    let images = classifier
        .open_images(demo("in.npy"))
        .unwrap()
        .at_most(40, 0);
    let out = classifier
        .open_images(demo("near.npy"))
        .unwrap()
        .at_most(30, 0);
    let builder = Detector::builder(&classifier).threads(2);
    let out = with_out.then_some(&out);
    options.tune(builder, &images, out, |_, _| {}).unwrap()
}

static TUNED: LazyLock<Tuned> = LazyLock::new(|| tune(&options(), true));

#[test]
fn a_tuned_setting_says_what_it_was_chosen_by() {
    let mean_score = options().in_only(InOnlyRule::MeanScore);
    let auroc = options().objective(Objective::Auroc);
    let fixed = TuneOptions::default();
    // How, with out-of-distribution images or without, the rule, and how many other images.
    for (options, with_out, rule, out_images) in [
        (options(), true, "fpr95", 30),
        (auroc, true, "auroc", 30),
        (options(), false, "auroc", 120),
        (fixed, false, "fixed", 0),
        (mean_score, false, "mean-score", 0),
    ] {
        let tuned = tune(&options, with_out);
        assert_eq!((tuned.rule.as_str(), tuned.out_images), (rule, out_images));
        assert_eq!((tuned.in_dataset.as_str(), tuned.in_images), ("in", 40));
        assert_eq!(tuned.tuned_on == "near", with_out, "{}", tuned.tuned_on);
        let text = tuned.to_toml();
        let folder = folder(&[("tuned.toml", text.into())]);
        assert_eq!(
            Tuned::open(folder.path().join("tuned.toml")).unwrap(),
            tuned
        );
    }
}

/// The one call does what its parts do.
#[test]
fn the_setting_is_that_of_the_search() {
    let classifier = open(demo("model.safetensors"));
    let read = |file, count| {
        classifier
            .open_images(demo(file))
            .unwrap()
            .at_most(count, 0)
    };
    let (images, out) = (read("in.npy", 40), read("near.npy", 30));
    let grid = Grid::new(&[1.0, 1000.0], &[0.0, 0.005, 0.1]).unwrap();
    let builder = Detector::builder(&classifier).threads(2);
    let tuner = Tuner::new(builder, grid, Objective::default(), 0).unwrap();
    let scored = |images| tuner.score(images, |_| {}).unwrap();
    let (in_set, out_set) = (scored(&images), scored(&out));
    let search = tuner.against(&in_set, &out_set).unwrap();
    assert_eq!(Tuned::new(&classifier, &search, &in_set), *TUNED);
    assert_eq!(TUNED.setting, search.choice.setting);
    let metrics = search.metrics.unwrap();
    let least = metrics.iter().map(|m| m.fpr_at_95_tpr).fold(1.0, f64::min);
    assert_eq!(search.choice.value, least);
    assert_eq!(metrics[search.choice.index].fpr_at_95_tpr, least);
}

/// Every candidate scores as a detector with its parameters, bit for bit; also where candidates need
/// several passes over the training images and images that are shifted differently.
#[test]
fn candidates_score_as_detectors_with_their_parameters() {
    let classifier = open(demo("model.safetensors"));
    let images = |file| classifier.open_images(demo(file)).unwrap().at_most(25, 0);
    let (training, inside, near) = (
        images("validation.npy"),
        images("in.npy"),
        images("near.npy"),
    );
    for (text, candidates) in [
        ("knn:k=1/3", 3),
        ("react", 4),
        ("gen:top=3", 8),
        (
            "adascale-l:pmin=0.6:pmax=0.9:lambda=1/10:epsilon=0.25/0.5",
            5,
        ),
    ] {
        let grid = ParameterGrid::read(text).unwrap();
        let builder = Detector::builder(&classifier).threads(2);
        let tuner = ScoreTuner::new(builder.clone(), &grid, Some(&training), 0, |_| {}).unwrap();
        assert_eq!(tuner.left_out().len(), 0, "{text}");
        assert_eq!(tuner.candidates().len(), candidates, "{text}");
        let default = tuner
            .candidates()
            .nth(tuner.default_candidate().unwrap())
            .unwrap();
        assert_eq!(default.parameters, odin::Parameters::default());
        let scored = tuner.score(&near, |_| {}).unwrap();
        for (candidate, column) in tuner.candidates().zip(&scored.columns) {
            let builder = builder.clone().parameters(candidate.parameters);
            let fitted = builder
                .clone()
                .fit(&[grid.method()], Some(&training), |_| {});
            let detector = builder.fitted(fitted.unwrap()).build().unwrap();
            let set = detector.score_set(&near, |_| {}).unwrap();
            let expected = set.scores(grid.method().name()).unwrap();
            assert_eq!(*column, expected, "{}", candidate.spec);
        }
        let in_set = tuner.score(&inside, |_| {}).unwrap();
        let search = tuner.against(Objective::Auroc, &in_set, &scored).unwrap();
        let best = search.metrics.iter().map(|m| m.auroc).fold(0.0, f64::max);
        assert!((search.metrics[search.chosen].auroc - best).abs() < 1e-9);
        let tuned = Tuned::of_score(&classifier, &tuner, &search, &in_set).unwrap();
        let folder = folder(&[("tuned.toml", tuned.to_toml().into())]);
        let read = Tuned::open(folder.path().join("tuned.toml")).unwrap();
        assert_eq!(read, tuned);
        let mut parameters = odin::Parameters::default();
        parameters.read(&read.score.unwrap()).unwrap();
        assert!(tuner.candidates().any(|c| c.parameters == parameters));
    }
}

/// Points that the training images do not allow are left out, and if all are, that is an error.
#[test]
fn what_cannot_be_fitted_is_left_out() {
    let classifier = open(demo("model.safetensors"));
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    let builder = Detector::builder(&classifier);
    let tuner = |text: &str| {
        let grid = ParameterGrid::read(text).unwrap();
        ScoreTuner::new(builder.clone(), &grid, Some(&training), 0, |_| {})
    };
    let some = tuner("vim:d=2/100000").unwrap();
    let names: Vec<&str> = some.candidates().map(|c| c.spec.as_str()).collect();
    assert_eq!(names, ["vim:d=2", "vim"]);
    assert_eq!(some.left_out()[0].0, "vim:d=100000");
    refused(
        tuner("vim:d=100000").map(|_| ()),
        ErrorKind::Scores,
        &["vim:d=100000"],
    );
}

#[test]
fn a_setting_is_written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuned.toml");
    TUNED.save(&path).unwrap();
    let opened = Tuned::open(&path).unwrap();
    assert_eq!(opened, *TUNED);
    assert_eq!(opened.to_toml(), TUNED.to_toml());
    let mut odd = TUNED.clone();
    odd.setting = Setting::new(1.0 / 3.0, 0.1 + 0.2).unwrap();
    odd.in_dataset = "a \"b\"\nc".to_string();
    odd.model_sha256 = None;
    odd.save(&path).unwrap();
    assert_eq!(Tuned::open(&path).unwrap(), odd);
    let absent = folder.path().join("absent/tuned.toml");
    refused(TUNED.save(absent), ErrorKind::Io, &["absent"]);
}

#[test]
fn a_setting_is_held_to_its_model() {
    TUNED.check_model(&open(demo("model.safetensors"))).unwrap();
    let mut bytes = std::fs::read(demo("model.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let folder = folder(&[("changed.safetensors", bytes)]);
    let changed = open(folder.path().join("changed.safetensors"));
    let own = TUNED.model_sha256.clone().unwrap();
    let parts = ["changed.safetensors", "SHA-256", &own, "tune again"];
    refused(TUNED.check_model(&changed), ErrorKind::OtherModel, &parts);
}

#[test]
fn broken_files_are_refused_by_name() {
    let text = TUNED.to_toml();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let replaced = |start: &str, by: &str| text.replacen(line(start), by, 1);
    let cases = [
        (String::new(), "no tuned setting"),
        ("a cat".to_string(), "TOML"),
        ("temperature = 1000.0".to_string(), "no tuned setting"),
        (replaced("odin_tuned", "odin_tuned = 3"), "format 3"),
        (format!("{text}\nscore = \"ash\"\n"), "or else `score`"),
        (
            replaced("temperature", "score = \"ash:2\"").replacen(line("magnitude"), "", 1),
            "below 1",
        ),
        (
            replaced("odin_tuned", "odin_tuned = \"1\""),
            "no tuned setting",
        ),
        (replaced("temperature", ""), "`temperature`"),
        (replaced("temperature", "temperature = 0.0"), "temperature"),
        (
            replaced("temperature", "temperature = \"1\""),
            "temperature",
        ),
        (replaced("magnitude", "magnitude = -1.0"), "magnitude"),
        (replaced("magnitude", "magnitude = nan"), "magnitude"),
        (replaced("rule", ""), "`rule`"),
        (replaced("in_images", "in_images = -1"), "in_images"),
        (format!("{text}\nsurprise = 1\n"), "`surprise`"),
        (text[..text.len() / 2].to_string(), ""),
    ];
    for (text, part) in cases {
        let folder = folder(&[("tuned.toml", text.into())]);
        let opened = Tuned::open(folder.path().join("tuned.toml"));
        refused(opened, ErrorKind::Saved, &["tuned.toml", part]);
    }
    let folder = folder(&[("tuned.toml", b"\xff".to_vec())]);
    let opened = Tuned::open(folder.path().join("tuned.toml"));
    refused(opened, ErrorKind::Saved, &["tuned.toml"]);
    for (path, kind) in [
        (folder.path().join("absent.toml"), ErrorKind::NotFound),
        (folder.path().to_path_buf(), ErrorKind::Saved),
    ] {
        let name = path.display().to_string();
        refused(Tuned::open(&path), kind, &[&name]);
    }
}
