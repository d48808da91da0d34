//! Finds the weights in a saved object: a state dict, a module, or either of them in a dict.

use std::cell::Cell;

use indexmap::IndexMap;

use super::object::{Entries, Objects};
use super::storage::View;
use crate::checkpoint::meant;
use crate::{Error, ErrorKind};
use odin_error::{first_shown, shown};
use odin_untrusted::pickle::{Id, Value};

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

/// Places of weights in one file that are told apart.
const MAX_CHOICES: usize = 64;

/// Modules inside of each other.
const MAX_DEPTH: usize = 64;

/// Longest name of a weight in bytes.
const MAX_NAME: usize = 4 << 10;

/// Bytes of all names together. A pickle may use one text as a key many times, so the file's
/// size is no bound.
const MAX_NAMES: usize = 64 << 20;

/// Longest text that is metadata, and bytes of all metadata together.
const MAX_METADATA_TEXT: usize = 64 << 10;
const MAX_METADATA: usize = 1 << 20;

/// The weights of a saved object.
#[derive(Default)]
pub(super) struct Weights {
    /// Where they were: keys joined by dots.
    pub(super) key: Option<String>,
    /// Where else there are weights.
    pub(super) others: Vec<String>,
    /// What was asked for and is none of these places.
    pub(super) part: Option<String>,
    pub(super) views: IndexMap<String, View>,
    /// Numbers and texts in the dicts around the weights.
    pub(super) metadata: IndexMap<String, String>,
}

/// `wanted` is which of several weights to take. Where none lie under such a key it may be what the
/// names of some begin with.
pub(super) fn find(objects: &Objects<'_>, wanted: Option<&str>) -> Result<Weights, Error> {
    let search = Search {
        objects,
        names: Cell::new(0),
    };
    let root = objects.pickle.root();
    let chosen = wanted.map_or(Ok(None), |wanted| search.choose(root, wanted))?;
    let mut weights = Weights {
        part: wanted.filter(|_| chosen.is_none()).map(str::to_owned),
        ..Weights::default()
    };
    let path =
        match chosen.map_or_else(|| search.locate(root, MAX_NESTING), |path| Ok(Some(path)))? {
            Some(path) => path,
            None => return Err(search.nothing_in(root)?),
        };
    let way = path.clone();
    let mut place = root;
    for (key, value) in path {
        search.collect_metadata(place, &mut weights.metadata)?;
        let outer = weights.key.take().map(|k| k + ".").unwrap_or_default();
        weights.key = Some(outer + key);
        place = value;
    }
    search.collect_metadata(place, &mut weights.metadata)?;
    search.collect(place, "", MAX_DEPTH, &mut weights.views)?;
    weights.others = search.beside(root, &way);
    Ok(weights)
}

/// Keys and the values under them, from the outside in.
type Path<'a> = Vec<(&'a str, Id)>;

struct Search<'a> {
    objects: &'a Objects<'a>,
    /// Bytes in the names of weights so far.
    names: Cell<usize>,
}

impl<'a> Search<'a> {
    fn mapping(&self, id: Id) -> Result<Entries, Error> {
        Ok(self.objects.mapping(id)?.unwrap_or_default())
    }

    /// The entries that have a text as their key.
    fn named(&self, entries: &Entries) -> Vec<(&'a str, Id)> {
        let text = |key| self.objects.pickle.text(key);
        let named = entries
            .iter()
            .filter_map(|&(k, value)| Some((text(k)?, value)));
        named.collect()
    }

    /// The name of what is `name` inside of what is `prefix`, dots included.
    fn full_name(&self, prefix: &str, name: &str) -> Result<String, Error> {
        let length = prefix.len() + name.len();
        if length > MAX_NAME {
            return Err(Error::unsupported(format!(
                "the name `{}` takes more than {MAX_NAME} bytes; no weight is called like that",
                shown(name)
            )));
        }
        self.names.set(self.names.get() + length);
        if self.names.get() > MAX_NAMES {
            return Err(Error::unsupported(format!(
                "the names of the weights take more than {MAX_NAMES} bytes; save the model's \
                 state_dict alone"
            )));
        }
        Ok(format!("{prefix}{name}"))
    }

