//! The contract's service: each method reads its request, asks the orchestrator, converts the answer.
//!
//! No decision is made here; what changes something has a line in the audit. Callers were admitted by the
//! edge before; the HTTP gateway calls these same methods, so that there is one way to the domain.

use std::pin::Pin;

use backspace_sdk::v1;
use prost::Message as _;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

use crate::api::artifact_stream::{self, ArtifactStream};
use crate::api::audit::Audit;
use crate::api::convert::request::{self, List, Submit, WatchFrom};
use crate::api::convert::{cut, page, server_info, task};
use crate::api::edge::{ConnectionInfo, EdgeError};
use crate::api::event_stream;
use crate::orchestrator::{Caller, Orchestrator, ServerInfo, Watch};
use crate::task::id::Sequence;
use crate::task::record::TaskRecord;
use crate::task::spec::SpecPolicy;

/// Most bytes of one page of a list; a page may be shorter than asked for.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Serves `backspace.v1.AgentService`.
#[derive(Clone)]
pub(crate) struct AgentService {
    orchestrator: Orchestrator,
}

impl AgentService {
    /// Makes the service.
    pub(crate) fn new(orchestrator: Orchestrator) -> Self {
        Self { orchestrator }
    }

    /// Returns what requests are checked against.
    pub(crate) fn spec_policy(&self) -> &SpecPolicy {
        self.orchestrator.spec_policy()
    }

    /// Returns what the server is and lacks, for its health.
    pub(crate) fn server_info(&self) -> ServerInfo {
        self.orchestrator.server_info()
    }

    async fn submit(&self, caller: &Caller, submit: Submit) -> Result<TaskRecord, Status> {
        let Submit { spec, request_id } = submit;
        Ok(self.orchestrator.submit(caller, spec, request_id).await?)
    }

    /// Accepts a Task and opens its stream; returns the Task's name with it.
    async fn begin(
        &self,
        request: Request<v1::RunTaskRequest>,
    ) -> Result<(String, Responses<v1::RunTaskResponse>), Status> {
        let (caller, closing) = (caller(&request)?, closing(&request));
        let submit = request::run_task(request.into_inner(), self.orchestrator.spec_policy())?;
        let record = self.submit(&caller, submit).await?;
        let from = WatchFrom {
            task: record.id,
            after: Sequence::ZERO,
            watch: Watch::All,
        };
        let events = event_stream::open(self.orchestrator.clone(), caller, from, closing).await?;
        let task = record.id.resource_name();
        let mut name = task.clone();
        let responses = events.map(move |event| {
            event.map(|event| v1::RunTaskResponse {
                task: std::mem::take(&mut name),
                event: Some(event),
            })
        });
        Ok((task, Box::pin(responses)))
    }

