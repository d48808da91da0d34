//! Errors of the library as Python exceptions.

use odin::{Error, ErrorKind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The exceptions of `odin_ood.errors`, all below `OdinError`.
#[derive(Clone, Copy)]
enum Class {
    /// Also a `ValueError`: something that was given is wrong.
    Value,
    /// Also an `OSError`: a file or a device.
    Os,
    /// Also a `RuntimeError`: the engine failed.
    Runtime,
}

impl Class {
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Io | ErrorKind::NotFound | ErrorKind::Device => Self::Os,
            ErrorKind::Engine => Self::Runtime,
            _ if caused_by_io(error) => Self::Os,
            _ => Self::Value,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Value => "OdinValueError",
            Self::Os => "OdinOSError",
            Self::Runtime => "OdinRuntimeError",
        }
    }

    fn with(self, message: String) -> PyErr {
        Python::attach(|py| {
            static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
            let module = MODULE.get_or_try_init(py, || {
                PyModule::import(py, "odin_ood.errors").map(Bound::unbind)
            });
            let class = module.and_then(|module| {
                let class = module.bind(py).getattr(self.name())?;
                Ok(class.cast_into::<PyType>()?)
            });
            match class {
                Ok(class) => PyErr::from_type(class, (message,)),
                Err(_) => PyRuntimeError::new_err(message),
            }
        })
    }
}

fn caused_by_io(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// An error of the library.
pub(crate) fn raised(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    Class::of(&error).with(error.to_string())
}

/// The error of an image, which names it.
pub(crate) fn of_image(image: odin::ImageError) -> PyErr {
    Class::of(&image.error).with(image.to_string())
}

/// A wrong argument.
pub(crate) fn invalid(message: impl Into<String>) -> PyErr {
    Class::Value.with(message.into())
}

/// A failure that no argument is to blame for.
pub(crate) fn failed(message: impl Into<String>) -> PyErr {
    Class::Runtime.with(message.into())
}
