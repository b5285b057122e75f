//! The connection to one server, and the calls that answer once.
//!
//! It adds to the generated client what every caller would have to write: reading the address, trust,
//! the token on each call, keep-alive and typed errors. Calls are not repeated here: only the caller
//! knows whether to wait. Streams are [`TaskRun`]'s and [`ArtifactRead`]'s, which do go on by themselves.

use std::fmt;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::address::{self, Plaintext};
use crate::artifact::ArtifactRead;
use crate::backoff::Reconnect;
use crate::error::Error;
use crate::run::TaskRun;
use crate::v1;
use crate::v1::agent_service_client::AgentServiceClient;

/// A page of Tasks can be large: 200 of them, each with cut texts of up to 64 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The generated client with the token on each call.
pub type RawClient = AgentServiceClient<InterceptedService<Channel, Authorization>>;

/// How to connect. `Options::default()` is right for a server on this machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sent as a bearer token with every call.
    pub token: Option<Token>,
    /// PEM certificates to trust beside the system's.
    pub ca_certificates_pem: Option<Vec<u8>>,
    /// PEM certificate chain and key to show to the server.
    pub identity: Option<ClientIdentity>,
    /// The name the server's certificate must have, when it is not the address's.
    pub server_name: Option<String>,
    /// Whether `http://` may be used to another machine.
    pub plaintext: Plaintext,
    /// Longest time to make a connection.
    pub connect_timeout: Duration,
    /// Longest time for a call that answers once.
    pub call_timeout: Duration,
    /// When and for how long lost streams are opened again.
    pub reconnect: Reconnect,
    /// Put before this SDK's own name in the user agent.
    pub user_agent: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            ca_certificates_pem: None,
            identity: None,
            server_name: None,
            plaintext: Plaintext::default(),
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            reconnect: Reconnect::default(),
            user_agent: None,
        }
    }
}

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The chain, leaf first.
    pub certificates_pem: Vec<u8>,
    /// The key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientIdentity(..)")
    }
}

