//! What the fuzz targets share: archives and texts with right checksums, and what must hold of a
//! reader's result.

pub mod check;
pub mod pack;
pub mod seal;
pub mod seeds;
pub mod target;
