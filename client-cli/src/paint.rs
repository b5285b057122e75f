//! Colours, or none. The only place that writes escape sequences of colour.
//!
//! A painted text is our own decoration around a text that was escaped before; this module knows
//! nothing of where its text is from, so it must never be given one of others unescaped.

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A person is looking.
    Terminal,
    /// A file, a pipe or a program.
    Other,
}

impl Output {
    /// Asks the system.
    pub(crate) fn of(output: &impl std::io::IsTerminal) -> Self {
        if output.is_terminal() {
            Self::Terminal
        } else {
            Self::Other
        }
    }
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Headings and results.
    Bold,
    /// What matters less.
    Dim,
    /// Good.
    Green,
    /// Bad.
    Red,
    /// To be noticed.
    Yellow,
    /// Names and places.
    Cyan,
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Leaves every text as it is.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { on: false };

    /// Decides for one output. `no_color` is the variable's value; set and not empty means no colours
    /// (https://no-color.org).
    pub(crate) fn decide(choice: ColourChoice, output: Output, no_color: Option<&str>, term: Option<&str>) -> Self {
        let on = match choice {
            ColourChoice::Always => true,
            ColourChoice::Never => false,
            ColourChoice::Auto => {
                output == Output::Terminal
                    && no_color.is_none_or(str::is_empty)
                    && term.is_none_or(|term| term != "dumb")
            }
        };
        Self { on }
    }

    /// Returns the text in a look.
    pub(crate) fn text(self, look: Look, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match look {
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Green => "32",
            Look::Red => "31",
            Look::Yellow => "33",
            Look::Cyan => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let auto = |output, no_color, term| Paint::decide(ColourChoice::Auto, output, no_color, term).on;
        assert!(auto(Output::Terminal, None, Some("xterm")));
        assert!(auto(Output::Terminal, Some(""), None));
        assert!(!auto(Output::Terminal, Some("1"), None));
        assert!(!auto(Output::Terminal, None, Some("dumb")));
        assert!(!auto(Output::Other, None, None));
        assert!(Paint::decide(ColourChoice::Always, Output::Other, Some("1"), None).on);
        assert!(!Paint::decide(ColourChoice::Never, Output::Terminal, None, None).on);
    }

    #[test]
    fn a_painted_text_ends_its_colour() {
        assert_eq!(Paint { on: true }.text(Look::Red, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Paint::PLAIN.text(Look::Red, "no"), "no");
    }
}
