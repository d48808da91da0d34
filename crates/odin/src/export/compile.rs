//! Compiles a classifier, all of ODIN and other scores to one ONNX file.

use super::decision::Decision;
use super::photo::photo;
use super::preprocessing::preprocessing;
use super::scores::{self, Ends};
use crate::model::{linear_head, needed};
use crate::names::{I_ODIN, MSP, ODIN};
use crate::{
    Classifier, DetectorCard, DetectorInput, DetectorRecord, Error, ErrorKind, Layout, Precision,
    Setting, ThresholdRule,
};
use odin_formats::onnx;
use odin_graph::odin::{self, detector_with_gradient_times, max_probability, names};
use odin_graph::{Graph, passes};
use odin_scores::{Fitted, Method, Needs, Scorer};

/// The name of a detector's input that holds pixels.
pub const IMAGES: &str = "images";

/// What gradients in `float16` are multiplied by. Where logits have a gradient of 1, those of the values
/// in networks are mostly between 1e-5 and 10; `float16` is precise from 6e-5 to 65504.
const HALF_SCALE: f32 = 256.0;

/// Settings of [`compile`].
#[derive(Debug, Clone)]
pub struct CompileOptions {
    setting: Setting,
    /// In the order of the outputs; the baseline is there in any case.
    scores: Vec<Compiled>,
    decision: Decision,
    target_tpr: Option<f64>,
    p_values: bool,
    input: DetectorInput,
}

/// A score of the file.
#[derive(Debug, Clone)]
enum Compiled {
    Msp,
    Odin,
    IOdin,
    Fitted(Fitted),
}

impl Compiled {
    fn name(&self) -> &'static str {
        match self {
            Compiled::Msp => MSP,
            Compiled::Odin => ODIN,
            Compiled::IOdin => I_ODIN,
            Compiled::Fitted(fitted) => fitted.method().name(),
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Compiled::Fitted(fitted) => fitted.needs(),
            _ => Needs::LOGITS,
        }
    }

    fn needs_head(&self) -> bool {
        let of_method = |method: Method| method.needs_features() || method.needs_head();
        matches!(self, Compiled::Fitted(fitted) if of_method(fitted.method()))
    }
}

impl Default for CompileOptions {
    /// ODIN at [`Setting::PAPER`], no threshold, the classifier's own input.
    fn default() -> Self {
        Self {
            setting: Setting::PAPER,
            scores: vec![Compiled::Odin],
            decision: Decision::by(ODIN),
            target_tpr: None,
            p_values: false,
            input: DetectorInput::default(),
        }
    }
}

impl CompileOptions {
    /// The setting, all scores and the thresholds of a calibrated detector, with what was fitted for
    /// its scores: [`OpenDetector::parts`](crate::OpenDetector::parts) or
    /// [`CalibratedDetector::compile_options`](crate::CalibratedDetector::compile_options) gives both.
    ///
    /// # Errors
    /// When it has no score, or one that is neither the library's nor among the fitted ones.
    pub fn calibrated(record: &DetectorRecord, fitted: &[Fitted]) -> Result<Self, Error> {
        let deciding = record.deciding()?;
        let compiled = |name: &str| match name {
            MSP => Ok(Compiled::Msp),
            ODIN => Ok(Compiled::Odin),
            I_ODIN => Ok(Compiled::IOdin),
            name => {
                let own = fitted.iter().find(|fitted| fitted.method().name() == name);
                let own = own.cloned().map(Compiled::Fitted);
                own.ok_or_else(|| {
                    invalid(format!(
                        "the score {name} is none of this library's, and code cannot be compiled; calibrate without it"
                    ))
                })
            }
        };
        let scores = record.scores.iter().map(|score| compiled(&score.name));
        Ok(Self {
            setting: record.setting,
            scores: scores.collect::<Result<_, _>>()?,
            decision: Decision::of(deciding),
            target_tpr: match deciding.rule {
                ThresholdRule::Tpr(tpr) => Some(tpr),
                _ => None,
            },
            ..Self::default()
        })
    }

