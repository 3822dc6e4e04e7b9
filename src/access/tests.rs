//! The rules of access, without HTTP.
