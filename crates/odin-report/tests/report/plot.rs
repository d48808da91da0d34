//! Plots are well-formed, self-contained, and show every number and text at its place.

use odin_report::plot::{
    Axis, Better, Group, HeatMap, Histogram, Line, LinePlot, Mark, Markers, Scale,
};
use roxmltree::{Document, Node};

/// Markup, quotes, a control character, a lone byte-order mark, other scripts.
const HOSTILE: &str = "a<b>&\"c'</text><script>\u{1b}\u{0}\u{ffff}\u{feff} 深層 ε";

fn heat_map() -> HeatMap {
    let values = |row: usize| {
        (0..21)
            .map(|column| (31 * row + 7 * column) as f64 / 10.0)
            .collect()
    };
    HeatMap {
        title: "digits and letters".into(),
        value_label: "FPR at 95 % TPR".into(),
        unit: "%".into(),
        better: Better::Lower,
        x_label: "magnitude ε".into(),
        x: (0..21)
            .map(|i| (f64::from(i) / 5000.0).to_string())
            .collect(),
        y_label: "temperature T".into(),
        y: (0..10).map(|i| 2_u32.pow(i).to_string()).collect(),
        values: (0..10).map(values).collect(),
        marked: Some((9, 7)),
    }
}

fn line_plot() -> LinePlot {
    let points =
        |line: usize| (0..5).map(move |i| (10_f64.powi(i), (3 * line) as f64 - f64::from(i)));
    let axis = |label: &str, scale| Axis {
        label: label.into(),
        scale,
    };
    LinePlot {
        title: "digits and letters".into(),
        x_axis: axis("temperature T", Scale::Logarithmic),
        y_axis: axis("AUROC in %", Scale::Linear),
        better: Better::Higher,
        lines: (0..10)
            .map(|i| Line {
                label: format!("ε = {i}"),
                points: points(i).collect(),
                markers: Markers::Every,
            })
            .collect(),
        marked: Some((100.0, 1.0)),
    }
}

/// The texts of elements of a kind, in their order.
fn texts<'a>(document: &'a Document, kind: &str) -> Vec<&'a str> {
    let nodes = document
        .descendants()
        .filter(|node| node.has_tag_name(kind));
    nodes.filter_map(|node| node.text()).collect()
}

fn of_kind<'a>(document: &'a Document, kind: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document
        .descendants()
        .filter(move |node| node.tag_name().name() == kind)
}

fn number(node: &Node, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

/// Well-formed, without anything that loads, runs or could clash, and on a background.
fn parse(svg: &str) -> Document<'_> {
    let document = Document::parse(svg).unwrap();
    let root = document.root_element();
    assert_eq!(
        root.tag_name().namespace(),
        Some("http://www.w3.org/2000/svg")
    );
    let (width, height) = (number(&root, "width"), number(&root, "height"));
    assert!(width > 0.0 && height > 0.0);
    let children: Vec<Node> = root.children().filter(Node::is_element).collect();
    let names = children.iter().take(3).map(|node| node.tag_name().name());
    assert!(names.eq(["title", "desc", "rect"]));
    assert_eq!(number(&children[2], "width"), width);
    assert_eq!(number(&children[2], "height"), height);
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(!["script", "style", "image", "use", "foreignObject", "a"].contains(&name));
        for attribute in node.attributes() {
            let value = attribute.value();
            assert!(!["id", "href", "class"].contains(&attribute.name()));
            assert!(!value.contains("NaN") && !value.contains("inf") && !value.contains("url"));
        }
        for (attribute, limit) in [("x", width), ("y", height), ("cx", width), ("cy", height)] {
            if node.has_attribute(attribute) {
                assert!(
                    (0.0..=limit).contains(&number(&node, attribute)),
                    "{node:?}"
                );
            }
        }
    }
    document
}

