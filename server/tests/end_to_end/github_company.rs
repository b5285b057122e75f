//! An Enterprise Server in a company: certificates of its own authority, and a proxy on the way.

use backspace_sdk::v1;
use backspace_sdk::v1::task_event::Payload;
use base64::Engine as _;

use crate::company::{ConnectProxy, TlsFront, authority};
use crate::event_log::Follower;
use crate::hub::{Hub, NAME, TOKEN};
use crate::script::good;
use crate::server::Launch;
use crate::site::Site;

/// A GitHub that is reached over TLS alone.
struct Company {
    site: Site,
    hub: Hub,
    front: TlsFront,
}

impl Company {
    async fn start() -> Self {
        let site = Site::new();
        let hub = Hub::start(&site).await;
        let front = TlsFront::start(hub.hub.port).await;
        site.script("fix", good());
        Self { site, hub, front }
    }

    fn launch(&self) -> Launch<'_> {
        self.site
            .serve()
            .flag("--github-url", &format!("https://127.0.0.1:{}", self.front.port))
            .env("GITHUB_TOKEN", TOKEN)
    }

    fn trusting(&self) -> Launch<'_> {
        self.launch().env("SSL_CERT_FILE", authority().to_str().unwrap())
    }

    fn spec(&self) -> v1::TaskSpec {
        v1::TaskSpec {
            repository: Some(v1::Repository {
                url: format!("https://127.0.0.1:{}/{NAME}", self.front.port),
                revision: None,
            }),
            ..self.hub.spec("fix")
        }
    }

    /// Runs the usual Task to its pull request.
    async fn publish(&self, launch: Launch<'_>) {
        let server = launch.start().await;
        Follower::run(&server.client(), self.spec()).success().await;
        self.hub.only_pull();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_the_companys_own_is_trusted_where_it_is_named_and_not_elsewhere() {
    let company = Company::start().await;
    {
        let server = company.launch().start().await;
        let mut follower = Follower::run(&server.client(), company.spec());
        let is_retry = |payload: &Payload| matches!(payload, Payload::RetryScheduled(retry) if retry.component == "forge" && retry.message.contains("certificate"));
        follower.until("a retry", is_retry).await;
        assert_eq!((company.front.trusted(), company.hub.hub.exchanges().len()), (0, 0));
        server.kill9().await;
    }
    let company = Company::start().await;
    company.publish(company.trusting()).await;
    assert!(company.front.trusted() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_by_the_api_and_by_git_and_sees_no_token() {
    let company = Company::start().await;
    let proxy = ConnectProxy::start().await;
    company
        .publish(company.trusting().env("HTTPS_PROXY", &proxy.url()))
        .await;
    let seen = proxy.seen();
    assert_eq!(seen.len(), company.front.trusted(), "nothing goes around it");
    let target = format!("CONNECT 127.0.0.1:{} ", company.front.port);
    let texts: Vec<_> = seen.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert!(texts.iter().all(|text| text.starts_with(&target)), "{texts:?}");
    let is_git = |text: &&std::borrow::Cow<'_, str>| text.to_lowercase().contains("user-agent: git/");
    let of_git = texts.iter().filter(is_git).count();
    assert!(of_git > 0 && of_git < texts.len(), "{of_git} of {}", texts.len());
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
    for text in &texts {
        assert!(
            !text.contains(TOKEN) && !text.contains(&encoded) && !text.contains(NAME),
            "{text}"
        );
    }
    // The control: what went through it had the token.
    let exchanges = company.hub.hub.exchanges();
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        exchanges
            .iter()
            .all(|exchange| exchange.authorization.as_deref() == Some(&bearer))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_names_what_is_reached_without_it() {
    let company = Company::start().await;
    let proxy = ConnectProxy::start().await;
    let launch = company.trusting().env("HTTPS_PROXY", &proxy.url());
    company.publish(launch.env("NO_PROXY", "127.0.0.1")).await;
    assert_eq!(proxy.seen().len(), 0);
}
