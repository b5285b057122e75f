//! What a provider's error means: status, headers and body to a `ModelError`.
//!
//! One table for all protocols, because gateways answer with each other's error bodies. The message
//! decides where no code does (a prompt too long is a plain 400 at Anthropic and vLLM), and the
//! provider's own `x-should-retry` decides over the status.

use http::StatusCode;
use serde_json::Value;

use crate::model::ModelError;
use crate::model::retry_after::Hints;

/// Longest message kept of an error.
const MAX_MESSAGE_CHARS: usize = 500;

/// What an error body said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `type` and `code`, joined by a space, in lower case.
    kind: String,
    /// For a person.
    message: String,
    /// A status inside the body, as OpenRouter and llama.cpp give it.
    status: Option<u16>,
}

impl Fault {
    /// Reads an error body: JSON of any provider, or text.
    pub(crate) fn read(body: &str) -> Self {
        match serde_json::from_str::<Value>(body) {
            Ok(value) => Self::of_value(value.get("error").unwrap_or(&value)),
            Err(_) => Self {
                message: shorten(body.trim()),
                ..Self::default()
            },
        }
    }

    /// Reads the error object.
    pub(crate) fn of_value(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let nested = error.pointer("/metadata/raw").and_then(Value::as_str);
        let detail = error.get("detail").filter(|detail| !detail.is_null());
        let message = error
            .as_str()
            .or_else(|| text("message"))
            .map(str::to_owned)
            .or_else(|| detail.map(|detail| detail.as_str().map_or_else(|| detail.to_string(), str::to_owned)));
        let mut message = message.unwrap_or_else(|| error.to_string());
        if let Some(nested) = nested {
            message = format!("{message}: {nested}");
        }
        let code = error.get("code");
        let status = code.or_else(|| error.get("status")).and_then(Value::as_u64);
        let code = code.and_then(Value::as_str);
        let inner = error.pointer("/innererror/code").and_then(Value::as_str);
        let kind: Vec<&str> = [text("type"), code, inner].into_iter().flatten().collect();
        Self {
            kind: kind.join(" ").to_lowercase(),
            message: shorten(&message),
            status: status.and_then(|status| u16::try_from(status).ok()),
        }
    }

    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.split(' ').any(|kind| kinds.contains(&kind))
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    fn is_context(&self) -> bool {
        self.is(&[
            "context_length_exceeded",
            "exceed_context_size_error",
            "request_too_large",
        ]) || self.says(&[
            "prompt is too long",
            "maximum context length",
            "exceed context limit",
            "exceeds the available context size",
            "exceeds the context window",
            "context length exceeded",
            "context_length_exceeded",
            "input is too long",
            "input token count",
            "reduce the length of",
        ])
    }

    fn is_spending(&self) -> bool {
        self.is(&["insufficient_quota", "billing_error", "billing_hard_limit_reached"])
            || self.says(&[
                "credit balance is too low",
                "exceeded your current quota",
                "specified api usage limits",
                "insufficient credits",
                "insufficient balance",
            ])
    }

    fn is_refusal(&self) -> bool {
        self.is(&[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "cyber_policy_violation",
        ]) || self.says(&[
            "content management policy",
            "content policy",
            "requires moderation",
            "was flagged",
        ])
    }

    /// Returns the error that this is inside a stream whose status was a success.
    pub(crate) fn in_stream(self) -> ModelError {
        let by_kind = [
            ("overloaded_error", 529),
            ("rate_limit_error", 429),
            ("rate_limit_exceeded", 429),
            ("api_error", 500),
            ("server_error", 500),
            ("timeout_error", 504),
            ("invalid_request_error", 400),
            ("invalid_prompt", 400),
            ("authentication_error", 401),
            ("permission_error", 403),
            ("not_found_error", 404),
        ];
        let known = by_kind.iter().find(|(kind, _)| self.is(&[*kind]));
        let status = known.map(|(_, status)| *status).or(self.status).unwrap_or(500);
        self.with_status(status, Hints::default())
    }

    /// Returns the error that this is with a status and what the headers said.
    pub(crate) fn with_status(self, status: u16, hints: Hints) -> ModelError {
        let retry_after = hints.retry_after;
        if self.is_spending() || status == 402 {
            return ModelError::SpendingCap { message: self.message };
        }
        if (400..500).contains(&status) && status != 429 || status == 500 {
            if self.is_context() || status == 413 {
                return ModelError::ContextTooLong { message: self.message };
            }
            if self.is_refusal() {
                return ModelError::Refused { message: self.message };
            }
        }
        let message = match StatusCode::from_u16(status) {
            Ok(code) if !self.message.is_empty() => format!("{} ({code})", self.message),
            Ok(code) => code.to_string(),
            Err(_) => self.message,
        };
        match (status, hints.should_retry) {
            (401 | 403, _) => ModelError::Authentication { message },
            (429, None | Some(true)) => ModelError::RateLimited { retry_after },
            (_, Some(true)) => ModelError::Overloaded { message, retry_after },
            (_, Some(false)) => ModelError::Rejected { message },
            (408 | 409 | 425 | 500.., None) => ModelError::Overloaded { message, retry_after },
            (_, None) => ModelError::Rejected { message },
        }
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(error: &ModelError) -> &'static str {
        match error {
            ModelError::RateLimited { .. } => "rate limited",
            ModelError::Overloaded { .. } => "overloaded",
            ModelError::ContextTooLong { .. } => "context",
            ModelError::Refused { .. } => "refused",
            ModelError::SpendingCap { .. } => "spending",
            ModelError::Authentication { .. } => "authentication",
            ModelError::Rejected { .. } => "rejected",
            ModelError::Protocol { .. } => "protocol",
            ModelError::Truncated => "truncated",
            ModelError::Transport { .. } => "transport",
        }
    }

