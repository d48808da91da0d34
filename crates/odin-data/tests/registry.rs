//! The embedded registry, users' registries, and where names are looked for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use odin_data::registry::{Located, Registry};
use odin_data::{ErrorKind, NoiseKind, OpenOptions};
use proptest::prelude::*;

fn embedded() -> Registry {
    Registry::embedded().unwrap()
}

#[test]
fn the_papers_sets_and_networks_are_there() {
    let registry = embedded();
    let names: Vec<_> = registry
        .paper_out_datasets()
        .iter()
        .map(|e| e.name.as_str())
        .collect();
    let expected = [
        "Imagenet",
        "Imagenet_resize",
        "LSUN",
        "LSUN_resize",
        "iSUN",
        "Uniform",
        "Gaussian",
    ];
    assert_eq!(names, expected);
    for (name, magnitudes) in [
        (
            "densenet10",
            [0.0014, 0.0014, 0.0, 0.0014, 0.0014, 0.0014, 0.0014],
        ),
        (
            "densenet100",
            [0.0014, 0.0028, 0.0028, 0.0028, 0.0028, 0.0028, 0.0028],
        ),
        (
            "wideresnet10",
            [0.0005, 0.0011, 0.0, 0.0006, 0.0008, 0.0014, 0.0014],
        ),
        (
            "wideresnet100",
            [0.0028, 0.0028, 0.0048, 0.002, 0.0028, 0.0028, 0.0028],
        ),
    ] {
        let network = registry.network(name).unwrap().network().unwrap();
        for (out_dataset, magnitude) in expected.into_iter().zip(magnitudes) {
            assert_eq!(network.recommended_magnitude(out_dataset), Some(magnitude));
        }
        assert_eq!(network.recommended_magnitude("svhn"), None);
    }
}

#[test]
fn every_checksum_that_is_known_is_used() {
    let Some(path) = odin_test::refdata("registry_facts.md") else {
        return;
    };
    let facts = fs::read_to_string(path).unwrap();
    let registry = include_str!("../registry.toml");
    let words = facts.split(|c: char| !c.is_ascii_hexdigit());
    let mut found = 0;
    for digits in words.filter(|w| matches!(w.len(), 32 | 40 | 64)) {
        assert!(registry.contains(digits), "{digits} is not in the registry");
        found += 1;
    }
    assert!(found >= 16, "only {found} checksums in the reference data");
    let urls = facts.split([' ', '|']).filter(|w| w.starts_with("http"));
    for url in urls {
        assert!(registry.contains(url), "{url} is not in the registry");
    }
}

