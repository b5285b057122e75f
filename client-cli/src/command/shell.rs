//! `backspace completions` and `backspace man`: made from the definition of the arguments, so that they
//! cannot differ from it.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::screen::Screen;

pub(super) fn completions(arguments: &CompletionsArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "backspace", &mut script);
    screen.raw(&script)?;
    Ok(Exit::Succeeded)
}

pub(super) fn man(arguments: &ManArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot write manual pages to {}: {error}", arguments.folder.display());
        Problem::new(Exit::Other, what).next("name a folder that can be written to")
    };
    std::fs::create_dir_all(&arguments.folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &arguments.folder).map_err(failed)?;
    screen.remark(&format!("the manual pages are in {}", arguments.folder.display()));
    Ok(Exit::Succeeded)
}
