//! Stacks that are processes of this host.
