//! Finds the weights in a saved object: a state dict, a module, or either of them in a dict.

use indexmap::IndexMap;

use super::object::{Entries, Objects, View};
use super::pickle::{Id, Node};
use crate::{Error, ErrorKind};

/// The keys under which training programs save the weights, most telling first.
const KEYS: [&str; 8] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
];

/// Dicts inside of each other in which weights are looked for.
const MAX_NESTING: usize = 8;

/// Modules inside of each other.
const MAX_DEPTH: usize = 64;

/// The weights of a saved object.
#[derive(Default)]
pub(super) struct Weights {
    /// Where they were: keys joined by dots.
    pub(super) key: Option<String>,
    pub(super) views: IndexMap<String, View>,
    /// Numbers and texts in the dicts around the weights.
    pub(super) metadata: IndexMap<String, String>,
}

pub(super) fn find(objects: &Objects<'_>) -> Result<Weights, Error> {
    let search = Search { objects };
    let root = objects.pickle.root();
    let path = match search.locate(root, MAX_NESTING)? {
        Some(path) => path,
        None => return Err(search.nothing_in(root)?),
    };
    let mut weights = Weights::default();
    let mut place = root;
    for (key, value) in path {
        search.collect_metadata(place, &mut weights.metadata)?;
        let outer = weights.key.take().map(|k| k + ".").unwrap_or_default();
        weights.key = Some(outer + &key);
        place = value;
    }
    search.collect_metadata(place, &mut weights.metadata)?;
    search.collect(place, "", MAX_DEPTH, &mut weights.views)?;
    Ok(weights)
}

/// Keys and the values under them, from the outside in.
type Path = Vec<(String, Id)>;

struct Search<'a> {
    objects: &'a Objects<'a>,
}

