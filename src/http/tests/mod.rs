//! The API and the webhooks as a client meets them, over a journal in memory.

mod acts;
mod bad_hooks;
mod browser;
mod commands;
mod confirmed;
mod document;
mod door;
mod evidence;
mod floods;
mod glances;
mod kit;
mod limits;
mod looks;
mod oidc;
mod page;
mod page_stream;
mod parity;
mod past;
mod people;
mod roles;
mod senders;
mod sign_in;
mod stream;
mod streams;
mod tls;
mod tokens;