    /// The temperature, the magnitude, the latter on the [0, 1] pixel scale whatever the input, and the
    /// precision: in [`Precision::Fast`] the file computes the gradient in `float16`, all else in
    /// `float32`.
    pub fn setting(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    /// An image whose deciding score, ODIN unless a calibrated detector says otherwise, reaches this
    /// is taken for in-distribution; the file says so in an output of its own.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.decision = self.decision.at(threshold);
        self
    }

    /// The true-positive rate that the threshold was chosen for. Recorded in the file; nothing is
    /// computed from it.
    pub fn target_tpr(mut self, target_tpr: f64) -> Self {
        self.target_tpr = Some(target_tpr);
        self
    }

    /// Whether the file has the outputs [`percentile`](crate::Decision::percentile) and
    /// [`p_value`](crate::Decision::p_value) of the deciding score among those of the calibration.
    /// Not unless set; only a calibrated detector can have them.
    pub fn p_values(mut self, p_values: bool) -> Self {
        self.p_values = p_values;
        self
    }

    /// The input of the file.
    pub fn input(mut self, input: DetectorInput) -> Self {
        self.input = input;
        self
    }

    fn check(&self, classes: usize) -> Result<(), Error> {
        self.setting.check()?;
        self.decision.check(classes, self.p_values)
    }

    fn has(&self, name: &str) -> bool {
        self.scores.iter().any(|score| score.name() == name)
    }
}

/// Writes a classifier, with ODIN and other scores built into it, as an ONNX file that any runtime
/// executes: forward pass, where a score needs them input gradient, perturbation and second forward
/// pass, scores and decision.
///
/// `docs/detector_file.md` describes the file. Its metadata are those of [`DetectorCard`].
///
/// # Errors
/// When an option is out of its range, or an operator of the network has no gradient or no form
/// in ONNX.
pub fn compile(classifier: &Classifier, options: &CompileOptions) -> Result<Vec<u8>, Error> {
    options.check(classifier.classes())?;
    check_pixels(classifier, options.input)?;
    let card = card(classifier, options);
    let labels = onnx::Labels {
        name: "odin".to_string(),
        producer_version: card.version.clone(),
        metadata: card.to_properties(),
    };
    let input = match options.input {
        DetectorInput::PixelsU8 => onnx::InputType::Byte,
        DetectorInput::PhotoU8 => onnx::InputType::Photo(photo(classifier)?),
        DetectorInput::Normalized | DetectorInput::PixelsF32 => onnx::InputType::Float,
    };
    let typing = match options.setting.precision {
        Precision::Exact => onnx::Typing::Float,
        Precision::Fast => onnx::Typing::HalfDirection,
    };
    let graph = detector_graph(classifier, options)?;
    Ok(onnx::write_typed(&graph, input, typing, &labels)?)
}

/// Signals have a unit of their own; bytes that stand for 0 to 1 are none of them where their mean
/// or spread says so.
fn check_pixels(classifier: &Classifier, input: DetectorInput) -> Result<(), Error> {
    let of_signals = matches!(classifier.layout(), Layout::Ncl | Layout::Nlc);
    if input != DetectorInput::PixelsU8 || !of_signals {
        return Ok(());
    }
    let normalization = classifier.normalization();
    let mean = normalization
        .mean()
        .iter()
        .find(|m| !(0.0..=1.0).contains(*m));
    let std = normalization.std().iter().find(|s| **s > 1.0);
    let (what, value) = match (mean, std) {
        (Some(mean), _) => ("mean", mean),
        (None, Some(std)) => ("standard deviation", std),
        (None, None) => return Ok(()),
    };
    Err(invalid(format!(
        "the input pixels-u8 gives values from 0 to 1, and the network's signals have the {what} {value}; take pixels-f32, which are signals in their own unit, or normalized"
    )))
}

