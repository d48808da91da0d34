//! Pages are one well-formed file that loads nothing, and say the same numbers as JSON.

use odin::data::{Image, NoiseKind};
use odin::{
    Classifier, ClassifierOptions, Detector, Intervals, MetricsMode, ScoredSet, Setting, evaluate,
};
use odin_report::{
    Comparison, ComputedIn, EvaluationPage, ImageFacts, ImageGroup, Network, Report, Separation,
    SetInfo, ShownImage,
};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;
use std::path::{Path, PathBuf};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>&\"'\u{1b}\u{202e}</title>";

fn demo(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../demo").join(file)
}

/// All that a page needs.
struct Made {
    report: Report,
    separations: Vec<Vec<Separation>>,
    images: Vec<ImageGroup>,
}

/// The demonstration's in-set against so many copies of another set, each of at most `most` images.
fn made(out_datasets: &[&str], most: usize, intervals: Option<Intervals>) -> Made {
    let options = ClassifierOptions::default();
    let classifier = Classifier::open(demo("model.safetensors"), options).unwrap();
    let setting = Setting::new(1000.0, 0.005).unwrap();
    let builder = Detector::builder(&classifier).setting(setting);
    let detector = builder.build().unwrap();
    let scored = |file: &str| {
        let images = classifier.open_images(demo(file)).unwrap().range(0..most);
        detector.score_set(&images, |_| {}).unwrap()
    };
    let (in_set, out_set) = (scored("in.npy"), scored("near.npy"));
    let mode = MetricsMode::Exact;
    let evaluation = evaluate(&detector, &in_set, &out_set, mode, intervals).unwrap();
    let separations: Vec<Separation> = in_set
        .score_names
        .iter()
        .map(|name| {
            let of = |set: &ScoredSet| set.scores(name).unwrap();
            Separation::new(name, &of(&in_set), &of(&out_set)).unwrap()
        })
        .collect();
    let result = |name: &&str| Comparison {
        out_dataset: (*name).to_string(),
        out_set: SetInfo::default(),
        in_set_shortened: false,
        magnitude: setting.magnitude,
        evaluation: evaluation.clone(),
    };
    Made {
        separations: vec![separations; out_datasets.len()],
        images: vec![shown(&classifier, &detector, &out_set)],
        report: Report {
            model: "demo".to_string(),
            network: Network::from(&classifier),
            in_dataset: "in".to_string(),
            in_set: SetInfo::default(),
            accuracy: in_set.accuracy(&classifier),
            temperature: 1000.0,
            computed_in: ComputedIn::from(&detector),
            device: detector.device().to_string(),
            engine: detector.engine(),
            built_in: None,
            mode,
            seed: 0,
            warnings: detector.warnings(),
            results: out_datasets.iter().map(result).collect(),
        },
    }
}

/// The first images of the out-set.
fn shown(classifier: &Classifier, detector: &Detector, set: &ScoredSet) -> ImageGroup {
    let images = classifier.open_images(demo("near.npy")).unwrap();
    let gradient = detector.input_gradient().unwrap();
    let shown = set.rows.iter().take(3).enumerate().map(|(i, row)| {
        let image: Image = images.get(i).unwrap().image;
        let facts = ImageFacts {
            row,
            class_names: None,
            label: Some(0),
            unperturbed: 0.1,
        };
        let of_image = gradient.of_prepared(std::slice::from_ref(&image)).unwrap();
        ShownImage::new(facts, &image, &of_image[0])
    });
    ImageGroup {
        title: "near: most typical".to_string(),
        note: "some".to_string(),
        images: shown.collect(),
    }
}

fn page(made: &Made) -> EvaluationPage<'_> {
    EvaluationPage {
        report: &made.report,
        command: "odin eval --nn demo",
        separations: &made.separations,
        images: &made.images,
    }
}

