//! What the lowering of every engine shares, whatever it runs on.
//!
//! An engine computes each image of a batch by itself, so all is said of the values of one image:
//! which values are views of others ([`strided_views`], [`contiguous_views`]), which are computed
//! inside of a concatenation ([`Placement`]), which elementwise operators are fused
//! ([`ElementwiseFusion`]), and where in an arena values with disjoint live ranges lie
//! ([`ArenaPlanner`]). What a caller passes is checked by [`in_order`].

mod arena;
mod batch;
mod contiguous_views;
mod describe;
mod elementwise_fusion;
mod error;
mod placement;
mod port;
mod strided_views;
mod strides;
mod view;

pub use arena::{ArenaPlanner, Slot};
pub use batch::{BatchLayout, is_batch_first};
pub use contiguous_views::contiguous_views;
pub use describe::{operator_name, operator_names};
pub use elementwise_fusion::{ElementwiseFusion, cost_of, leaves};
pub use error::{Error, ErrorKind};
pub use placement::Placement;
pub use port::{Port, in_order};
pub use strided_views::{furthest_strided_views, strided_views};
pub use strides::{broadcast_strides, row_major};
pub use view::{StridedView, View};
