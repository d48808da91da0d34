//! Pages of one file: nothing is loaded from anywhere, and the policy that they carry allows
//! nothing but their own style, their own script and images that are written into them. They are
//! also well-formed XML. Every text is escaped where it becomes markup.

mod facts;
mod markup;
mod page;
mod picture;
mod slider;
mod table;

pub(crate) use facts::facts;
pub(crate) use markup::{Markup, element, text, void};
pub(crate) use page::{Page, again, figure, printed};
pub use picture::{Picture, gradient_sign, gradient_size};
pub(crate) use slider::Slider;
pub(crate) use table::Table;
