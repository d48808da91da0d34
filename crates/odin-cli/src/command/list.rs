//! `odin list`: lists the data sets and networks of the registry.

use crate::args::List;
use crate::output::stdout::write_stdout;
use crate::resolve::registry;
use anyhow::Result;
use odin_report::RegistryReport;

pub(crate) fn run(args: &List) -> Result<()> {
    let rows = registry::open(&args.registry)?.list(&args.registry.data_dir);
    let report = RegistryReport { rows };
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}