#[test]
fn every_cell_stands_in_its_row_and_column() {
    let map = heat_map();
    let svg = map.to_svg();
    let document = parse(&svg);
    let cells: Vec<Node> = of_kind(&document, "g").collect();
    assert_eq!(cells.len(), 210);
    let label_at = |text: &str, attribute: &str| {
        let mut labels = of_kind(&document, "text").filter(|node| node.text() == Some(text));
        let beside_cells = labels.find(|node| node.parent() == Some(document.root_element()));
        number(&beside_cells.unwrap(), attribute)
    };
    for (i, cell) in cells.iter().enumerate() {
        let (row, column) = (i / 21, i % 21);
        let value = map.values[row][column];
        let (t, e) = (&map.y[row], &map.x[column]);
        let child = |kind: &str| {
            let mut children = cell.children();
            children
                .find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", kind)))
                .unwrap()
        };
        let hint = format!("temperature T = {t}, magnitude ε = {e}: {value} %");
        assert_eq!(child("title").text(), Some(hint.as_str()));
        assert_eq!(child("text").text(), Some(format!("{value:.1}").as_str()));
        assert_eq!(
            child("text").attribute("font-weight").is_some(),
            (row, column) == (9, 7)
        );
        // The text is in the middle of its rectangle, and so are the labels of row and column.
        let (rectangle, text) = (child("rect"), child("text"));
        let middle = |start, size| number(&rectangle, start) + 0.5 * number(&rectangle, size);
        assert!((middle("x", "width") - number(&text, "x")).abs() < 0.02);
        assert!((number(&text, "x") - label_at(e, "x")).abs() < 0.02);
        assert!((number(&text, "y") - label_at(t, "y")).abs() < 0.02);
    }
}

#[test]
fn the_chosen_cell_is_outlined_and_named() {
    let svg = heat_map().to_svg();
    let document = parse(&svg);
    let outlines = of_kind(&document, "rect").filter(|node| node.attribute("fill") == Some("none"));
    let places: Vec<_> = outlines
        .map(|node| (number(&node, "x"), number(&node, "y")))
        .collect();
    let cell = of_kind(&document, "g").nth(9 * 21 + 7).unwrap();
    let cell = cell
        .descendants()
        .find(|node| node.tag_name().name() == "rect")
        .unwrap();
    assert_eq!(places, [(number(&cell, "x"), number(&cell, "y")); 2]);
    let words = "outlined: temperature T = 512, magnitude ε = 0.0014, 32.8 %";
    assert!(texts(&document, "desc")[0].contains(words));

    let outside = HeatMap {
        marked: Some((10, 0)),
        ..heat_map()
    };
    assert!(!outside.to_svg().contains("outlined"));
}

#[test]
fn the_direction_is_named_and_the_best_is_brightest() {
    for (better, words, best) in [
        (Better::Lower, "lower is better", 0),
        (Better::Higher, "higher is better", 209),
    ] {
        let svg = HeatMap {
            better,
            marked: None,
            ..heat_map()
        };
        let svg = svg.to_svg();
        let document = parse(&svg);
        assert!(texts(&document, "desc")[0].contains(words));
        let fill = |i: usize| {
            let cell = of_kind(&document, "g").nth(i).unwrap();
            let mut parts = cell.descendants();
            let rectangle = parts.find(|node| node.tag_name().name() == "rect").unwrap();
            rectangle.attribute("fill").unwrap().to_string()
        };
        assert_eq!(fill(best), "#fde725");
        assert_eq!(fill(209 - best), "#440154");
    }
}

#[test]
fn lines_go_through_their_points() {
    let plot = line_plot();
    let svg = plot.to_svg();
    let document = parse(&svg);
    let hints: Vec<&str> = texts(&document, "title").into_iter().skip(1).collect();
    let expected: Vec<String> = plot
        .lines
        .iter()
        .flat_map(|line| {
            line.points
                .iter()
                .map(|(x, y)| format!("{}: {x}, {y}", line.label))
        })
        .collect();
    assert_eq!(hints, expected);
    for line in &plot.lines {
        assert!(
            texts(&document, "text").contains(&line.label.as_str()),
            "{}",
            line.label
        );
    }
    // Equal steps on the logarithmic axis are equally far.
    let strokes = of_kind(&document, "path").filter(|node| node.attribute("fill") == Some("none"));
    let line = strokes.take(1).next().unwrap().attribute("d").unwrap();
    let xs: Vec<f64> = line
        .split(['M', 'L'])
        .filter_map(|point| point.split_once(' '))
        .map(|(x, _)| x.parse().unwrap())
        .collect();
    assert_eq!(xs.len(), 5);
    assert!(
        xs.windows(3)
            .all(|w| (w[2] - 2.0 * w[1] + w[0]).abs() < 0.03),
        "{xs:?}"
    );
    let circles = of_kind(&document, "circle").filter(|c| c.attribute("fill") == Some("none"));
    let marks: Vec<f64> = circles.map(|circle| number(&circle, "cx")).collect();
    assert_eq!(marks, [xs[2]; 2]);
    assert!(texts(&document, "desc")[0].contains("circled: temperature T = 100, AUROC in % = 1"));
    assert!(texts(&document, "desc")[0].contains("higher is better"));
}

