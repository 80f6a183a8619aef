//! The scheduler that runs at EL2, on a simulated CPU: discrete events, no machine, hours in seconds.
//!
//! Nothing costs time here but the guests' own work, so what is late was made late by the scheduler's choice. The
//! experiments ask what a person would ask of the scheduler before trusting it; `cargo xtask bench schedule` runs all of them
//! at length, the tests a part of each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here is a mistake of the experiment"
)]

pub mod attack;
pub mod automatic;
pub mod changing;
pub mod cpu;
pub mod fairness;
pub mod sets;

pub use cpu::{Cpu, Demand, Outcome};
