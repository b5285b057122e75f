//! The V4A patch format: text to changes. It knows nothing of files.
//!
//! Strict where a mistake could damage a file (an unknown line, a missing end: the answer may have been
//! cut), lenient where models differ without harm (`@@ -1,2 +3,4 @@`, an empty line for an empty context line).

use std::collections::HashSet;

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add {
        path: String,
        content: String,
    },
    Delete {
        path: String,
    },
    Update {
        path: String,
        move_to: Option<String>,
        hunks: Vec<Hunk>,
    },
}

impl Change {
    /// Returns the paths it names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        let (path, other) = match self {
            Self::Add { path, .. } | Self::Delete { path } => (path, None),
            Self::Update { path, move_to, .. } => (path, move_to.as_deref()),
        };
        std::iter::once(path.as_str()).chain(other)
    }
}

/// One place to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    /// Lines to find first, each after the one before it.
    pub(super) anchors: Vec<String>,
    /// What stays, goes and comes.
    pub(super) lines: Vec<Line>,
    /// Whether the place is the end of the file.
    pub(super) at_end: bool,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Keep(String),
    Remove(String),
    Insert(String),
}

/// Reads a patch; the error says what is wrong, in which line.
pub(super) fn parse(patch: &str) -> Result<Vec<Change>, String> {
    let lines: Vec<&str> = patch.trim().lines().collect();
    let body = match lines.split_first() {
        Some((first, rest)) if first.trim() == "*** Begin Patch" => rest,
        _ => return Err("the first line must be *** Begin Patch".into()),
    };
    let body = match body.split_last() {
        Some((last, rest)) if last.trim() == "*** End Patch" => rest,
        _ => return Err("the last line must be *** End Patch".into()),
    };
    let mut changes: Vec<Change> = Vec::new();
    for (index, line) in body.iter().enumerate() {
        take_line(&mut changes, line).map_err(|fault| format!("line {} of the patch: {fault}", index + 2))?;
    }
    check(&changes)?;
    Ok(changes)
}

fn take_line(changes: &mut Vec<Change>, line: &str) -> Result<(), String> {
    if let Some(header) = line.strip_prefix("*** ") {
        return take_header(changes, header.trim_end());
    }
    match changes.last_mut() {
        Some(Change::Add { content, .. }) => match line.strip_prefix('+') {
            Some(text) => {
                content.push_str(text);
                content.push('\n');
                Ok(())
            }
            None if line.trim().is_empty() => Ok(()),
            None => Err("each line of a new file must begin with +".into()),
        },
        Some(Change::Update { hunks, .. }) => take_hunk_line(hunks, line),
        Some(Change::Delete { .. }) | None if line.trim().is_empty() => Ok(()),
        Some(Change::Delete { .. }) => Err("a deleted file has no lines".into()),
        None => Err("name a file first, by *** Update File: path, *** Add File: path or *** Delete File: path".into()),
    }
}

fn take_header(changes: &mut Vec<Change>, header: &str) -> Result<(), String> {
    let named = |prefix: &str| header.strip_prefix(prefix).map(|path| path.trim().to_owned());
    if let Some(path) = named("Add File:") {
        changes.push(Change::Add {
            path,
            content: String::new(),
        });
    } else if let Some(path) = named("Delete File:") {
        changes.push(Change::Delete { path });
    } else if let Some(path) = named("Update File:") {
        changes.push(Change::Update {
            path,
            move_to: None,
            hunks: Vec::new(),
        });
    } else if let Some(target) = named("Move to:") {
        match changes.last_mut() {
            Some(Change::Update { move_to, hunks, .. }) if hunks.is_empty() => *move_to = Some(target),
            _ => return Err("*** Move to: must follow an *** Update File: line".into()),
        }
    } else if header == "End of File" {
        match changes.last_mut() {
            Some(Change::Update { hunks, .. }) if !hunks.is_empty() => {
                if let Some(hunk) = hunks.last_mut() {
                    hunk.at_end = true;
                }
            }
            _ => return Err("*** End of File must follow a change".into()),
        }
    } else {
        return Err(format!("*** {header} is not known"));
    }
    Ok(())
}

