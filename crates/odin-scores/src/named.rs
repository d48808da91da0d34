//! Parses and formats scores with parameters, such as `knn:k=5` and `ash:0.65`.

use crate::error::{Error, ErrorKind};
use crate::method::Method;
use crate::parameters::Parameters;
use std::fmt::Write;

/// A parameter of a method: its name, how it is read from text, how it is shown.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    set: fn(&mut Parameters, &str) -> Option<()>,
    pub(crate) get: fn(&Parameters) -> String,
}

macro_rules! parameter {
    ($name:literal, $field:ident) => {
        Parameter {
            name: $name,
            set: |parameters, text| {
                parameters.$field = text.parse().ok()?;
                Some(())
            },
            get: |parameters| parameters.$field.to_string(),
        }
    };
}

/// The parameters of a method that can be set.
pub(crate) fn of(method: Method) -> &'static [Parameter] {
    const GEN: &[Parameter] = &[parameter!("gamma", gen_gamma), parameter!("top", gen_top)];
    const KNN: &[Parameter] = &[
        Parameter {
            name: "k",
            set: |parameters, text| {
                parameters.knn_k = Some(text.parse().ok()?);
                Some(())
            },
            get: |parameters| match parameters.knn_k {
                Some(k) => k.to_string(),
                None => "by the training images".to_string(),
            },
        },
        parameter!("share", knn_share),
        parameter!("seed", knn_seed),
        parameter!("images", knn_images),
    ];
    const NN_GUIDE: &[Parameter] = &[
        parameter!("k", nn_guide_k),
        parameter!("share", nn_guide_share),
        parameter!("seed", nn_guide_seed),
        parameter!("images", nn_guide_images),
    ];
    const WEIPER: &[Parameter] = &[
        parameter!("distance", weiper_distance),
        parameter!("repeats", weiper_repeats),
        parameter!("lambda1", weiper_lambda1),
        parameter!("lambda2", weiper_lambda2),
        parameter!("bins", weiper_bins),
        parameter!("feature-width", weiper_feature_width),
        parameter!("logit-width", weiper_logit_width),
        parameter!("feature-floor", weiper_feature_floor),
        parameter!("logit-floor", weiper_logit_floor),
        parameter!("images", weiper_images),
        parameter!("seed", weiper_seed),
    ];
    const VIM: &[Parameter] = &[Parameter {
        name: "d",
        set: |parameters, text| {
            parameters.vim_dimension = Some(text.parse().ok()?);
            Some(())
        },
        get: |parameters| match parameters.vim_dimension {
            Some(dimension) => dimension.to_string(),
            None => "by the authors' rule".to_string(),
        },
    }];
    const REACT: &[Parameter] = &[parameter!("quantile", react_quantile)];
    const ASH: &[Parameter] = &[parameter!("pruned", ash_pruned)];
    const SCALE: &[Parameter] = &[parameter!("pruned", scale_pruned)];
    const LTS: &[Parameter] = &[parameter!("pruned", lts_pruned)];
    const VRA: &[Parameter] = &[
        parameter!("lower", vra_lower),
        parameter!("upper", vra_upper),
    ];
    const DICE: &[Parameter] = &[parameter!("pruned", dice_pruned)];
    const ADASCALE: &[Parameter] = &[
        parameter!("pmin", adascale_pmin),
        parameter!("pmax", adascale_pmax),
        parameter!("lambda", adascale_lambda),
        parameter!("k1", adascale_k1),
        parameter!("k2", adascale_k2),
        parameter!("o", adascale_o),
        parameter!("epsilon", adascale_epsilon),
    ];
    const REACT_MAP: &[Parameter] = &[parameter!("quantile", react_map_quantile)];
    const ASH_MAP: &[Parameter] = &[parameter!("pruned", ash_map_pruned)];
    const SCALE_MAP: &[Parameter] = &[parameter!("pruned", scale_map_pruned)];
    const MCM: &[Parameter] = &[parameter!("temperature", mcm_temperature)];
    const NCI: &[Parameter] = &[parameter!("alpha", nci_alpha)];
    match method {
        Method::Gen => GEN,
        Method::Knn => KNN,
        Method::NnGuide => NN_GUIDE,
        Method::WeiperKld => WEIPER,
        Method::Vim => VIM,
        Method::React => REACT,
        Method::Ash => ASH,
        Method::Scale => SCALE,
        Method::Lts => LTS,
        Method::Vra => VRA,
        Method::Dice => DICE,
        // Both have the same: images are shifted once.
        Method::AdaScaleA | Method::AdaScaleL => ADASCALE,
        Method::ReactMap => REACT_MAP,
        Method::AshMap => ASH_MAP,
        Method::ScaleMap => SCALE_MAP,
        Method::Mcm => MCM,
        Method::Nci => NCI,
        _ => &[],
    }
}

