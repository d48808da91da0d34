//! `odin inspect`.

use crate::args::{Inspect, TextFormat};
use crate::{eval, network, spec};
use anyhow::Result;
use odin::Inspection;
use odin_report::InspectionReport;

pub(crate) fn run(args: &Inspect) -> Result<()> {
    let registry = spec::registry(&args.network.registry)?;
    let classifier = network::open(&args.nn, "FILE", &args.network, &registry)?;
    let inspection = Inspection::of(&classifier);
    let report = InspectionReport::new(&classifier, &inspection);
    eval::write_stdout(&match args.format {
        TextFormat::Table => report.to_table(),
        TextFormat::Json => report.to_json(),
    })
}
