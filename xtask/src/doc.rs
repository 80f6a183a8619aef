//! `cargo xtask doc`.

/// Options of `cargo xtask doc`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`doc` is not there yet")
}
