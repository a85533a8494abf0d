//! What must hold for any bytes from outside. The fuzz targets look for bytes for which it does
//! not; the tests of `lastro` try the seeds, and some thousand inputs that are made from them.
//!
//! Each property is a function that panics where it does not hold.
#![forbid(unsafe_code)]

pub mod cursors;
pub mod import_rows;
pub mod key_header;
pub mod messages;
pub mod money;
pub mod order_body;