/// A page is well-formed XML with nothing in it that loads, and with texts for its pictures.
fn parse(html: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(html, options).unwrap();
    for node in document.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "style", "{name}={value}");
            match name {
                "src" => assert!(value.starts_with("data:image/png;base64,"), "{value}"),
                "href" => assert!(value.starts_with('#'), "{value}"),
                _ => assert!(!value.contains("://"), "{name}={value}"),
            }
        }
        match node.tag_name().name() {
            "img" => assert!(node.attribute("alt").is_some_and(|alt| !alt.is_empty())),
            "svg" => {
                let names = node.children().filter(Node::is_element);
                let names: Vec<&str> = names.take(2).map(|n| n.tag_name().name()).collect();
                assert_eq!(
                    (node.attribute("role"), &names[..]),
                    (Some("img"), &["title", "desc"][..])
                );
            }
            "link" | "iframe" | "object" | "embed" | "base" | "form" => panic!("{node:?}"),
            _ => {}
        }
    }
    document
}

fn of_kind<'a>(document: &'a Document<'_>, kind: &'a str) -> Vec<Node<'a, 'a>> {
    let nodes = document.descendants();
    nodes
        .filter(|node| node.tag_name().name() == kind)
        .collect()
}

/// All text of a node.
fn whole_text(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter_map(|n| n.text().filter(|_| n.is_text()))
        .collect()
}

#[test]
fn a_page_is_one_file_that_loads_nothing() {
    let made = made(&["near", "other"], 60, None);
    let html = page(&made).to_html();
    let document = parse(&html);
    let policy = of_kind(&document, "meta");
    let policy = policy.iter().find_map(|meta| {
        let is_policy = meta.attribute("http-equiv") == Some("Content-Security-Policy");
        meta.attribute("content").filter(|_| is_policy)
    });
    let policy = policy.unwrap();
    assert!(
        policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
        "{policy}"
    );
    // One style and one script are allowed, each by its hash.
    assert_eq!(policy.matches("'sha256-").count(), 2);
    assert_eq!(of_kind(&document, "style").len(), 1);
    let scripts = of_kind(&document, "script");
    assert_eq!(scripts.len(), 2);
    assert_eq!(scripts[0].attribute("type"), Some("application/json"));
    for (_, svg) in page(&made).plots() {
        Document::parse(&svg).unwrap();
    }
}

#[test]
fn a_page_says_the_same_numbers_as_json() {
    let made = made(&["near", "other"], 200, Some(Intervals::new(40, 0, 1)));
    let html = page(&made).to_html();
    let document = parse(&html);
    let json: Value = serde_json::from_str(&made.report.to_json()).unwrap();
    let rows: Vec<Vec<String>> = of_kind(&document, "tr")
        .into_iter()
        .map(|row| row.children().map(whole_text).collect())
        .collect();
    for result in json["results"].as_array().unwrap() {
        for (key, label) in [("baseline", "baseline"), ("odin", "ODIN")] {
            let of_set = result["out_dataset"].as_str().unwrap();
            let row = rows.iter().find(|row| row[0] == of_set && row[1] == label);
            let cells = row.unwrap()[2..].to_vec();
            let names = [
                "fpr_at_95_tpr",
                "detection_error",
                "auroc",
                "aupr_in",
                "aupr_out",
            ];
            let expected = names.map(|name| {
                let percent = |value: &Value| 100.0 * value.as_f64().unwrap();
                let ends = &result[key]["ci95"][name];
                let (value, low, high) = (&result[key][name], &ends[0], &ends[1]);
                format!(
                    "{:.1}% [{:.1}, {:.1}]",
                    percent(value),
                    percent(low),
                    percent(high)
                )
            });
            assert_eq!(cells, expected);
        }
    }
    // Each slider begins at 95 % TPR, with the FPR of the table, and its stops are all scores.
    let data: Value =
        serde_json::from_str(of_kind(&document, "script")[0].text().unwrap()).unwrap();
    let sliders = data["sliders"].as_array().unwrap();
    assert_eq!(sliders.len(), 4);
    let fieldset = of_kind(&document, "fieldset")[0];
    let fpr = json["results"][0]["odin"]["fpr_at_95_tpr"]
        .as_f64()
        .unwrap();
    let shown = whole_text(fieldset);
    assert!(
        shown.contains(&format!("FPR {:.1}%", 100.0 * fpr)),
        "{shown}"
    );
    for slider in sliders {
        let stops = slider["stops"].as_array().unwrap();
        assert_eq!(
            stops[0].as_array().unwrap()[1..],
            [200.into(), 200.into()] as [Value; 2]
        );
        assert!(
            stops
                .windows(2)
                .all(|w| w[0][0].as_f64() < w[1][0].as_f64())
        );
    }
}

