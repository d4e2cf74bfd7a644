//! How far something has come that takes its time.

use std::cell::Cell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on a terminal, a line at every tenth elsewhere. On standard error, so that the figures can be kept
/// by themselves.
pub struct Progress {
    bar: ProgressBar,
    name: &'static str,
    plain: Option<Cell<usize>>,
    total: usize,
}

impl Progress {
    /// Of something that has `total` steps.
    pub fn new(name: &'static str, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:16} [{bar:40}] {human_pos}/{human_len} {per_sec}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name);
        Self { bar, name, plain: (!terminal).then(|| Cell::new(0)), total }
    }

    /// So many steps are done.
    pub fn show(&self, done: usize) {
        self.bar.set_position(done as u64);
        if let Some(shown) = &self.plain {
            let tenth = done * 10 / self.total.max(1);
            if tenth > shown.get() {
                shown.set(tenth);
                eprintln!("{:16} {done}/{}", self.name, self.total);
            }
        }
    }

    /// It is over: the bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
