//! The scores beside the baseline and ODIN that `--score` names, fitted to training images where
//! they need it.

use super::dataset::{Selection, Spec};
use super::device;
use crate::args::{RunOptions, ScoreOptions, UsageError};
use crate::output::progress::{Meter, say};
use anyhow::Result;
use odin::scores::{ErrorKind, warnings};
use odin::{DetectorBuilder, Device, Fitted, Images, Method, Parameters};
use odin_data::registry::Registry;

/// Scores that are always computed.
const ALWAYS: [&str; 2] = ["msp", "odin"];
const I_ODIN: &str = "i-odin";

/// The scores to compute beside the baseline and ODIN.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// Whether i-ODIN is among them.
    pub(crate) i_odin: bool,
    pub(crate) fitted: Vec<Fitted>,
    /// The names of those that were asked for, in this order; `odin` where none was.
    names: Vec<String>,
}

impl Scores {
    /// Makes those that the options name; `all` leaves out what cannot be computed here, and says
    /// why.
    pub(crate) fn new(
        options: &ScoreOptions,
        run: &RunOptions,
        builder: DetectorBuilder,
        selection: &Selection,
        registry: &Registry,
    ) -> Result<Self> {
        let names = Names::parse(&options.scores)?;
        if names.is_nothing() {
            if options.fit_on.is_some() {
                let problem = "--fit-on: no score is asked for that is fitted; --score names them";
                return Err(UsageError(problem.into()).into());
            }
            return Ok(Self {
                names: names.in_order(&[]),
                ..Self::default()
            });
        }
        let training = training(options, run, selection, registry)?;
        let fitting = Fitting {
            run,
            builder,
            device: device::chosen(&run.compute.device)?,
            training: training.as_ref(),
            parameters: names.parameters,
        };
        let fitted = match names.all {
            false => fitting.fit(&names.methods)?,
            true => fitting.fit_possible()?,
        };
        for warning in warnings(&fitted) {
            say(&format!("warning: {warning}"));
        }
        if !run.quiet.on {
            for fitted in &fitted {
                let parameters = names.parameters.describe(fitted.method());
                if !parameters.is_empty() {
                    say(&format!("{}: {parameters}", fitted.method()));
                }
                for note in fitted.notes() {
                    say(&format!("{}: {note}", fitted.method()));
                }
            }
        }
        Ok(Self {
            i_odin: names.i_odin || names.all,
            names: names.in_order(&fitted),
            fitted,
        })
    }

    /// The names of those that were asked for, in this order; `odin` where none was.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// A builder that computes them, too.
    pub(crate) fn add_to(&self, builder: DetectorBuilder) -> DetectorBuilder {
        builder
            .fitted(self.fitted.iter().cloned())
            .i_odin(self.i_odin)
    }
}

/// What `--score` names.
#[derive(Default)]
struct Names {
    all: bool,
    i_odin: bool,
    methods: Vec<Method>,
    parameters: Parameters,
    /// As they were given, without their parameters, each once.
    given: Vec<String>,
}

impl Names {
    fn parse(texts: &[String]) -> Result<Self> {
        let mut names = Self::default();
        for text in texts {
            let name = text
                .split(':')
                .next()
                .unwrap_or_default()
                .trim()
                .to_string();
            if !names.given.contains(&name) {
                names.given.push(name);
            }
            match text.trim() {
                "all" => names.all = true,
                I_ODIN => names.i_odin = true,
                name if ALWAYS.contains(&name) => {}
                name => {
                    let method = names.parameters.read(name).map_err(|e| match e.kind() {
                        ErrorKind::UnknownMethod => UsageError(format!(
                            "--score: {e}; besides there are odin, {I_ODIN} and all"
                        )),
                        _ => UsageError(format!("--score: {e}")),
                    })?;
                    if !names.methods.contains(&method) {
                        names.methods.push(method);
                    }
                }
            }
        }
        Ok(names)
    }