/// Number of separate pieces of a line, and of its markers, for ordinates 1 apart.
#[test]
fn what_cannot_be_drawn_is_a_gap() {
    const NAN: f64 = f64::NAN;
    let cases: [(&[f64], Scale, usize, usize); 7] = [
        (&[1.0, 2.0, 3.0, 4.0], Scale::Linear, 1, 4),
        (&[1.0, 2.0, NAN, 4.0, 5.0], Scale::Linear, 2, 4),
        (&[1.0, NAN, 3.0], Scale::Linear, 0, 2),
        (&[f64::INFINITY, 1e301, -1e301, 4.0], Scale::Linear, 0, 1),
        (&[0.0, -1.0, 3.0, 4.0], Scale::Logarithmic, 1, 2),
        (&[NAN], Scale::Linear, 0, 0),
        (&[], Scale::Logarithmic, 0, 0),
    ];
    for (values, scale, pieces, markers) in cases {
        let mut plot = line_plot();
        plot.marked = None;
        plot.y_axis.scale = scale;
        let points = values
            .iter()
            .enumerate()
            .map(|(i, y)| (10_f64.powi(i as i32), *y));
        plot.lines = vec![Line {
            label: "only".into(),
            points: points.collect(),
            markers: Markers::Every,
        }];
        let svg = plot.to_svg();
        let document = parse(&svg);
        // One more stroke is the legend's.
        let strokes = of_kind(&document, "path").filter(|p| p.attribute("fill") == Some("none"));
        assert_eq!(strokes.count(), pieces + 1, "{values:?}");
        assert_eq!(of_kind(&document, "g").count(), markers, "{values:?}");
    }
}

#[test]
fn gaps_of_a_heat_map_are_named() {
    let mut map = heat_map();
    map.values[2][3] = f64::NAN;
    map.values[3].truncate(20);
    map.values.truncate(9);
    let svg = map.to_svg();
    let document = parse(&svg);
    let dashes = texts(&document, "text")
        .into_iter()
        .filter(|text| *text == "–");
    assert_eq!(dashes.count(), 1 + 1 + 21);
    assert!(texts(&document, "desc")[0].contains("– means no value"));
    assert!(texts(&document, "desc")[0].contains("magnitude ε = 0.0014, no value"));
}

#[test]
fn degenerate_heat_maps_are_still_plots() {
    let cases: [(usize, usize, f64); 8] = [
        (0, 0, 0.0),
        (1, 1, 4.3),
        (1, 1, f64::NAN),
        (3, 2, 0.0),
        (3, 2, -5.0),
        (2, 40, 1e300),
        (40, 1, 1e-300),
        (0, 5, 1.0),
    ];
    for (rows, columns, value) in cases {
        let map = HeatMap {
            x: vec!["x".into(); columns],
            y: vec!["y".into(); rows],
            values: vec![vec![value; columns]; rows],
            marked: Some((0, 0)),
            ..heat_map()
        };
        let svg = map.to_svg();
        assert_eq!(of_kind(&parse(&svg), "g").count(), rows * columns);
    }
    let mut extremes = heat_map();
    extremes.values[0][0] = 1e300;
    extremes.values[0][1] = -1e300;
    extremes.values[0][2] = 1e-300;
    parse(&extremes.to_svg());
}

#[test]
fn every_text_is_escaped() {
    let hostile = || HOSTILE.to_string();
    let map = HeatMap {
        title: hostile(),
        value_label: hostile(),
        unit: hostile(),
        x_label: hostile(),
        x: vec![hostile(); 2],
        y_label: hostile(),
        y: vec![hostile(); 2],
        values: vec![vec![1.0, 2.0], vec![3.0, f64::NAN]],
        ..heat_map()
    };
    let mut plot = line_plot();
    plot.title = hostile();
    plot.x_axis.label = hostile();
    plot.y_axis.label = hostile();
    plot.lines[0].label = hostile();
    let expected = "a<b>&\"c'</text><script>\u{fffd}\u{fffd}\u{fffd}\u{feff} 深層 ε";
    for svg in [map.to_svg(), plot.to_svg()] {
        let document = parse(&svg);
        assert_eq!(texts(&document, "title")[0], expected);
        assert!(texts(&document, "desc")[0].contains(expected));
    }
}