    /// The way from a value to the weights inside of it; `None` when it holds none.
    fn locate(&self, id: Id, nesting_left: usize) -> Result<Option<Path<'a>>, Error> {
        if self.objects.module(id)?.is_some() {
            return Ok(Some(Path::new()));
        }
        let Some(left) = nesting_left.checked_sub(1) else {
            return Ok(None);
        };
        let entries = self.named(&self.mapping(id)?);
        for known in KEYS {
            for &(name, value) in entries.iter().filter(|&&(name, _)| name == known) {
                if let Some(rest) = self.locate(value, left)? {
                    return Ok(Some(prepend(name, value, rest)));
                }
            }
        }
        for &(name, value) in &entries {
            let tensor = self.tensor(value, name)?;
            if tensor.is_some_and(|view| is_weight(&view)) {
                return Ok(Some(Path::new()));
            }
        }
        self.locate_only(&entries, left)
    }

    /// The way to the weights that are meant by `wanted`; `None` when none are.
    fn choose(&self, root: Id, wanted: &str) -> Result<Option<Path<'a>>, Error> {
        let mut paths = Vec::new();
        self.all(root, &mut Path::new(), MAX_NESTING, &mut paths)?;
        let names: Vec<String> = paths.iter().map(|path| dotted(path)).collect();
        match meant(wanted, &names)[..] {
            [] => Ok(None),
            [one] => Ok(Some(paths.swap_remove(one))),
            [first, second, ..] => Err(Error::new(
                ErrorKind::NoWeights,
                format!(
                    "the weights `{}` may be those under `{}` or under `{}`; give the whole key",
                    shown(wanted),
                    shown(&names[first]),
                    shown(&names[second])
                ),
            )),
        }
    }

    /// The ways to all weights. What cannot be read is none.
    fn all(
        &self,
        id: Id,
        way: &mut Path<'a>,
        nesting_left: usize,
        paths: &mut Vec<Path<'a>>,
    ) -> Result<(), Error> {
        if paths.len() >= MAX_CHOICES {
            return Ok(());
        }
        let Some(left) = nesting_left.checked_sub(1) else {
            return Ok(());
        };
        if self.objects.module(id)?.is_some() {
            paths.push(way.clone());
            return Ok(());
        }
        if self.holds_weights(id)? {
            paths.push(way.clone());
        }
        for (name, value) in self.named(&self.mapping(id)?) {
            way.push((name, value));
            self.all(value, way, left, paths)?;
            way.pop();
        }
        Ok(())
    }

    /// Whether a value is a dict with weights in it by name.
    fn holds_weights(&self, id: Id) -> Result<bool, Error> {
        let entries = self.named(&self.mapping(id)?);
        Ok(entries.into_iter().any(|(name, value)| {
            let tensor = self.tensor(value, name);
            tensor.is_ok_and(|t| t.is_some_and(|view| is_weight(&view)))
        }))
    }

    /// The keys of weights beside those that a way leads to.
    fn beside(&self, root: Id, way: &[(&'a str, Id)]) -> Vec<String> {
        let (mut place, mut others) = (root, Vec::new());
        for (depth, &(chosen, value)) in way.iter().enumerate() {
            // What cannot be read is not chosen, and no reason to refuse what is.
            let Ok(entries) = self.mapping(place) else {
                break;
            };
            for (name, other) in self.named(&entries) {
                let holds_any = || {
                    self.locate(other, MAX_NESTING - 1)
                        .is_ok_and(|p| p.is_some())
                };
                if name != chosen && others.len() < MAX_CHOICES && holds_any() {
                    let outer = way[..depth].iter().copied();
                    others.push(dotted(&outer.chain([(name, other)]).collect::<Vec<_>>()));
                }
            }
            place = value;
        }
        others
    }

    /// The way to the weights when exactly one entry has any.
    fn locate_only(
        &self,
        entries: &[(&'a str, Id)],
        nesting_left: usize,
    ) -> Result<Option<Path<'a>>, Error> {
        let mut found: Option<(&str, Path<'_>)> = None;
        let unknown = |(name, _): &&(&str, Id)| !KEYS.contains(name);
        for &(name, value) in entries.iter().filter(unknown) {
            let Some(rest) = self.locate(value, nesting_left)? else {
                continue;
            };
            if let Some((other, _)) = found {
                return Err(Error::new(
                    ErrorKind::NoWeights,
                    format!(
                        "several models, `{}` and `{}`; say which `weights` are meant, or save the \
                         state_dict of one alone or under the key `state_dict`",
                        shown(other),
                        shown(name)
                    ),
                ));
            }
            found = Some((name, prepend(name, value, rest)));
        }
        Ok(found.map(|(_, path)| path))
    }

    fn nothing_in(&self, root: Id) -> Result<Error, Error> {
        let what = self.objects.describe(root);
        let keys = self.named(&self.mapping(root)?);
        let with_keys = match keys[..] {
            [] => String::new(),
            _ => format!(
                " with the keys {:?}",
                first_shown(keys.iter().map(|&(key, _)| key))
            ),
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
        let mut size: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
        for (key, value) in self.named(&self.mapping(id)?) {
            let text = match self.objects.pickle.get(value) {
                Value::Bool(v) => v.to_string(),
                Value::Int(v) => v.to_string(),
                Value::Float(v) => v.to_string(),
                Value::Text(v) if v.len() <= MAX_METADATA_TEXT => v.to_string(),
                _ => continue,
            };
            size += key.len() + text.len();
            if size > MAX_METADATA {
                break;
            }
            metadata.insert(key.to_owned(), text);
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
                let name = self.full_name(prefix, name)?;
                self.collect_entry(value, name, left, views)?;
            }
            return Ok(());
        };
        for (name, value) in self.named(&module.parameters) {
            self.collect_own(value, self.full_name(prefix, name)?, views)?;
        }
        for (name, value) in self.named(&module.buffers) {
            if !module.transient.contains(name) {
                self.collect_own(value, self.full_name(prefix, name)?, views)?;
            }
        }
        for (name, value) in self.named(&module.modules) {
            if !matches!(self.objects.pickle.get(value), Value::None) {
                let inner = self.full_name(prefix, name)? + ".";
                self.collect(value, &inner, left, views)?;
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
            None if matches!(self.objects.pickle.get(value), Value::None) => {}
            None => {
                let what = self.objects.describe(value);
                return Err(Error::unsupported(format!(
                    "`{}` is {what}; expected a tensor",
                    shown(&name)
                )));
            }
        }
        Ok(())
    }

    fn tensor(&self, value: Id, name: &str) -> Result<Option<View>, Error> {
        let tensor = self.objects.tensor(value);
        tensor.map_err(|e| e.about(format_args!("`{}`", shown(name))))
    }
}

/// A number such as the best accuracy may be saved as a tensor without axes, the state of a random
/// generator as one of bytes.
fn is_weight(view: &View) -> bool {
    view.is_real() && !view.layout.shape().is_empty()
}

fn dotted(path: &[(&str, Id)]) -> String {
    let keys: Vec<&str> = path.iter().map(|&(key, _)| key).collect();
    keys.join(".")
}

fn prepend<'a>(key: &'a str, value: Id, rest: Path<'a>) -> Path<'a> {
    let mut path = vec![(key, value)];
    path.extend(rest);
    path
}