    fn in_order(&self, fitted: &[Fitted]) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        let all = || {
            let fixed = ["odin", "msp", I_ODIN].map(str::to_string).into_iter();
            fixed.chain(fitted.iter().map(|fitted| fitted.method().to_string()))
        };
        for name in &self.given {
            match name.as_str() {
                "all" => order.extend(all()),
                _ => order.push(name.clone()),
            }
        }
        if order.is_empty() {
            order.push("odin".to_string());
        }
        let mut seen = std::collections::HashSet::new();
        order.retain(|name| seen.insert(name.clone()));
        order
    }

    fn is_nothing(&self) -> bool {
        !self.all && !self.i_odin && self.methods.is_empty()
    }
}

/// Groups scores by the reason.
fn by_reason(left_out: Vec<(Method, String)>) -> Vec<(String, Vec<String>)> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for (method, reason) in left_out {
        // Errors of a fit name the score, too.
        let of_score = format!("the score {method}: ");
        let reason = reason
            .strip_prefix(&of_score)
            .unwrap_or(&reason)
            .to_string();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, methods)) => methods.push(method.to_string()),
            None => reasons.push((reason, vec![method.to_string()])),
        }
    }
    reasons
}

/// The training images, where the options name some.
pub(super) fn training(
    options: &ScoreOptions,
    run: &RunOptions,
    selection: &Selection,
    registry: &Registry,
) -> Result<Option<Images>> {
    let Some(name) = &options.fit_on else {
        return Ok(None);
    };
    let spec = Spec::resolve(name, "--fit-on", selection, registry)?;
    let images = spec.open_training(selection, options.fit_images)?;
    Ok(Some(images.skip_bad(run.skip_bad)))
}

struct Fitting<'a> {
    run: &'a RunOptions,
    builder: DetectorBuilder,
    device: Device,
    training: Option<&'a Images>,
    parameters: Parameters,
}

impl Fitting<'_> {
    fn fit(&self, methods: &[Method]) -> Result<Vec<Fitted>> {
        if let Some(method) = methods.iter().find(|method| method.needs_training())
            && self.training.is_none()
        {
            return Err(UsageError(format!(
                "--score: {method} is fitted to images that the network was trained on; --fit-on names them"
            ))
            .into());
        }
        self.run(|builder, images, meter| builder.fit(methods, images, |p| meter.update(p)))
    }

    fn run<T>(
        &self,
        fit: impl FnOnce(DetectorBuilder, Option<&Images>, &mut Meter) -> Result<T, odin::Error>,
    ) -> Result<T> {
        let builder = self.builder.clone().parameters(self.parameters);
        let name = self.training.map_or("", Images::name);
        let mut meter = Meter::new(&format!("fitting to {name}"), self.run.quiet.on);
        device::prepare(builder, self.device, &self.run.compute.device, |builder| {
            fit(builder, self.training, &mut meter)
        })
    }

    /// Fits those whose requirements are met; prints why others are left out.
    fn fit_possible(&self) -> Result<Vec<Fitted>> {
        let reason = |&method: &Method| -> Option<String> {
            if method.needs_training() && self.training.is_none() {
                return Some("fitted to training images; give them with --fit-on".to_string());
            }
            let lacking = self.builder.classifier().check_score(method).err()?;
            Some(lacking.to_string())
        };
        let (mut possible, mut left_out) = (Vec::new(), Vec::new());
        let others = Method::ALL.into_iter();
        for method in others.filter(|method| !ALWAYS.contains(&method.name())) {
            match reason(&method) {
                None => possible.push(method),
                Some(reason) => left_out.push((method, reason)),
            }
        }
        let each = self.run(|builder, images, meter| {
            builder.fit_each(&possible, images, |p| meter.update(p))
        })?;
        let mut fitted = Vec::new();
        for (method, outcome) in possible.into_iter().zip(each) {
            match outcome {
                Ok(score) => fitted.push(score),
                Err(error) => left_out.push((method, error.to_string())),
            }
        }
        if !self.run.quiet.on {
            for (reason, methods) in by_reason(left_out) {
                say(&format!("left out: {}: {reason}", methods.join(", ")));
            }
        }
        Ok(fitted)
    }
}