#[test]
fn long_texts_stay_inside() {
    let long = "word ".repeat(60) + &"w".repeat(300);
    let mut plot = line_plot();
    (plot.title, plot.x_axis.label, plot.y_axis.label) = (long.clone(), long.clone(), long.clone());
    let svg = plot.to_svg();
    let document = parse(&svg);
    let width = number(&document.root_element(), "width");
    for text in texts(&document, "text") {
        assert!(text.chars().count() as f64 * 0.6 * 12.0 <= width, "{text}");
    }
    let map = HeatMap {
        title: long.clone(),
        x_label: long.clone(),
        ..heat_map()
    };
    parse(&map.to_svg());
}

fn histogram() -> Histogram {
    let group = |label: &str, counts: [u64; 4]| Group {
        label: label.into(),
        counts: counts.to_vec(),
    };
    Histogram {
        title: "digits and letters".into(),
        x_label: "ODIN score".into(),
        edges: vec![0.1, 0.2, 0.3, 0.4, 0.5],
        groups: vec![group("in", [0, 1, 3, 4]), group("out", [4, 4, 0, 0])],
        marks: vec![Mark {
            label: "95 % TPR".into(),
            value: 0.25,
        }],
    }
}

#[test]
fn stairs_are_as_high_as_the_shares_of_the_bins() {
    let plot = histogram();
    let svg = plot.to_svg();
    let document = parse(&svg);
    let hints: Vec<&str> = texts(&document, "title").into_iter().skip(1).collect();
    assert_eq!(hints[0], "0.10 to 0.20: in 0.0%, out 50.0%");
    assert_eq!(hints[3], "0.40 to 0.50: in 50.0%, out 0.0%");
    let axis = plot.pixel_axis();
    assert_eq!(axis.values, (0.1, 0.5));
    let place = |value: f64| axis.places.0 + (value - 0.1) / 0.4 * (axis.places.1 - axis.places.0);
    let points = |node: &Node| -> Vec<(f64, f64)> {
        let data = node.attribute("d").unwrap().trim_end_matches('Z');
        let points = data
            .split(['M', 'L'])
            .filter_map(|point| point.split_once(' '));
        points
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect()
    };
    let paths: Vec<Node> = of_kind(&document, "path").collect();
    // Two groups and the mark.
    assert_eq!(paths.len(), 3);
    let (ins, mark) = (points(&paths[0]), points(&paths[2]));
    assert_eq!(ins.len(), 10);
    assert!(
        (ins[0].1 - axis.heights.1).abs() < 0.01,
        "the stairs begin on the axis"
    );
    let height = |i: usize| axis.heights.1 - ins[i].1;
    assert!((height(7) / height(3) - 4.0).abs() < 0.01);
    assert!((ins[3].0 - place(0.2)).abs() < 0.01);
    assert!((mark[0].0 - place(0.25)).abs() < 0.01);
    // Groups differ by dashes, not only by colour.
    assert!(!paths[0].has_attribute("stroke-dasharray"));
    assert!(paths[1].has_attribute("stroke-dasharray"));
}

#[test]
fn degenerate_histograms_are_still_plots() {
    let hostile = || HOSTILE.to_string();
    for (edges, marked) in [
        (vec![], 1.0),
        (vec![1.0], 1.0),
        (vec![1.0, 1.0], f64::NAN),
        (vec![-1e300, 1e300], f64::INFINITY),
        (vec![0.1, 0.1 + 1e-17], 5.0),
        (vec![0.0, 1e-300], -1.0),
    ] {
        let plot = Histogram {
            title: hostile(),
            x_label: hostile(),
            edges,
            groups: vec![
                Group {
                    label: hostile(),
                    counts: vec![],
                },
                Group {
                    label: "long ".repeat(40),
                    counts: vec![7; 9],
                },
            ],
            marks: vec![Mark {
                label: hostile(),
                value: marked,
            }],
        };
        parse(&plot.to_svg());
    }
}
