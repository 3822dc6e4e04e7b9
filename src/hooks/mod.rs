//! Hooks: commands and HTTP calls that belong to a deployment. Each runs in a process of its own (see [`run()`]), so that the
//! end of the controller neither stops it, nor runs it twice, nor loses what came of it; [`Runs`] is the controller's side.
//!
//! Must not know the journal, a driver or the runner, and must not decide when a hook is due.

mod call;
mod definition;
mod facts;
mod folder;
mod lines;
mod order;
mod output;
mod redact;
mod run;
mod runs;

pub use definition::{Call, HookDefinition, HttpCall, Method, not_runnable, variable};
pub use facts::Facts;
pub use folder::Outcome;
pub use lines::{From as LinesFrom, Line, Lines};
pub use redact::Redactor;
pub use run::run;
pub use runs::{Error, Order, Run, Runs, Seen, State, Written};
