//! Arguments of `run`, and the TaskSpec they mean.
//!
//! REPO is an address or a path. What exists here as a folder is a path, and becomes the absolute path of
//! the repository around it: the server does not share our working folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backspace_sdk::v1;
use clap::{Args, ValueEnum};

use crate::args::issue;
use crate::exit::Exit;
use crate::measure::{read_count, read_money, read_span};
use crate::problem::Problem;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The repository: https://host/owner/name, git@host:owner/name, or a local path such as `.`;
    /// owner/name#12 is the issue 12 of a repository at github.com.
    #[arg(value_name = "REPO")]
    pub(crate) repository: String,
    /// What to do, in your words; `-` reads it from standard input. With an issue it may be left out.
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,

    /// The model's provider, e.g. `anthropic`; alone, its default model.
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub(crate) provider: Option<String>,
    /// The model: a name of the provider's, or provider/model.
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub(crate) model: Option<String>,
    /// A model (provider/model) to go on with when the first stays away; may be repeated.
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    pub(crate) fallback_model: Vec<String>,

    /// The branch to create; a name made of the prompt without it.
    #[arg(long, value_name = "NAME", help_heading = "Repository and publication")]
    pub(crate) branch: Option<String>,
    /// The branch to start from; the default branch without it.
    #[arg(long, value_name = "BRANCH", help_heading = "Repository and publication")]
    pub(crate) base: Option<String>,
    /// The commit to start from, in full.
    #[arg(
        long,
        value_name = "COMMIT",
        conflicts_with = "base",
        help_heading = "Repository and publication"
    )]
    pub(crate) base_commit: Option<String>,
    /// What to do with the finished change; the server's default without it.
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Repository and publication")]
    pub(crate) publish: Option<Publish>,
    /// A label for the pull request; may be repeated.
    #[arg(long, value_name = "LABEL", help_heading = "Repository and publication")]
    pub(crate) label: Vec<String>,
    /// Someone to ask for a review; may be repeated.
    #[arg(long, value_name = "USER", help_heading = "Repository and publication")]
    pub(crate) reviewer: Vec<String>,
    /// An assignee of the pull request; may be repeated.
    #[arg(long, value_name = "USER", help_heading = "Repository and publication")]
    pub(crate) assignee: Vec<String>,
    /// The issue it is about, e.g. 123; its text goes to the model as untrusted text.
    #[arg(long, value_name = "NUMBER", help_heading = "Repository and publication")]
    pub(crate) issue: Option<String>,

    /// A command that proves the change; may be repeated. Found by analysis without it.
    #[arg(long, value_name = "COMMAND", help_heading = "Checks and sandbox")]
    pub(crate) verify: Vec<String>,
    /// A command to run once before the agent starts; may be repeated.
    #[arg(long, value_name = "COMMAND", help_heading = "Checks and sandbox")]
    pub(crate) setup: Vec<String>,
    /// A host that commands may reach; may be repeated. Without it, those that the repository asks for; `none` for none.
    #[arg(long, value_name = "PATTERN", help_heading = "Checks and sandbox")]
    pub(crate) allow_host: Vec<String>,
    /// The container image, for a sandbox that uses one.
    #[arg(long, value_name = "IMAGE", help_heading = "Checks and sandbox")]
    pub(crate) image: Option<String>,

    /// Most model turns.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) limit_turns: Option<u32>,
    /// Most tokens, uncached input and output together: 200k, 2M.
    #[arg(long, value_name = "NUMBER", value_parser = read_count, help_heading = "Limits")]
    pub(crate) limit_tokens: Option<u64>,
    /// Longest time: 90s, 30m, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = read_span, help_heading = "Limits")]
    pub(crate) limit_duration: Option<Duration>,
    /// Most money in US dollars: 2, 0.50.
    #[arg(long, value_name = "USD", value_parser = read_money, help_heading = "Limits")]
    pub(crate) limit_cost: Option<u64>,

    /// Return as soon as the task is accepted.
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    /// Show the output of commands too.
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

/// What to do with a finished change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publish {
    /// Open a draft pull request.
    Draft,
    /// Open a pull request that is ready for review.
    Ready,
    /// Push a branch, open nothing.
    Branch,
    /// Keep the change as a patch, push nothing.
    Patch,
}

/// A repository as the server is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RepositoryArgument {
    /// An address on a forge.
    Address(String),
    /// An absolute path on this machine.
    Local(PathBuf),
}

