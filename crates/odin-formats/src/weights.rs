//! Checks and names the tensors of every container: finite values, prefixes of wrappers removed.

use indexmap::IndexMap;
use odin_error::shown;
use odin_graph::Tensor;

use crate::element::{Element, StridedLayout};
use crate::{Error, ErrorKind};

/// Whether a tensor counts the batches that a batch normalisation saw in training. Programs that
/// convert all of a state dict save it as a real number, and as infinity in f16.
pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// The tensor of this name and layout, its values checked to be finite.
pub(crate) fn read_tensor(
    name: &str,
    layout: &StridedLayout,
    storage: &[u8],
    element: Element,
) -> Result<Tensor, Error> {
    let data = layout.read(storage, element).ok_or_else(|| {
        Error::corrupt(format!(
            "tensor `{}` reaches past the end of its data",
            shown(name)
        ))
    })?;
    if let Some(at) = data.iter().position(|v| !v.is_finite()) {
        let message = format!(
            "tensor `{}` holds {} at element {at} (as f32); a classifier needs finite weights",
            shown(name),
            data[at]
        );
        return Err(Error::new(ErrorKind::NotFinite, message));
    }
    Tensor::new(layout.shape().to_vec(), data)
        .map_err(|e| Error::corrupt(e.to_string()).about(format_args!("tensor `{}`", shown(name))))
}

/// Names without the components that wrappers of modules put into them, unless two would
/// become one.
pub(crate) fn without_wrappers<V>(named: IndexMap<String, V>) -> IndexMap<String, V> {
    let unwrapped: IndexMap<String, ()> = named
        .keys()
        .map(|name| (without_wrapper_components(name), ()))
        .collect();
    if unwrapped.len() < named.len() {
        return named;
    }
    let values = named.into_values();
    unwrapped.into_keys().zip(values).collect()
}

fn without_wrapper_components(name: &str) -> String {
    let own = name.split('.').filter(|c| !WRAPPERS.contains(c));
    own.collect::<Vec<_>>().join(".")
}

/// What `DataParallel` and `torch.compile` call the module inside of them.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_leave_no_trace_in_names() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["conv1.weight", "fc.bias"], &["conv1.weight", "fc.bias"]),
            (&["module.a.weight", "module.b"], &["a.weight", "b"]),
            (&["module._orig_mod.module.a", "f.module.b"], &["a", "f.b"]),
            (&["module.a", "a"], &["module.a", "a"]),
        ];
        for (names, expected) in cases {
            let named = names.iter().map(|n| (n.to_string(), ())).collect();
            let found: Vec<String> = without_wrappers(named).into_keys().collect();
            assert_eq!(found, expected);
        }
    }
}
