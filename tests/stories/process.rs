//! Stacks of processes: what comes up, what goes wrong and what is left afterwards.
