//! Packed weights, shared by all steps and engines that pack a constant in the same way.

use odin_graph::Tensor;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Packed weights for several engines whose graphs share constants, such as a classifier and its
/// gradient: what one engine has packed the next one reuses, instead of holding a copy of its own.
///
/// Constants are shared if they are clones of one [`Tensor`]. The cache is needed only while engines
/// are prepared; each keeps its weights alive afterwards.
///
/// ```
/// use odin_cpu::{Engine, Options, WeightCache};
/// # use odin_graph::{Graph, Shape, Tensor, Type};
/// # let mut graph = Graph::new();
/// # let x = graph.input("x", Type::float(Shape::batched(&[2])))?;
/// # let w = graph.constant(Tensor::new(vec![2, 3], vec![1.0; 6])?)?;
/// # let y = graph.mat_mul(x, w)?;
/// # graph.output("y", y);
///
/// let weights = WeightCache::default();
/// let first = Engine::with_weights(&graph, 1, Options::default(), &weights)?;
/// let second = Engine::with_weights(&graph, 1, Options::default(), &weights)?;
/// assert_eq!(weights.packings(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct WeightCache(RefCell<HashMap<Key, Packing>>);

/// The identity of the constants, the type of the result, and how it is laid out.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    addresses: [Option<usize>; 2],
    packed: TypeId,
    layout: String,
}

struct Packing {
    packed: Arc<dyn Any + Send + Sync>,
    /// Kept alive, so that no other constant gets the same address.
    _constants: [Option<Tensor>; 2],
}

impl WeightCache {
    /// The number of constants, or pairs of constants, that were packed.
    pub fn packings(&self) -> usize {
        self.0.borrow().len()
    }

    /// The constants as they were packed before into the same layout, or as `pack` packs them; `None`
    /// if it gives none.
    pub(crate) fn get_or_pack<T: Any + Send + Sync>(
        &self,
        constants: [Option<&Tensor>; 2],
        layout: String,
        pack: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        let key = Key {
            addresses: constants.map(|c| c.map(|c| c.data().as_ptr().addr())),
            packed: TypeId::of::<T>(),
            layout,
        };
        let packed = self.0.borrow().get(&key).map(|p| Arc::clone(&p.packed));
        if let Some(Ok(packed)) = packed.map(Arc::downcast) {
            return Some(packed);
        }
        let packed = Arc::new(pack()?);
        let packing = Packing {
            packed: Arc::<T>::clone(&packed),
            _constants: constants.map(|c| c.cloned()),
        };
        self.0.borrow_mut().insert(key, packing);
        Some(packed)
    }
}

impl fmt::Debug for WeightCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packings = self.packings();
        f.debug_struct("WeightCache")
            .field("packings", &packings)
            .finish_non_exhaustive()
    }
}
