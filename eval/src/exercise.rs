//! Exercises as they lie on disk: a repository, an instruction, a hidden check, and scripted answers.
//!
//! Called exercises and not tasks, because a Task is what the service makes of one. Loading reports every
//! fault of every exercise at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What an exercise's folder holds.
const SETTINGS: &str = "exercise.toml";
const REPOSITORY: &str = "repository";
const CHECK: &str = "check";
const ANSWERS: &str = "answers";

/// Functions that every check may use, beside the exercises.
const SHARED: &str = "checks.sh";

/// An exercise.
#[derive(Clone, Debug)]
pub(crate) struct Exercise {
    /// The name of its folder.
    pub(crate) name: String,
    pub(crate) settings: Settings,
    /// The folder of the repository's files.
    pub(crate) repository: PathBuf,
    /// Files of the hidden check by name; `check.sh` decides.
    pub(crate) check: BTreeMap<String, String>,
    /// Scripts by name; `solution` is always there.
    pub(crate) answers: BTreeMap<String, String>,
}

/// The file `exercise.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) language: String,
    /// What it measures, in a few words.
    pub(crate) about: String,
    pub(crate) right_answer: RightAnswer,
    /// Programs that the repository and the check need in a sandbox.
    pub(crate) needs: Vec<String>,
    /// What the agent is asked to do.
    pub(crate) instruction: String,
}

/// What a good engineer would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RightAnswer {
    Change,
    NoChange,
}

/// The exercises can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExerciseError {
    #[error("the exercises have faults:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    #[error("no exercise in {folder} fits the filter")]
    None { folder: PathBuf },
}

/// Loads the exercises that fit one of the filters, or all when there is none.
pub(crate) fn load(folder: &Path, filters: &[String]) -> Result<Vec<Exercise>, ExerciseError> {
    let shared = fs::read_to_string(folder.join(SHARED)).map_err(|error| {
        ExerciseError::Faults(vec![format!(
            "{} can't be read: {error}",
            folder.join(SHARED).display()
        )])
    })?;
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let (mut exercises, mut faults) = (Vec::new(), Vec::new());
    for folder in folders {
        match Exercise::load(&folder, &shared) {
            Ok(exercise) => exercises.push(exercise),
            Err(fault) => faults.push(format!("{}: {fault}", folder.display())),
        }
    }
    if !faults.is_empty() {
        return Err(ExerciseError::Faults(faults));
    }
    exercises.retain(|exercise| {
        let fits = |filter: &String| exercise.name.contains(filter) || exercise.settings.language.contains(filter);
        filters.is_empty() || filters.iter().any(fits)
    });
    if exercises.is_empty() {
        return Err(ExerciseError::None { folder: folder.into() });
    }
    Ok(exercises)
}

impl Exercise {
    fn load(folder: &Path, shared: &str) -> Result<Self, String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // It becomes part of a script's name and of a path.
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err("a name is made of small letters, digits and `-`".into());
        }
        let text = fs::read_to_string(folder.join(SETTINGS)).map_err(|error| format!("{SETTINGS}: {error}"))?;
        let settings: Settings = toml::from_str(&text).map_err(|error| format!("{SETTINGS}: {error}"))?;
        let repository = folder.join(REPOSITORY);
        if !repository.is_dir() {
            return Err(format!("there is no folder {REPOSITORY}"));
        }
        let mut check = texts(&folder.join(CHECK))?;
        if !check.contains_key("check.sh") {
            return Err(format!("there is no {CHECK}/check.sh"));
        }
        check.insert(SHARED.into(), shared.to_owned());
        let answers: BTreeMap<String, String> = texts(&folder.join(ANSWERS))?
            .into_iter()
            .filter_map(|(name, text)| Some((name.strip_suffix(".toml")?.to_owned(), text)))
            .collect();
        if !answers.contains_key("solution") {
            return Err(format!("there is no {ANSWERS}/solution.toml"));
        }
        Ok(Self {
            name,
            settings,
            repository,
            check,
            answers,
        })
    }
}

/// Reads the files of a folder by name.
fn texts(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| fault(folder, error))? {
        let path = entry.map_err(|error| fault(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.insert(name, fs::read_to_string(&path).map_err(|error| fault(&path, error))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("exercises")
    }

    #[test]
    fn the_shipped_exercises_are_whole_and_of_every_kind() {
        let all = load(&shipped(), &[]).unwrap();
        let languages: BTreeSet<_> = all.iter().map(|exercise| exercise.settings.language.as_str()).collect();
        assert_eq!(languages, BTreeSet::from(["go", "javascript", "python", "sh"]));
        assert!(all.len() >= 12, "{}", all.len());
        let no_change = all
            .iter()
            .filter(|exercise| exercise.settings.right_answer == RightAnswer::NoChange);
        assert!(no_change.count() >= 2);
        let tempting = all.iter().filter(|exercise| exercise.answers.contains_key("cheat"));
        assert!(tempting.count() >= 3);
    }

    #[test]
    fn a_filter_takes_names_and_languages() {
        let all = load(&shipped(), &[]).unwrap();
        let go = load(&shipped(), &["go".into()]).unwrap();
        assert!(
            go.iter()
                .all(|exercise| exercise.name.contains("go") || exercise.settings.language == "go")
        );
        assert!(!go.is_empty() && go.len() < all.len());
        assert!(matches!(
            load(&shipped(), &["no such".into()]),
            Err(ExerciseError::None { .. })
        ));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SHARED), "").unwrap();
        fs::create_dir(folder.path().join("Capital")).unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        let Err(ExerciseError::Faults(faults)) = load(folder.path(), &[]) else {
            panic!("faults were expected");
        };
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
