//! A threshold that moves over a histogram, with what it does to both sets.

use super::markup::{Markup, element, text, void};
use super::page::plot;
use crate::plot::Histogram;
use crate::separation::{Separation, Stop};
use crate::terms::{percent, score_label};
use serde_json::{Value, json};

/// A histogram with a threshold to move. Without a script it stands at its start.
pub(crate) struct Slider<'a> {
    pub(crate) separation: &'a Separation,
    pub(crate) histogram: &'a Histogram,
    /// What the threshold is at the start.
    pub(crate) start: &'a str,
}

impl Slider<'_> {
    /// The element; `place` is that of its [`data`](Self::data) among all sliders of the page.
    pub(crate) fn to_markup(&self, place: usize) -> Markup {
        let s = self.separation;
        let label = score_label(&s.score);
        let legend = element("legend", &[], text(&format!("Threshold of {label}")));
        let picture = element("figure", &[], plot(&self.histogram.to_svg()));
        let content = legend
            .then(picture)
            .then(self.range(label))
            .then(self.outcome())
            .then(element("p", &[("class", "note")], text(&self.note())));
        let place = place.to_string();
        let attributes = [("class", "slider"), ("data-slider", place.as_str())];
        element("fieldset", &attributes, content)
    }

    /// What the script needs.
    pub(crate) fn data(&self) -> Value {
        let stops = self.separation.stops.iter();
        let stops = stops.map(|stop| json!([stop.threshold, stop.kept_in, stop.kept_out]));
        let axis = self.histogram.pixel_axis();
        json!({
            "stops": stops.collect::<Vec<Value>>(),
            "sizes": [self.separation.n_in, self.separation.n_out],
            "values": axis.values,
            "places": axis.places,
            "heights": axis.heights,
        })
    }

    fn range(&self, label: &str) -> Markup {
        let s = self.separation;
        let start = s.start.threshold.to_string();
        let last = s.stops.len().saturating_sub(1).to_string();
        let input = void(
            "input",
            &[
                ("type", "range"),
                ("min", "0"),
                ("max", &last),
                ("step", "1"),
                ("value", &s.place_of_start().to_string()),
                ("aria-label", &format!("threshold of {label}")),
                ("aria-valuetext", &start),
            ],
        );
        let value = element("output", &[("data-of", "threshold")], text(&start));
        let reset = [("type", "button"), ("hidden", "hidden")];
        let reset = element("button", &reset, text(self.start));
        let named = element("label", &[], text("δ = ").then(value).then(input));
        element("div", &[("class", "range")], named.then(reset))
    }

    fn outcome(&self) -> Markup {
        let (s, stop) = (self.separation, &self.separation.start);
        let cell = |of: &str, value: String| element("td", &[("data-of", of)], text(&value));
        let name = |name: &str| element("th", &[("scope", "row")], text(name));
        let column = |name: &str| element("th", &[("scope", "col")], text(name));
        let head = ["images", "kept", "rejected", "share kept"].map(column);
        let head = element("tr", &[], head.into_iter().collect());
        let counts = Counts::of(s, stop);
        let ins = name("in-distribution")
            .then(cell("tp", counts.tp.to_string()))
            .then(cell("fn", counts.missed.to_string()))
            .then(cell("tpr", format!("TPR {}", percent(s.tpr(stop)))));
        let outs = name("out-of-distribution")
            .then(cell("fp", counts.fp.to_string()))
            .then(cell("tn", counts.tn.to_string()))
            .then(cell("fpr", format!("FPR {}", percent(s.fpr(stop)))));
        let rows = [ins, outs].map(|row| element("tr", &[], row));
        let body = element("tbody", &[], rows.into_iter().collect());
        let table = element("table", &[], element("thead", &[], head).then(body));
        let precision = element(
            "output",
            &[("data-of", "precision")],
            text(&percent(s.precision(stop))),
        );
        let error = s.detection_error(stop);
        let error = element("output", &[("data-of", "error")], text(&percent(error)));
        let below = text("Precision, the in-distribution share of what is kept: ")
            .then(precision)
            .then(text("; detection error: "))
            .then(error);
        table.then(element("p", &[], below))
    }

    /// How exact the counts are.
    fn note(&self) -> String {
        let s = self.separation;
        let (stops, distinct) = (s.stops.len(), s.distinct);
        let stops = match stops == distinct {
            true => format!("It stops at each of the {stops} different scores"),
            false => format!("It stops at {stops} of the {distinct} different scores"),
        };
        format!(
            "Positive class: in-distribution; an image is kept if its score is at least δ. {stops}; the counts are exact."
        )
    }
}

/// The four counts of a threshold; positive is in-distribution.
struct Counts {
    tp: u64,
    missed: u64,
    fp: u64,
    tn: u64,
}

impl Counts {
    fn of(separation: &Separation, stop: &Stop) -> Self {
        Self {
            tp: stop.kept_in,
            missed: separation.n_in - stop.kept_in,
            fp: stop.kept_out,
            tn: separation.n_out - stop.kept_out,
        }
    }
}
