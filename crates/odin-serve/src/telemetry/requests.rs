//! What is counted of requests.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What requests are told apart by: values that the service chooses and no client can make up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// The pattern of the route, not the path.
    pub(crate) route: String,
    pub(crate) status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics {
    answered: Family<RequestLabels, Counter>,
    seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    refused: Family<RefusalLabels, Counter>,
    pub(crate) in_flight: Gauge,
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
        Self {
            answered: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 16))
            }),
            refused: Family::default(),
            in_flight: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests answered", self.answered.clone());
        registry.register(
            "request_seconds",
            "Time from a request's head to its answer's",
            self.seconds.clone(),
        );
        registry.register(
            "refused",
            "Requests that got no scores, by the reason",
            self.refused.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
    }

    pub(crate) fn answered(&self, labels: &RequestLabels, seconds: f64) {
        self.answered.get_or_create(labels).inc();
        self.seconds.get_or_create(labels).observe(seconds);
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }
}
