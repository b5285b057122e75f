//! The fork that a change is pushed to where the login may not push to the repository itself.
//!
//! It is looked for before it is made, and proved to take a push, before any money is spent: a Task that
//! ends without a change may so leave a fork behind, which is one for all Tasks of that repository. Its
//! branches are not brought up to date, since a push brings every object that the fork lacks.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::forge::ForgeError;
use crate::forge::github::api::Ask;
use crate::forge::github::fault::Fault;
use crate::forge::github::lookup::Found;
use crate::forge::github::{API_LIFE, GitHubForge, Place};

/// Looks at a fork that is being made; what is not there by then is asked for again by whoever wants it.
const LOOKS: u32 = 20;

/// Time from one look to the next, in paces of mutations.
const PACES: u32 = 2;

/// The owner of a token.
#[derive(Debug, Deserialize)]
struct Owner {
    login: String,
}

#[derive(Debug, Deserialize)]
struct Branch {}

impl GitHubForge {
    /// Returns the fork in the login's own account, made if there is none, once it takes a push.
    pub(super) async fn fork(&self, upstream: &Place) -> Result<Place, ForgeError> {
        let told = |fault| self.told(fault, || format!("the fork of {upstream}"));
        let owner: Owner = self.call(upstream, Ask::get("/user")).await.map_err(told)?;
        if owner.login.eq_ignore_ascii_case(&upstream.owner) {
            return Err(self.forbidden(format!(
                "the server's credential may not push to {upstream}, and an account can't fork what is its own; \
                 give it contents and pull requests (write), or ask for a patch"
            )));
        }
        let found = match self.existing_fork(upstream, &owner.login).await? {
            Some(found) => found,
            None => self.make_fork(upstream).await?,
        };
        let fork = self.place_of(&found.full_name)?;
        if fork.address == upstream.address {
            return Err(self.rejected(format!("it tells that {upstream} is a fork of itself")));
        }
        self.wait_until_it_takes_a_push(&fork, &found.default_branch).await?;
        Ok(fork)
    }

    /// Looks for it under the name that a fork usually has.
    async fn existing_fork(&self, upstream: &Place, login: &str) -> Result<Option<Found>, ForgeError> {
        let path = format!(
            "/repos/{}/{}",
            crate::forge::percent_encode(login),
            upstream.encoded_name()
        );
        match self.call::<Found>(upstream, Ask::get(path)).await {
            Ok(found) => Ok(Some(found).filter(|found| {
                let parent = found.parent.as_ref();
                parent.is_some_and(|parent| parent.full_name.eq_ignore_ascii_case(&upstream.full_name()))
            })),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(self.told(fault, || format!("the fork of {upstream}"))),
        }
    }

    /// Makes it. GitHub answers with the one that is there when it has another name.
    async fn make_fork(&self, upstream: &Place) -> Result<Found, ForgeError> {
        let ask = Ask::post(
            format!("/repos/{upstream}/forks"),
            json!({ "default_branch_only": true }),
        );
        let no_right = "the server's credential may not push to";
        self.call(upstream, ask)
            .await
            .map_err(|fault| match self.told(fault, || format!("repository {upstream}")) {
                ForgeError::Forbidden { message, .. } => {
                    self.forbidden(format!("{no_right} {upstream}, and may not fork it either: {message}"))
                }
                ForgeError::Rejected { message, .. } => {
                    self.rejected(format!("{no_right} {upstream}, which can't be forked: {message}"))
                }
                other => other,
            })
    }

    /// A fork is made after the answer: it is there when it has its branch and git takes a push.
    async fn wait_until_it_takes_a_push(&self, fork: &Place, branch: &str) -> Result<(), ForgeError> {
        let told = |fault| self.told(fault, || format!("repository {fork}"));
        let login = self.logins.of(&self.api, &fork.owner, &fork.name, API_LIFE).await;
        let (login, _) = login.map_err(told)?;
        let Some(credential) = login.credential() else {
            return Err(self.forbidden(format!("nobody can push to {fork}")));
        };
        let path = format!("/repos/{fork}/branches/{}", crate::forge::percent_encode(branch));
        for look in 0..LOOKS {
            if look > 0 {
                let pause: Duration = self.api.gate.pace() * PACES;
                tokio::time::sleep(pause).await;
            }
            match self.call::<Branch>(fork, Ask::get(path.clone())).await {
                Ok(Branch {}) => {}
                Err(Fault::NotFound) => continue,
                Err(fault) => return Err(told(fault)),
            }
            match self.push_status(fork, &credential).await? {
                200..=299 => return Ok(()),
                401 | 403 => {
                    let message = format!("the server's credential may not push to its own fork {fork}");
                    return Err(self.forbidden(message));
                }
                _ => {}
            }
        }
        Err(self.unavailable(format!("the fork {fork} is not ready yet")))
    }
}