fn take_hunk_line(hunks: &mut Vec<Hunk>, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("@@") {
        let anchor = anchor(rest);
        let joins = hunks.last().is_some_and(|hunk| hunk.lines.is_empty());
        if !joins {
            hunks.push(Hunk::default());
        }
        if let (Some(hunk), Some(anchor)) = (hunks.last_mut(), anchor) {
            hunk.anchors.push(anchor);
        }
        return Ok(());
    }
    let mut chars = line.chars();
    let line = match chars.next() {
        None => Line::Keep(String::new()),
        Some(' ') => Line::Keep(chars.collect()),
        Some('-') => Line::Remove(chars.collect()),
        Some('+') => Line::Insert(chars.collect()),
        Some(_) => return Err("a line must begin with a space, - or +, or @@".into()),
    };
    if hunks.last().is_none_or(|hunk| hunk.at_end) {
        hunks.push(Hunk::default());
    }
    if let Some(hunk) = hunks.last_mut() {
        hunk.lines.push(line);
    }
    Ok(())
}

/// The text after `@@`; line numbers of a unified diff say nothing here.
fn anchor(rest: &str) -> Option<String> {
    let text = rest.trim();
    let is_numbers = text.starts_with('-') && text.chars().nth(1).is_some_and(|second| second.is_ascii_digit());
    (!text.is_empty() && !is_numbers).then(|| text.to_owned())
}

fn check(changes: &[Change]) -> Result<(), String> {
    if changes.is_empty() {
        return Err("the patch names no file".into());
    }
    let mut seen = HashSet::new();
    for change in changes {
        for path in change.paths() {
            if path.is_empty() {
                return Err("a path is empty".into());
            }
            if !seen.insert(path) {
                return Err(format!("{path} is named twice; put all its changes under one header"));
            }
        }
        if let Change::Update { path, move_to, hunks } = change {
            let changes_nothing = |hunk: &Hunk| hunk.lines.iter().all(|line| matches!(line, Line::Keep(_)));
            if hunks.iter().any(changes_nothing) || (hunks.is_empty() && move_to.is_none()) {
                return Err(format!("{path}: a place has no - or + line"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_every_kind_is_read_whole() {
        let patch = "*** Begin Patch\n*** Add File: new.txt\n+one\n+\n*** Delete File: old.txt\n*** Update File: a.rs\n\
*** Move to: b.rs\n@@ impl A\n@@ fn f()\n a\n-b\n+c\n\n@@ -1,2 +3,4 @@\n+end\n*** End of File\n*** End Patch\n";
        let hunks = vec![
            Hunk {
                anchors: vec!["impl A".into(), "fn f()".into()],
                lines: vec![
                    Line::Keep("a".into()),
                    Line::Remove("b".into()),
                    Line::Insert("c".into()),
                    Line::Keep(String::new()),
                ],
                at_end: false,
            },
            Hunk {
                anchors: vec![],
                lines: vec![Line::Insert("end".into())],
                at_end: true,
            },
        ];
        let right = vec![
            Change::Add {
                path: "new.txt".into(),
                content: "one\n\n".into(),
            },
            Change::Delete { path: "old.txt".into() },
            Change::Update {
                path: "a.rs".into(),
                move_to: Some("b.rs".into()),
                hunks,
            },
        ];
        assert_eq!(parse(patch), Ok(right));
    }

    #[test]
    fn a_bad_patch_is_refused_with_its_fault() {
        let wrap = |body: &str| format!("*** Begin Patch\n{body}\n*** End Patch");
        for (patch, fault) in [
            ("diff --git".to_owned(), "first line must be *** Begin Patch"),
            (
                "*** Begin Patch\n*** Delete File: a".to_owned(),
                "last line must be *** End Patch",
            ),
            (wrap("-a"), "line 2 of the patch: name a file first"),
            (
                wrap("*** Add File: a\nb"),
                "line 3 of the patch: each line of a new file must begin with +",
            ),
            (
                wrap("*** Update File: a\n@@\nxyz"),
                "line 4 of the patch: a line must begin with",
            ),
            (wrap("*** Update File: a\n keep"), "a: a place has no - or + line"),
            (wrap("*** Update File: a"), "a: a place has no - or + line"),
            (wrap("*** Delete File: a\n*** Delete File: a"), "a is named twice"),
            (wrap("*** Rename File: a"), "*** Rename File: a is not known"),
            (wrap(""), "names no file"),
        ] {
            let message = parse(&patch).unwrap_err();
            assert!(message.contains(fault), "{patch:?}: {message}");
        }
    }
}
