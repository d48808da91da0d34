//! `odin inspect`: describes a model: inputs, outputs, operators, cost, normalisation.

use crate::args::Inspect;
use crate::output::stdout::write_stdout;
use crate::resolve::{network, registry};
use anyhow::Result;
use odin::Inspection;
use odin_report::InspectionReport;

pub(crate) fn run(args: &Inspect) -> Result<()> {
    let registry = registry::open(&args.network.registry)?;
    let classifier = network::open(&args.nn, &args.network, None, &registry)?;
    let inspection = Inspection::of(&classifier);
    let report = InspectionReport::new(&classifier, &inspection);
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}
