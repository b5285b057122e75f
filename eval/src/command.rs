//! The three commands: list exercises, prove their checks, run them with a model.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use backspace_sdk::{Client, Options, Token, v1};
use futures_util::StreamExt as _;
use futures_util::stream;
use tempfile::TempDir;

use crate::args::{Cli, Command, ModelChoice, Place, ProveArgs, RunArgs};
use crate::attempt::{Attempt, Bench, Solution};
use crate::exercise::{self, Exercise, RightAnswer};
use crate::judge::{Judge, Verdict};
use crate::own_server::{Launch, OwnServer};
use crate::report::{Line, Report, Totals, table};
use crate::repository::Repository;
use crate::{Exit, Unusable};

/// Runs the command that was asked for.
pub(crate) async fn execute(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::List(choice) => {
            for exercise in exercise::load(&choice.exercises, &choice.filter)? {
                let settings = &exercise.settings;
                let answers: Vec<_> = exercise.answers.keys().map(String::as_str).collect();
                println!(
                    "{:<22} {:<11} {} [{}]",
                    exercise.name,
                    settings.language,
                    settings.about,
                    answers.join(", ")
                );
            }
            Ok(Exit::Solved)
        }
        Command::Prove(args) => prove(args).await,
        Command::Run(args) => run(args).await,
    }
}

/// Where everything of this call is: a temporary folder, or one that is kept.
struct Site {
    folder: PathBuf,
    binaries: PathBuf,
    build_cache: Option<PathBuf>,
    _temporary: Option<TempDir>,
}

