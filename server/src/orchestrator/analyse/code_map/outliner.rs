//! The server's side of the process that parses.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::child::{MAX_LINE_BYTES, Question, SUBCOMMAND};
use super::definition::{Definition, Language};

/// Longest time over all files.
const TIME: Duration = Duration::from_secs(15);

/// Most bytes of all answers.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

/// Tells the definitions of files by a process of its own.
#[derive(Clone, Debug, Default)]
pub struct Outliner {
    /// The server's own program; without it nothing is told.
    program: Option<PathBuf>,
}

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutlineError {
    #[error("the process that parses could not be used")]
    Process(#[from] std::io::Error),
    #[error("the process that parses did not end in {} s", TIME.as_secs())]
    TimedOut,
    #[error("the process that parses ended with {0}")]
    Ended(std::process::ExitStatus),
    #[error("the process that parses gave no answer")]
    Answer(#[from] serde_json::Error),
}

impl Outliner {
    /// Makes an outliner that runs this program, the server's own.
    pub fn new(program: PathBuf) -> Self {
        Self { program: Some(program) }
    }

    /// Returns the definitions of each file that was answered for, in the order of the files.
    pub(super) async fn outline(&self, files: &[(Language, String)]) -> Result<Vec<Vec<Definition>>, OutlineError> {
        let Some(program) = self.program.as_ref().filter(|_| !files.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut questions = Vec::new();
        for (language, text) in files {
            let question = Question {
                language: *language,
                text: text.clone(),
            };
            let start = questions.len();
            serde_json::to_writer(&mut questions, &question)?;
            questions.push(b'\n');
            if (questions.len() - start) as u64 > MAX_LINE_BYTES {
                questions.truncate(start);
                questions.extend_from_slice(b"{\"language\":\"go\",\"text\":\"\"}\n");
            }
        }
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let ask = async {
            if let Some(input) = &mut input {
                // A child that died is told by its status.
                let _broken = input.write_all(&questions).await;
            }
            drop(input);
        };
        let hear = async {
            let mut answers = Vec::new();
            if let Some(output) = output {
                output.take(MAX_ANSWER_BYTES).read_to_end(&mut answers).await?;
            }
            Ok::<_, std::io::Error>(answers)
        };
        let work = async {
            let ((), answers) = tokio::join!(ask, hear);
            Ok::<_, OutlineError>((answers?, child.wait().await?))
        };
        let (answers, status) = tokio::time::timeout(TIME, work)
            .await
            .map_err(|_| OutlineError::TimedOut)??;
        let told = answers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let told: Vec<Vec<Definition>> = told.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        if told.is_empty() && !status.success() {
            return Err(OutlineError::Ended(status));
        }
        Ok(told)
    }
}