    async fn create(
        &self,
        request: Request<v1::CreateTaskRequest>,
    ) -> Result<Response<v1::CreateTaskResponse>, Status> {
        let caller = caller(&request)?;
        let submit = request::create_task(request.into_inner(), self.orchestrator.spec_policy())?;
        let record = self.submit(&caller, submit).await?;
        Ok(Response::new(v1::CreateTaskResponse {
            task: Some(task::task(&record)),
        }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let caller = caller(&request)?;
        let (id, reason) = request::cancel_task(request.into_inner())?;
        let record = self.orchestrator.cancel(&caller, id, reason).await?;
        Ok(Response::new(v1::CancelTaskResponse {
            task: Some(task::task(&record)),
        }))
    }

    async fn send(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let caller = caller(&request)?;
        let (id, message) = request::send_message(request.into_inner())?;
        let record = self.orchestrator.message(&caller, id, message).await?;
        Ok(Response::new(v1::SendMessageResponse {
            task: Some(task::task(&record)),
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteTaskRequest>,
    ) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        let caller = caller(&request)?;
        let id = request::delete_task(request.into_inner())?;
        self.orchestrator.delete(&caller, id).await?;
        Ok(Response::new(v1::DeleteTaskResponse {}))
    }
}

/// A boxed stream of responses.
type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl v1::agent_service_server::AgentService for AgentService {
    type RunTaskStream = Responses<v1::RunTaskResponse>;
    type ReadArtifactStream = ArtifactStream;
    type WatchTaskStream = Responses<v1::WatchTaskResponse>;

    async fn run_task(&self, request: Request<v1::RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let audit = Audit::of("RunTask", &request);
        let begun = self.begin(request).await;
        let named = begun.as_ref().map(|(task, _)| task.as_str());
        audit.write(named);
        begun.map(|(_, responses)| Response::new(responses))
    }

    async fn create_task(
        &self,
        request: Request<v1::CreateTaskRequest>,
    ) -> Result<Response<v1::CreateTaskResponse>, Status> {
        let audit = Audit::of("CreateTask", &request);
        audit.end(self.create(request).await)
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let caller = caller(&request)?;
        let id = request::get_task(request.into_inner())?;
        let record = self.orchestrator.task(&caller, id).await?;
        Ok(Response::new(v1::GetTaskResponse {
            task: Some(task::task(&record)),
        }))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let caller = caller(&request)?;
        let List {
            page_size,
            states,
            request,
        } = request::list_tasks(request.into_inner())?;
        let records = self.orchestrator.list(&caller, request).await?;
        Ok(Response::new(page_of(&records, page_size as usize, |last| {
            page::token((last.create_time, last.id), &states)
        })))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let audit = Audit::of("CancelTask", &request);
        audit.end(self.cancel(request).await)
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let audit = Audit::of("SendMessage", &request);
        audit.end(self.send(request).await)
    }

    async fn read_artifact(
        &self,
        request: Request<v1::ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        let caller = caller(&request)?;
        let (id, artifact, offset) = request::read_artifact(request.into_inner())?;
        let stream = artifact_stream::open(self.orchestrator.clone(), caller, id, artifact, offset).await?;
        Ok(Response::new(stream))
    }

    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        caller(&request)?;
        let v1::GetServerInfoRequest {} = request.into_inner();
        Ok(Response::new(server_info::server_info(self.orchestrator.server_info())))
    }

    async fn delete_task(
        &self,
        request: Request<v1::DeleteTaskRequest>,
    ) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        let audit = Audit::of("DeleteTask", &request);
        audit.end(self.delete(request).await)
    }

    async fn watch_task(
        &self,
        request: Request<v1::WatchTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let (caller, closing) = (caller(&request)?, closing(&request));
        let from = request::watch_task(request.into_inner())?;
        let events = event_stream::open(self.orchestrator.clone(), caller, from, closing).await?;
        let responses = events.map(|event| event.map(|event| v1::WatchTaskResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(responses)))
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, EdgeError> {
    request.extensions().get::<Caller>().cloned().ok_or(EdgeError::NoCaller)
}

/// Returns the token of the request's connection; one that is never cancelled when there is none.
fn closing<T>(request: &Request<T>) -> CancellationToken {
    let info = request.extensions().get::<ConnectionInfo>();
    info.map(|info| info.closing.clone()).unwrap_or_default()
}

/// Makes a page of at most `page_size` Tasks and `MAX_PAGE_BYTES`, and the token of the next when more are left.
fn page_of(
    records: &[TaskRecord],
    page_size: usize,
    token_after: impl Fn(&TaskRecord) -> String,
) -> v1::ListTasksResponse {
    let mut page = v1::ListTasksResponse::default();
    let mut bytes = 0;
    for record in records.iter().take(page_size) {
        let task = cut::to_list_size(task::task(record));
        bytes += task.encoded_len();
        if bytes > MAX_PAGE_BYTES && !page.tasks.is_empty() {
            break;
        }
        page.tasks.push(task);
    }
    let last = page.tasks.len().checked_sub(1).and_then(|index| records.get(index));
    if let Some(last) = last.filter(|_| page.tasks.len() < records.len()) {
        page.next_page_token = token_after(last);
    }
    page
}
