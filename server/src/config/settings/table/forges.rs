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
        "BACKSPACE_GITHUB_FORKS",
        "github-forks",
        Kind::Text,
        "never",
        "whether a change is published from a fork in the token's own account: never, or when-needed, where the token may not push",
    ),
    setting(
        "BACKSPACE_PROTECTED_PATHS",
        "protected-paths",
        Kind::List,
        "",
        "more path patterns that a change may not touch",
    ),
    setting(
        "BACKSPACE_EXEMPT_PATHS",
        "exempt-paths",
        Kind::List,
        "",
        "built-in protected paths that a change may touch after all, such as .github/workflows/**",
    ),
    setting(
        "BACKSPACE_MAX_CHANGED_FILES",
        "max-changed-files",
        Kind::Text,
        "3000",
        "most files in a change that leaves",
    ),
    setting(
        "BACKSPACE_MAX_ADDED_LINES",
        "max-added-lines",
        Kind::Text,
        "200000",
        "most added lines in a change that leaves",
    ),
    setting(
        "BACKSPACE_MAX_FILE_MIB",
        "max-file-mib",
        Kind::Text,
        "10",
        "largest new content of a file in a change that leaves, in MiB",
    ),
    setting(
        "BACKSPACE_GUESSED_SECRETS",
        "guessed-secrets",
        Kind::Text,
        "deny",
        "what to do with added text that looks like a secret by its name and randomness alone: deny, or report in the pull request",
    ),
    setting(
        "BACKSPACE_PUBLICATION",
        "publication",
        Kind::Text,
        "draft",
        "what becomes of a change unless a task says so: draft, ready, branch or patch",
    ),
];
