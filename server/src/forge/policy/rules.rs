//! The shapes of well-known secrets, each with a planted example that the self-test must find.
//!
//! A rule is here when its shape is its issuer's own (a prefix, a fixed length) or it is a private
//! key: such a text is a secret wherever it stands. Examples are put together at run time, so that
//! other people's scanners, and our own, find none in this file.

/// A rule.
pub(super) struct Rule {
    /// What the text is, as in "looks like …".
    pub(super) name: &'static str,
    pub(super) pattern: &'static str,
    /// Pieces of an example.
    pub(super) example: &'static [&'static str],
}

const ALNUM: &str = "a8Bc2dE4fG6hJ1kL3mN5pQ7rS9tU0vW2xY4zA6bC8dE0fG2hJ4kL6mN8pQ0rS2tU4vW6x";
const HEX: &str = "3f9a1c7e5b2d8046a9c3e1f7b5d20864f1a3c5e7092b4d6f8a1c3e5b7d9f0246";

/// Every rule.
pub(super) const RULES: [Rule; 24] = [
    Rule {
        name: "an AWS access key",
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        example: &["AKIA", "Q3EGSZ5TXH7JKL2M"],
    },
    Rule {
        name: "a GitHub token",
        pattern: r"\bgh[opur]_[A-Za-z0-9]{36,255}\b",
        example: &["ghp_", ALNUM],
    },
    Rule {
        name: "a GitHub installation token",
        pattern: r"\bghs_[A-Za-z0-9_.-]{30,}",
        example: &["ghs_", ALNUM],
    },
    Rule {
        name: "a GitHub fine-grained token",
        pattern: r"\bgithub_pat_[A-Za-z0-9_]{40,255}",
        example: &["github_pat_", ALNUM],
    },
    Rule {
        name: "a GitLab token",
        pattern: r"\bgl(?:pat|dt|rt|cbt|ptt|oas|soat)-[A-Za-z0-9_.-]{20,}",
        example: &["glpat-", ALNUM],
    },
    Rule {
        name: "an Anthropic key",
        pattern: r"\bsk-ant-[A-Za-z0-9]{3,8}-[A-Za-z0-9_-]{32,}",
        example: &["sk-ant-", "api03-", ALNUM],
    },
    Rule {
        name: "an OpenAI key",
        pattern: r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{40,}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b",
        example: &["sk-", "proj-", ALNUM],
    },
    Rule {
        name: "an OpenRouter key",
        pattern: r"\bsk-or-v1-[0-9a-f]{64}\b",
        example: &["sk-or-", "v1-", HEX],
    },
    Rule {
        name: "a Slack token",
        pattern: r"\bxox[abeoprs]-(?:[0-9A-Za-z]+-){1,4}[0-9A-Za-z]{16,}",
        example: &["xox", "b-123456789012-", ALNUM],
    },
    Rule {
        name: "a Slack webhook",
        pattern: r"hooks\.slack\.com/(?:services|workflows)/T[A-Z0-9]{8,}/[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
        example: &["https://hooks.slack", ".com/services/T0123ABCD/B0123ABCD/", ALNUM],
    },
    Rule {
        name: "a Stripe live key",
        pattern: r"\b[sr]k_live_[A-Za-z0-9]{20,}",
        example: &["sk_", "live_", ALNUM],
    },
    Rule {
        name: "a Google API key",
        pattern: r"\bAIza[0-9A-Za-z_-]{35}",
        example: &["AI", "za", ALNUM],
    },
    Rule {
        name: "a Google OAuth secret",
        pattern: r"\bGOCSPX-[A-Za-z0-9_-]{28}",
        example: &["GOC", "SPX-", ALNUM],
    },
    Rule {
        name: "an npm token",
        pattern: r"\bnpm_[A-Za-z0-9]{36}",
        example: &["npm_", ALNUM],
    },
    Rule {
        name: "a PyPI token",
        pattern: r"\bpypi-AgE[A-Za-z0-9_-]{50,}",
        example: &["pypi-", "AgEIcHlwaS5vcmc", ALNUM],
    },
    Rule {
        name: "a crates.io token",
        pattern: r"\bcio[A-Za-z0-9]{32}\b",
        example: &["ci", "oa8Bc2dE4fG6hJ1kL3mN5pQ7rS9tU0vWq"],
    },
    Rule {
        name: "a Hugging Face token",
        pattern: r"\bhf_[A-Za-z0-9]{34,}",
        example: &["hf_", ALNUM],
    },
    Rule {
        name: "a SendGrid key",
        pattern: r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        example: &["SG", ".a8Bc2dE4fG6hJ1kL3mN5pQ", ".", ALNUM],
    },
    Rule {
        name: "a DigitalOcean token",
        pattern: r"\bdo[opr]_v1_[a-f0-9]{64}\b",
        example: &["dop_", "v1_", HEX],
    },
    Rule {
        name: "a Telegram bot token",
        pattern: r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
        example: &["1234567890", ":AA", "a8Bc2dE4fG6hJ1kL3mN5pQ7rS9tU0vW2x"],
    },
    Rule {
        name: "an Azure storage key",
        pattern: r"AccountKey=[A-Za-z0-9+/]{86}==",
        example: &["Account", "Key=", ALNUM, "AbCdEfGhJkLmNpQrS", "=="],
    },
    Rule {
        name: "a HashiCorp Vault token",
        pattern: r"\bhv[sb]\.[A-Za-z0-9_-]{24,}",
        example: &["hvs", ".", ALNUM],
    },
    Rule {
        name: "an age secret key",
        pattern: r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        example: &[
            "AGE-SECRET",
            "-KEY-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE",
        ],
    },
    Rule {
        name: "a private key",
        pattern: r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----",
        example: &["-----BEGIN OPENSSH ", "PRIVATE KEY-----"],
    },
];

/// Texts that no rule may take for a secret.
pub(super) const HARMLESS: [&str; 14] = [
    "let token = std::env::var(\"GITHUB_TOKEN\")?;",
    "password = \"changeme\"",
    "api_key: \"${API_KEY}\"",
    "API_KEY=your-api-key-goes-here-1234567890",
    "secret = get_secret('projects/my-project/secrets/name')",
    "token_endpoint = \"https://login.example.com/oauth2/v2.0/token\"",
    "integrity sha512-a8Bc2dE4fG6hJ1kL3mN5pQ7rS9tU0vW2xY4zA6bC8dE0fG2hJ4kL6mN8pQ0rS2tU4vW6xA==",
    "checksum = \"3f9a1c7e5b2d8046a9c3e1f7b5d20864f1a3c5e7092b4d6f8a1c3e5b7d9f0246\"",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "ghp_short",
    "const sk_live_prefix = 'sk_live_'",
    "secret_key_base: <%= ENV[\"SECRET_KEY_BASE\"] %>",
    "accessTokenLifetimeInMilliseconds = \"defaultAccessTokenLifetime\"",
];
