//! Loads the library of ONNX Runtime, once per process.

use crate::error::reason;
use crate::{Error, ErrorKind, Provider};
use ort::LoadDynamicError;
use ort::environment::{Environment, EnvironmentBuilder};
use ort::logging::LogLevel;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The library of ONNX Runtime, loaded. A process loads one only, and keeps it.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    version: String,
}

/// That of this process, or why it cannot be used: a library is loaded once for all.
static LOADED: Mutex<Option<Result<Runtime, Error>>> = Mutex::new(None);

impl Runtime {
    /// Loads the first of these files that is a library of ONNX Runtime that this crate can use,
    /// which is every version from 1.17. A name without a folder, such as
    /// `libonnxruntime.so`, is for the loader to find.
    ///
    /// What it is loaded for is `provider`; where there is no library, the error has the command
    /// that provides one.
    ///
    /// A library is program code, and loading it runs it: name only files that you trust.
    ///
    /// # Errors
    /// When none can be loaded, which says of each why; when this process uses another library
    /// already.
    pub fn load(candidates: &[PathBuf], provider: Provider) -> Result<Self, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = candidates.iter().map(|path| located(path));
        let candidates: Vec<PathBuf> = candidates.collect::<Result<_, Error>>()?;
        match &*loaded {
            Some(Ok(runtime)) if !candidates.contains(&runtime.library) => {
                let others: Vec<_> = candidates.iter().map(|p| p.display().to_string()).collect();
                return Err(library_error(format!(
                    "this process uses {runtime} already and can load no other ({})",
                    others.join(", ")
                )));
            }
            Some(known) => return known.clone(),
            None => {}
        }
        let mut tried = String::new();
        if candidates.is_empty() {
            tried += " nothing, as no file was named";
        }
        for library in candidates {
            match open(&library) {
                Ok(builder) => return loaded.insert(start(builder, &library)).clone(),
                Err(reason) => tried += &format!("\n  {}: {reason}", library.display()),
            }
        }
        Err(library_error(format!(
            "the library of ONNX Runtime, version 1.{} or newer, could not be loaded; tried:{tried}\n`{}` provides it; or give the path of the file",
            ort::MINOR_VERSION,
            provider.install_command()
        )))
    }

    /// The file, or its name where the loader found it.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Such as `1.32`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, library) = (&self.version, self.library.display());
        write!(f, "ONNX Runtime {version} ({library})")
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An absolute path, or a name for the loader: paths that begin in the working folder would be
/// looked for beside the program.
fn located(path: &Path) -> Result<PathBuf, Error> {
    if path.parent() == Some(Path::new("")) {
        return Ok(path.to_path_buf());
    }
    let problem = |e: std::io::Error| library_error(format!("{}: {e}", path.display()));
    std::path::absolute(path).map_err(problem)
}

/// Loads a library, unless another has been loaded before; or says why not.
fn open(library: &Path) -> Result<EnvironmentBuilder, String> {
    // The crate asks for the program's own path, and panics where there is none.
    if library.is_relative() && std::env::current_exe().is_err() {
        return Err("the path of this program is not known; give an absolute path".to_string());
    }
    ort::init_from(library).map_err(|error| {
        let reason = why_not(&error);
        // The loader names the file, too.
        let name = format!("{}: ", library.display());
        reason.strip_prefix(&name).unwrap_or(&reason).to_string()
    })
}

/// Makes the environment of the library that has been loaded.
fn start(builder: EnvironmentBuilder, library: &Path) -> Result<Runtime, Error> {
    let failed = |reason: &str| {
        library_error(format!(
            "the library of ONNX Runtime {} cannot be used: {reason}",
            library.display()
        ))
    };
    // What goes wrong comes back as an error. Without this it would also be printed, together with
    // irrelevant warnings of hardware.
    let silent = |_: LogLevel, _: &str, _: &str, _: &str, _: &str| {};
    let builder = builder
        .with_name("odin")
        .with_telemetry(false)
        .with_logger(Arc::new(silent));
    // The crate panics where the library lacks the interface of the version that it needs.
    let environment = catch_unwind(AssertUnwindSafe(|| builder.build()))
        .map_err(|_| failed("it lacks the interface of version 17"))?
        .map_err(|e| failed(&reason(&e)))?;
    environment.set_log_level(LogLevel::Fatal);
    let minor = ort::util::probe(library);
    Ok(Runtime {
        environment,
        library: library.to_path_buf(),
        version: minor.map_or("of unknown version".to_string(), |minor| {
            format!("1.{minor}")
        }),
    })
}

fn why_not(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => match std::error::Error::source(error) {
            Some(loader) => loader.to_string(),
            None => error.to_string(),
        },
        LoadDynamicError::MissingApi { .. } => {
            "this is a library, but not that of ONNX Runtime".to_string()
        }
        LoadDynamicError::BadVersion { version_str, .. } => format!(
            "this is version {version_str}; a version 1 from 1.{} is needed",
            ort::MINOR_VERSION
        ),
        other => other.to_string(),
    }
}

fn library_error(message: String) -> Error {
    Error::new(ErrorKind::Library, message)
}
