//! Recognises tensors, modules and mappings among pickled values.

use std::cell::Cell;
use std::collections::HashSet;

use super::storage::{MAX_AXES, Referent, Storages, View};
use crate::Error;
use crate::element::StridedLayout;
use odin_error::shown;
use odin_untrusted::pickle::{Id, Pickle, Value};

/// Callables inside of each other that still are one tensor: a parameter of a subclass takes
/// three.
const MAX_REBUILDS: usize = 8;

/// Entries of dicts and sets, and axes of tensors, that are looked at. Values may be shared, so
/// the file's size is no bound.
const MAX_VISITS: usize = 1_000_000;

/// A pickle together with what lies outside of it.
pub(super) struct Objects<'a> {
    pub(super) pickle: &'a Pickle<'a>,
    storages: &'a dyn Storages,
    visits: Cell<usize>,
}

impl<'a> Objects<'a> {
    pub(super) fn new(pickle: &'a Pickle<'a>, storages: &'a dyn Storages) -> Self {
        Self {
            pickle,
            storages,
            visits: Cell::new(0),
        }
    }

    fn count_visits(&self, entries: usize) -> Result<(), Error> {
        self.visits.set(self.visits.get().saturating_add(entries));
        if self.visits.get() > MAX_VISITS {
            return Err(Error::unsupported(format!(
                "more than {MAX_VISITS} entries and axes; save the model's state_dict alone"
            )));
        }
        Ok(())
    }

