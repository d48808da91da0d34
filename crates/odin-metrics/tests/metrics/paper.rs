//! The paper's procedure where it is undefined, and which ranges it takes.

use odin_metrics::{Metrics, PaperProtocol, Scores};

const ALL: Metrics<bool> = Metrics {
    fpr_at_95_tpr: true,
    detection_error: true,
    auroc: true,
    aupr_in: true,
    aupr_out: true,
};

const NONE: Metrics<bool> = Metrics {
    fpr_at_95_tpr: false,
    detection_error: false,
    auroc: false,
    aupr_in: false,
    aupr_out: false,
};

#[test]
fn the_range_belongs_to_classes_and_temperature() {
    let cases = [
        (PaperProtocol::baseline(10), Some((0.1, 1.0))),
        (PaperProtocol::baseline(100), Some((0.01, 1.0))),
        (PaperProtocol::baseline(6), None),
        (PaperProtocol::odin(10, 1000.0), Some((0.1, 0.12))),
        (PaperProtocol::odin(100, 1000.0), Some((0.01, 0.0104))),
        (PaperProtocol::odin(10, 500.0), None),
        (PaperProtocol::odin(6, 1000.0), None),
    ];
    for (protocol, range) in cases {
        assert_eq!(protocol.range(), range);
    }
}

const JUST_ABOVE: [f64; 1] = [0.3_f64.next_up()];

struct Undefined {
    what: &'static str,
    in_scores: &'static [f64],
    out_scores: &'static [f64],
    protocol: PaperProtocol,
    flags: Metrics<bool>,
    outside: usize,
}

/// Where the grid defines nothing, the exact value stands in and says so.
#[test]
fn undefined_metrics_are_exact_and_flagged() {
    let fpr_only = Metrics {
        fpr_at_95_tpr: true,
        ..NONE
    };
    let cases = [
        Undefined {
            what: "too few images for a TPR of about 95 %",
            in_scores: &[0.9, 0.8],
            out_scores: &[0.7, 0.2],
            protocol: PaperProtocol::baseline(10),
            flags: fpr_only,
            outside: 0,
        },
        Undefined {
            what: "all scores equal: no pooled range",
            in_scores: &[0.3, 0.3],
            out_scores: &[0.3],
            protocol: PaperProtocol::baseline(6),
            flags: ALL,
            outside: 0,
        },
        Undefined {
            what: "scores one rounding apart: no divisible range",
            in_scores: &JUST_ABOVE,
            out_scores: &[0.3],
            protocol: PaperProtocol::odin(6, 1000.0),
            flags: ALL,
            outside: 0,
        },
        Undefined {
            what: "scores at the ends of f64: an infinite range",
            in_scores: &[f64::MAX],
            out_scores: &[f64::MIN],
            protocol: PaperProtocol::odin(6, 1000.0),
            flags: ALL,
            outside: 0,
        },
        Undefined {
            what: "every score below the range",
            in_scores: &[-1.0, -2.0],
            out_scores: &[-3.0],
            protocol: PaperProtocol::baseline(10),
            flags: Metrics {
                aupr_in: true,
                ..fpr_only
            },
            outside: 3,
        },
        Undefined {
            what: "every score above the range",
            in_scores: &[0.9, 0.8],
            out_scores: &[0.7],
            protocol: PaperProtocol::odin(10, 1000.0),
            flags: Metrics {
                aupr_out: true,
                ..fpr_only
            },
            outside: 3,
        },
    ];
    for case in cases {
        let what = case.what;
        let scores = Scores::new(case.in_scores, case.out_scores).unwrap();
        let (paper, exact) = (scores.paper(&case.protocol), scores.exact());
        assert_eq!(paper.exact_instead, case.flags, "{what}");
        assert_eq!(paper.outside_grid, case.outside, "{what}");
        for (i, (name, flagged)) in case.flags.named().into_iter().enumerate() {
            if flagged {
                let (value, exact) = (paper.values.named()[i].1, exact.named()[i].1);
                assert_eq!(value, exact, "{what}: {name}");
            }
        }
    }
}

/// 1,000 and 1,000 evenly spread scores on the pooled range: both modes nearly agree.
#[test]
fn agrees_with_exact_on_many_scores_without_ties() {
    let spread = |from: f64| (0..1000).map(|k| from + f64::from(k)).collect::<Vec<_>>();
    let scores = Scores::new(&spread(300.5), &spread(0.0)).unwrap();
    let paper = scores.paper(&PaperProtocol::odin(6, 1000.0));
    assert_eq!(paper.exact_instead, NONE);
    for (i, (name, value)) in paper.values.named().into_iter().enumerate() {
        let exact = scores.exact().named()[i].1;
        assert!((value - exact).abs() < 2e-3, "{name}: {value} and {exact}");
    }
}
