//! Tokens, the configuration file, completions and manual pages.

use backspace_sdk::v1;

use crate::fake::{Fake, Plan};
use crate::home::Home;

fn succeeded() -> v1::Task {
    v1::Task {
        state: v1::task::State::Succeeded.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_token_comes_from_the_variable_a_file_or_the_configuration() {
    let home = Home::new();
    let address = Fake::new(Plan {
        token: Some("secret".to_owned()),
        end: succeeded(),
        ..Plan::default()
    })
    .serve()
    .await;
    assert_eq!(home.run_on(&address, &["list"]).await.code, Some(5));
    let ran = home
        .command(&["list"])
        .env("BACKSPACE_SERVER", &address)
        .env("BACKSPACE_TOKEN", "secret")
        .output();
    assert_eq!(ran.await.unwrap().status.code(), Some(0));
    let file = home.write("token", "secret\n", 0o600);
    assert_eq!(
        home.run_on(&address, &["list", "--token-file", file.to_str().unwrap()])
            .await
            .code,
        Some(0)
    );
    let open = home.write("open", "secret\n", 0o644);
    let ran = home
        .run_on(&address, &["list", "--token-file", open.to_str().unwrap()])
        .await;
    assert!(ran.code == Some(1) && ran.err.contains("chmod 600"), "{ran:?}");

    let text = format!("default = \"work\"\n[servers.work]\naddress = \"{address}\"\ntoken_file = \"~/token\"\n");
    home.write(".config/backspace/config.toml", &text, 0o644);
    assert_eq!(home.run(&["list"]).await.code, Some(0));
    assert_eq!(home.run(&["list", "--server", "work"]).await.code, Some(0));
}

#[tokio::test]
async fn completions_and_manual_pages_are_made() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.run(&["completions", shell]).await;
        assert!(ran.code == Some(0) && ran.out.contains("backspace"), "{shell}");
    }
    assert_eq!(home.run(&["man", "pages"]).await.code, Some(0));
    let page = home.read("pages/backspace-run.1");
    assert!(
        page.contains("limit\\-cost") && !home.read("pages/backspace.1").is_empty(),
        "{page}"
    );
}
