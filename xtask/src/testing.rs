//! The tests.

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the tests.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`test` is not there yet")
}