impl Search<'_> {
    fn mapping(&self, id: Id) -> Result<Entries, Error> {
        Ok(self.objects.mapping(id)?.unwrap_or_default())
    }

    /// The entries that have a text as their key.
    fn named(&self, entries: &Entries) -> Vec<(String, Id)> {
        let named = entries.iter().filter_map(|&(key, value)| {
            let name = self.objects.pickle.str(key)?;
            Some((name.to_owned(), value))
        });
        named.collect()
    }

    /// The way from a value to the weights inside of it; `None` when it holds none.
    fn locate(&self, id: Id, nesting_left: usize) -> Result<Option<Path>, Error> {
        if self.objects.module(id)?.is_some() {
            return Ok(Some(Path::new()));
        }
        let Some(left) = nesting_left.checked_sub(1) else {
            return Ok(None);
        };
        let entries = self.named(&self.mapping(id)?);
        for known in KEYS {
            for (name, value) in entries.iter().filter(|(name, _)| name == known) {
                if let Some(rest) = self.locate(*value, left)? {
                    return Ok(Some(prepend(name, *value, rest)));
                }
            }
        }
        for (name, value) in &entries {
            // A number such as the best accuracy may be saved as a tensor without axes, the
            // state of a random generator as one of bytes.
            let tensor = self.tensor(*value, name)?;
            if tensor.is_some_and(|view| view.is_real() && !view.layout.shape().is_empty()) {
                return Ok(Some(Path::new()));
            }
        }
        self.locate_only(&entries, left)
    }

    /// The way to the weights when exactly one entry has any.
    fn locate_only(
        &self,
        entries: &[(String, Id)],
        nesting_left: usize,
    ) -> Result<Option<Path>, Error> {
        let mut found: Option<(&str, Path)> = None;
        let unknown = |(name, _): &&(String, Id)| !KEYS.contains(&name.as_str());
        for (name, value) in entries.iter().filter(unknown) {
            let Some(rest) = self.locate(*value, nesting_left)? else {
                continue;
            };
            if let Some((other, _)) = found {
                return Err(Error::new(
                    ErrorKind::NoWeights,
                    format!(
                        "several models, `{other}` and `{name}`; save the state_dict of one \
                         alone or under the key `state_dict`"
                    ),
                ));
            }
            found = Some((name, prepend(name, *value, rest)));
        }
        Ok(found.map(|(_, path)| path))
    }

    fn nothing_in(&self, root: Id) -> Result<Error, Error> {
        let what = self.objects.describe(root);
        let keys = self.named(&self.mapping(root)?);
        let keys: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).take(8).collect();
        let with_keys = match keys[..] {
            [] => String::new(),
            _ => format!(" with the keys {keys:?}"),
        };
        Ok(Error::new(
            ErrorKind::NoWeights,
            format!(
                "the saved object is {what}{with_keys}, without weights by name; expected a \
                 state_dict, a module, or a dict with one of the keys {KEYS:?}"
            ),
        ))
    }

    fn collect_metadata(
        &self,
        id: Id,
        metadata: &mut IndexMap<String, String>,
    ) -> Result<(), Error> {
        if self.objects.module(id)?.is_some() {
            return Ok(());
        }
        for (key, value) in self.named(&self.mapping(id)?) {
            let text = match self.objects.pickle.get(value) {
                Node::Bool(v) => v.to_string(),
                Node::Int(v) => v.to_string(),
                Node::Float(v) => v.to_string(),
                Node::Str(v) => v.clone(),
                _ => continue,
            };
            metadata.insert(key, text);
        }
        Ok(())
    }

    /// The tensors of a module or a dict, named as `state_dict()` names them.
    fn collect(
        &self,
        id: Id,
        prefix: &str,
        depth_left: usize,
        views: &mut IndexMap<String, View>,
    ) -> Result<(), Error> {
        let left = depth_left.checked_sub(1);
        let left = left.ok_or_else(|| Error::unsupported("modules nested too deeply"))?;
        let Some(module) = self.objects.module(id)? else {
            for (name, value) in self.named(&self.mapping(id)?) {
                self.collect_entry(value, format!("{prefix}{name}"), left, views)?;
            }
            return Ok(());
        };
        for (name, value) in self.named(&module.parameters) {
            self.collect_own(value, format!("{prefix}{name}"), views)?;
        }
        for (name, value) in self.named(&module.buffers) {
            if !module.transient.contains(&name) {
                self.collect_own(value, format!("{prefix}{name}"), views)?;
            }
        }
        for (name, value) in self.named(&module.modules) {
            if !matches!(self.objects.pickle.get(value), Node::None) {
                self.collect(value, &format!("{prefix}{name}."), left, views)?;
            }
        }
        Ok(())
    }

    /// An entry of a state dict; what is neither a tensor nor holds any is no weight.
    fn collect_entry(
        &self,
        value: Id,
        name: String,
        depth_left: usize,
        views: &mut IndexMap<String, View>,
    ) -> Result<(), Error> {
        match self.tensor(value, &name)? {
            Some(view) => drop(views.insert(name, view)),
            None => self.collect(value, &format!("{name}."), depth_left, views)?,
        }
        Ok(())
    }

    /// A parameter or a buffer of a module.
    fn collect_own(
        &self,
        value: Id,
        name: String,
        views: &mut IndexMap<String, View>,
    ) -> Result<(), Error> {
        match self.tensor(value, &name)? {
            Some(view) => drop(views.insert(name, view)),
            None if matches!(self.objects.pickle.get(value), Node::None) => {}
            None => {
                let what = self.objects.describe(value);
                return Err(Error::unsupported(format!(
                    "`{name}` is {what}; expected a tensor"
                )));
            }
        }
        Ok(())
    }

    fn tensor(&self, value: Id, name: &str) -> Result<Option<View>, Error> {
        let tensor = self.objects.tensor(value);
        tensor.map_err(|e| e.about(format_args!("`{name}`")))
    }
}

fn prepend(key: &str, value: Id, rest: Path) -> Path {
    let mut path = vec![(key.to_owned(), value)];
    path.extend(rest);
    path
}
