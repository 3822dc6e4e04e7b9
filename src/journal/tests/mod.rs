//! Tests of the state file. `kit` has the story that they tell and a disk that can be made to fail.

mod conditional;
mod damage;
mod disk;
mod flips;
mod golden;
mod history;
mod kit;
mod levels;
mod loss;
