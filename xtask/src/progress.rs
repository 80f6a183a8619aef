//! Progress of long commands. A bar on a terminal, a plain line per step elsewhere (a log file has no cursor), always
//! on standard error, so that standard output stays clean for `--json`.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A known number of named steps.
pub(crate) struct Steps {
    bar: ProgressBar,
    terminal: bool,
    total: u64,
}

impl Steps {
    /// Starts `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        let total = total as u64;
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, terminal: std::io::stderr().is_terminal(), total }
    }

    /// Does one step named `what`. A failed step ends the bar, so that the message after it stands alone.
    ///
    /// # Errors
    /// What `work` returns.
    pub(crate) fn step<T>(&self, what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        if self.terminal {
            self.bar.set_message(what.to_owned());
        } else {
            eprintln!("[{}/{}] {what}", self.bar.position() + 1, self.total);
        }
        let result = work();
        match result {
            Ok(_) => self.bar.inc(1),
            Err(_) => self.bar.finish_and_clear(),
        }
        result
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
