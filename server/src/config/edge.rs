//! Settings of the edge: address, TLS, who may call, what browsers may do.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Reader;
use crate::api::ApiConfig;
use crate::api::auth::AuthConfig;
use crate::api::auth::issuer::IssuerConfig;
use crate::api::origin::OriginConfig;
use crate::api::rate_limit::RateLimitConfig;
use crate::api::tls::{ClientCertificates, TlsConfig};

impl Reader<'_> {
    pub(super) fn api(&mut self) -> Option<ApiConfig> {
        let listen = self.parse::<SocketAddr>("BACKSPACE_LISTEN", "an address and port such as 127.0.0.1:8000");
        let starts_per_minute = self.number("RATE_LIMIT_REQUESTS", 1..=1_000_000);
        let auth = AuthConfig {
            token_file: self.path("BACKSPACE_TOKENS_FILE"),
            issuer: self.issuer(),
            insecure_no_auth: self.values.switch("BACKSPACE_INSECURE_NO_AUTH"),
        };
        if let Some(listen) = listen
            && !listen.ip().is_loopback()
            && auth.token_file.is_none()
            && auth.issuer.is_none()
            && !auth.insecure_no_auth
        {
            self.faults.push(format!(
                "BACKSPACE_LISTEN={listen} is not a loopback address: set BACKSPACE_TOKENS_FILE (see docs/authentication.md), or BACKSPACE_INSECURE_NO_AUTH=1 if the network around it may do everything"
            ));
        }
        let tls = self.tls();
        let origin = OriginConfig {
            allowed_origins: self.values.list("BACKSPACE_ALLOWED_ORIGINS"),
            allowed_hosts: self.values.list("BACKSPACE_HOST_NAMES"),
        };
        self.faults.extend(
            origin
                .validate()
                .into_iter()
                .map(|fault| format!("BACKSPACE_ALLOWED_ORIGINS: {fault}")),
        );
        Some(ApiConfig {
            listen: listen?,
            tls,
            auth,
            rate_limit: RateLimitConfig {
                starts_per_minute: starts_per_minute? as u32,
                ..RateLimitConfig::default()
            },
            origin,
            ..ApiConfig::default()
        })
    }

    fn tls(&mut self) -> Option<TlsConfig> {
        let certificate = self.path("BACKSPACE_TLS_CERTIFICATE");
        let key = self.path("BACKSPACE_TLS_KEY");
        let authorities = self.path("BACKSPACE_TLS_CLIENT_CA");
        let requires = self.values.switch("BACKSPACE_TLS_REQUIRE_CLIENT");
        if requires && authorities.is_none() {
            let needs = "BACKSPACE_TLS_REQUIRE_CLIENT needs BACKSPACE_TLS_CLIENT_CA: whose certificates are taken";
            self.faults.push(needs.to_owned());
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsConfig {
                certificate,
                key,
                clients: clients(authorities, requires),
            }),
            (None, None) => {
                if authorities.is_some() {
                    let needs = "BACKSPACE_TLS_CLIENT_CA needs BACKSPACE_TLS_CERTIFICATE and BACKSPACE_TLS_KEY";
                    self.faults.push(needs.to_owned());
                }
                None
            }
            _ => {
                let both = "BACKSPACE_TLS_CERTIFICATE and BACKSPACE_TLS_KEY must be set together";
                self.faults.push(both.to_owned());
                None
            }
        }
    }

    fn issuer(&mut self) -> Option<IssuerConfig> {
        match (self.text("BACKSPACE_OIDC_ISSUER"), self.text("BACKSPACE_OIDC_AUDIENCE")) {
            (Some(issuer), Some(audience)) => Some(IssuerConfig {
                issuer,
                audience,
                claim: self.text("BACKSPACE_OIDC_CLAIM").unwrap_or_default(),
                repositories: self.values.list("BACKSPACE_OIDC_REPOSITORIES"),
            }),
            (None, None) => None,
            _ => {
                let both = "BACKSPACE_OIDC_ISSUER and BACKSPACE_OIDC_AUDIENCE must be set together";
                self.faults.push(both.to_owned());
                None
            }
        }
    }
}

fn clients(authorities: Option<PathBuf>, requires: bool) -> ClientCertificates {
    match authorities {
        None => ClientCertificates::NotAsked,
        Some(path) if requires => ClientCertificates::Required(path),
        Some(path) => ClientCertificates::Optional(path),
    }
}
