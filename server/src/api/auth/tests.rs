//! Who is known by what, and what is refused with which words.

use super::*;

fn shown(authorization: Option<&str>, names: Option<&[&str]>, peer: &str) -> Credentials {
    let header = authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
    let names = names.map(|names| CertificateNames(names.iter().map(|&name| name.to_owned()).collect()));
    Credentials::new(
        &HeaderMap::from_iter(header),
        names.map(Arc::new),
        SocketAddr::new(peer.parse().unwrap(), 1),
    )
}

fn by_file(text: &str) -> Authenticator {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    std::fs::write(&path, text).unwrap();
    Authenticator::Known(Box::new(KnownCallers {
        principals: Some(TokenSource::open(path).unwrap()),
        issuer: None,
    }))
}

#[tokio::test]
async fn a_token_names_its_principal_and_nothing_else_does() {
    let authenticator = by_file(&format!(
        "[[principal]]\nname = \"alice\"\ntoken_sha256 = [\"{}\", \"{}\"]\nrequester = \"Alice <a@b.test>\"\n\
         repositories = [\"https://github.com/octo/*\"]\nstarts_per_minute = 3\n\
         [[principal]]\nname = \"bob\"\ntoken_sha256 = [\"{}\"]\n",
        hash_token("old"),
        hash_token("new"),
        hash_token("other"),
    ));
    let alice = Caller {
        principal: PrincipalId::new("alice"),
        requester: "Alice <a@b.test>".into(),
        repositories: Some(vec!["https://github.com/octo/*".into()]),
    };
    let caller = async |value| authenticator.caller(&shown(value, None, "10.0.0.1")).await;
    for value in ["Bearer old", "bearer new", "BEARER  new "] {
        assert_eq!(caller(Some(value)).await, Ok(alice.clone()), "{value}");
    }
    let bob = caller(Some("Bearer other")).await.unwrap();
    assert_eq!((bob.principal.as_str(), bob.repositories), ("bob", Some(vec![])));
    assert_eq!(
        authenticator.own_rates(),
        HashMap::from([(PrincipalId::new("alice"), 3)])
    );
    for (value, error) in [
        (Some("Bearer nobody"), AuthError::UnknownToken),
        (Some("Bearer no.bo.dy"), AuthError::UnknownToken),
        (Some("Bearer "), AuthError::MissingToken),
        (Some("Basic old"), AuthError::MissingToken),
        (Some("old"), AuthError::MissingToken),
        (None, AuthError::MissingToken),
    ] {
        assert_eq!(caller(value).await, Err(error), "{value:?}");
    }
}

#[tokio::test]
async fn a_certificate_names_its_principal_and_does_not_mend_a_wrong_token() {
    let authenticator = by_file(&format!(
        "[[principal]]\nname = \"ci\"\ncertificate_names = [\"spiffe://corp/ci\"]\n\
         [[principal]]\nname = \"ann\"\ntoken_sha256 = [\"{}\"]\n",
        hash_token("secret"),
    ));
    let caller = async |token: Option<&str>, names: &[&str]| {
        let caller = authenticator.caller(&shown(token, Some(names), "10.0.0.1")).await;
        caller.map(|caller| caller.principal.to_string())
    };
    assert_eq!(caller(None, &["x.test", "spiffe://corp/ci"]).await, Ok("ci".to_owned()));
    assert_eq!(
        caller(None, &["spiffe://corp/CI"]).await,
        Err(AuthError::UnknownCertificate)
    );
    assert_eq!(caller(None, &[]).await, Err(AuthError::UnknownCertificate));
    assert_eq!(
        caller(Some("Bearer secret"), &["spiffe://corp/ci"]).await,
        Ok("ann".to_owned())
    );
    assert_eq!(
        caller(Some("Bearer wrong"), &["spiffe://corp/ci"]).await,
        Err(AuthError::UnknownToken)
    );
}

#[test]
fn a_subject_is_a_principal_of_the_file_or_one_of_its_own() {
    let text = "[[principal]]\nname = \"ci\"\noidc_subjects = [\"repo:acme/x\"]\nrepositories = [\"https://h/a/x\"]\n";
    let principals = token_file::parse(text).unwrap();
    let patterns = vec!["https://github.com/acme/*".to_owned()];
    let named = of_subject(&principals, Some(&patterns), "repo:acme/x").unwrap();
    assert_eq!(
        (named.principal.as_str(), named.repositories),
        ("ci", Some(vec!["https://h/a/x".to_owned()]))
    );
    let other = of_subject(&principals, Some(&patterns), "ci").unwrap();
    assert_eq!(
        (other.principal.as_str(), other.repositories),
        ("oidc:ci", Some(patterns))
    );
    assert_eq!(of_subject(&principals, None, "ci"), Err(AuthError::UnknownSubject));
}

#[tokio::test]
async fn without_tokens_only_the_own_machine_is_served_unless_said_otherwise() {
    for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let caller = Authenticator::Loopback.caller(&shown(None, None, ip)).await.unwrap();
        assert_eq!(
            (caller.principal.as_str(), caller.repositories),
            (DEFAULT_PRINCIPAL, None)
        );
    }
    let far = shown(None, None, "10.0.0.1");
    assert_eq!(Authenticator::Loopback.caller(&far).await, Err(AuthError::NotLoopback));
    assert!(Authenticator::Anyone.caller(&far).await.is_ok());
}

#[test]
fn a_server_that_others_can_reach_needs_a_way_to_know_them_or_a_word() {
    let listen: SocketAddr = "0.0.0.0:8000".parse().unwrap();
    assert_eq!(AuthConfig::default().build(listen, &Jobs::new()).unwrap_err().len(), 1);
    let insecure = AuthConfig {
        insecure_no_auth: true,
        ..AuthConfig::default()
    };
    assert!(matches!(
        insecure.build(listen, &Jobs::new()),
        Ok(Authenticator::Anyone)
    ));
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    assert!(matches!(
        AuthConfig::default().build(loopback, &Jobs::new()),
        Ok(Authenticator::Loopback)
    ));
    let wrong = AuthConfig {
        token_file: Some("/nonexistent/tokens.toml".into()),
        issuer: Some(IssuerConfig {
            issuer: "http://issuer.test".into(),
            audience: String::new(),
            claim: "sub".into(),
            repositories: vec![],
        }),
        ..insecure
    };
    assert_eq!(wrong.build(loopback, &Jobs::new()).unwrap_err().len(), 3);
}
