//! The built-in front as its users see it.
