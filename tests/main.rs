//! All integration tests, in one binary: what several of them need is compiled and linked once.

mod architecture;
mod stories;
mod support;