/// The parameter that a text such as `k=5` sets, and the value; without a name that of the only one.
pub(crate) fn named(method: Method, text: &str) -> Result<(&'static Parameter, &str), Error> {
    let known = of(method);
    let named = match text.split_once('=') {
        Some((name, value)) => {
            let name = name.trim();
            known
                .iter()
                .find(|p| p.name == name)
                .map(|p| (p, value.trim()))
        }
        // Of KNN it was once the only one.
        None => match (method, known) {
            (_, [only]) | (Method::Knn, [only, ..]) => Some((only, text)),
            _ => None,
        },
    };
    named.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|p| p.name).collect();
        match names.is_empty() {
            true => invalid(format!(
                "{method} has no parameters, and {text:?} was given"
            )),
            false => invalid(format!(
                "{method} has no parameter {text:?}; write {method}:{}=VALUE",
                names.join(&format!("=VALUE, or {method}:"))
            )),
        }
    })
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::Invalid, problem)
}

impl Parameters {
    /// Reads a score with its parameters: its name, then `:NAME=VALUE` for each parameter that is
    /// to be another than the paper's, or `:VALUE` for the only one.
    ///
    /// ```
    /// use odin_scores::{Method, Parameters};
    ///
    /// let mut parameters = Parameters::default();
    /// assert_eq!(parameters.read("knn:k=5")?, Method::Knn);
    /// assert_eq!(parameters.read("ash:0.65")?, Method::Ash);
    /// assert_eq!(parameters.describe(Method::Knn), "k = 5, share = 1, seed = 0, images = 65536");
    /// assert!(parameters.read("energy:t=2").is_err());
    /// # Ok::<(), odin_scores::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::UnknownMethod`] for another name, [`ErrorKind::Invalid`] for a parameter that
    /// the score does not have, or a value out of its range.
    pub fn read(&mut self, text: &str) -> Result<Method, Error> {
        let mut parts = text.split(':').map(str::trim);
        let method: Method = parts.next().unwrap_or_default().parse()?;
        for part in parts {
            self.read_one(method, part)?;
        }
        let checked = self.check();
        checked.map_err(|e| e.about(format_args!("{method}")))?;
        Ok(method)
    }

    fn read_one(&mut self, method: Method, text: &str) -> Result<(), Error> {
        let (parameter, value) = named(method, text)?;
        self.set(method, parameter, value)
    }

    pub(crate) fn set(
        &mut self,
        method: Method,
        parameter: &Parameter,
        value: &str,
    ) -> Result<(), Error> {
        let set = (parameter.set)(self, value);
        set.ok_or_else(|| {
            invalid(format!(
                "{method}: {value:?} is no value for {}",
                parameter.name
            ))
        })
    }

