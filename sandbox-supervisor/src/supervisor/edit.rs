//! The edit: replaces the one place where a text stands, and says what is there when it does not.

use crate::protocol::FileError;

/// Most matches that are named.
const MAX_NAMED: usize = 10;

/// Lines shown around the nearest place.
const HINT_LINES: usize = 12;

/// Lines of the text looked for by which the nearest place is found: more would cost their number squared for
/// every line of the file.
const COMPARED_LINES: usize = 20;

/// Replaces `old` by `new` and returns the text with the line of the change.
pub(super) fn replace(path: &str, text: &str, old: &str, new: &str) -> Result<(String, u64), FileError> {
    if old.is_empty() {
        let hint = ": it is empty; to add text, give a line that is there and repeat it in the new text".to_owned();
        return Err(FileError::NoMatch {
            path: path.to_owned(),
            hint,
        });
    }
    let matches: Vec<usize> = text.match_indices(old).map(|(at, _)| at).collect();
    match matches.as_slice() {
        [] => Err(FileError::NoMatch {
            path: path.to_owned(),
            hint: hint(text, old),
        }),
        [at] => {
            let (before, rest) = text.split_at(*at);
            let after = rest.get(old.len()..).unwrap_or_default();
            Ok((format!("{before}{new}{after}"), line_of(text, *at)))
        }
        many => {
            let lines = many.iter().take(MAX_NAMED).map(|at| line_of(text, *at)).collect();
            Err(FileError::ManyMatches {
                path: path.to_owned(),
                lines,
            })
        }
    }
}

fn line_of(text: &str, at: usize) -> u64 {
    text.get(..at).unwrap_or_default().matches('\n').count() as u64 + 1
}

/// Shows the place that is most like what was looked for.
fn hint(text: &str, old: &str) -> String {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = old.lines().map(squeeze).filter(|line| !line.is_empty());
    let wanted: Vec<String> = wanted.take(COMPARED_LINES).collect();
    let lines: Vec<&str> = text.lines().collect();
    let squeezed: Vec<String> = lines.iter().map(|line| squeeze(line)).collect();
    let score = |from: usize| {
        let rest = squeezed.get(from..).unwrap_or_default();
        let there = rest.get(..wanted.len() + 2).unwrap_or(rest);
        wanted.iter().filter(|line| there.contains(line)).count()
    };
    let Some((best, from)) = (0..lines.len())
        .map(|from| (score(from), from))
        .max_by_key(|(score, from)| (*score, usize::MAX - from))
    else {
        return " (the file is empty)".to_owned();
    };
    if best == 0 {
        return "; nothing like it is in the file: read it again".to_owned();
    }
    let why = if best == wanted.len() {
        "it differs in white space"
    } else {
        "it differs in some lines"
    };
    let count = (old.lines().count() + 2).min(HINT_LINES);
    let shown = lines
        .iter()
        .enumerate()
        .skip(from)
        .take(count)
        .map(|(index, line)| format!("{:>6}\t{line}", index + 1));
    format!(
        "; the nearest place is this ({why}):\n{}",
        shown.collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_place_is_replaced() {
        assert_eq!(replace("f", "a\nb\nc", "b\nc", "x").unwrap(), ("a\nx".to_owned(), 2));
    }

    #[test]
    fn several_places_are_named() {
        let error = replace("f", "x\ny\nx\n", "x", "z").unwrap_err();
        assert_eq!(
            error,
            FileError::ManyMatches {
                path: "f".into(),
                lines: vec![1, 3]
            }
        );
    }

    #[test]
    fn a_difference_in_white_space_is_shown() {
        let FileError::NoMatch { hint, .. } =
            replace("f", "fn a() {\n\tone();\n}\n", "fn a() {\n    one();", "").unwrap_err()
        else {
            panic!("expected no match");
        };
        assert!(
            hint.contains("differs in white space") && hint.contains("     2\t\tone();"),
            "{hint}"
        );
        let FileError::NoMatch { hint, .. } = replace("f", "abc", "xyz", "").unwrap_err() else {
            panic!("expected no match");
        };
        assert!(hint.contains("read it again"), "{hint}");
    }
}
