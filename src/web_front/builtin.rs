//! The built-in front.
