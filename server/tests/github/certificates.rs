//! Git alone before a host whose authority only this machine knows.

use backspace_server::forge::git::{GitConfig, GitError, GitStore};
use backspace_server::forge::github::{GitHubConfig, GitHubCredentials, GitHubForge, GitHubHost};
use backspace_server::forge::{Access, Forge as _, GitRemote, GitTransport};
use backspace_server::secret::Secret;
use backspace_server::task::spec::Revision;

use crate::company::{TlsFront, authority};
use crate::fixture::main_branch;
use crate::site::{Site, TOKEN};

#[tokio::test]
async fn git_trusts_what_ssl_cert_file_names_and_nothing_else() {
    let site = Site::new().await;
    let front = TlsFront::start(site.hub.port).await;
    let remote = GitRemote {
        url: format!("https://127.0.0.1:{}/octo/hello.git", front.port),
        transport: GitTransport::Https,
        credential: None,
        mirror_key: "a key".into(),
    };
    let fetch = async |variables: &[(&str, &str)], folder: &str| {
        let environment = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let config = GitConfig::new(site.fixture.path(folder)).with_network_environment(environment);
        let store = GitStore::open(config).await.unwrap();
        store.fetch_mirror(&remote, &main_branch(), None).await
    };
    let authority = authority();
    let error = fetch(&[], "without").await.unwrap_err();
    assert!(matches!(error, GitError::Unavailable { .. }), "{error:?}");
    // The handshake may be over before a client looks at the certificate; what it then asks is what counts.
    let asked = || site.hub.shared.git_authorizations.lock().unwrap().len();
    assert_eq!(asked(), 0);
    let trusting = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    assert!(fetch(&trusting, "with").await.is_ok());
    assert!(asked() > 0);
    // Another file for git alone.
    let other = [trusting[0], ("GIT_SSL_CAINFO", "/nowhere")];
    assert!(fetch(&other, "other").await.is_err());
}

#[tokio::test]
async fn the_api_does_not_trust_an_authority_that_was_not_named() {
    let site = Site::new().await;
    let front = TlsFront::start(site.hub.port).await;
    let url = format!("https://127.0.0.1:{}", front.port);
    let config = GitHubConfig {
        host: GitHubHost::parse(&url, None).unwrap(),
        ..site.config(GitHubCredentials::Token(Secret::new(TOKEN)))
    };
    let forge = GitHubForge::open(config).unwrap();
    let address = backspace_server::task::address::RepositoryAddress::Remote {
        host: "127.0.0.1".into(),
        port: Some(front.port),
        owner: "octo".into(),
        name: "hello".into(),
    };
    let found = forge.repository(&address, &Revision::DefaultBranch, Access::Push).await;
    assert!(found.unwrap_err().retry().is_some());
    assert_eq!((front.trusted(), site.hub.exchanges().len()), (0, 0));
}