    #[test]
    fn status_and_body_give_the_error() {
        let anthropic = |kind: &str, message: &str| {
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#)
        };
        for (status, body, expected) in [
            (400, anthropic("invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"), "context"),
            (400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 1"), "context"),
            (400, anthropic("invalid_request_error", "messages: at least one message is required"), "rejected"),
            (400, anthropic("invalid_request_error", "Your credit balance is too low to access the API"), "spending"),
            (401, anthropic("authentication_error", "invalid x-api-key"), "authentication"),
            (402, anthropic("billing_error", "billing"), "spending"),
            (403, anthropic("permission_error", "no"), "authentication"),
            (404, anthropic("not_found_error", "model: x"), "rejected"),
            (413, anthropic("request_too_large", "Request exceeds the maximum size"), "context"),
            (429, anthropic("rate_limit_error", "slow down"), "rate limited"),
            (500, anthropic("api_error", "Internal server error"), "overloaded"),
            (504, anthropic("timeout_error", "t"), "overloaded"),
            (529, anthropic("overloaded_error", "Overloaded"), "overloaded"),
            (400, r#"{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}"#.into(), "context"),
            (400, r#"{"error":{"code":400,"message":"request (2009 tokens) exceeds","type":"exceed_context_size_error"}}"#.into(), "context"),
            (400, r#"{"object":"error","message":"This model's maximum context length is 4096 tokens","code":400}"#.into(), "context"),
            (400, r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":\"prompt is too long: 9 > 8\"}"}}}"#.into(), "context"),
            (400, r#"{"error":{"message":"The response was filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#.into(), "refused"),
            (403, r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged"}}"#.into(), "refused"),
            (429, r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#.into(), "spending"),
            (429, r#"{"error":{"message":"Rate limit reached: maximum context length","type":"tokens","code":"rate_limit_exceeded"}}"#.into(), "rate limited"),
            (404, r#"{"error":"model 'x' not found"}"#.into(), "rejected"),
            (422, r#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#.into(), "rejected"),
            (408, String::new(), "overloaded"),
            (409, String::new(), "overloaded"),
            (307, String::new(), "rejected"),
            (502, "<html>Bad Gateway</html>".into(), "overloaded"),
        ] {
            let error = Fault::read(&body).with_status(status, Hints::default());
            assert_eq!(name(&error), expected, "{status} {body}");
        }
    }

    #[test]
    fn errors_inside_a_stream_are_told_by_their_type_or_code() {
        for (error, expected) in [
            (r#"{"type":"overloaded_error","message":"Overloaded"}"#, "overloaded"),
            (r#"{"type":"rate_limit_error","message":"m"}"#, "rate limited"),
            (
                r#"{"type":"invalid_request_error","message":"prompt is too long"}"#,
                "context",
            ),
            (r#"{"type":"authentication_error","message":"m"}"#, "authentication"),
            (r#"{"code":"rate_limit_exceeded","message":"m"}"#, "rate limited"),
            (r#"{"code":"insufficient_quota","message":"m"}"#, "spending"),
            (r#"{"code":"context_length_exceeded","message":"m"}"#, "context"),
            (r#"{"code":"server_error","message":"m"}"#, "overloaded"),
            (r#"{"code":400,"message":"Token limit reached"}"#, "rejected"),
            (r#"{"code":502,"message":"upstream"}"#, "overloaded"),
            (r#"{"message":"nobody knows"}"#, "overloaded"),
        ] {
            let error_value: Value = serde_json::from_str(error).unwrap();
            assert_eq!(name(&Fault::of_value(&error_value).in_stream()), expected, "{error}");
        }
    }

    #[test]
    fn the_provider_s_own_word_on_retries_decides_over_the_status() {
        let hints = |should_retry| Hints {
            retry_after: Some(Duration::from_secs(7)),
            should_retry: Some(should_retry),
        };
        let error = |status, should_retry| Fault::read("x").with_status(status, hints(should_retry));
        assert_eq!(name(&error(503, false)), "rejected");
        assert_eq!(name(&error(429, false)), "rejected");
        assert_eq!(name(&error(400, true)), "overloaded");
        assert_eq!(
            error(429, true).retry(),
            crate::model::Retry::After(Some(Duration::from_secs(7)))
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let fault = Fault::read(&"ä".repeat(600));
        assert_eq!(fault.message, format!("{}…", "ä".repeat(500)));
    }
}