#[test]
fn pages_are_the_same_each_time_and_small() {
    let made = made(&["near", "other"], 1000, None);
    let html = page(&made).to_html();
    assert_eq!(html, page(&made).to_html());
    assert!(html.len() < 1_000_000, "{}", html.len());
    let script = html.rsplit("<script>").next().unwrap();
    assert!(script.len() < 4096, "{}", script.len());
}

#[test]
fn names_from_files_stay_texts() {
    let mut made = made(&[HOSTILE], 20, None);
    made.report.in_dataset = HOSTILE.to_string();
    made.report.network.architecture = HOSTILE.to_string();
    made.report.network.file = HOSTILE.to_string();
    made.images[0].title = HOSTILE.to_string();
    let page = EvaluationPage {
        command: HOSTILE,
        ..page(&made)
    };
    let html = page.to_html();
    let document = parse(&html);
    assert_eq!(of_kind(&document, "script").len(), 2);
    assert_eq!(of_kind(&document, "img").len(), 9);
    assert!(!html.contains("onerror=alert(1)>") && !html.contains('\u{202e}'));
    let heading = whole_text(of_kind(&document, "h1")[0]);
    assert!(
        heading.contains("</script><img src=x onerror=alert(1)>&\"'\\u{1b}\\u{202e}"),
        "{heading}"
    );
}

#[test]
fn published_values_stand_beside_ours_where_there_are_any() {
    let mut made = made(&["Imagenet", "near"], 20, None);
    let published = |made: &Made| {
        let html = page(made).to_html();
        let document = parse(&html);
        let rows = of_kind(&document, "tr").into_iter();
        let rows = rows.filter(|row| row.attribute("class") == Some("published"));
        rows.map(whole_text).collect::<Vec<String>>()
    };
    assert_eq!(published(&made), [""; 0]);
    made.report.network.architecture = "DenseNet-BC-100-12".to_string();
    made.report.in_dataset = "cifar10".to_string();
    assert_eq!(
        published(&made),
        [
            "Imagenetbaseline, published34.7%10.0%95.3%96.4%93.8%",
            "ImagenetODIN, published (ε = 0.0014)4.3%4.7%99.1%99.1%99.1%"
        ]
    );
    made.report.temperature = 1.0;
    assert_eq!(published(&made), [""; 0]);
}

#[test]
fn inputs_that_are_no_pictures_are_listed_without() {
    let mut made = made(&["near"], 20, None);
    let options = ClassifierOptions::default();
    let classifier = Classifier::open(demo("model.safetensors"), options).unwrap();
    let detector = Detector::builder(&classifier).build().unwrap();
    let noise = classifier.noise(NoiseKind::Uniform, 1, 0).unwrap();
    let scored = detector.score_set(&noise, |_| {}).unwrap();
    let facts = ImageFacts {
        row: &scored.rows[0],
        class_names: None,
        label: None,
        unperturbed: 0.1,
    };
    let signal = Image::new(1, 1, 64, vec![0.5; 64]).unwrap();
    made.images[0].images = vec![ShownImage::new(facts, &signal, &[1.0; 64])];
    let html = page(&made).to_html();
    let document = parse(&html);
    assert_eq!(of_kind(&document, "img").len(), 0);
    assert_eq!(of_kind(&document, "details").len(), 1);
}