    /// The parameters of a method with their values, such as `gamma = 0.1, top = 100`; empty where
    /// it has none.
    pub fn describe(&self, method: Method) -> String {
        let mut text = String::new();
        for (i, parameter) in of(method).iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            let value = (parameter.get)(self);
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}{} = {value}", parameter.name);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_are_written() {
        for (text, method, described) in [
            ("energy", Method::Energy, ""),
            (
                "knn",
                Method::Knn,
                "k = by the training images, share = 1, seed = 0, images = 65536",
            ),
            (
                "knn:share=0.1:seed=7",
                Method::Knn,
                "k = by the training images, share = 0.1, seed = 7, images = 65536",
            ),
            (
                "nn-guide:k=5:share=0.01",
                Method::NnGuide,
                "k = 5, share = 0.01, seed = 0, images = 65536",
            ),
            (
                "weiper-kld:repeats=5:lambda1=1",
                Method::WeiperKld,
                "distance = 1.8, repeats = 5, lambda1 = 1, lambda2 = 0.1, bins = 100, \
                 feature-width = 4, logit-width = 15, feature-floor = 0.01, logit-floor = 0.025, \
                 images = 2000, seed = 0",
            ),
            (
                "weiper-kld:bins=50:feature-width=2:logit-width=9:logit-floor=0.1",
                Method::WeiperKld,
                "distance = 1.8, repeats = 100, lambda1 = 2.5, lambda2 = 0.1, bins = 50, \
                 feature-width = 2, logit-width = 9, feature-floor = 0.01, logit-floor = 0.1, \
                 images = 2000, seed = 0",
            ),
            ("lts:0.9", Method::Lts, "pruned = 0.9"),
            ("dice:0.7", Method::Dice, "pruned = 0.7"),
            (
                "vra:lower=0.5:upper=0.95",
                Method::Vra,
                "lower = 0.5, upper = 0.95",
            ),
            (
                "knn:5",
                Method::Knn,
                "k = 5, share = 1, seed = 0, images = 65536",
            ),
            ("gen:gamma=0.2:top=7", Method::Gen, "gamma = 0.2, top = 7"),
            ("vim:d=32", Method::Vim, "d = 32"),
            ("ash:0.65", Method::Ash, "pruned = 0.65"),
            ("scale: pruned = 0.5", Method::Scale, "pruned = 0.5"),
            ("react:quantile=0.95", Method::React, "quantile = 0.95"),
            ("nci:0", Method::Nci, "alpha = 0"),
            (
                "adascale-a:pmin=0.6:pmax=0.9:k2=0.3",
                Method::AdaScaleA,
                "pmin = 0.6, pmax = 0.9, lambda = 10, k1 = 0.01, k2 = 0.3, o = 0.05, epsilon = 0.5",
            ),
            ("react-map:0.99", Method::ReactMap, "quantile = 0.99"),
        ] {
            let mut parameters = Parameters::default();
            assert_eq!(parameters.read(text), Ok(method), "{text}");
            assert_eq!(parameters.describe(method), described, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("dices", "dices"),
            ("weiper-kld:repeats=1001", "from 1 to 1000"),
            ("weiper-kld:distance=0", "above 0"),
            ("weiper-kld:bins=1001", "from 1 to 1000"),
            ("weiper-kld:bins=10", "at most weiper_bins"),
            ("weiper-kld:feature-width=0", "at least 1"),
            ("weiper-kld:logit-floor=0", "above 0"),
            ("dice:1", "below 1"),
            ("vra:lower=0.95", "at most vra_upper"),
            ("vra:upper=1.5", "at most 1"),
            ("nn-guide:share=0", "above 0"),
            ("nn-guide:k=0", "at least 1"),
            ("energy:1", "has no parameters"),
            ("knn:n=5", "knn:k=VALUE"),
            ("gen:0.1", "gen:gamma=VALUE, or gen:top=VALUE"),
            ("knn:k=few", "\"few\""),
            ("knn:k=0", "at least 1"),
            ("ash:1.5", "below 1"),
            ("vim:d=0", "at least 1"),
            ("adascale-l:pmin=0.9", "at least adascale_pmin"),
            ("adascale-l:0.9", "adascale-l:pmin=VALUE"),
        ] {
            let error = Parameters::default().read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
