//! What a caller asks for, after validation: a value of these types needs no further check.
//!
//! `TaskSpec::parse` collects every violation instead of stopping at the first, because a caller
//! fixes a request in one go. Addresses, branch names and hosts have grammars of their own
//! (`address`, `branch`, `host`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::address::{AddressPolicy, RepositoryAddress};
use crate::task::branch::BranchName;
use crate::task::budget::{Limits, MIN_DURATION};
use crate::task::host::rules::HostRules;
use crate::task::id::ObjectId;

mod hosts;

/// Longest instruction or message, in bytes of UTF-8.
pub const MAX_INSTRUCTION_BYTES: usize = 32 * 1024;

/// A validated request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The goal in the caller's words.
    pub instruction: String,
    /// The repository to change.
    pub repository: RepositoryAddress,
    /// Where to start from.
    pub revision: Revision,
    /// `{provider}/{model}` or `{provider}`, checked against the server's models; the default when `None`.
    pub model: Option<String>,
    /// Bounds, already lowered to the server's maxima.
    pub limits: Limits,
    /// Where the change goes.
    pub publication: Publication,
    /// The sandbox asked for.
    pub environment: Environment,
    /// Commands that prove the change; found by analysis when empty.
    pub verification_commands: Vec<String>,
    /// Issue the Task is about.
    pub issue: Option<String>,
    /// Models to go on with when the first stays unavailable, in order.
    pub fallback_models: Vec<String>,
}

/// The revision a Task starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// The tip of the default branch.
    #[default]
    DefaultBranch,
    /// The tip of a branch.
    Branch(BranchName),
    /// A commit.
    Commit(ObjectId),
}

/// Where the change goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// What to do with a finished change.
    pub mode: PublicationMode,
    /// Branch to create; derived from the instruction and the Task's id when `None`.
    pub head_branch: Option<BranchName>,
    /// Labels for the pull request.
    pub labels: Vec<String>,
    /// Reviewers to ask.
    pub reviewers: Vec<String>,
    /// Assignees of the pull request.
    pub assignees: Vec<String>,
}

/// What to do with a finished change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationMode {
    /// Push a branch and open a pull request.
    PullRequest,
    /// The same, opened as a draft.
    #[default]
    DraftPullRequest,
    /// Keep the patch; push nothing.
    PatchOnly,
    /// Push a branch; open nothing.
    BranchOnly,
}

/// The sandbox a Task asks for; it can only narrow what the server allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Container image, for backends that use one.
    pub image: Option<String>,
    /// Host patterns that commands may reach.
    pub allowed_hosts: Vec<String>,
    /// Commands to run once before the agent starts.
    pub setup_commands: Vec<String>,
}

/// One fault of a request, as `google.rpc.BadRequest.FieldViolation` will name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the proto field, e.g. `spec.repository.url`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

impl Violation {
    /// Makes a violation.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// A request as it came in: nothing is checked yet. Empty text stands for "not given".
#[derive(Clone, Debug, Default)]
pub struct TaskSpecDraft {
    /// The goal.
    pub instruction: String,
    /// Address of the repository.
    pub repository_url: String,
    /// What to start from.
    pub revision: RevisionDraft,
    /// Model name.
    pub model: String,
    /// Bounds asked for.
    pub limits: LimitsDraft,
    /// `None` for the server's default.
    pub mode: Option<PublicationMode>,
    /// Branch to create.
    pub head_branch: String,
    /// Labels for the pull request.
    pub labels: Vec<String>,
    /// Reviewers to ask.
    pub reviewers: Vec<String>,
    /// Assignees of the pull request.
    pub assignees: Vec<String>,
    /// The sandbox asked for.
    pub environment: Environment,
    /// Commands that prove the change.
    pub verification_commands: Vec<String>,
    /// Issue the Task is about.
    pub issue: String,
    /// Models to go on with.
    pub fallback_models: Vec<String>,
}

/// A revision as it came in.
#[derive(Clone, Debug, Default)]
pub enum RevisionDraft {
    /// Not given.
    #[default]
    Default,
    /// A branch name.
    Branch(String),
    /// A commit id.
    Commit(String),
}

/// Bounds as they came in; `None` for the server's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitsDraft {
    /// Most turns.
    pub max_turns: Option<u32>,
    /// Most tokens.
    pub max_tokens: Option<u64>,
    /// Longest wall time.
    pub max_duration: Option<Duration>,
    /// Most money.
    pub max_cost_micro_usd: Option<u64>,
}

/// What a server accepts.
#[derive(Clone, Debug, Default)]
pub struct SpecPolicy {
    /// Repositories.
    pub addresses: AddressPolicy,
    /// Hosts that commands may reach at most.
    pub hosts: HostRules,
    /// Models, as `{provider}/{model}`; a provider takes any model name when it is in `open_providers`.
    pub models: Vec<String>,
    /// Providers that are configured; `{provider}` alone means its default model.
    pub open_providers: Vec<String>,
    /// Limits when none are given.
    pub default_limits: Limits,
    /// Highest limits.
    pub max_limits: Limits,
    /// Publication when none is given.
    pub default_mode: PublicationMode,
}

const MAX_LIST: usize = 32;
const MAX_COMMAND_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 200;

