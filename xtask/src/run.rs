//! The run of a scenario.

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the scenario.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`run` is not there yet")
}
