//! Where what the service says of itself goes.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON on each line.
    Json,
}

/// Writes a line for each request, warnings and errors, from now on and for the whole process.
/// Gives false where another subscriber of `tracing` is there already, which then gets them.
pub fn log_to<W>(format: LogFormat, writer: W) -> bool
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer);
    let set = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish()),
        LogFormat::Json => {
            let json = subscriber.json().flatten_event(true);
            tracing::subscriber::set_global_default(json.finish())
        }
    };
    set.is_ok()
}

/// The target of the spans of requests, which are no part of the log.
#[cfg(feature = "opentelemetry")]
pub(crate) const SPANS: &str = "odin_serve::request";

#[cfg(feature = "opentelemetry")]
pub use traces::{Traces, log_and_trace_to};

#[cfg(feature = "opentelemetry")]
mod traces {
    use super::{LogFormat, SPANS};
    use crate::error::{Error, ErrorKind};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::filter::FilterExt;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::{Layer, SubscriberExt};

    /// Sends spans; what is not sent when it is dropped is sent then.
    #[derive(Debug)]
    pub struct Traces(SdkTracerProvider);

    impl Drop for Traces {
        fn drop(&mut self) {
            if let Err(error) = self.0.shutdown() {
                tracing::warn!("the last spans were not sent: {error}");
            }
        }
    }

    /// As [`log_to`](super::log_to), and sends a span for each request to an OpenTelemetry
    /// collector at this address, such as `http://localhost:4317`, by OTLP over gRPC. It is called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be used, or another subscriber of `tracing` is there already.
    pub fn log_and_trace_to<W>(
        format: LogFormat,
        writer: W,
        collector: &str,
    ) -> Result<Traces, Error>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let about = |e: Box<dyn std::error::Error + Send + Sync>| {
            let problem = format!("spans cannot be sent to {collector}");
            Error::new(ErrorKind::Options, problem).because(e)
        };
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(collector);
        let exporter = exporter.build().map_err(|e| about(e.into()))?;
        let resource = Resource::builder().with_service_name("odin").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("odin"))
            .with_filter(filter_fn(|metadata| metadata.target() == SPANS));
        let no_span = LevelFilter::INFO.and(filter_fn(|metadata| metadata.target() != SPANS));
        let log = tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(false)
            .with_writer(writer);
        let log = match format {
            LogFormat::Text => log.boxed(),
            LogFormat::Json => log.json().flatten_event(true).boxed(),
        };
        let all = tracing_subscriber::registry()
            .with(log.with_filter(no_span))
            .with(spans);
        tracing::subscriber::set_global_default(all).map_err(|e| about(e.into()))?;
        Ok(Traces(provider))
    }
}
