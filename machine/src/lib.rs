//! The core of Pointsman, a package of its own: what does not touch it does not build it, and it is built optimised also where tests
//! explore it. See ARCHITECTURE.md of the repository.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod machine;