impl RepositoryArgument {
    /// Reads REPO: an address, or a path below `folder`.
    pub(crate) fn read(text: &str, folder: &Path) -> Result<Self, Problem> {
        let looks_remote = text.contains("://") || text.starts_with("git@");
        if looks_remote {
            return Ok(Self::Address(text.to_owned()));
        }
        let path = folder.join(text);
        let absolute = path.canonicalize().map_err(|error| {
            Problem::new(
                Exit::Other,
                format!("{} is neither an address nor a folder here: {error}", path.display()),
            )
            .next("write the repository as https://host/owner/name, or as a path that exists")
        })?;
        let root = repository_around(&absolute).ok_or_else(|| {
            Problem::new(
                Exit::Other,
                format!("{} is not in a git repository", absolute.display()),
            )
            .next("run `git init` there and commit something, or name another folder")
        })?;
        match root.to_str() {
            Some(_) => Ok(Self::Local(root)),
            None => Err(Problem::new(
                Exit::Other,
                format!("the path {} is not UTF-8", root.display()),
            )),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Address(address) => address.clone(),
            Self::Local(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// The nearest folder upwards that is a work tree or a bare repository.
fn repository_around(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find(|folder| {
            folder.join(".git").exists() || (folder.join("HEAD").is_file() && folder.join("objects").is_dir())
        })
        .map(Path::to_path_buf)
}

impl RunArgs {
    /// Returns REPO and the number of the issue, which may stand behind it.
    pub(crate) fn target(&self, folder: &Path) -> (String, Option<String>) {
        let (repository, issue) = issue::split(&self.repository, folder);
        (repository, self.issue.clone().or(issue))
    }

    /// Returns what the arguments ask for; `prompt` is PROMPT as read.
    pub(crate) fn spec(
        &self,
        repository: &RepositoryArgument,
        issue: Option<String>,
        prompt: String,
    ) -> Result<v1::TaskSpec, Problem> {
        let revision = match (&self.base, &self.base_commit) {
            (Some(branch), _) => Some(v1::repository::Revision::Branch(branch.clone())),
            (None, Some(commit)) => Some(v1::repository::Revision::Commit(commit.clone())),
            (None, None) => None,
        };
        Ok(v1::TaskSpec {
            instruction: prompt,
            repository: Some(v1::Repository {
                url: repository.url(),
                revision,
            }),
            model: model(self.provider.as_deref(), self.model.as_deref())?,
            limits: self.limits(),
            publication: self.publication(),
            environment: self.environment(),
            verification_commands: self.verify.clone(),
            issue: issue.unwrap_or_default(),
            fallback_models: self.fallback_model.clone(),
        })
    }

    fn limits(&self) -> Option<v1::Limits> {
        let duration = self.limit_duration.map(|span| prost_types::Duration {
            seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            nanos: 0,
        });
        let limits = v1::Limits {
            max_turns: self.limit_turns.unwrap_or_default(),
            max_tokens: self.limit_tokens.unwrap_or_default(),
            max_duration: duration,
            max_cost_micro_usd: self.limit_cost.unwrap_or_default(),
        };
        (limits != v1::Limits::default()).then_some(limits)
    }

    fn publication(&self) -> Option<v1::Publication> {
        use v1::publication::Mode;
        let mode = match self.publish {
            None => Mode::Unspecified,
            Some(Publish::Draft) => Mode::DraftPullRequest,
            Some(Publish::Ready) => Mode::PullRequest,
            Some(Publish::Branch) => Mode::BranchOnly,
            Some(Publish::Patch) => Mode::PatchOnly,
        };
        let publication = v1::Publication {
            mode: mode.into(),
            head_branch: self.branch.clone().unwrap_or_default(),
            labels: self.label.clone(),
            reviewers: self.reviewer.clone(),
            assignees: self.assignee.clone(),
        };
        (publication != v1::Publication::default()).then_some(publication)
    }

    fn environment(&self) -> Option<v1::Environment> {
        let environment = v1::Environment {
            image: self.image.clone().unwrap_or_default(),
            allowed_hosts: self.allow_host.clone(),
            setup_commands: self.setup.clone(),
        };
        (environment != v1::Environment::default()).then_some(environment)
    }
}

fn model(provider: Option<&str>, model: Option<&str>) -> Result<String, Problem> {
    match (provider, model) {
        (None, None) => Ok(String::new()),
        (Some(provider), None) => Ok(provider.to_owned()),
        (Some(provider), Some(model)) if model.starts_with(&format!("{provider}/")) => Ok(model.to_owned()),
        (Some(provider), Some(model)) => Ok(format!("{provider}/{model}")),
        (None, Some(model)) if model.contains('/') => Ok(model.to_owned()),
        (None, Some(model)) => {
            Err(
                Problem::new(Exit::Other, format!("--model {model:?} does not say whose model it is")).next(format!(
                    "write --provider NAME --model {model}, or --model NAME/{model}"
                )),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn spec(arguments: &[&str]) -> v1::TaskSpec {
        let cli = Cli::try_parse_from(
            ["backspace", "run", "https://github.com/o/r", "fix it"]
                .iter()
                .chain(arguments),
        );
        let Command::Run(run) = cli.unwrap().command else {
            panic!("not run")
        };
        let (repository, issue) = run.target(Path::new("/"));
        let prompt = run.prompt.clone().unwrap();
        run.spec(&RepositoryArgument::Address(repository), issue, prompt)
            .unwrap()
    }

    #[test]
    fn without_options_everything_is_left_to_the_server() {
        let expected = v1::TaskSpec {
            instruction: "fix it".to_owned(),
            repository: Some(v1::Repository {
                url: "https://github.com/o/r".to_owned(),
                revision: None,
            }),
            ..Default::default()
        };
        assert_eq!(spec(&[]), expected);
    }

    #[test]
    fn every_option_reaches_the_spec() {
        let line = "--provider p --model m --fallback-model q/n --branch b --base main --publish ready --label l1 \
                    --label l2 --reviewer r --assignee a --issue 12 --verify make --verify test --setup s --allow-host h \
                    --image i --limit-turns 5 --limit-tokens 2M --limit-duration 30m --limit-cost 0.50";
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let expected = v1::TaskSpec {
            instruction: "fix it".to_owned(),
            repository: Some(v1::Repository {
                url: "https://github.com/o/r".to_owned(),
                revision: Some(v1::repository::Revision::Branch("main".to_owned())),
            }),
            model: "p/m".to_owned(),
            limits: Some(v1::Limits {
                max_turns: 5,
                max_tokens: 2_000_000,
                max_duration: Some(prost_types::Duration {
                    seconds: 1_800,
                    nanos: 0,
                }),
                max_cost_micro_usd: 500_000,
            }),
            publication: Some(v1::Publication {
                mode: v1::publication::Mode::PullRequest.into(),
                head_branch: "b".to_owned(),
                labels: strings(&["l1", "l2"]),
                reviewers: strings(&["r"]),
                assignees: strings(&["a"]),
            }),
            environment: Some(v1::Environment {
                image: "i".to_owned(),
                allowed_hosts: strings(&["h"]),
                setup_commands: strings(&["s"]),
            }),
            verification_commands: strings(&["make", "test"]),
            issue: "12".to_owned(),
            fallback_models: strings(&["q/n"]),
        };
        assert_eq!(spec(&line.split_whitespace().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_model_says_whose_it_is() {
        let read = |provider, name| model(provider, name).ok();
        assert_eq!(read(Some("anthropic"), None).as_deref(), Some("anthropic"));
        assert_eq!(read(Some("openai"), Some("openai/x")).as_deref(), Some("openai/x"));
        assert_eq!(read(Some("openai"), Some("other/x")).as_deref(), Some("openai/other/x"));
        assert_eq!(read(None, Some("openai/x")).as_deref(), Some("openai/x"));
        assert_eq!(read(None, Some("x")), None);
    }

    #[test]
    fn a_path_becomes_the_absolute_path_of_its_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("project/.git")).unwrap();
        std::fs::create_dir_all(root.join("project/src/deep")).unwrap();
        std::fs::create_dir_all(root.join("bare.git/objects")).unwrap();
        std::fs::write(root.join("bare.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let read = |text: &str, folder: &Path| RepositoryArgument::read(text, folder).ok();
        let project = Some(RepositoryArgument::Local(root.join("project")));
        assert_eq!(read(".", &root.join("project")), project);
        assert_eq!(read(".", &root.join("project/src/deep")), project);
        assert_eq!(read("../project/src", &root.join("project")), project);
        assert_eq!(
            read("bare.git", &root),
            Some(RepositoryArgument::Local(root.join("bare.git")))
        );
        assert_eq!(read("missing", &root), None);
        for address in [
            "https://github.com/o/r",
            "git@github.com:o/r",
            "ssh://git@github.com/o/r",
        ] {
            assert_eq!(
                read(address, &root),
                Some(RepositoryArgument::Address(address.to_owned()))
            );
        }
    }
}
