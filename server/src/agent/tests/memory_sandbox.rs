//! A sandbox of files in memory and a few made-up commands, for what the loop dispatches and records. What
//! tools do in a real one is tested with a real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Barrier, mpsc};

use super::support::Diary;
use crate::sandbox::{
    Changes, Denial, ExecReport, ExecSpec, FileError, FileReply, FileRequest, OutputChunk, Sandbox, SandboxError, Spill,
};
use crate::task::event::OutputStream;
use crate::task::host::rules::HostRules;
use crate::task::id::SandboxId;

/// Files in memory, and a few commands: `print X`, `fail`, `long`, `hang`, `slow`, `lose`.
pub(super) struct MemorySandbox {
    id: SandboxId,
    diary: Diary,
    pub(super) files: Mutex<BTreeMap<String, String>>,
    meeting: Barrier,
}

struct Killed(Diary);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("killed".into());
    }
}

fn report(output: &str, exit_code: i32) -> ExecReport {
    ExecReport {
        exit_code: Some(exit_code),
        signal: None,
        timed_out: false,
        out_of_memory: false,
        disk_exceeded: false,
        duration: Duration::ZERO,
        output: output.into(),
        total_bytes: output.len() as u64,
        spill: None,
    }
}

#[async_trait]
impl Sandbox for MemorySandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    async fn exec(
        &self,
        spec: ExecSpec,
        output: Option<mpsc::Sender<OutputChunk>>,
    ) -> Result<ExecReport, SandboxError> {
        if spec.argv[0] == "/bin/bash" {
            return Err(SandboxError::Start {
                message: "no bash here".into(),
            });
        }
        let command = spec.argv[2].clone();
        self.diary.lock().unwrap().push(format!("run {command}"));
        match command.split_once(' ').unwrap_or((&command, "")) {
            ("print", text) => {
                let data = Bytes::from(text.to_owned());
                let chunk = OutputChunk {
                    stream: OutputStream::Stdout,
                    offset: 0,
                    data,
                };
                output.unwrap().send(chunk).await.unwrap();
                Ok(report(text, 0))
            }
            ("fail", _) => Ok(report("", 1)),
            ("long", _) => {
                let spill = Spill {
                    path: "/spill/1".into(),
                    bytes: 70_000,
                    dropped_bytes: 0,
                };
                Ok(ExecReport {
                    spill: Some(spill),
                    ..report("head … tail", 0)
                })
            }
            ("slow", _) => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok(ExecReport {
                    duration: Duration::from_secs(2),
                    ..report("", 0)
                })
            }
            ("hang", _) => {
                let _killed = Killed(self.diary.clone());
                tokio::time::sleep(spec.timeout).await;
                Ok(ExecReport {
                    timed_out: true,
                    exit_code: None,
                    duration: spec.timeout,
                    ..report("", 0)
                })
            }
            ("lose", _) => Err(SandboxError::Lost { message: "gone".into() }),
            _ => panic!("unknown command {command}"),
        }
    }

    async fn file(&self, request: FileRequest) -> Result<Result<FileReply, FileError>, SandboxError> {
        if matches!(&request, FileRequest::Read { path, .. } if path == "meeting") {
            self.meeting.wait().await;
        }
        let mut files = self.files.lock().unwrap();
        let not_found = |path: String| Ok(Err(FileError::NotFound { path }));
        let changed = |created| Ok(Ok(FileReply::Changed { created, line: 1 }));
        match request {
            FileRequest::Read { path, .. } => match files.get(&path) {
                Some(text) => {
                    let total_lines = text.lines().count() as u64;
                    Ok(Ok(FileReply::Text {
                        text: text.clone(),
                        total_lines,
                        truncated: false,
                    }))
                }
                None => not_found(path),
            },
            FileRequest::ReadBytes { path, offset, .. } => match files.get(&path) {
                Some(text) => {
                    let data = text.as_bytes()[offset as usize..].to_vec();
                    Ok(Ok(FileReply::Bytes {
                        data,
                        size: text.len() as u64,
                    }))
                }
                None => not_found(path),
            },
            FileRequest::Write { path, content } => {
                self.diary.lock().unwrap().push(format!("write {path}"));
                changed(files.insert(path, content).is_none())
            }
            FileRequest::Edit { path, old, new } => match files.get_mut(&path) {
                Some(text) if text.contains(&old) => {
                    *text = text.replace(&old, &new);
                    changed(false)
                }
                Some(_) => Ok(Err(FileError::NoMatch {
                    path,
                    hint: String::new(),
                })),
                None => not_found(path),
            },
            FileRequest::Remove { path } => match files.remove(&path) {
                Some(_) => changed(false),
                None => not_found(path),
            },
            FileRequest::Grep { .. } | FileRequest::Glob { .. } | FileRequest::List { .. } => {
                Ok(Ok(FileReply::Lines {
                    lines: files.keys().cloned().collect(),
                    truncated: false,
                }))
            }
        }
    }

    async fn read_spill(&self, _path: &str, _offset: u64) -> Result<Bytes, SandboxError> {
        Ok(Bytes::new())
    }

    async fn changes(&self) -> Result<Changes, SandboxError> {
        Ok(Changes::None)
    }

    async fn allow_hosts(&self, _rules: HostRules) -> Result<(), SandboxError> {
        Ok(())
    }

    fn take_denials(&self) -> Vec<Denial> {
        Vec::new()
    }

    async fn detach(&self) {}

    async fn destroy(&self) -> Result<(), SandboxError> {
        Ok(())
    }
}

pub(super) fn sandbox(diary: &Diary) -> Arc<MemorySandbox> {
    Arc::new(MemorySandbox {
        id: SandboxId::random(),
        diary: diary.clone(),
        files: Mutex::new(
            [
                ("a.txt".to_owned(), "one\ntwo\n".to_owned()),
                ("meeting".to_owned(), "x\n".to_owned()),
            ]
            .into(),
        ),
        meeting: Barrier::new(2),
    })
}
