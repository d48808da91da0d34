//! `/metrics`: the exposition in the OpenMetrics text format.

use crate::admission::Admission;
use crate::detectors::{Detectors, Served};
use crate::telemetry::{DetectorMetrics, Drifted, RequestMetrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub(crate) struct Exposition(Registry);

impl Exposition {
    pub(crate) fn new(
        requests: &RequestMetrics,
        detectors: Arc<Detectors>,
        admission: Arc<Admission>,
    ) -> Self {
        let mut registry = Registry::with_prefix("odin");
        requests.register(&mut registry);
        registry.register_collector(Box::new(Collected {
            detectors,
            admission,
        }));
        Self(registry)
    }

    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Metrics that belong to the detectors served at the moment, and those computed when asked for.
#[derive(Debug)]
struct Collected {
    detectors: Arc<Detectors>,
    admission: Arc<Admission>,
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let queued = self.admission.queued() as f64;
        gauge(
            &mut encoder,
            "queue_images",
            "Images let in and not answered",
            [(vec![], queued)],
        )?;
        let all = self.detectors.all();
        self.facts(&mut encoder, &all)?;
        self.counts(&mut encoder, &all)?;
        self.histograms(&mut encoder, &all)?;
        self.drift(&mut encoder, &all)
    }
}

impl Collected {
    fn facts(&self, encoder: &mut DescriptorEncoder, all: &[Arc<Served>]) -> fmt::Result {
        let info = all.iter().map(|served| {
            let info = &served.info;
            let labels = vec![
                ("detector", info.name.as_str()),
                ("version", info.version.as_str()),
                ("model", info.model.sha256.as_str()),
            ];
            (labels, 1.0)
        });
        gauge(encoder, "detector_info", "Detectors served", info)?;
        let expected = all
            .iter()
            .map(|served| (named(served), 1.0 - served.info.expected_tpr));
        gauge(
            encoder,
            "expected_rejected_share",
            "Share of in-distribution images that the calibration expects to be rejected",
            expected,
        )
    }

    fn counts(&self, encoder: &mut DescriptorEncoder, all: &[Arc<Served>]) -> fmt::Result {
        type Of = fn(&DetectorMetrics) -> u64;
        let kinds: [(&str, Of); 3] = [
            ("in_distribution", |m| m.known.get()),
            ("rejected", |m| m.rejected.get()),
            ("failed", |m| m.failed.get()),
        ];
        let help = "Images judged, by the decision";
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = encoder.encode_descriptor("images", help, None, kind)?;
        for served in all {
            for (decision, count) in kinds {
                let mut labels = named(served);
                labels.push(("decision", decision));
                let counter = ConstCounter::new(count(&served.metrics));
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn histograms(&self, encoder: &mut DescriptorEncoder, all: &[Arc<Served>]) -> fmt::Result {
        type Of = fn(&DetectorMetrics) -> &Histogram;
        let kinds: [(&str, &str, Of); 3] = [
            (
                "score",
                "The score that decides, in buckets bounded by quantiles of the calibration's",
                |m| &m.scores,
            ),
            ("batch_images", "Images of a batch", |m| &m.batches),
            (
                "wait_seconds",
                "Time that an image waits for its batch",
                |m| &m.waits,
            ),
        ];
        for (name, help, of) in kinds {
            let Some(first) = all.first() else {
                continue;
            };
            let kind = of(&first.metrics).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for served in all {
                let labels = named(served);
                of(&served.metrics).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn drift(&self, encoder: &mut DescriptorEncoder, all: &[Arc<Served>]) -> fmt::Result {
        let drifted: Vec<_> = all
            .iter()
            .filter_map(|served| Some((served, served.metrics.drifted()?)))
            .collect();
        type Of = fn(&Drifted) -> f64;
        let kinds: [(&str, &str, Of); 4] = [
            ("window_images", "Scores in the sliding window", |d| {
                d.images as f64
            }),
            (
                "rejected_share",
                "Share of the window's images that were rejected",
                |d| d.rejected,
            ),
            (
                "drift_statistic",
                "Kolmogorov-Smirnov statistic of the window's scores against those of the calibration",
                |d| d.statistic,
            ),
            (
                "drift_p_value",
                "Its p-value, for independent images",
                |d| d.p_value,
            ),
        ];
        for (name, help, of) in kinds {
            let values = drifted
                .iter()
                .map(|(served, drifted)| (named(served), of(drifted)));
            gauge(encoder, name, help, values)?;
        }
        Ok(())
    }
}

fn named(served: &Served) -> Labels<'_> {
    vec![("detector", served.info.name.as_str())]
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let kind = ConstGauge::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
