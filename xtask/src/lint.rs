//! `cargo xtask lint`.

/// Options of `cargo xtask lint`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`lint` is not there yet")
}
