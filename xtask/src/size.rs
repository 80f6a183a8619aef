//! `cargo xtask size`.

/// Options of `cargo xtask size`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`size` is not there yet")
}
