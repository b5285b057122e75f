//! A server of the contract for tests of the command: one Task that goes as planned.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use backspace_sdk::v1::agent_service_server::{AgentService, AgentServiceServer};
use backspace_sdk::v1::{self, task_event::Payload};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) const TASK: &str = "tasks/t1";

/// What comes after the planned events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Then {
    /// TaskFinished.
    #[default]
    Finish,
    /// Nothing until CancelTask, then TaskFinished of a cancelled Task.
    WaitForCancel,
}

/// How the server behaves.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Payload>,
    pub(crate) end: v1::Task,
    pub(crate) then: Then,
    /// Answer of every call.
    pub(crate) refusal: Option<Status>,
    /// The token each call must carry.
    pub(crate) token: Option<String>,
    pub(crate) patch: Vec<u8>,
    pub(crate) info: v1::GetServerInfoResponse,
}

#[derive(Default)]
pub(crate) struct Fake {
    plan: Plan,
    calls: Mutex<Vec<String>>,
    specs: Mutex<Vec<v1::TaskSpec>>,
    cancelled: Notify,
}

/// An error as the server makes them.
pub(crate) fn refusal(code: Code, message: &str, violations: &[(&str, &str)]) -> Status {
    let mut details = ErrorDetails::with_error_info("REASON_UNSPECIFIED", backspace_sdk::ERROR_DOMAIN, HashMap::new());
    for (field, description) in violations {
        details.add_bad_request_violation(*field, *description);
    }
    Status::with_error_details(code, message, details)
}

impl Fake {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            ..Self::default()
        })
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn specs(&self) -> Vec<v1::TaskSpec> {
        self.specs.lock().unwrap().clone()
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

    fn enter<T>(&self, name: &str, request: Request<T>) -> Result<T, Status> {
        self.calls.lock().unwrap().push(name.to_owned());
        if let Some(token) = &self.plan.token {
            let expected = format!("Bearer {token}");
            let given = request
                .metadata()
                .get("authorization")
                .and_then(|value| value.to_str().ok());
            if given != Some(expected.as_str()) {
                return Err(refusal(Code::Unauthenticated, "the token is not known", &[]));
            }
        }
        match &self.plan.refusal {
            Some(status) => Err(status.clone()),
            None => Ok(request.into_inner()),
        }
    }

    fn task(&self) -> v1::Task {
        let planned = self.plan.events.len() as u64;
        let last_sequence = if self.plan.then == Then::Finish {
            planned + 1
        } else {
            planned
        };
        v1::Task {
            name: TASK.to_owned(),
            last_sequence,
            ..self.plan.end.clone()
        }
    }

    fn events(self: &Arc<Self>, after: u64) -> impl Stream<Item = v1::TaskEvent> + Send + use<> {
        let fake = self.clone();
        let numbered = (1_u64..).zip(self.plan.events.clone());
        let planned = numbered.collect::<Vec<_>>();
        let last = planned.len() as u64 + 1;
        let end = tokio_stream::once(()).then(move |()| {
            let fake = fake.clone();
            async move {
                let mut task = fake.task();
                if fake.plan.then == Then::WaitForCancel {
                    fake.cancelled.notified().await;
                    task.state = v1::task::State::Cancelled.into();
                }
                (last, Payload::TaskFinished(v1::TaskFinished { task: Some(task) }))
            }
        });
        tokio_stream::iter(planned)
            .chain(end)
            .filter(move |(sequence, _)| *sequence > after)
            .map(|(sequence, payload)| {
                let event_time = Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                });
                v1::TaskEvent {
                    sequence,
                    event_time,
                    payload: Some(payload),
                }
            })
    }
}

struct Served(Arc<Fake>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Served {
    type RunTaskStream = Answers<v1::RunTaskResponse>;
    type WatchTaskStream = Answers<v1::WatchTaskResponse>;
    type ReadArtifactStream = Answers<v1::ReadArtifactResponse>;

    async fn run_task(&self, request: Request<v1::RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let request = self.0.enter("RunTask", request)?;
        self.0.specs.lock().unwrap().extend(request.spec);
        let answers = self.0.events(0).map(|event| {
            let task = if event.sequence == 1 {
                TASK.to_owned()
            } else {
                String::new()
            };
            Ok(v1::RunTaskResponse {
                task,
                event: Some(event),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn create_task(
        &self,
        request: Request<v1::CreateTaskRequest>,
    ) -> Result<Response<v1::CreateTaskResponse>, Status> {
        let request = self.0.enter("CreateTask", request)?;
        self.0.specs.lock().unwrap().extend(request.spec);
        let task = v1::Task {
            name: TASK.to_owned(),
            state: v1::task::State::Queued.into(),
            ..Default::default()
        };
        Ok(Response::new(v1::CreateTaskResponse { task: Some(task) }))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let request = self.0.enter("GetTask", request)?;
        if request.name != TASK {
            return Err(refusal(Code::NotFound, "there is no such task", &[]));
        }
        Ok(Response::new(v1::GetTaskResponse {
            task: Some(self.0.task()),
        }))
    }

    /// Five Tasks, two a page at most.
    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = self.0.enter("ListTasks", request)?;
        let start: usize = request.page_token.parse().unwrap_or_default();
        let size = usize::try_from(request.page_size).unwrap().clamp(1, 2);
        let end = (start + size).min(5);
        let tasks = (start..end).map(|number| v1::Task {
            name: format!("tasks/t{}", number + 1),
            ..self.0.task()
        });
        let next_page_token = if end < 5 { end.to_string() } else { String::new() };
        Ok(Response::new(v1::ListTasksResponse {
            tasks: tasks.collect(),
            next_page_token,
        }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let request = self.0.enter("CancelTask", request)?;
        self.0.calls.lock().unwrap().push(format!("reason {}", request.reason));
        self.0.cancelled.notify_one();
        let state = v1::task::State::Running.into();
        let task = v1::Task {
            state,
            cancel_requested: true,
            ..self.0.task()
        };
        Ok(Response::new(v1::CancelTaskResponse { task: Some(task) }))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let request = self.0.enter("SendMessage", request)?;
        self.0.calls.lock().unwrap().push(format!("text {}", request.text));
        let task = v1::Task {
            name: "tasks/t2".to_owned(),
            continues: request.name,
            ..Default::default()
        };
        Ok(Response::new(v1::SendMessageResponse { task: Some(task) }))
    }

    async fn read_artifact(
        &self,
        request: Request<v1::ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        let request = self.0.enter("ReadArtifact", request)?;
        self.0.calls.lock().unwrap().push(request.name);
        let rest = self
            .0
            .plan
            .patch
            .get(usize::try_from(request.offset).unwrap()..)
            .unwrap_or_default();
        let answers: Vec<_> = rest
            .chunks(7)
            .map(|data| Ok(v1::ReadArtifactResponse { data: data.to_vec() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }

    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        self.0.enter("GetServerInfo", request)?;
        Ok(Response::new(self.0.plan.info.clone()))
    }

    async fn delete_task(
        &self,
        request: Request<v1::DeleteTaskRequest>,
    ) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        self.0.enter("DeleteTask", request)?;
        Ok(Response::new(v1::DeleteTaskResponse {}))
    }

    async fn watch_task(
        &self,
        request: Request<v1::WatchTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let request = self.0.enter("WatchTask", request)?;
        let answers = self
            .0
            .events(request.after_sequence)
            .map(|event| Ok(v1::WatchTaskResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(answers)))
    }
}
