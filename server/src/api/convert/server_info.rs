//! What the server is and can do.

use backspace_sdk::v1;

use crate::api::convert::spec;
use crate::orchestrator::{SandboxBackendInfo, ServerInfo};

/// Converts it.
pub(crate) fn server_info(info: ServerInfo) -> v1::GetServerInfoResponse {
    let ServerInfo {
        version,
        models,
        default_model,
        sandbox_backends,
        forges,
        degraded,
        max_limits,
    } = info;
    v1::GetServerInfoResponse {
        version,
        models,
        default_model: default_model.unwrap_or_default(),
        sandbox_backends: sandbox_backends.into_iter().map(sandbox_backend).collect(),
        forges,
        degraded,
        max_limits: Some(spec::limits_to_proto(&max_limits)),
    }
}

fn sandbox_backend(info: SandboxBackendInfo) -> v1::get_server_info_response::SandboxBackend {
    let SandboxBackendInfo {
        name,
        active,
        enforced,
        not_enforced,
    } = info;
    v1::get_server_info_response::SandboxBackend {
        name,
        active,
        enforced,
        not_enforced,
    }
}