impl Site {
    fn new(place: &Place) -> Result<Self> {
        let binaries = match &place.binaries {
            Some(folder) => folder.clone(),
            None => std::env::current_exe()?
                .parent()
                .context("this program has no folder")?
                .to_owned(),
        };
        let (folder, temporary) = match &place.work {
            Some(folder) => (folder.clone(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("backspace-eval.").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        for name in ["repositories", "scripts"] {
            std::fs::create_dir_all(folder.join(name)).with_context(|| format!("make {}", folder.display()))?;
        }
        if std::fs::read_dir(folder.join("repositories"))?.next().is_some() {
            bail!("{} holds an earlier run; choose an empty folder", folder.display());
        }
        Ok(Self {
            folder: folder.canonicalize()?,
            binaries: binaries
                .canonicalize()
                .with_context(|| format!("find {}", binaries.display()))?,
            build_cache: place
                .build_cache
                .as_ref()
                .map(|folder| {
                    folder
                        .canonicalize()
                        .with_context(|| format!("find {}", folder.display()))
                })
                .transpose()?,
            _temporary: temporary,
        })
    }

    fn repositories(&self) -> PathBuf {
        self.folder.join("repositories")
    }

    fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        if !path.is_file() {
            let message = format!("{} is missing: run `make build`, or give --binaries", path.display());
            return Err(anyhow::Error::new(Unusable).context(message));
        }
        Ok(path)
    }

    /// Makes the judge, and sees to it that what the exercises need is there before anything is spent.
    async fn judge(&self, exercises: &[Exercise]) -> Result<Judge> {
        let unusable = |error: backspace_server::sandbox::SandboxError| anyhow::Error::new(Unusable).context(error);
        let supervisor = self.binary("backspace-supervisor")?;
        let judge = Judge::new(self.folder.join("judge"), supervisor, self.build_cache.clone()).map_err(unusable)?;
        let mut needs: Vec<String> = exercises
            .iter()
            .flat_map(|exercise| exercise.settings.needs.clone())
            .collect();
        needs.sort();
        needs.dedup();
        let missing = judge.missing(&needs).await.map_err(unusable)?;
        if !missing.is_empty() {
            let message = format!(
                "not in a sandbox on this machine: {}; install them where everybody has them, or leave exercises \
                 out with --filter",
                missing.join(", ")
            );
            return Err(anyhow::Error::new(Unusable).context(message));
        }
        Ok(judge)
    }
}

async fn prove(args: ProveArgs) -> Result<Exit> {
    let exercises = exercise::load(&args.choice.exercises, &args.choice.filter)?;
    let site = Site::new(&args.place)?;
    let judge = site.judge(&exercises).await?;
    let (site, judge) = (&site, &judge);
    let proofs: Vec<Result<bool>> = stream::iter(&exercises)
        .map(|exercise| async move {
            let bare = site.repositories().join(format!("{}.git", exercise.name));
            let repository = Repository::make(bare, &exercise.repository).await?;
            let verdict = judge.judge(exercise, &repository, repository.base()).await?;
            let (holds, words) = match (exercise.settings.right_answer, &verdict) {
                (RightAnswer::Change, Verdict::Wrong(_)) => (true, "red on the base, as it should be"),
                (RightAnswer::NoChange, Verdict::Right) => (true, "green on the base, as it should be"),
                (RightAnswer::Change, Verdict::Right) => (false, "NOT PROVED: green on the base"),
                (RightAnswer::NoChange, Verdict::Wrong(_)) => (false, "NOT PROVED: red on the base"),
            };
            println!("{:<22} {words}", exercise.name);
            if let (false, Verdict::Wrong(why)) = (holds, &verdict) {
                println!("    {}", why.replace('\n', "\n    "));
            }
            Ok(holds)
        })
        .buffer_unordered(args.place.jobs.into())
        .collect()
        .await;
    let proofs = proofs.into_iter().collect::<Result<Vec<bool>>>()?;
    let holding = proofs.iter().filter(|holds| **holds).count();
    println!("{holding} of {} checks proved", proofs.len());
    Ok(if holding == proofs.len() {
        Exit::Solved
    } else {
        Exit::Unsolved
    })
}

async fn run(args: RunArgs) -> Result<Exit> {
    let model = ModelChoice::parse(&args.model);
    let mut exercises = exercise::load(&args.choice.exercises, &args.choice.filter)?;
    if let ModelChoice::Scripted(answer) = &model {
        exercises.retain(|exercise| exercise.answers.contains_key(answer));
        if exercises.is_empty() {
            bail!("no exercise has an answer named `{answer}`");
        }
        if args.server.is_some() {
            bail!("scripted answers are played by the server that is started here: leave --server out");
        }
    }
    let site = Site::new(&args.place)?;
    let judge = site.judge(&exercises).await?;
    write_scripts(&site.folder.join("scripts"), &exercises, &model)?;
    let own = match &args.server {
        Some(_) => None,
        None => Some(start_server(&site, &args).await?),
    };
    let client = client(&args, own.as_ref())?;
    let info = client.server_info().await.context("ask the server who it is");
    let report = match info {
        Ok(info) => {
            let bench = Bench {
                client,
                judge: &judge,
                repositories: &site.repositories(),
                limits: limits(&args),
            };
            let attempts = measure(&bench, &exercises, &model, &args).await;
            Ok(Report {
                model: args.model.clone(),
                server_version: info.version,
                totals: Totals::of(&attempts),
                attempts,
            })
        }
        Err(error) => Err(error.context(Unusable)),
    };
    if let Some(server) = own {
        server.stop().await;
    }
    let report = report?;
    print!("{}", table::render(&report));
    if let Some(path) = &args.output {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report.totals.exit())
}

/// Runs every attempt, some at once, and returns their lines in the order of the exercises.
async fn measure(bench: &Bench<'_>, exercises: &[Exercise], model: &ModelChoice, args: &RunArgs) -> Vec<Line> {
    let all = exercises
        .iter()
        .flat_map(|exercise| (1..=args.attempts).map(move |number| (exercise, number)));
    stream::iter(all)
        .map(|(exercise, number)| async move {
            let name = match model {
                ModelChoice::Named(name) => name.clone(),
                ModelChoice::Scripted(answer) => format!("scripted/{}", script_name(exercise, answer)),
            };
            let label = format!("{}-{number}", exercise.name);
            let attempt = bench.attempt(exercise, &name, &label).await;
            progress(exercise, number, &attempt);
            Line::new(exercise, number, attempt)
        })
        .buffered(args.place.jobs.into())
        .collect()
        .await
}

/// Tells whoever waits; the report itself comes at the end.
fn progress(exercise: &Exercise, number: u32, attempt: &Attempt) {
    let word = match &attempt.outcome {
        Solution::Solved => "solved",
        Solution::Unsolved(_) => "unsolved",
        Solution::NotMeasured(_) => "not measured",
    };
    eprintln!(
        "{} #{number}: {word} after {} turns and {:.1} s",
        exercise.name,
        attempt.usage.turns,
        attempt.wall.as_secs_f64()
    );
}

fn script_name(exercise: &Exercise, answer: &str) -> String {
    format!("{}-{answer}", exercise.name)
}

fn write_scripts(folder: &Path, exercises: &[Exercise], model: &ModelChoice) -> Result<()> {
    let ModelChoice::Scripted(answer) = model else {
        return Ok(());
    };
    for exercise in exercises {
        let Some(script) = exercise.answers.get(answer) else {
            continue;
        };
        let path = folder.join(format!("{}.toml", script_name(exercise, answer)));
        std::fs::write(&path, script).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

async fn start_server(site: &Site, args: &RunArgs) -> Result<OwnServer> {
    let launch = Launch {
        program: site.binary("backspace-server")?,
        supervisor: site.binary("backspace-supervisor")?,
        work: &site.folder,
        models_file: args.models_file.as_deref(),
        jobs: args.place.jobs,
    };
    OwnServer::start(launch)
        .await
        .map_err(|error| anyhow::Error::new(Unusable).context(error))
}

fn client(args: &RunArgs, own: Option<&OwnServer>) -> Result<Client> {
    let address = match (own, &args.server) {
        (Some(own), _) => own.address(),
        (None, Some(address)) => address,
        (None, None) => bail!("there is no server"),
    };
    let mut options = Options::default();
    if let Some(file) = &args.token_file {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        options.token = Some(Token::new(&text)?);
    }
    Ok(Client::connect_lazy(address, options)?)
}

fn limits(args: &RunArgs) -> v1::Limits {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float casts to the nearest number that there is, and nothing negative is left"
    )]
    let micro_usd = |usd: f64| (usd.max(0.0) * 1_000_000.0).round() as u64;
    v1::Limits {
        max_turns: args.max_turns,
        max_cost_micro_usd: args.max_cost_usd.map_or(0, micro_usd),
        ..v1::Limits::default()
    }
}
