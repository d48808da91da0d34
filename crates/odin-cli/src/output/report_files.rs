//! The files of `--report` and `--plots`: a page, and a folder with each plot.

use super::atomic::{Output, SourceFile};
use super::free_names::FreeNames;
use super::progress::say;
use crate::args::{ReportOptions, UsageError};
use anyhow::{Context, Result};
#[cfg(feature = "png-plots")]
use odin_report::plot::Rasterizer;
use std::path::{Path, PathBuf};

const PAGE: &str = "--report";
const PLOTS: &str = "--plots";

/// Where a page and plots go, if they are asked for.
pub(crate) struct ReportFiles {
    page: Option<Output>,
    plots: Option<PathBuf>,
    sources: Vec<SourceFile>,
    quiet: bool,
}

impl ReportFiles {
    /// # Errors
    /// When the page is no `.html`, cannot be written or is one of the sources, or the folder
    /// cannot be made.
    pub(crate) fn new(
        options: &ReportOptions,
        sources: &[SourceFile],
        quiet: bool,
    ) -> Result<Self> {
        let page = options.report.as_deref().map(page).transpose()?;
        if let Some(page) = &page {
            page.is_none_of(sources)?;
        }
        if let Some(folder) = &options.plots {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{PLOTS}: cannot make the folder {}", folder.display()))?;
        }
        Ok(Self {
            page,
            plots: options.plots.clone(),
            sources: sources.to_vec(),
            quiet,
        })
    }

    /// Whether there is anything to write.
    pub(crate) fn are_wanted(&self) -> bool {
        self.page.is_some() || self.plots.is_some()
    }

    /// Writes what is asked for; plots are given as SVG, each with a name.
    pub(crate) fn write(
        &self,
        page: impl FnOnce() -> String,
        plots: impl FnOnce() -> Vec<(String, String)>,
    ) -> Result<()> {
        if let Some(folder) = &self.plots {
            self.write_plots(folder, plots())?;
        }
        let Some(file) = &self.page else {
            return Ok(());
        };
        file.write(page().as_bytes())?;
        self.tell(file.path());
        Ok(())
    }

    /// All of them, or none where one of them may not be written.
    fn write_plots(&self, folder: &Path, plots: Vec<(String, String)>) -> Result<()> {
        let mut names = FreeNames::default();
        let mut files = Vec::new();
        let rasterizer = self.rasterizer();
        for (name, svg) in plots {
            let name = names.take(&name, "svg");
            let mut add = |name: &str, content: Vec<u8>| -> Result<()> {
                let file = Output::new(&folder.join(name), PLOTS)?;
                file.is_none_of(&self.sources)?;
                files.push((file, content));
                Ok(())
            };
            if let Some(rasterizer) = &rasterizer {
                add(&png_of(&name), rasterizer.draw(&svg)?)?;
            }
            add(&name, svg.into_bytes())?;
        }
        for (file, content) in files {
            file.write(&content)?;
        }
        self.tell(folder);
        Ok(())
    }

    /// What draws plots as PNG; nothing in a build without, and said on a machine without fonts.
    #[cfg(feature = "png-plots")]
    fn rasterizer(&self) -> Option<Rasterizer> {
        let found = Rasterizer::new();
        if let Err(reason) = &found {
            say(&format!("plots are written as SVG only: {reason}"));
        }
        found.ok()
    }

    #[cfg(not(feature = "png-plots"))]
    fn rasterizer(&self) -> Option<Rasterizer> {
        None
    }

    fn tell(&self, path: &Path) {
        if !self.quiet {
            say(&format!("wrote {}", path.display()));
        }
    }
}

/// What draws plots as PNG in builds that can, of which this is none.
#[cfg(not(feature = "png-plots"))]
enum Rasterizer {}

#[cfg(not(feature = "png-plots"))]
impl Rasterizer {
    fn draw(&self, _: &str) -> Result<Vec<u8>> {
        match *self {}
    }
}

/// The name of the PNG of a plot whose SVG has this name.
fn png_of(svg: &str) -> String {
    let stem = svg.strip_suffix(".svg").unwrap_or(svg);
    format!("{stem}.png")
}

fn page(path: &Path) -> Result<Output> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("html" | "htm") => Output::new(path, PAGE),
        _ => {
            let problem = format!("{PAGE}: {} must end in .html", path.display());
            Err(UsageError(problem).into())
        }
    }
}
