//! The table of settings, one row each. What is made of it is in `settings`; what a value means, in `config`.

use std::sync::LazyLock;

mod edge;
mod forges;

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A secret; never printed.
    Secret,
    /// A list: repeat the flag, or separate by commas in the variable.
    List,
    /// Present or absent; `1`, `true`, `yes` and `on` in the variable.
    Switch,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Environment variable.
    pub variable: &'static str,
    /// Long flag, empty for none.
    pub flag: &'static str,
    /// What kind of value.
    pub kind: Kind,
    /// Default as text; empty for none.
    pub default: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
}

const fn setting(
    variable: &'static str,
    flag: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        flag,
        kind,
        default,
        help,
    }
}

/// Every setting of the server.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| [edge::EDGE, GENERAL, forges::FORGES].concat());

/// Every setting but those of the edge and of forges.
const GENERAL: &[Setting] = &[
    setting(
        "BACKSPACE_DATA_FOLDER",
        "data-folder",
        Kind::Text,
        "",
        "where tasks, mirrors and sandboxes are kept; default $XDG_DATA_HOME/backspace-server",
    ),
    setting(
        "BACKSPACE_READY_FILE",
        "ready-file",
        Kind::Text,
        "",
        "written with the bound address once the server answers",
    ),
    setting(
        "BACKSPACE_EXIT_WITH_PARENT",
        "exit-with-parent",
        Kind::Switch,
        "",
        "stop when standard input ends",
    ),
    setting(
        "BACKSPACE_ALLOW_LOCAL",
        "allow-local",
        Kind::List,
        "",
        "folders whose git repositories may be used by path",
    ),
    setting(
        "BACKSPACE_SANDBOX",
        "sandbox",
        Kind::Text,
        "auto",
        "sandbox backend: auto, docker or local",
    ),
    setting(
        "BACKSPACE_SUPERVISOR",
        "supervisor",
        Kind::Text,
        "",
        "the backspace-supervisor binary; default beside the server's own",
    ),
    setting(
        "BACKSPACE_SANDBOX_MEMORY_MIB",
        "sandbox-memory-mib",
        Kind::Text,
        "2048",
        "memory of one sandbox, in MiB",
    ),
    setting(
        "BACKSPACE_SANDBOX_CPUS",
        "sandbox-cpus",
        Kind::Text,
        "2",
        "processors of one sandbox",
    ),
    setting(
        "BACKSPACE_SANDBOX_PIDS",
        "sandbox-pids",
        Kind::Text,
        "512",
        "processes and threads of one sandbox",
    ),
    setting(
        "BACKSPACE_SANDBOX_DISK_MIB",
        "sandbox-disk-mib",
        Kind::Text,
        "10240",
        "what one work tree may grow by, in MiB",
    ),
    setting(
        "BACKSPACE_SETUP_CACHE_MIB",
        "setup-cache-mib",
        Kind::Text,
        "8192",
        "most of what set-up commands left that is kept for later tasks, in MiB; 0 keeps none",
    ),
    setting(
        "BACKSPACE_IMAGE",
        "image",
        Kind::Text,
        "backspace-sandbox:latest",
        "default container image of the docker backend",
    ),
    setting(
        "BACKSPACE_ALLOWED_IMAGES",
        "allowed-images",
        Kind::List,
        "",
        "image patterns that a task may ask for; only the default when empty",
    ),
    setting(
        "BACKSPACE_IMAGE_PULL",
        "image-pull",
        Kind::Text,
        "never",
        "when the docker backend pulls an image: never, or missing",
    ),
    setting(
        "BACKSPACE_POOL_SIZE",
        "pool-size",
        Kind::Text,
        "1",
        "containers that the docker backend keeps ready, 0 for none",
    ),
    setting(
        "DOCKER_HOST",
        "docker-host",
        Kind::Text,
        "",
        "the Docker engine, as unix:///path or tcp://host:port; the usual socket when empty",
    ),
    setting(
        "DOCKER_CERT_PATH",
        "docker-cert-path",
        Kind::Text,
        "",
        "folder with ca.pem, cert.pem and key.pem for an engine over TLS, which any but a loopback one must be",
    ),
    setting(
        "BACKSPACE_DOCKER_RUNTIME",
        "docker-runtime",
        Kind::Text,
        "",
        "the engine's runtime for sandboxes, such as runsc; its default when empty",
    ),
    setting(
        "BACKSPACE_ALLOWED_HOSTS",
        "allowed-hosts",
        Kind::List,
        "",
        "hosts that tasks may ask to reach from commands, as names, patterns or groups such as @npm; none when empty (see docs/security.md)",
    ),
    setting(
        "BACKSPACE_PRIVATE_RANGES",
        "private-ranges",
        Kind::List,
        "",
        "ranges such as 10.1.0.0/16 in which allowed hosts may have their addresses although they are not public; none when empty",
    ),
    setting(
        "BACKSPACE_MODEL",
        "model",
        Kind::Text,
        "",
        "model used when a task names none, as provider/model or provider",
    ),
    setting(
        "BACKSPACE_MODELS_FILE",
        "models-file",
        Kind::Text,
        "",
        "TOML file of further providers, windows and prices",
    ),
    setting(
        "BACKSPACE_SCRIPTS",
        "scripts",
        Kind::Text,
        "",
        "folder of scripted models, for demonstrations and tests",
    ),
    setting(
        "ANTHROPIC_API_KEY",
        "",
        Kind::Secret,
        "",
        "key of the provider `anthropic`",
    ),
    setting(
        "ANTHROPIC_BASE_URL",
        "anthropic-base-url",
        Kind::Text,
        "https://api.anthropic.com",
        "address of the provider `anthropic`",
    ),
    setting("OPENAI_API_KEY", "", Kind::Secret, "", "key of the provider `openai`"),
    setting(
        "OPENAI_BASE_URL",
        "openai-base-url",
        Kind::Text,
        "https://api.openai.com/v1",
        "address of the provider `openai`",
    ),
    setting(
        "MAX_CONCURRENT_JOBS",
        "max-concurrent-jobs",
        Kind::Text,
        "5",
        "tasks running at once",
    ),
    setting(
        "SANDBOX_TIMEOUT",
        "sandbox-timeout",
        Kind::Text,
        "300",
        "default limit of one command or verification, in seconds",
    ),
    setting(
        "BACKSPACE_VERIFICATION_TIMEOUT",
        "verification-timeout",
        Kind::Text,
        "1800",
        "longest limit of one verification command, in seconds",
    ),
    setting(
        "BACKSPACE_MAX_TURNS",
        "max-turns",
        Kind::Text,
        "200",
        "most model turns of a task",
    ),
    setting(
        "BACKSPACE_MAX_TOKENS",
        "max-tokens",
        Kind::Text,
        "2000000",
        "most uncached input and output tokens of a task",
    ),
    setting(
        "BACKSPACE_MAX_DURATION",
        "max-duration",
        Kind::Text,
        "3600",
        "longest wall time of a task from its first turn, in seconds",
    ),
    setting(
        "BACKSPACE_MAX_COST_USD",
        "max-cost-usd",
        Kind::Text,
        "",
        "most money of a task, in US dollars; unlimited when empty",
    ),
    setting(
        "BACKSPACE_RETENTION_DAYS",
        "retention-days",
        Kind::Text,
        "30",
        "days that events and artifacts of an ended task are kept",
    ),
    setting(
        "LOG_LEVEL",
        "log-level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace, or a filter such as backspace_server=debug",
    ),
    setting("BACKSPACE_LOG_FORMAT", "log-format", Kind::Text, "text", "text or json"),
    setting(
        "DEBUG",
        "debug",
        Kind::Switch,
        "",
        "the same as LOG_LEVEL=debug and BACKSPACE_LOG_FORMAT=text",
    ),
    setting(
        "ENABLE_TRACING",
        "enable-tracing",
        Kind::Switch,
        "",
        "`true`: traces and metrics go to http://127.0.0.1:4318 unless a setting below says where; `false`: nowhere",
    ),
    setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "otlp-endpoint",
        Kind::Text,
        "",
        "collector of traces and metrics, e.g. http://127.0.0.1:4318; OTLP over HTTP, and nothing of what models or repositories write",
    ),
    setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        Kind::Secret,
        "",
        "headers for the collector: name=value, with commas between",
    ),
    setting(
        "OTEL_SERVICE_NAME",
        "service-name",
        Kind::Text,
        "backspace-server",
        "what the server is called at the collector",
    ),
    setting(
        "JAEGER_ENDPOINT",
        "jaeger-endpoint",
        Kind::Text,
        "",
        "host of a Jaeger that takes OTLP, where OTEL_EXPORTER_OTLP_ENDPOINT is not set; its old ports become 4318",
    ),
    setting(
        "LANGCHAIN_TRACING_V2",
        "langchain-tracing-v2",
        Kind::Switch,
        "",
        "export to LangSmith; read, not used yet",
    ),
    setting(
        "LANGCHAIN_PROJECT",
        "langchain-project",
        Kind::Text,
        "",
        "project at LangSmith; read, not used yet",
    ),
    setting(
        "LANGCHAIN_API_KEY",
        "",
        Kind::Secret,
        "",
        "key of LangSmith; read, not used yet",
    ),
];
