//! How a graph is prepared for a provider, and where TensorRT keeps the engines that it builds.

use crate::{Error, ErrorKind, Provider, Runtime};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// How a graph is prepared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The threads of what remains on the CPU; at least one is used.
    pub threads: usize,
    /// How many images the provider is given at a time, always: fewer are filled up with copies of
    /// the last one, more are given in parts. All shapes are then known when the graph is prepared,
    /// so that TensorRT builds one engine, and does so before the first run. As many as a run has
    /// unless set.
    pub images_at_a_time: Option<usize>,
    /// The folder in which TensorRT keeps the engines that it has built, for later runs. What lies
    /// there is run: name only a folder that you trust. None is kept unless set; other providers
    /// do not read it.
    pub engine_cache: Option<PathBuf>,
}

impl Options {
    /// The folder for the engines of this file alone, which is made; `None` where none are kept.
    ///
    /// TensorRT's provider finds an engine by the names in a graph, its own version, those of TensorRT
    /// and CUDA, and the compute capability of the device, but not by weights: those are what the
    /// folder's name is for.
    pub(crate) fn engine_folder(
        &self,
        runtime: &Runtime,
        provider: Provider,
        file: &[u8],
    ) -> Result<Option<PathBuf>, Error> {
        let (Some(cache), Provider::TensorRt(_)) = (&self.engine_cache, provider) else {
            return Ok(None);
        };
        let folder = cache.join(self.engine_name(provider, runtime.version(), file));
        let failed = |what: &dyn std::fmt::Display| {
            let folder = folder.display();
            let problem = format!("{folder}: no engine can be kept there: {what}");
            Error::new(ErrorKind::InvalidInput, problem)
        };
        fs::create_dir_all(&folder).map_err(|e| failed(&e))?;
        match folder.to_str() {
            Some(_) => Ok(Some(folder)),
            None => Err(failed(&"its name is not UTF-8")),
        }
    }

    /// Differs wherever an engine would, but for the card and for TensorRT's environment variables.
    fn engine_name(&self, provider: Provider, version: &str, file: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(file);
        let file = hash.finalize();
        let file: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = provider.name();
        match self.images_at_a_time {
            Some(images) => format!("{name}-{version}-{images}-{file}"),
            None => format!("{name}-{version}-any-{file}"),
        }
    }

    /// What TensorRT's provider is told, by the names that ONNX Runtime has for it.
    pub(crate) fn of_tensorrt(device: u16, engines: Option<&Path>) -> Vec<(&'static str, String)> {
        let mut options = vec![("device_id", device.to_string())];
        if let Some(folder) = engines.and_then(Path::to_str) {
            options.push(("trt_engine_cache_enable", "1".to_string()));
            options.push(("trt_engine_cache_path", folder.to_string()));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensorrt_is_told_what_was_asked_for() {
        let folder = Path::new("/kept/x");
        for (device, engines, expected) in [
            (0, None, vec![("device_id", "0")]),
            (
                3,
                Some(folder),
                vec![
                    ("device_id", "3"),
                    ("trt_engine_cache_enable", "1"),
                    ("trt_engine_cache_path", "/kept/x"),
                ],
            ),
        ] {
            let told = Options::of_tensorrt(device, engines);
            let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (*k, &v[..])).collect();
            assert_eq!(told, expected);
        }
    }

    /// An engine of another network, batch, provider or version is never taken.
    #[test]
    fn engines_lie_apart() {
        let of = |images_at_a_time| Options {
            images_at_a_time,
            ..Options::default()
        };
        let (trt, cuda) = (Provider::TensorRt(0), Provider::Cuda(0));
        let names = [
            of(Some(32)).engine_name(trt, "1.31", b"weights"),
            of(Some(32)).engine_name(trt, "1.31", b"others"),
            of(Some(32)).engine_name(trt, "1.32", b"weights"),
            of(Some(1)).engine_name(trt, "1.31", b"weights"),
            of(None).engine_name(trt, "1.31", b"weights"),
            of(Some(32)).engine_name(cuda, "1.31", b"weights"),
        ];
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{name}");
        }
        // The card is part of the name that TensorRT's provider gives a file.
        let other_card = of(Some(32)).engine_name(Provider::TensorRt(1), "1.31", b"weights");
        assert_eq!(other_card, names[0]);
        assert!(names[0].starts_with("TensorrtExecutionProvider-1.31-32-"));
    }
}