impl TaskSpec {
    /// Checks a request and returns everything that is wrong with it at once.
    pub fn parse(draft: TaskSpecDraft, policy: &SpecPolicy) -> Result<Self, Vec<Violation>> {
        let mut faults = Faults::default();
        faults.text("spec.instruction", &draft.instruction, MAX_INSTRUCTION_BYTES);
        let address = match RepositoryAddress::parse(&draft.repository_url, &policy.addresses) {
            _ if draft.repository_url.is_empty() => faults.add("spec.repository.url", "is required"),
            result => faults.take("spec.repository.url", result),
        };
        let revision = match draft.revision {
            RevisionDraft::Default => Some(Revision::DefaultBranch),
            RevisionDraft::Branch(name) => faults
                .take("spec.repository.branch", BranchName::parse(&name))
                .map(Revision::Branch),
            RevisionDraft::Commit(id) => faults.take("spec.repository.commit", id.parse()).map(Revision::Commit),
        };
        let head_branch = match draft.head_branch.as_str() {
            "" => None,
            name => faults.take("spec.publication.head_branch", BranchName::parse(name)),
        };
        faults.model("spec.model", &draft.model, policy);
        for (index, model) in draft.fallback_models.iter().enumerate() {
            faults.model(&format!("spec.fallback_models[{index}]"), model, policy);
        }
        let limits = faults.limits(draft.limits, policy);
        faults.list("spec.fallback_models", &draft.fallback_models, MAX_NAME_BYTES);
        faults.list(
            "spec.verification_commands",
            &draft.verification_commands,
            MAX_COMMAND_BYTES,
        );
        faults.list(
            "spec.environment.setup_commands",
            &draft.environment.setup_commands,
            MAX_COMMAND_BYTES,
        );
        faults.hosts(&draft.environment.allowed_hosts, &policy.hosts);
        faults.list("spec.publication.labels", &draft.labels, MAX_NAME_BYTES);
        faults.list("spec.publication.reviewers", &draft.reviewers, MAX_NAME_BYTES);
        faults.list("spec.publication.assignees", &draft.assignees, MAX_NAME_BYTES);
        if !draft.issue.is_empty() {
            faults.issue(&draft.issue);
        }
        let (Some(repository), Some(revision), true) = (address, revision, faults.0.is_empty()) else {
            return Err(faults.0);
        };
        Ok(Self {
            instruction: draft.instruction,
            repository,
            revision,
            model: Some(draft.model).filter(|model| !model.is_empty()),
            limits,
            publication: Publication {
                mode: draft.mode.unwrap_or(policy.default_mode),
                head_branch,
                labels: draft.labels,
                reviewers: draft.reviewers,
                assignees: draft.assignees,
            },
            environment: draft.environment,
            verification_commands: draft.verification_commands,
            issue: Some(draft.issue).filter(|issue| !issue.is_empty()),
            fallback_models: draft.fallback_models,
        })
    }
}

/// Checks the text of a message into a Task.
pub fn check_message(text: &str) -> Result<(), Violation> {
    let mut faults = Faults::default();
    faults.text("text", text, MAX_INSTRUCTION_BYTES);
    faults.0.pop().map_or(Ok(()), Err)
}

#[derive(Default)]
struct Faults(Vec<Violation>);

impl Faults {
    fn add<T>(&mut self, field: &str, description: impl Into<String>) -> Option<T> {
        self.0.push(Violation::new(field, description));
        None
    }

    fn take<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_or_else(|error| self.add(field, error.to_string()), Some)
    }

    fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.add::<()>(field, "is required");
        } else if text.len() > most {
            self.add::<()>(field, format!("is {} bytes long; at most {most} are taken", text.len()));
        } else if text.contains('\0') {
            self.add::<()>(field, "must not contain NUL");
        }
    }

    fn list(&mut self, field: &str, list: &[String], most: usize) {
        if list.len() > MAX_LIST {
            self.add::<()>(
                field,
                format!("has {} entries; at most {MAX_LIST} are taken", list.len()),
            );
        }
        for (index, text) in list.iter().take(MAX_LIST).enumerate() {
            self.text(&format!("{field}[{index}]"), text, most);
        }
    }

    fn issue(&mut self, issue: &str) {
        if issue.len() > 20 || !issue.bytes().all(|byte| byte.is_ascii_digit()) {
            self.add::<()>("spec.issue", "must be the issue's number, e.g. `123`");
        }
    }

    fn model(&mut self, field: &str, name: &str, policy: &SpecPolicy) {
        if name.is_empty() || policy.models.iter().any(|model| model == name) {
            return;
        }
        let provider = name.split_once('/').map_or(name, |(provider, _)| provider);
        let known = policy.open_providers.iter().any(|open| open == provider);
        if !known || name.len() > MAX_NAME_BYTES || name.ends_with('/') {
            let have = policy.models.join(", ");
            let have = if have.is_empty() {
                "none is configured".to_owned()
            } else {
                format!("this server has {have}")
            };
            self.add::<()>(field, format!("no such model; {have}"));
        }
    }

    fn limits(&mut self, asked: LimitsDraft, policy: &SpecPolicy) -> Limits {
        let (default, most) = (policy.default_limits, policy.max_limits);
        let max_duration = asked
            .max_duration
            .unwrap_or(default.max_duration)
            .min(most.max_duration);
        if max_duration < MIN_DURATION {
            let least = MIN_DURATION.as_secs();
            self.add::<()>(
                "spec.limits.max_duration",
                format!("must be at least {least} s, so that the work can still be verified and published"),
            );
        }
        Limits {
            max_turns: asked.max_turns.unwrap_or(default.max_turns).min(most.max_turns),
            max_tokens: asked.max_tokens.unwrap_or(default.max_tokens).min(most.max_tokens),
            max_duration,
            max_cost_micro_usd: match (
                asked.max_cost_micro_usd.or(default.max_cost_micro_usd),
                most.max_cost_micro_usd,
            ) {
                (Some(asked), Some(most)) => Some(asked.min(most)),
                (asked, most) => asked.or(most),
            },
        }
    }
}

#[cfg(test)]
mod tests;
