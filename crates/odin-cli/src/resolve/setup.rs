//! The configuration of eval, tune and calibrate: network, registry, device, selection of images.

use super::dataset::{OpenSet, Selection, Spec};
use super::registry::{self, named};
use super::scores::Scores;
use super::{device, network};
use crate::args::{
    NnOption, PrecisionOption, RunOptions, ScoreOptions, SettingOptions, UsageError,
};
use crate::output::advice::told;
use crate::output::atomic::SourceFile;
use crate::output::progress::say;
use anyhow::{Context, Result, bail};
use odin::{
    Classifier, Detector, DetectorBuilder, Device, Images, OutputCache, Precision, Setting,
};
use odin_data::registry::{NetworkEntry, Registry};
use odin_report::counted;
use std::time::Duration;

/// The options of a run, resolved once.
pub(crate) struct Setup<'a> {
    nn: &'a str,
    run: &'a RunOptions,
    device: Device,
    registry: Registry,
    cache: Option<OutputCache>,
    pub(crate) classifier: Classifier,
    pub(crate) selection: Selection,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(nn: &'a NnOption, run: &'a RunOptions) -> Result<Self> {
        let nn = &nn.name;
        let device = device::chosen(&run.compute.device)?;
        let registry = registry::open(&run.network.registry)?;
        let classifier = network::open(nn, &run.network, run.transform.as_ref(), &registry)?;
        let cache = run.cache.as_ref().map(OutputCache::open).transpose();
        Ok(Self {
            cache: cache.context("--cache")?,
            nn,
            run,
            device,
            registry,
            selection: Selection::new(run, &classifier),
            classifier,
        })
    }

    /// What the registry says of the network, where it is named there.
    pub(crate) fn network_entry(&self) -> Option<&NetworkEntry> {
        named(self.nn, &self.registry)?.network()
    }

    /// The set that an option names.
    pub(crate) fn spec(&self, text: &str, option: &str) -> Result<Spec> {
        Spec::resolve(text, option, &self.selection, &self.registry)
    }

    /// The in-set named, or the one that the registry says the network was trained on.
    pub(crate) fn in_spec(&self, in_dataset: Option<&str>) -> Result<Spec> {
        let of_network = || self.network_entry()?.in_dataset.as_deref();
        match in_dataset.or_else(of_network) {
            Some(text) => self.spec(text, "--in-dataset"),
            None => Err(UsageError(
                "--in-dataset is missing: name the set that the network was trained on".into(),
            )
            .into()),
        }
    }

    /// The in-set and the out-sets. All that are not here are named at once.
    pub(crate) fn specs(
        &self,
        in_dataset: Option<&str>,
        out_datasets: &[String],
    ) -> Result<(Spec, Vec<Spec>)> {
        let in_spec = self.in_spec(in_dataset);
        let mut errors = Vec::new();
        let mut out_specs = Vec::new();
        for name in self.out_names(out_datasets) {
            match self.spec(&name, "--out-dataset") {
                Ok(spec) => out_specs.push(spec),
                Err(error) => errors.push(error),
            }
        }
        match (in_spec, errors.pop()) {
            (Ok(in_spec), None) => Ok((in_spec, out_specs)),
            (Err(error), None) => Err(error),
            (Ok(_), Some(only)) if errors.is_empty() => Err(only),
            (in_spec, last) => {
                let errors = in_spec.err().into_iter().chain(errors).chain(last);
                let errors: Vec<String> = errors.map(|error| told(&error)).collect();
                bail!(
                    "{} sets cannot be used\n{}",
                    errors.len(),
                    errors.join("\n")
                )
            }
        }
    }

    fn out_names(&self, out_datasets: &[String]) -> Vec<String> {
        let of_paper = || self.registry.paper_out_datasets().into_iter();
        let names = out_datasets.iter();
        let names = names.flat_map(|text| match text.as_str() {
            "all" => of_paper().map(|entry| entry.name.clone()).collect(),
            text => vec![text.to_string()],
        });
        names.collect()
    }

    /// Opens a set; noise gets as many images as are asked for, or else `noise_count`.
    pub(crate) fn open(&self, spec: Spec, noise_count: usize) -> Result<OpenSet> {
        let count = Spec::noise_count(&self.selection, noise_count);
        let skip_bad = self.run.skip_bad;
        OpenSet::open(spec, &self.selection, count, skip_bad)
    }

    /// Opens a set of which a part tunes and another, which is returned, tests; noise gets so many
    /// images for each.
    pub(crate) fn open_in_two(&self, spec: Spec, noise: [usize; 2]) -> Result<(OpenSet, Images)> {
        OpenSet::open_in_two(spec, &self.selection, noise, self.run.skip_bad)
    }

    /// The scores to compute beside the baseline and ODIN, fitted in a precision.
    pub(crate) fn scores(&self, options: &ScoreOptions, precision: Precision) -> Result<Scores> {
        let setting = Setting::default().with_precision(precision);
        Scores::new(
            options,
            self.run,
            self.builder().setting(setting),
            &self.selection,
            &self.registry,
        )
    }

    /// The training images that the options name for scores that are fitted.
    pub(crate) fn training(&self, options: &ScoreOptions) -> Result<Option<Images>> {
        super::scores::training(options, self.run, &self.selection, &self.registry)
    }

    /// What is read beside the sets: the model, its `model.toml`, the registry, and the images that
    /// scores are fitted to.
    pub(crate) fn sources(&self, scores: &ScoreOptions) -> Vec<SourceFile> {
        let mut sources = network::sources(&self.classifier, &self.run.network);
        let fit_on = scores.fit_on.as_deref();
        let fit_on = fit_on.and_then(|name| self.spec(name, "--fit-on").ok());
        let fit_on = fit_on.as_ref().and_then(Spec::path);
        sources.extend(fit_on.map(|path| ("the set of --fit-on", path.to_path_buf())));
        sources
    }

    /// The setting asked for; the rest of it is that of a compiled detector, or the paper's.
    pub(crate) fn setting(&self, asked_for: &SettingOptions) -> Result<Setting> {
        let setting = network::setting(asked_for, &self.classifier)?;
        self.check_precision(setting.precision)?;
        Ok(setting)
    }

    /// The precision asked for, or that of a compiled detector, or exact.
    pub(crate) fn precision(&self, asked_for: PrecisionOption) -> Result<Precision> {
        let options = SettingOptions {
            precision: asked_for,
            ..SettingOptions::default()
        };
        Ok(self.setting(&options)?.precision)
    }

    /// Refuses what the device does not compute in.
    pub(crate) fn check_precision(&self, precision: Precision) -> Result<()> {
        match (precision, self.device) {
            (Precision::Exact, _) | (_, Device::Cpu) => Ok(()),
            (_, device) => Err(UsageError(format!(
                "--precision {precision} is the built-in engine's (--device cpu); on the device {device} use --precision exact, or a file that `odin compile --precision {precision}` writes"
            ))
            .into()),
        }
    }

    /// Begins a detector of the network.
    pub(crate) fn builder(&self) -> DetectorBuilder {
        device::builder(&self.classifier, &self.run.compute, self.cache.as_ref())
    }

    /// Says for how many images the network was not run.
    pub(crate) fn tell_cache(&self) {
        if let (Some(cache), false) = (&self.cache, self.run.quiet.on) {
            say(&format!(
                "cache: the network was run for {} of {}",
                counted(cache.computed(), "image"),
                cache.computed() + cache.found()
            ));
        }
    }

    /// Finishes a builder on the device.
    pub(crate) fn prepare<T>(
        &self,
        builder: DetectorBuilder,
        finish: impl FnOnce(DetectorBuilder) -> Result<T, odin::Error>,
    ) -> Result<T> {
        Ok(self.prepare_timed(builder, finish)?.0)
    }

    /// As [`Setup::prepare`], with how long it took where the device builds engines.
    pub(crate) fn prepare_timed<T>(
        &self,
        builder: DetectorBuilder,
        finish: impl FnOnce(DetectorBuilder) -> Result<T, odin::Error>,
    ) -> Result<(T, Option<Duration>)> {
        device::timed(self.device, self.run.quiet.on, || {
            device::prepare(builder, self.device, &self.run.compute.device, finish)
        })
    }

    /// Prints the network, the setting where it is not the network's own, the engine and the sets.
    pub(crate) fn announce<'b>(
        &self,
        setting: Option<Setting>,
        detector: Option<&Detector>,
        sets: impl IntoIterator<Item = &'b OpenSet>,
    ) {
        if self.run.quiet.on {
            return;
        }
        network::announce(&self.classifier, false);
        if let Some(setting) = setting {
            network::announce_setting(setting, &self.classifier, false);
        }
        if let Some(detector) = detector {
            device::announce(detector, &self.classifier, false);
        }
        for set in sets {
            set.announce(&self.selection);
        }
    }
}
