//! Asking a fake provider through the catalog, as the server does.

#![allow(dead_code, reason = "each test program uses its own part of this support")]

use backspace_server::model::catalog::{Models, ModelsConfig, ResolvedModel};
use backspace_server::model::transcript::Transcript;
use backspace_server::model::{Answer, Delta, Item, ModelError, ModelRequest, ToolResult, ToolSpec};

pub(crate) const TOOLS: [ToolSpec; 2] = [
    ToolSpec {
        name: "bash",
        description: "Runs a command.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}"#,
    },
    ToolSpec {
        name: "finish",
        description: "Ends the work.",
        schema: r#"{"type":"object","properties":{"summary":{"type":"string"}}}"#,
    },
];

pub(crate) const PROTOCOLS: [&str; 3] = ["anthropic", "chat", "responses"];

/// Returns the model `m` of a provider `p` at this address; `settings` are lines of its configuration.
pub(crate) fn model(protocol: &str, url: &str, settings: &str) -> ResolvedModel {
    let text = format!("[provider.p]\nprotocol = '{protocol}'\nbase_url = '{url}'\napi_key_env = 'KEY'\n{settings}\n");
    models(&text).resolve(Some("p/m")).unwrap()
}

/// Returns the models of a configuration whose key is `sk-test`.
pub(crate) fn models(text: &str) -> Models {
    let mut config: ModelsConfig = toml::from_str(text).unwrap();
    assert_eq!(
        config.read_keys(&|name| (name == "KEY").then(|| "sk-test".into())),
        Vec::<String>::new()
    );
    Models::new(config).unwrap()
}

pub(crate) fn user(text: &str) -> Item {
    Item::User { text: text.into() }
}

/// Returns a result of `content` for each call of an answer.
pub(crate) fn results(answer: &Answer, content: &str) -> Item {
    let results = answer.tool_calls.iter().map(|call| ToolResult {
        call_id: call.id.clone(),
        content: content.into(),
        is_error: false,
    });
    Item::ToolResults {
        results: results.collect(),
    }
}

/// Asks and returns the answer with what was shown of it.
pub(crate) async fn ask(
    model: &ResolvedModel,
    transcript: &mut Transcript,
) -> Result<(Answer, Vec<Delta>), ModelError> {
    let mut deltas = Vec::new();
    let request = ModelRequest {
        model: &model.model,
        system: "You are brief.",
        tools: &TOOLS,
        transcript,
        max_output_tokens: None,
    };
    let answer = model.provider.answer(request, &mut |delta| deltas.push(delta)).await?;
    Ok((answer, deltas))
}

/// Asks one question.
pub(crate) async fn ask_once(model: &ResolvedModel) -> Result<Answer, ModelError> {
    let mut transcript = Transcript::new(vec![user("hello")]);
    ask(model, &mut transcript).await.map(|(answer, _)| answer)
}
