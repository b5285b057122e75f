//! A server of the contract for tests of the SDK: one Task whose log is given, and streams that go
//! wrong as told. Only what the tests call is there; the rest is UNIMPLEMENTED.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use backspace_sdk::v1::agent_service_server::{AgentService, AgentServiceServer};
use backspace_sdk::v1::{self, task_event::Payload};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

pub(crate) const TASK: &str = "tasks/t1";

/// How one stream goes, once its number of events is out.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// To the end of the log.
    Whole,
    /// Closed without a status of its own after some events.
    Closed { after: usize },
    /// Ended with a status after some events.
    Failed { after: usize, status: Status },
    /// Refused before the first event.
    Refused(Status),
    /// The given sequence is left out.
    Hole { left_out: u64 },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Run { request_id: String },
    Watch { after: u64 },
    Get,
}

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) log: Vec<v1::TaskEvent>,
    pub(crate) endings: Mutex<VecDeque<Ending>>,
    pub(crate) calls: Mutex<Vec<Call>>,
}

/// A log of `length` events, the last of them TaskFinished; texts of different sizes in between.
pub(crate) fn log(length: u64) -> Vec<v1::TaskEvent> {
    (1..=length)
        .map(|sequence| {
            let payload = if sequence == length {
                Payload::TaskFinished(v1::TaskFinished {
                    task: Some(task(length)),
                })
            } else {
                let text = "x".repeat(usize::try_from(sequence * 37 % 900).unwrap());
                Payload::AssistantMessage(v1::AssistantMessage {
                    text,
                    ..Default::default()
                })
            };
            v1::TaskEvent {
                sequence,
                event_time: None,
                payload: Some(payload),
            }
        })
        .collect()
}

pub(crate) fn live(text: &str) -> v1::TaskEvent {
    let delta = v1::AssistantDelta {
        text: text.to_owned(),
        ..Default::default()
    };
    v1::TaskEvent {
        sequence: 0,
        event_time: None,
        payload: Some(Payload::AssistantDelta(delta)),
    }
}

fn task(last_sequence: u64) -> v1::Task {
    let state = v1::task::State::Succeeded.into();
    v1::Task {
        name: TASK.to_owned(),
        state,
        last_sequence,
        ..Default::default()
    }
}

impl Script {
    pub(crate) fn new(log: Vec<v1::TaskEvent>, endings: impl IntoIterator<Item = Ending>) -> Arc<Self> {
        Arc::new(Self {
            log,
            endings: Mutex::new(endings.into_iter().collect()),
            calls: Mutex::default(),
        })
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn stream(&self, after: u64) -> Result<Vec<Result<v1::TaskEvent, Status>>, Status> {
        let ending = self.endings.lock().unwrap().pop_front().unwrap_or(Ending::Whole);
        let mut rest: Vec<_> = self
            .log
            .iter()
            .filter(|event| event.sequence == 0 || event.sequence > after)
            .cloned()
            .map(Ok)
            .collect();
        match ending {
            Ending::Whole => {}
            Ending::Closed { after } => rest.truncate(after),
            Ending::Failed { after, status } => {
                rest.truncate(after);
                rest.push(Err(status));
            }
            Ending::Refused(status) => return Err(status),
            Ending::Hole { left_out } => {
                rest.retain(|event| event.as_ref().is_ok_and(|event| event.sequence != left_out));
            }
        }
        Ok(rest)
    }

    /// Serves on a free port of this machine and returns its address.
    pub(crate) async fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(AgentServiceServer::new(Served(self.clone())));
        #[expect(
            clippy::disallowed_methods,
            reason = "a test has no Jobs; the runtime's end is this job's"
        )]
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }
}

/// Lets each answer out in a frame of its own, as a server does that answers while things happen. HTTP/2
/// delivers whole frames only: in frames of 16 KiB a connection cut earlier would carry nothing at all.
fn one_by_one<T: Send + 'static>(answers: Vec<Result<T, Status>>) -> Answers<T> {
    Box::pin(tokio_stream::iter(answers).then(|answer| async {
        tokio::task::yield_now().await;
        answer
    }))
}

struct Served(Arc<Script>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Served {
    type RunTaskStream = Answers<v1::RunTaskResponse>;
    type WatchTaskStream = Answers<v1::WatchTaskResponse>;
    type ReadArtifactStream = Answers<v1::ReadArtifactResponse>;

    async fn run_task(&self, request: Request<v1::RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let request_id = request.into_inner().request_id;
        self.0.calls.lock().unwrap().push(Call::Run { request_id });
        let mut name = TASK.to_owned();
        let answers: Vec<_> = self
            .0
            .stream(0)?
            .into_iter()
            .map(|event| {
                event.map(|event| v1::RunTaskResponse {
                    task: std::mem::take(&mut name),
                    event: Some(event),
                })
            })
            .collect();
        Ok(Response::new(one_by_one(answers)))
    }

    async fn watch_task(
        &self,
        request: Request<v1::WatchTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let request = request.into_inner();
        self.0.calls.lock().unwrap().push(Call::Watch {
            after: request.after_sequence,
        });
        let answers: Vec<_> = self
            .0
            .stream(request.after_sequence)?
            .into_iter()
            .map(|event| event.map(|event| v1::WatchTaskResponse { event: Some(event) }))
            .collect();
        Ok(Response::new(one_by_one(answers)))
    }

    async fn get_task(&self, _: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        self.0.calls.lock().unwrap().push(Call::Get);
        let last = self.0.log.last().map_or(0, |event| event.sequence);
        Ok(Response::new(v1::GetTaskResponse { task: Some(task(last)) }))
    }

    /// An artifact of 100,000 bytes, in pieces of 1,000; counts up.
    async fn read_artifact(
        &self,
        request: Request<v1::ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        let offset = usize::try_from(request.into_inner().offset).unwrap();
        let answers: Vec<_> = artifact()
            .split_off(offset)
            .chunks(1_000)
            .map(|data| Ok(v1::ReadArtifactResponse { data: data.to_vec() }))
            .collect();
        Ok(Response::new(one_by_one(answers)))
    }

    async fn create_task(&self, _: Request<v1::CreateTaskRequest>) -> Result<Response<v1::CreateTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn list_tasks(&self, _: Request<v1::ListTasksRequest>) -> Result<Response<v1::ListTasksResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn cancel_task(&self, _: Request<v1::CancelTaskRequest>) -> Result<Response<v1::CancelTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn send_message(
        &self,
        _: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn get_server_info(
        &self,
        _: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn delete_task(&self, _: Request<v1::DeleteTaskRequest>) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

pub(crate) fn artifact() -> Vec<u8> {
    (0..25_000_u32).flat_map(u32::to_be_bytes).collect()
}