fn detector_graph(classifier: &Classifier, options: &CompileOptions) -> Result<Graph, Error> {
    let settings = odin::Settings {
        temperature: options.setting.temperature as f32,
        step: classifier.normalization().step(options.setting.magnitude),
        odin: options.has(ODIN),
        i_odin: options.has(I_ODIN),
        probabilities: classifier.probabilities(),
    };
    let network = classifier.graph();
    let factor = match options.setting.precision {
        Precision::Exact => 1.0,
        Precision::Fast => HALF_SCALE,
    };
    let axis = classifier.layout().channel_axis();
    let mut detector = detector_with_gradient_times(factor, network, axis, &settings)?;
    outputs(&mut detector, classifier, options)?;
    match (options.input, network.inputs().next()) {
        (DetectorInput::Normalized, _) | (_, None) => Ok(detector.graph),
        (kind, Some((_, input))) => {
            let preprocessing = preprocessing(classifier, kind, &input.ty)?;
            Ok(passes::bind_input(
                &detector.graph,
                &input.name,
                &preprocessing,
            )?)
        }
    }
}

/// Adds scores and decision.
fn outputs(
    detector: &mut odin::Detector,
    classifier: &Classifier,
    options: &CompileOptions,
) -> Result<(), Error> {
    let (logits, prediction) = (detector.logits, detector.prediction);
    let needs_head = options.scores.iter().any(Compiled::needs_head);
    let mut scores = options.scores.iter();
    let needs = scores.try_fold(Needs::LOGITS, |needs, score| needs.and(score.needs()))?;
    let needed = needed(&mut detector.graph, classifier, needs)?;
    let ends = Ends {
        logits,
        prediction,
        head: needs_head.then(|| linear_head(classifier)).transpose()?,
        feature_map: needed.feature_map,
        shifted_features: needed.shifted_features,
    };
    let (perturbed, i_odin) = (detector.perturbed_logits, detector.i_odin_logits);
    let (temperature, g) = (options.setting.temperature as f32, &mut detector.graph);
    g.output(names::LOGITS, logits);
    g.output(names::PREDICTION, prediction);
    let of = classifier.probabilities();
    let msp = max_probability(g.at("MSP"), logits, 1.0, of)?;
    g.output(MSP, msp);
    let mut deciding = (options.decision.score() == MSP).then_some(msp);
    for score in &options.scores {
        let value = match (score, perturbed, i_odin) {
            (Compiled::Fitted(fitted), ..) => scores::add(g, &ends, fitted)?,
            (Compiled::Odin, Some(logits), _) => {
                max_probability(g.at("ODIN score"), logits, temperature, of)?
            }
            (Compiled::IOdin, _, Some(logits)) => {
                max_probability(g.at("i-ODIN score"), logits, temperature, of)?
            }
            _ => continue,
        };
        g.output(score.name(), value);
        if options.decision.score() == score.name() {
            deciding = Some(value);
        }
    }
    match deciding {
        Some(score) => options.decision.add(g, score, prediction, options.p_values),
        None => Ok(()),
    }
}

fn card(classifier: &Classifier, options: &CompileOptions) -> DetectorCard {
    let others = options.scores.iter().map(Compiled::name);
    let others = others.filter(|&name| name != MSP);
    DetectorCard {
        setting: options.setting,
        scores: std::iter::once(MSP)
            .chain(others)
            .map(str::to_string)
            .collect(),
        decides_by: options.decision.score().to_string(),
        threshold: options.decision.threshold(),
        class_thresholds: options.decision.class_thresholds().to_vec(),
        target_tpr: options.target_tpr,
        input: options.input,
        layout: classifier.layout(),
        normalization: classifier.normalization().clone(),
        transform: classifier.transform().cloned(),
        architecture: classifier.architecture().to_string(),
        multi_label: classifier.is_multi_label(),
        class_names: classifier.class_names().map(<[String]>::to_vec),
        source_sha256: classifier.file().sha256.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