    /// Module and name of a class or function.
    fn global(&self, id: Id) -> Option<Global<'a>> {
        match self.pickle.get(id) {
            Value::Persistent(pid) => match self.storages.referent(self.pickle, *pid) {
                Ok(Referent::Class(class)) => self.pickle.global(class),
                _ => None,
            },
            _ => self.pickle.global(id),
        }
    }

    /// The class that an object is made of, or the function that makes it, with the arguments.
    fn call(&self, callable: Id, args: Id) -> Option<(Global<'a>, &'a [Id])> {
        let args = self.pickle.sequence(args)?;
        let global = self.global(callable)?;
        match (global.1, args) {
            ("__newobj__" | "_reconstructor", &[class, ref args @ ..]) => {
                Some((self.global(class)?, args))
            }
            _ => Some((global, args)),
        }
    }

    /// What a value is, for messages.
    pub(super) fn describe(&self, id: Id) -> String {
        let named = |(module, name): Global<'_>| format!("{}.{}", shown(module), shown(name));
        match self.pickle.get(id) {
            Value::None => "None".to_owned(),
            Value::Bool(_) => "a bool".to_owned(),
            Value::Int(_) | Value::LongInt => "an int".to_owned(),
            Value::Float(_) => "a float".to_owned(),
            Value::Text(_) => "a string".to_owned(),
            Value::Bytes(_) => "bytes".to_owned(),
            Value::Tuple(_) => "a tuple".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Dict(_) => "a dict".to_owned(),
            Value::Global { .. } => {
                let global = self.pickle.global(id);
                global.map_or("a class".to_owned(), named)
            }
            Value::Object(_) if matches!(self.tensor(id), Ok(Some(_))) => "a tensor".to_owned(),
            Value::Object(object) => {
                let call = self.call(object.callable, object.args);
                call.map_or("an object".to_owned(), |(g, _)| format!("a `{}`", named(g)))
            }
            Value::Persistent(_) => "a storage".to_owned(),
            _ => "a value".to_owned(),
        }
    }

    /// The tensor that a value is; `None` when it is something else.
    ///
    /// # Errors
    /// When it is a tensor of a kind that holds no plain array, or a damaged one.
    pub(super) fn tensor(&self, id: Id) -> Result<Option<View>, Error> {
        let tensor = self.tensor_within(id, MAX_REBUILDS)?;
        self.count_visits(tensor.as_ref().map_or(0, |view| view.layout.shape().len()))?;
        Ok(tensor)
    }

    fn tensor_within(&self, id: Id, rebuilds_left: usize) -> Result<Option<View>, Error> {
        match self.pickle.get(id) {
            Value::Persistent(pid) => match self.storages.referent(self.pickle, *pid)? {
                Referent::Tensor(view) => Ok(Some(view)),
                _ => Ok(None),
            },
            Value::Object(object) => {
                let state = object.state.and_then(|s| self.pickle.tuple(s));
                let state = state.unwrap_or_default();
                self.rebuilt(object.callable, object.args, state, rebuilds_left)
            }
            _ => Ok(None),
        }
    }

    fn rebuilt(
        &self,
        callable: Id,
        args: Id,
        state: &[Id],
        rebuilds_left: usize,
    ) -> Result<Option<View>, Error> {
        let Some(((module, name), args)) = self.call(callable, args) else {
            return Ok(None);
        };
        let Some(left) = rebuilds_left.checked_sub(1) else {
            return Err(Error::corrupt("tensors are wrapped too deeply"));
        };
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                self.view(args).map(Some)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                self.first_tensor(args, left)
            }
            ("torch._tensor", "_rebuild_from_type_v2") => match *args {
                [function, _class, args, ..] => self.rebuilt(function, args, &[], left),
                _ => Err(strange_tensor()),
            },
            // Until PyTorch 0.4 a parameter was its class applied to the data; the oldest ones
            // have the data in their state instead.
            ("torch.nn.parameter", "Parameter" | "Buffer")
            | ("torch.autograd.variable", "Variable") => {
                self.first_tensor(if args.is_empty() { state } else { args }, left)
            }
            ("torch" | "torch.cuda", name) if name.ends_with("Tensor") && state.len() == 4 => {
                self.view(state).map(Some)
            }
            (module, name) if module.starts_with("torch") && name.starts_with("_rebuild_") => {
                Err(Error::unsupported(format!(
                    "a tensor made by {}.{}; only dense tensors are read",
                    shown(module),
                    shown(name)
                )))
            }
            _ => Ok(None),
        }
    }

    fn first_tensor(&self, args: &[Id], left: usize) -> Result<Option<View>, Error> {
        match args.first() {
            Some(&data) => self.tensor_within(data, left),
            None => Err(strange_tensor()),
        }
    }

    /// The view that `(storage, offset, shape, strides, ...)` describes.
    fn view(&self, args: &[Id]) -> Result<View, Error> {
        let &[storage, offset, shape, strides, ..] = args else {
            return Err(strange_tensor());
        };
        let Value::Persistent(pid) = self.pickle.get(storage) else {
            return Err(strange_tensor());
        };
        let Referent::Storage(storage) = self.storages.referent(self.pickle, *pid)? else {
            return Err(strange_tensor());
        };
        let offset = self.pickle.size(offset).ok_or_else(strange_tensor)?;
        let shape = self.extents(shape).ok_or_else(strange_tensor)?;
        let strides = self.extents(strides).ok_or_else(strange_tensor)?;
        let layout = StridedLayout::new(offset, shape, strides, storage.count)?;
        Ok(View::new(&storage, layout))
    }

    /// The numbers of a tuple or a `torch.Size`.
    fn extents(&self, id: Id) -> Option<Vec<usize>> {
        let id = match self.pickle.object(id) {
            Some(size) => *self.pickle.sequence(size.args)?.first()?,
            None => id,
        };
        let items = self.pickle.sequence(id)?;
        if items.len() > MAX_AXES {
            return None;
        }
        let items = items.iter();
        items.map(|&i| self.pickle.size(i)).collect()
    }

    /// The entries of a dict, an `OrderedDict` or a subclass of one.
    pub(super) fn mapping(&self, id: Id) -> Result<Option<Entries>, Error> {
        let entries = self.entries(id);
        self.count_visits(entries.as_ref().map_or(0, Vec::len))?;
        Ok(entries)
    }

    fn entries(&self, id: Id) -> Option<Entries> {
        let object = match self.pickle.get(id) {
            Value::Dict(entries) => return Some(entries.clone()),
            Value::Object(object) => object,
            _ => return None,
        };
        let ((_module, name), args) = self.call(object.callable, object.args)?;
        let is_dict = matches!(name, "OrderedDict" | "dict" | "defaultdict");
        if !is_dict {
            return (!object.items.is_empty()).then(|| object.items.clone());
        }
        // Python 2 gives the entries of an OrderedDict as a list of pairs.
        let listed = args.first().and_then(|&list| self.pickle.sequence(list));
        let listed = listed.unwrap_or_default().iter();
        let listed = listed.filter_map(|&pair| match self.pickle.sequence(pair) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        });
        Some(listed.chain(object.items.iter().copied()).collect())
    }

    /// The attributes of an `nn.Module`.
    pub(super) fn module(&self, id: Id) -> Result<Option<Module<'a>>, Error> {
        let state = self.pickle.object(id).and_then(|object| object.state);
        let attributes = state.map(|state| self.mapping(state)).transpose()?;
        let attributes = attributes.flatten().unwrap_or_default();
        let attribute = |name| {
            let mut matching = attributes
                .iter()
                .filter(|(key, _)| self.pickle.text(*key) == Some(name));
            matching.next_back().map(|(_, value)| *value)
        };
        let mapping = |name| match attribute(name) {
            Some(value) => self.mapping(value),
            None => Ok(None),
        };
        let (Some(parameters), Some(buffers), Some(modules)) = (
            mapping("_parameters")?,
            mapping("_buffers")?,
            mapping("_modules")?,
        ) else {
            return Ok(None);
        };
        let transient = attribute("_non_persistent_buffers_set");
        Ok(Some(Module {
            parameters,
            buffers,
            modules,
            transient: transient.map_or(Ok(HashSet::new()), |set| self.texts(set))?,
        }))
    }

    /// The texts in a set.
    fn texts(&self, id: Id) -> Result<HashSet<&'a str>, Error> {
        let id = match self
            .pickle
            .object(id)
            .map(|set| self.pickle.sequence(set.args))
        {
            Some(Some(&[list])) => list,
            _ => id,
        };
        let items = self.pickle.sequence(id).unwrap_or_default();
        self.count_visits(items.len())?;
        Ok(items.iter().filter_map(|&i| self.pickle.text(i)).collect())
    }
}

/// The module and the name of something that Python would import.
type Global<'a> = (&'a str, &'a str);

/// Keys and values.
pub(super) type Entries = Vec<(Id, Id)>;

/// What an `nn.Module` consists of, by name.
pub(super) struct Module<'a> {
    pub(super) parameters: Entries,
    pub(super) buffers: Entries,
    pub(super) modules: Entries,
    /// Buffers that are no part of the state.
    pub(super) transient: HashSet<&'a str>,
}

fn strange_tensor() -> Error {
    Error::corrupt("a tensor is not described as PyTorch does it; the file is damaged")
}