#[test]
fn names_are_found_by_alias_and_in_any_case() {
    let registry = embedded();
    for (asked, name) in [
        ("cifar10", "cifar10"),
        ("CIFAR-10", "cifar10"),
        ("imagenet", "Imagenet"),
        ("ISUN", "iSUN"),
        ("dtd", "textures"),
        ("DenseNet10", "densenet10"),
    ] {
        assert_eq!(registry.entry(asked).unwrap().name, name);
    }
    for (result, words) in [
        (
            registry.entry("nothing"),
            ["\"nothing\"", "densenet10", "cifar10"],
        ),
        (
            registry.dataset("densenet10"),
            ["data set", "cifar10", "iSUN"],
        ),
        (
            registry.network("cifar10"),
            ["network", "densenet10", "resnet56"],
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for word in words {
            assert!(error.to_string().contains(word), "no {word} in {error}");
        }
    }
}

const USERS: &str = "
    [[network]]
    name = 'mine'
    aliases = ['my-net']
    title = 'ResNet-18'
    licence = 'in-house'
    citation = 'none'
    in_dataset = 'mydata'
    classes = 5
    shape = [1, 28, 28]
    mean = [0.5]
    std = [0.25]
    magnitudes = { iSUN = 0.001, mydata = 0 }
    places = ['/models/mine.safetensors']

    [[dataset]]
    name = 'mydata'
    title = 'My data'
    licence = 'in-house'
    citation = 'none'
    transform = 'resize:28,centre-crop:28'
    images = 5
    [[dataset.file]]
    name = 'mydata.zip'
    urls = ['https://example.org/mydata.zip']
";

#[test]
fn a_users_file_adds_and_replaces() {
    let mut registry = embedded();
    let count = registry.entries().len();
    registry.extend_from_toml(USERS, "mine.toml").unwrap();
    assert_eq!(registry.entries().len(), count + 2);
    let network = registry.network("my-net").unwrap();
    assert_eq!(network.origin, "mine.toml");
    assert_eq!(
        network.network().unwrap().recommended_magnitude("MYDATA"),
        Some(0.0)
    );
    let dataset = registry.dataset("mydata").unwrap().dataset().unwrap();
    assert_eq!(dataset.images, Some(5));
    assert!(dataset.transform.is_some());

    let other = "[[dataset]]\nname = 'Cifar10'\ntitle = 'X'\nlicence = 'X'\ncitation = 'X'";
    registry.extend_from_toml(other, "other.toml").unwrap();
    assert_eq!(registry.entries().len(), count + 2);
    assert_eq!(registry.dataset("cifar10").unwrap().origin, "other.toml");
    assert_eq!(registry.entries()[0].name, "Cifar10");
}

#[test]
fn mistakes_are_named_by_file_entry_and_field() {
    let network = |change: (&str, &str)| USERS.replacen(change.0, change.1, 1);
    let cases: &[(String, &[&str])] = &[
        ("no = toml =".into(), &["TOML"]),
        ("colour = 1".into(), &["`colour`"]),
        ("dataset = 1".into(), &["`dataset`", "[[dataset]]"]),
        (
            "[[dataset]]\ntitle = 'x'".into(),
            &["dataset number 1", "name"],
        ),
        (
            "[[dataset]]\nname = 'x'\ntitle = 'x'".into(),
            &["dataset `x`", "licence"],
        ),
        (
            network(("classes", "klasses")),
            &["network `mine`", "`klasses`"],
        ),
        (
            network(("classes = 5", "classes = 'five'")),
            &["network `mine`", "classes", "five"],
        ),
        (
            network(("classes = 5", "classes = 1")),
            &["network `mine`", "`classes` is 1"],
        ),
        (
            network(("classes = 5", "classes = -1")),
            &["network `mine`", "classes"],
        ),
        (
            network(("mean = [0.5]", "mean = [0.5, 0.5]")),
            &["`mean` has 2 values", "1 channels"],
        ),
        (network(("mean = [0.5]", "mean = [nan]")), &["`mean`"]),
        (network(("std = [0.25]", "std = [0.0]")), &["`std`"]),
        (
            network(("iSUN = 0.001", "iSUN = -0.001")),
            &["magnitudes.iSUN"],
        ),
        (
            network(("in_dataset = 'mydata'", "in_dataset = 'no'")),
            &["`mine`", "in_dataset", "no"],
        ),
        (
            network(("'my-net'", "'cifar-10'")),
            &["`mine`", "`cifar-10`", "`cifar10`"],
        ),
        (
            network(("name = 'mine'", "name = 'mydata'")),
            &["two entries named `mydata`"],
        ),
        (
            network(("name = 'mine'", "name = '../mine'")),
            &["`name`", "../mine"],
        ),
        (
            network(("'resize:28,", "'shrink:28,")),
            &["dataset `mydata`", "`transform`", "shrink"],
        ),
        (
            network(("images = 5", "reader = 'tapes'")),
            &["dataset `mydata`", "`reader`"],
        ),
        (
            network(("'mydata.zip'", "'../x'")),
            &["dataset `mydata`", "`file.name`"],
        ),
        (
            network(("'mydata.zip'", "'.x'")),
            &["dataset `mydata`", "`file.name`"],
        ),
        (
            network(("https://", "ftp://")),
            &["dataset `mydata`", "`file.urls`", "ftp://"],
        ),
        (
            format!("{USERS}\nunpack = true"),
            &["dataset `mydata`", "`member`"],
        ),
        (
            format!("{USERS}\nmember = 'a/../../b'"),
            &["dataset `mydata`", "`file.member`"],
        ),
        (
            format!("{USERS}\nmember = '/b'"),
            &["dataset `mydata`", "`file.member`"],
        ),
        (
            format!("{USERS}\nmd5 = 'abc'"),
            &["dataset `mydata`", "`file.md5`", "32"],
        ),
        (
            format!("{USERS}\nsha256_prefix = 'abc'"),
            &["`file.sha256_prefix`", "8 to 63"],
        ),
        (
            format!("{USERS}\nsize = 'big'"),
            &["dataset `mydata`", "size"],
        ),
        (
            network(("'mydata.zip'", "'Checksums.toml'")),
            &["dataset `mydata`", "`file.name`", "the program's own"],
        ),
        (
            network(("'mydata.zip'", "'mydata.zip.part'")),
            &["dataset `mydata`", "`file.name`", ".part"],
        ),
        (
            network(("'mydata.zip'", "'Test_32x32.mat'")),
            &["`mydata`", "`Test_32x32.mat`", "another file of `svhn`"],
        ),
        (
            network(("'mydata.zip'", "'isun'")),
            &["`mydata`", "`isun`", "the folder of `iSUN`", "`file.name`"],
        ),
        (
            network(("'mydata.zip'", "'resnet20.pth'")),
            &["`mydata`", "`resnet20.pth`", "the content of `resnet20`"],
        ),
        (
            network(("'mine'", "'iSUN.tar.gz'")),
            &[
                "`iSUN.tar.gz`",
                "the folder of it",
                "of `iSUN`",
                "another `name`",
            ],
        ),
        (
            network(("'mydata.zip'", "'mydata'")) + "\nunpack = true\nmember = 'x'",
            &["`mydata`", "the name of the folder"],
        ),
        (
            network(("images = 5", "generator = 'pink'")),
            &["`generator`", "pink"],
        ),
        (
            network(("images = 5", "generator = 'uniform'")),
            &["`generator`", "`file`"],
        ),
        (
            network((
                "images = 5",
                "rebuild = { from = 'mine', transform = 'none' }",
            )),
            &["`mydata`", "`rebuild.from`", "mine"],
        ),
    ];
    for (text, words) in cases {
        let mut registry = embedded();
        let error = registry.extend_from_toml(text, "mine.toml").unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        for word in words.iter().chain(&["mine.toml"]) {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
        assert_eq!(registry, embedded(), "changed in spite of: {message}");
    }
}

/// Files to make, the name to look for, and what is found.
const PLACES: &[(&[&str], &str, &str)] = &[
    (
        &["cifar-10-python.tar.gz"],
        "cifar10",
        "cifar-10-python.tar.gz",
    ),
    (
        &["cifar-10-binary.tar.gz"],
        "cifar10",
        "cifar-10-binary.tar.gz",
    ),
    (
        &["cifar-10-batches-py/test_batch"],
        "cifar10",
        "cifar-10-batches-py",
    ),
    (
        &["cifar-10-batches-bin/test_batch.bin"],
        "cifar10",
        "cifar-10-batches-bin",
    ),
    (
        &["cifar10/cifar-10-batches-py/test_batch"],
        "cifar10",
        "cifar10/cifar-10-batches-py",
    ),
    (
        &["cifar10/cifar-10-python.tar.gz"],
        "cifar10",
        "cifar10/cifar-10-python.tar.gz",
    ),
    (&["cifar10/cat/0001.png"], "cifar10", "cifar10"),
    (
        &["cifar-10-batches-py/x", "cifar-10-python.tar.gz"],
        "cifar10",
        "cifar-10-batches-py",
    ),
    (&["Imagenet/test/0.png"], "Imagenet", "Imagenet/test"),
    (&["Imagenet/0.png"], "Imagenet", "Imagenet"),
    (&["Imagenet.tar.gz"], "imagenet", "Imagenet.tar.gz"),
    (&["iSUN/0.png"], "iSUN", "iSUN"),
    (&["densenet10.pth"], "densenet10", "densenet10.pth"),
    (
        &["densenet10/densenet10.pth"],
        "densenet10",
        "densenet10/densenet10.pth",
    ),
    (
        &["densenet10.safetensors"],
        "densenet10",
        "densenet10.safetensors",
    ),
    (
        &["densenet10.pth.tar.gz"],
        "densenet10",
        "packed densenet10.pth.tar.gz",
    ),
    (
        &["densenet10.pth", "densenet10.pth.tar.gz"],
        "densenet10",
        "densenet10.pth",
    ),
    (
        &["densenet10-dice/checkpoint_100.pth.tar"],
        "densenet10-dice",
        "densenet10-dice/checkpoint_100.pth.tar",
    ),
    (
        &["resnet20-12fca82f.th"],
        "resnet20",
        "resnet20-12fca82f.th",
    ),
    (
        &["tiny-imagenet-200.zip"],
        "tiny-imagenet",
        "packed tiny-imagenet-200.zip",
    ),
    (
        &["tiny-imagenet/tiny-imagenet-200.zip"],
        "tiny-imagenet",
        "packed tiny-imagenet/tiny-imagenet-200.zip",
    ),
    (
        &["tiny-imagenet-200/test/images/0.JPEG"],
        "tiny-imagenet",
        "tiny-imagenet-200/test/images",
    ),
    (&["test_32x32.mat"], "svhn", "test_32x32.mat"),
    (&["svhn/test_32x32.mat"], "svhn", "svhn/test_32x32.mat"),
    // Earlier versions moved what they unpacked piece by piece, and here were stopped.
    (
        &[
            ".unpacking-tiny-imagenet/tiny-imagenet-200/x",
            "tiny-imagenet/readme",
            "tiny-imagenet-200.zip",
        ],
        "tiny-imagenet",
        "packed tiny-imagenet-200.zip",
    ),
    (
        &[
            ".unpacking-tiny-imagenet/tiny-imagenet-200/x",
            "tiny-imagenet/readme",
        ],
        "tiny-imagenet",
        "missing",
    ),
    (&["Imagenet.tar.gz.part"], "Imagenet", "missing"),
    (&["Imagenet_resize/0.png"], "Imagenet", "missing"),
    (&["densenet10/readme"], "densenet10", "missing"),
    (&["iSUN/"], "iSUN", "missing"),
    (&[], "cifar100", "missing"),
    (&[], "Uniform", "generated"),
];

#[test]
fn names_are_looked_for_where_their_files_usually_lie() {
    let registry = embedded();
    for (files, name, expected) in PLACES {
        let dir = tempfile::tempdir().unwrap();
        for file in *files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match file.ends_with('/') {
                true => fs::create_dir_all(&path).unwrap(),
                false => fs::write(&path, "content").unwrap(),
            }
        }
        let relative = |path: &Path| -> PathBuf { path.strip_prefix(dir.path()).unwrap().into() };
        let found = match registry.locate(name, dir.path()).unwrap() {
            Located::Here(path) => relative(&path).display().to_string(),
            Located::Packed(path) => format!("packed {}", relative(&path).display()),
            Located::Generated(kind) => {
                assert_eq!(kind, NoiseKind::Uniform);
                "generated".to_owned()
            }
            Located::Missing { looked_at, how } => {
                assert!(looked_at.iter().all(|path| path.starts_with(dir.path())));
                assert!(looked_at.len() >= 3 && how.contains("download it"), "{how}");
                "missing".to_owned()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(found, *expected, "{name} with {files:?}");
    }
}

fn dataset(name: &str, file: &str) -> String {
    format!(
        "[[dataset]]\nname = '{name}'\ntitle = 'x'\nlicence = 'x'\ncitation = 'x'\n\
         [[dataset.file]]\nunpack = true\n{file}\n"
    )
}

/// Two entries of one file are no accident; two files of one name are.
#[test]
fn entries_may_share_a_file_but_not_a_name() {
    let one = "name = 'a.zip'\nurls = ['https://example.org/a.zip']\nmember =";
    let both = |second: &str| {
        dataset("one", &format!("{one} 'train'")) + &dataset("two", &format!("{second} 'test'"))
    };
    let extended = |text: &str| embedded().extend_from_toml(text, "mine.toml");
    extended(&both(one)).unwrap();
    for (from, to) in [
        ("example.org/a.zip", "example.com/a.zip"),
        ("urls", "size = 5\nurls"),
        ("urls", "md5 = '00000000000000000000000000000000'\nurls"),
        ("'a.zip'", "'A.zip'"),
    ] {
        let error = extended(&both(&one.replacen(from, to, 1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let words = ["mine.toml", "`one`", "`two`", "another file", "`file.name`"];
        for word in words {
            assert!(error.to_string().contains(word), "no {word} in {error}");
        }
    }
}

/// Files to make, and where `mine`, whose member this is, is found beside an entry `other`.
const SHARED: &[(&str, &[&str], Option<&str>)] = &[
    ("images", &["images/0.png"], None),
    (
        "images",
        &["images/0.png", "mine/images/1.png"],
        Some("mine/images"),
    ),
    ("other/test", &["other/test/0.png"], None),
    ("Other", &["Other/0.png"], None),
    ("other.zip", &["other.zip"], None),
    ("resnet20.pth", &["resnet20.pth"], None),
    ("only/mine", &["only/mine/0.png"], Some("only/mine")),
];

#[test]
fn content_that_may_be_anothers_is_not_taken() {
    for (member, files, expected) in SHARED {
        let dir = tempfile::tempdir().unwrap();
        for file in *files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        }
        let file = |name: &str, member: &str| {
            let urls = format!("urls = ['https://example.org/{name}']");
            format!("name = '{name}.zip'\n{urls}\nmember = '{member}'")
        };
        let text =
            dataset("mine", &file("mine", member)) + &dataset("other", &file("other", "images"));
        let mut registry = embedded();
        registry.extend_from_toml(&text, "mine.toml").unwrap();
        let found = match registry.locate("mine", dir.path()).unwrap() {
            Located::Here(path) => Some(path),
            Located::Missing { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            found,
            expected.map(|path| dir.path().join(path)),
            "{member}"
        );
    }
}

#[test]
fn a_registry_file_is_read_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("good.toml"), USERS).unwrap();
    fs::write(path("latin1.toml"), b"# \xe4").unwrap();
    let large = fs::File::create(path("large.toml")).unwrap();
    large.set_len(1 << 40).unwrap();
    let mut registry = embedded();
    registry.extend_from_file(&path("good.toml")).unwrap();
    let origin = registry.entry("mine").unwrap().origin.clone();
    assert_eq!(Path::new(&origin), path("good.toml"));
    let mut cases = vec![
        (path("none.toml"), ErrorKind::NotFound, "none.toml"),
        (path("latin1.toml"), ErrorKind::Malformed, "UTF-8"),
        (path("large.toml"), ErrorKind::Malformed, "too large"),
        (path(""), ErrorKind::Io, "not a regular file"),
    ];
    if cfg!(unix) {
        cases.push(("/dev/zero".into(), ErrorKind::Io, "not a regular file"));
    }
    for (path, kind, word) in cases {
        let error = registry.extend_from_file(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains("registry"), "{error}");
    }
}

#[test]
fn a_place_may_be_absolute() {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("weights.safetensors");
    fs::write(&weights, "weights").unwrap();
    let mut registry = embedded();
    let text = USERS.replace("/models/mine.safetensors", weights.to_str().unwrap());
    registry.extend_from_toml(&text, "mine.toml").unwrap();
    let located = registry.locate("mine", Path::new("/nowhere")).unwrap();
    assert_eq!(located, Located::Here(weights));
}

#[test]
fn the_list_has_a_row_for_every_name() {
    let registry = embedded();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("resnet20-12fca82f.th"), "weights").unwrap();
    let rows = registry.list(dir.path());
    assert_eq!(rows.len(), registry.entries().len());
    for row in &rows {
        let texts = [&row.name, &row.title, &row.licence, &row.citation];
        assert!(texts.iter().all(|text| !text.is_empty()), "{row:?}");
        match row.name.as_str() {
            "resnet20" => assert!(matches!(row.located, Located::Here(_))),
            "Uniform" | "Gaussian" => assert!(matches!(row.located, Located::Generated(_))),
            _ => assert!(matches!(row.located, Located::Missing { .. }), "{row:?}"),
        }
    }
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("iSUN").images, Some(8925));
    assert_eq!(row("iSUN").kind, "data set");
    assert_eq!(row("densenet10-dice").download_bytes, Some(3_381_795));
    assert_eq!(row("densenet10").licence, "CC BY-NC 4.0");
    assert_eq!(row("densenet10").kind, "network");
}

#[test]
fn the_worked_example_of_the_documentation_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/registry.md");
    let text = fs::read_to_string(path).unwrap();
    let examples: Vec<_> = text.split("```toml\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = example.split("```").next().unwrap();
        embedded()
            .extend_from_toml(example, "docs/registry.md")
            .unwrap();
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        let _ = embedded().extend_from_toml(&text, "arbitrary");
    }

    #[test]
    fn damaged_registries_never_panic(place in 0..USERS.len(), insert in "[\\[\\]{}'=a-z0-9. \n-]{0,6}") {
        let text = format!("{}{insert}{}", &USERS[..place], &USERS[place..]);
        let _ = embedded().extend_from_toml(&text, "damaged");
    }
}

/// An entry for a set at a place below the fixtures, the number of channels asked for, and what is
/// wrong with it.
const OPENED: &[(&str, &str, Option<usize>, &str)] = &[
    (
        "cifar-10-python.tar.gz",
        "classes = 10\nshape = [3, 32, 32]",
        None,
        "",
    ),
    (
        "cifar-10-python.tar.gz",
        "classes = 10\nshape = [3, 32, 32]",
        Some(1),
        "",
    ),
    ("cifar-10-python.tar.gz", "", None, ""),
    (
        "cifar-100-binary.tar.gz",
        "classes = 10",
        None,
        "expected 10 classes, found 100",
    ),
    (
        "svhn/plain.mat",
        "classes = 10\nshape = [3, 32, 32]",
        None,
        "",
    ),
    (
        "svhn/plain.mat",
        "shape = [3, 64, 64]",
        None,
        "expected images of 3x64x64 (channels x height x width), 00000 is 3x32x32",
    ),
    (
        "mnist",
        "shape = [3, 4, 5]",
        None,
        "3x4x5 (channels x height x width), 00000 is 1x4x5",
    ),
    (
        "mnist",
        "classes = 2",
        None,
        "expected 2 classes, 00000 is of class 2",
    ),
];

#[test]
fn a_set_is_checked_against_its_entry() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (place, fields, channels, problem) in OPENED {
        let mut registry = embedded();
        let entry = format!(
            "[[dataset]]\nname = 'set'\ntitle = 'Set'\nlicence = 'x'\ncitation = 'x'\n\
             places = ['{place}']\n{fields}"
        );
        registry.extend_from_toml(&entry, "mine.toml").unwrap();
        let entry = registry.dataset("set").unwrap();
        let Located::Here(path) = entry.locate(&fixtures) else {
            panic!("{place} is not there");
        };
        let mut options = OpenOptions::default();
        options.channels = *channels;
        match entry.open(&path, &options) {
            Ok(set) => assert!(problem.is_empty() && !set.is_empty(), "{place} {fields}"),
            Err(error) => {
                let message = error.to_string();
                assert_eq!(error.kind(), ErrorKind::Invalid, "{message}");
                assert!(
                    !problem.is_empty() && message.contains(problem),
                    "{message}"
                );
                assert!(
                    message.contains("mine.toml") && message.contains(place),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn an_unreadable_first_image_and_a_network_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0.png"), "no image").unwrap();
    let registry = embedded();
    let options = OpenOptions::default();
    let set = registry
        .dataset("Imagenet")
        .unwrap()
        .open(folder.path(), &options);
    assert_eq!(set.unwrap().len(), 1);
    let error = registry
        .network("densenet10")
        .unwrap()
        .open(folder.path(), &options);
    assert!(error.err().unwrap().to_string().contains("network"));
}
