//! The built-in front as its users see it: a real front process's code on a loopback port, small servers behind it.
#![allow(clippy::disallowed_methods, reason = "tests start their own servers and read the real clock")]

mod answers;
mod counts;
mod cutover;
mod handover;
mod hold;
mod http;
mod http2;
mod kit;
mod limits;
mod maintenance;
mod pages;
mod preview;
mod split;
mod streams;
mod trouble;
mod uploads;
