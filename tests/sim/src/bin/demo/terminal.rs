//! What the demo writes: colours and a moving bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};

/// The width of the bar, in characters.
const BAR: usize = 28;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Terminal {
    live: bool,
    colour: bool,
    /// The progress line shown last, where it is still the last line.
    shown: Option<String>,
}

/// How a text is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Bold,
    Dim,
    Good,
    Bad,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let live = std::io::stdout().is_terminal();
        // https://no-color.org
        let colour = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, colour, shown: None }
    }

    /// A text in a tone.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Bold => 1,
            Tone::Dim => 2,
            Tone::Good => 32,
            Tone::Bad => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The beginning of a part.
    pub(crate) fn part(&mut self, title: &str) {
        self.line("");
        let title = self.paint(Tone::Bold, title);
        self.line(&title);
    }

    /// A line under a label.
    pub(crate) fn row(&mut self, label: &str, text: &str) {
        let label = self.paint(Tone::Dim, &format!("{label:<14}"));
        self.line(&format!("  {label}{text}"));
    }

    /// Something that was checked and is as it should be.
    pub(crate) fn good(&mut self, text: &str) {
        let mark = self.paint(Tone::Good, "✓");
        self.line(&format!("  {mark} {text}"));
    }

    /// A line.
    pub(crate) fn line(&mut self, text: &str) {
        if self.shown.take().is_some() && self.live {
            write("\n");
        }
        write(&format!("{text}\n"));
    }

    /// How far something is: on a terminal in place of what was shown last, elsewhere as a line of its own when a step
    /// that is worth a line was taken.
    pub(crate) fn progress(&mut self, text: &str, share: f64, step: bool) {
        if self.shown.as_deref() == Some(text) {
            return;
        }
        if self.live {
            write(&format!("\r\x1b[K  {} {text}", bar(share)));
        } else if step || self.shown.is_none() {
            write(&format!("  {text}\n"));
        } else {
            return;
        }
        self.shown = Some(text.to_owned());
    }
}

fn write(text: &str) {
    let mut output = std::io::stdout().lock();
    // Nobody reads any more: the exit status still tells how it ended.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    #[expect(clippy::cast_precision_loss, reason = "the width is small")]
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}
