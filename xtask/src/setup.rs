//! `cargo xtask setup`.

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`setup` is not there yet")
}