/// A bearer token; never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Reads a token; surrounding white space is dropped, since files end with a line break.
    pub fn new(token: &str) -> Result<Self, Error> {
        let token = token.trim();
        if token.is_empty() {
            return Err(Error::Options {
                reason: "the token is empty".to_owned(),
            });
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "the token holds a character that a header cannot carry; only printable ASCII is allowed";
            return Err(Error::Options {
                reason: reason.to_owned(),
            });
        }
        Ok(Self(token.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// Puts the token on each call.
#[derive(Clone)]
pub struct Authorization(Option<MetadataValue<Ascii>>);

impl Authorization {
    fn new(token: Option<&Token>) -> Result<Self, Error> {
        let header = token.map(|token| {
            let mut value = MetadataValue::try_from(format!("Bearer {}", token.0)).map_err(|_| Error::Options {
                reason: "the token cannot be sent in a header".to_owned(),
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        Ok(Self(header.transpose()?))
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A client of one server. Clones share the connection, which is made again by itself when it is lost.
#[derive(Clone)]
pub struct Client {
    raw: RawClient,
    address: String,
    call_timeout: Duration,
    reconnect: Reconnect,
}

impl Client {
    /// Connects to a server: `https://host[:port]`, or `http://` or no scheme on this machine.
    ///
    /// Fails at once when nothing answers. Install a rustls crypto provider first if your program has
    /// more than one in it.
    pub async fn connect(address: &str, options: Options) -> Result<Self, Error> {
        let endpoint = endpoint(address, &options)?;
        let channel = endpoint.connect().await.map_err(|source| Error::Unreachable {
            address: address.trim().to_owned(),
            source,
        })?;
        Self::over(channel, address, &options)
    }

    /// As [`Client::connect`], but makes the connection with the first call. Needs a Tokio runtime.
    pub fn connect_lazy(address: &str, options: Options) -> Result<Self, Error> {
        let channel = endpoint(address, &options)?.connect_lazy();
        Self::over(channel, address, &options)
    }

    fn over(channel: Channel, address: &str, options: &Options) -> Result<Self, Error> {
        let authorization = Authorization::new(options.token.as_ref())?;
        Ok(Self {
            raw: AgentServiceClient::with_interceptor(channel, authorization)
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            address: address.trim().to_owned(),
            call_timeout: options.call_timeout,
            reconnect: options.reconnect,
        })
    }

    /// The address this client was made for.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The generated client, for a call made in one's own way.
    pub fn raw(&self) -> RawClient {
        self.raw.clone()
    }

    pub(crate) fn reconnect(&self) -> Reconnect {
        self.reconnect
    }

    /// Runs a Task: an iterator over its events that goes on by itself when the connection is lost.
    pub fn run_task(&self, spec: v1::TaskSpec) -> TaskRun {
        self.run_task_as(spec, Uuid::new_v4())
    }

    /// As [`Client::run_task`] with a request id of the caller's: repeated, it joins the first Task.
    pub fn run_task_as(&self, spec: v1::TaskSpec, request_id: Uuid) -> TaskRun {
        TaskRun::start(
            self.clone(),
            v1::RunTaskRequest {
                spec: Some(spec),
                request_id: request_id.to_string(),
            },
        )
    }

    /// Watches a Task, `tasks/{id}`, from after the sequence given; 0 is from the beginning.
    pub fn watch(&self, task: &str, after_sequence: u64) -> TaskRun {
        TaskRun::resume(self.clone(), task.to_owned(), after_sequence)
    }

    /// Reads an artifact, `tasks/{id}/artifacts/{artifact}`, in pieces.
    pub fn read_artifact(&self, name: &str) -> ArtifactRead {
        ArtifactRead::new(self.clone(), name.to_owned())
    }

    /// Starts a Task and returns at once.
    pub async fn create_task(&self, spec: v1::TaskSpec) -> Result<v1::Task, Error> {
        let request = v1::CreateTaskRequest {
            spec: Some(spec),
            request_id: Uuid::new_v4().to_string(),
        };
        let response = self.raw().create_task(self.timed(request)).await?;
        present(response.into_inner().task, "CreateTask answered without a task")
    }

    /// Returns a Task.
    pub async fn get_task(&self, name: &str) -> Result<v1::Task, Error> {
        let request = v1::GetTaskRequest { name: name.to_owned() };
        let response = self.raw().get_task(self.timed(request)).await?;
        present(response.into_inner().task, "GetTask answered without a task")
    }

    /// Returns one page of Tasks, newest first.
    pub async fn list_tasks(&self, request: v1::ListTasksRequest) -> Result<v1::ListTasksResponse, Error> {
        Ok(self
            .raw()
            .list_tasks(self.timed(request))
            .await
            .map(Response::into_inner)?)
    }

    /// Asks a Task to stop.
    pub async fn cancel_task(&self, name: &str, reason: &str) -> Result<v1::Task, Error> {
        let request = v1::CancelTaskRequest {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let response = self.raw().cancel_task(self.timed(request)).await?;
        present(response.into_inner().task, "CancelTask answered without a task")
    }

    /// Sends a message into a Task, and returns the Task that will act on it. A `request_id` is filled in
    /// when it is empty.
    pub async fn send_message(&self, mut request: v1::SendMessageRequest) -> Result<v1::Task, Error> {
        if request.request_id.is_empty() {
            request.request_id = Uuid::new_v4().to_string();
        }
        let response = self.raw().send_message(self.timed(request)).await?;
        present(response.into_inner().task, "SendMessage answered without a task")
    }

    /// Returns what the server is and can do.
    pub async fn server_info(&self) -> Result<v1::GetServerInfoResponse, Error> {
        let request = self.timed(v1::GetServerInfoRequest {});
        Ok(self.raw().get_server_info(request).await.map(Response::into_inner)?)
    }

    /// Deletes a terminal Task with its events and artifacts.
    pub async fn delete_task(&self, name: &str) -> Result<(), Error> {
        let request = v1::DeleteTaskRequest { name: name.to_owned() };
        self.raw().delete_task(self.timed(request)).await?;
        Ok(())
    }

    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.call_timeout);
        request
    }
}

fn present(task: Option<v1::Task>, reason: &str) -> Result<v1::Task, Error> {
    task.ok_or_else(|| Error::Contract {
        reason: reason.to_owned(),
    })
}

fn endpoint(address: &str, options: &Options) -> Result<Endpoint, Error> {
    let uri = address::parse(address, options.plaintext)?;
    let secure = uri.scheme_str() == Some("https");
    let own_name = concat!("backspace-sdk-rust/", env!("CARGO_PKG_VERSION"));
    let user_agent = options
        .user_agent
        .as_ref()
        .map_or_else(|| own_name.to_owned(), |name| format!("{name} {own_name}"));
    let endpoint = Endpoint::from(uri)
        .user_agent(user_agent)
        .map_err(|error| Error::Options {
            reason: format!("the user agent cannot be sent: {error}"),
        })?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        // A peer that is gone without a word is noticed in 40 s; the server does the same from its side.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    if !secure {
        return Ok(endpoint);
    }
    let tls = |roots: Roots| endpoint.clone().tls_config(tls_config(options, roots));
    let configured = match (tls(Roots::System), &options.ca_certificates_pem) {
        (Ok(endpoint), _) => Ok(endpoint),
        // A small container may have no trust store at all; certificates of one's own are enough then.
        (Err(_), Some(_)) => tls(Roots::OwnOnly),
        (Err(error), None) => Err(error),
    };
    configured.map_err(|error| Error::Options {
        reason: format!(
            "TLS to {} cannot be set up: {}",
            address.trim(),
            crate::error::root_cause(&error)
        ),
    })
}

#[derive(Clone, Copy)]
enum Roots {
    System,
    OwnOnly,
}

fn tls_config(options: &Options, roots: Roots) -> ClientTlsConfig {
    let mut tls = match roots {
        Roots::System => ClientTlsConfig::new().with_native_roots(),
        Roots::OwnOnly => ClientTlsConfig::new(),
    };
    if let Some(pem) = &options.ca_certificates_pem {
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    if let Some(identity) = &options.identity {
        tls = tls.identity(Identity::from_pem(&identity.certificates_pem, &identity.key_pem));
    }
    if let Some(name) = &options.server_name {
        tls = tls.domain_name(name);
    }
    tls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_checked_and_never_shown() {
        assert_eq!(Token::new(" secret\n").unwrap(), Token("secret".to_owned()));
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
        for bad in ["", " \n", "two words", "line\nbreak", "ünïcode"] {
            let error = Token::new(bad).unwrap_err().to_string();
            assert!(error.contains("token") && !error.contains("ünïcode"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nothing_listens_is_named_with_its_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Client::connect(&address, Options::default()).await.err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, Error::Unreachable { .. }), "{text}");
        assert!(
            text.contains(&address) && text.to_lowercase().contains("refused"),
            "{text}"
        );
    }
}
