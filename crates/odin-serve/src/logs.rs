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
