//! What every sandbox must do. A new backend adds one line: `sandbox_conformance!(its_fixture);`.
//!
//! Behaviour only; what a backend keeps in and how it ends is tested beside it, with its own controls.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use backspace_server::sandbox::{
    ExecReport, ExecSpec, FileError, FileReply, FileRequest, OutputMode, Sandbox, SandboxProvider, SandboxSpec,
};

#[path = "sandbox/commands.rs"]
pub mod commands;
#[path = "sandbox/files.rs"]
pub mod files;
#[path = "sandbox/output.rs"]
pub mod output;
#[path = "sandbox/setups.rs"]
pub mod setups;

/// Longest time of a command that is expected to end by itself.
const MINUTE: Duration = Duration::from_secs(60);

/// A backend that can make sandboxes.
pub struct Fixture {
    pub provider: Arc<dyn SandboxProvider>,
    /// What a sandbox is to be, with a new id.
    pub spec: SandboxSpec,
    /// Lives as long as the provider is used.
    pub _guard: Box<dyn Any + Send>,
}

/// Makes one test of each promise for a function that returns a `Fixture`.
#[macro_export]
macro_rules! sandbox_conformance {
    ($fixture:path) => {
        $crate::sandbox_conformance! { @facts $fixture;
            commands::exit_codes_and_signals_are_told,
            commands::a_command_that_can_not_start_says_why,
            commands::the_environment_is_as_given_and_the_call_wins,
            commands::the_working_folder_is_the_work_tree_or_as_given,
            commands::stdin_is_at_its_end,
            commands::a_daemon_that_holds_stdout_does_not_hold_the_call_and_dies_with_it,
            commands::a_time_limit_kills_what_has_left_the_session,
            commands::a_dropped_call_kills_its_command,
            commands::commands_run_side_by_side,
            output::both_streams_are_captured_and_counted,
            output::a_long_output_keeps_its_ends_and_is_spilled_whole,
            output::a_spill_ends_at_its_limit_and_counts_the_rest,
            output::live_output_comes_before_the_end,
            output::streamed_output_is_exact,
            output::a_slow_reader_holds_a_streamed_command_up,
            output::a_streamed_command_that_nobody_reads_is_killed,
            files::operations_do_what_they_say,
            files::operations_are_done_as_the_user_of_commands,
            files::operations_reach_no_more_than_commands,
            files::changes_are_told_until_it_is_certain_that_there_are_none,
        }
        $crate::sandbox_conformance! { @keeping $fixture;
            setups::a_kept_set_up_is_under_later_sandboxes_and_none_changes_it,
            setups::a_kept_set_up_lies_under_the_checkout_and_survives_being_left,
            setups::the_first_that_is_kept_under_a_key_stays,
        }
    };
    (@keeping $fixture:path; $($module:ident::$fact:ident,)*) => {
        $(
            #[tokio::test]
            async fn $fact() {
                $crate::conformance::$module::$fact(&$fixture()).await;
            }
        )*
    };
    (@facts $fixture:path; $($module:ident::$fact:ident,)*) => {
        $(
            #[tokio::test]
            async fn $fact() {
                let fixture = $fixture();
                let sandbox = fixture.provider.create(fixture.spec.clone()).await.unwrap();
                $crate::conformance::$module::$fact(&sandbox).await;
                sandbox.destroy().await.unwrap();
            }
        )*
    };
}

/// Runs a command line to its end.
async fn run(sandbox: &Arc<dyn Sandbox>, command: &str) -> ExecReport {
    sandbox.exec(ExecSpec::shell(command, MINUTE), None).await.unwrap()
}

/// Runs a command line that must succeed, and returns what it wrote.
async fn text(sandbox: &Arc<dyn Sandbox>, command: &str) -> String {
    let report = run(sandbox, command).await;
    let text = String::from_utf8_lossy(&report.output).into_owned();
    assert_eq!(report.exit_code, Some(0), "{command}: {text}");
    text
}

/// Does a file operation that the backend itself must not fail in.
async fn file(sandbox: &Arc<dyn Sandbox>, request: FileRequest) -> Result<FileReply, FileError> {
    sandbox.file(request).await.unwrap()
}

fn streamed(command: &str) -> ExecSpec {
    ExecSpec {
        output: OutputMode::Streamed,
        ..ExecSpec::shell(command, MINUTE)
    }
}
