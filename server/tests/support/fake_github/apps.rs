//! An App's own calls: where it is installed, and tokens for what it was given.

use std::time::SystemTime;

use base64::Engine as _;
use serde_json::{Value, json};

use super::answers::{Answer, example};
use super::dispatch::Call;
use super::state::{Rights, State};

/// Answers an App's own calls; `None` for others.
pub(super) fn route(call: &Call<'_>, state: &mut State, parts: &[&str]) -> Option<Answer> {
    match (call.method, parts) {
        ("GET", ["repos", owner, name, "installation"]) => {
            let full_name = format!("{owner}/{name}");
            Some(match signed(call, state) {
                Err(answer) => answer,
                Ok(()) => {
                    let app = state.app.as_ref().unwrap();
                    if app.repositories.contains(&full_name) {
                        Answer::json(
                            200,
                            example("installation", json!({ "id": app.installation, "app_id": app.id })),
                        )
                    } else {
                        Answer::not_found()
                    }
                }
            })
        }
        ("POST", ["app", "installations", id, "access_tokens"]) => Some(match signed(call, state) {
            Err(answer) => answer,
            Ok(()) => issue(call, state, id),
        }),
        ("DELETE", ["installation", "token"]) => {
            let token = call.bearer.as_ref().and_then(|token| state.tokens.get_mut(token));
            Some(match token.filter(|token| token.login.is_empty()) {
                Some(token) => {
                    token.expires = Some(SystemTime::now());
                    Answer::json(204, Value::Null)
                }
                None => Answer::error(401, "Bad credentials"),
            })
        }
        _ => None,
    }
}

/// Checks what an App signs: who, and for ten minutes at most.
fn signed(call: &Call<'_>, state: &State) -> Result<(), Answer> {
    let refused = |message: &str| Answer::error(401, message);
    let bearer = call.bearer.as_deref().unwrap_or_default();
    let claims = bearer.split('.').nth(1).unwrap_or_default();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap_or_default();
    let claims: Value =
        serde_json::from_slice(&claims).map_err(|_| refused("A JSON web token could not be decoded"))?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let number = |name: &str| claims[name].as_u64().unwrap_or(0);
    if state.app.as_ref().is_none_or(|app| number("iss") != app.id) || bearer.split('.').count() != 3 {
        return Err(refused("Integration not found"));
    }
    if number("iat") > now || number("exp") <= now || number("exp") > now + 600 {
        return Err(refused("'Expiration time' claim ('exp') is too far in the future"));
    }
    Ok(())
}

fn issue(call: &Call<'_>, state: &mut State, id: &str) -> Answer {
    let app = state.app.clone().unwrap();
    if id != app.installation.to_string() {
        return Answer::not_found();
    }
    let owner = app.repositories[0].split('/').next().unwrap().to_owned();
    let wanted = call.body["repositories"].as_array().cloned().unwrap_or_default();
    let mut repositories = Vec::new();
    for name in wanted.iter().filter_map(Value::as_str) {
        let full_name = format!("{owner}/{name}");
        if !app.repositories.contains(&full_name) {
            return Answer::error(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            );
        }
        repositories.push(full_name);
    }
    let level = |permission: &str| call.body["permissions"][permission].as_str();
    for (permission, wanted) in call.body["permissions"].as_object().cloned().unwrap_or_default() {
        let given = app.permissions.get(&permission).map(String::as_str);
        if !matches!(
            (given, wanted.as_str()),
            (Some("write"), _) | (Some("read"), Some("read"))
        ) {
            return Answer::error(422, "The permissions requested are not granted to this installation.");
        }
    }
    state.issued_tokens += 1;
    let token = format!("ghs_installation-token.{:08}_for-tests", state.issued_tokens);
    let rights = Rights {
        read: level("contents").is_some(),
        push: level("contents") == Some("write"),
        pulls: level("pull_requests") == Some("write"),
        // What the API tells an App of a person's rights is nothing.
        owner_push: false,
    };
    let expires = SystemTime::now() + app.token_life;
    let kept = state.token(&token, rights);
    kept.login = String::new();
    kept.may_fork = false;
    kept.repositories = repositories;
    kept.expires = Some(expires);
    let format = time::format_description::well_known::Rfc3339;
    let expires = time::OffsetDateTime::from(expires).format(&format).unwrap();
    let mut answer = example("installation_token", json!({ "token": token, "expires_at": expires }));
    answer["permissions"] = call.body["permissions"].clone();
    Answer::json(201, answer)
}
