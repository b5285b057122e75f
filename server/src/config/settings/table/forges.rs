//! The rows of the table about forges and what becomes of a change.

use super::{Kind, Setting, setting};

pub(super) const FORGES: &[Setting] = &[
    setting(
        "GITHUB_TOKEN",
        "",
        Kind::Secret,
        "",
        "token for GitHub: fine-grained with contents and pull requests (write) and issues (read), or classic",
    ),
    setting(
        "BACKSPACE_GITHUB_APP_ID",
        "github-app-id",
        Kind::Text,
        "",
        "number of the GitHub App to work as, instead of GITHUB_TOKEN",
    ),
    setting(
        "BACKSPACE_GITHUB_APP_KEY",
        "",
        Kind::Secret,
        "",
        "private key of the GitHub App, PEM",
    ),
    setting(
        "BACKSPACE_GITHUB_URL",
        "github-url",
        Kind::Text,
        "https://github.com",
        "address of GitHub, or of an Enterprise Server",
    ),
    setting(
        "BACKSPACE_GITHUB_API_URL",
        "github-api-url",
        Kind::Text,
        "",
        "address of its API; default https://api.github.com, for an Enterprise Server /api/v3 below its own",
    ),
    setting(
        "BACKSPACE_PUBLICATION",
        "publication",
        Kind::Text,
        "draft",
        "what becomes of a change unless a task says so: draft, ready, branch or patch",
    ),
];
