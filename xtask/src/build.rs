//! `cargo xtask build`.

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`build` is not there yet")
}
