//! Putting the hunks of a patch into a text.
//!
//! A place is looked for exactly first, then without trailing white space, then without any around
//! it: models trained on this format write patches that need it. What stays is kept as the file has it.

use super::v4a::{Hunk, Line};
use crate::task::text_cut::head;

/// Lines shown of a file where a hunk was expected.
const SHOWN_LINES: usize = 8;

/// Returns the text with all hunks in it, or what does not fit.
pub(super) fn apply(text: &str, hunks: &[Hunk]) -> Result<String, String> {
    let line_end = if text.contains("\r\n") && !text.replace("\r\n", "").contains('\n') {
        "\r\n"
    } else {
        "\n"
    };
    let lines: Vec<&str> = text.strip_suffix(line_end).unwrap_or(text).split(line_end).collect();
    let lines = if text.is_empty() { Vec::new() } else { lines };
    let mut result: Vec<&str> = Vec::new();
    let mut cursor = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let place = find(&lines, hunk, cursor).map_err(|fault| format!("place {}: {fault}", index + 1))?;
        result.extend(lines.get(cursor..place).unwrap_or_default());
        cursor = place;
        for line in &hunk.lines {
            match line {
                Line::Keep(_) => {
                    result.extend(lines.get(cursor));
                    cursor += 1;
                }
                Line::Remove(_) => cursor += 1,
                Line::Insert(text) => result.push(text),
            }
        }
    }
    result.extend(lines.get(cursor..).unwrap_or_default());
    let mut joined = result.join(line_end);
    if !joined.is_empty() && (text.is_empty() || text.ends_with(line_end)) {
        joined.push_str(line_end);
    }
    Ok(joined)
}

fn find(lines: &[&str], hunk: &Hunk, from: usize) -> Result<usize, String> {
    let mut start = from;
    for anchor in &hunk.anchors {
        let after = lines.iter().enumerate().skip(start);
        let found = after.into_iter().find(|(_, line)| line.trim() == anchor.trim());
        let Some((index, _)) = found else {
            return Err(format!("no line `{}` after line {start}", head(anchor, 100)));
        };
        start = index + 1;
    }
    let old: Vec<&str> = hunk
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Keep(text) | Line::Remove(text) => Some(text.as_str()),
            Line::Insert(_) => None,
        })
        .collect();
    if old.is_empty() {
        return Ok(if hunk.anchors.is_empty() { lines.len() } else { start });
    }
    let last = lines.len().saturating_sub(old.len());
    let ways: [fn(&str) -> &str; 3] = [|line| line, str::trim_end, str::trim];
    for same in ways {
        let fits = |at: &usize| {
            let there = lines.get(*at..*at + old.len()).unwrap_or_default();
            there.len() == old.len() && there.iter().zip(&old).all(|(a, b)| same(a) == same(b))
        };
        let found = if hunk.at_end {
            Some(last).filter(|at| *at >= start).filter(fits)
        } else {
            None
        };
        if let Some(place) = found.or_else(|| (start..=last).find(fits)) {
            return Ok(place);
        }
    }
    Err(not_found(lines, &old, start))
}

/// Says what stands where the hunk's first telling line is, or that it is nowhere.
fn not_found(lines: &[&str], old: &[&str], start: usize) -> String {
    let telling = old
        .iter()
        .find(|line| !line.trim().is_empty())
        .copied()
        .unwrap_or_default();
    let shown = head(telling, 100);
    match lines.iter().position(|line| line.trim() == telling.trim()) {
        Some(at) => {
            let there: Vec<&str> = lines.iter().skip(at).take(SHOWN_LINES).copied().collect();
            let there = head(&there.join("\n"), 1000);
            format!(
                "the lines do not stand together after line {start}; at line {} there is:\n{there}\n",
                at + 1
            )
        }
        None => format!("the file has no line `{shown}`"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy as _;

    use super::*;

    fn hunk(anchors: &[&str], lines: &[&str]) -> Hunk {
        let line = |line: &&str| {
            let (kind, text) = line.split_at(1);
            match kind {
                "-" => Line::Remove(text.into()),
                "+" => Line::Insert(text.into()),
                _ => Line::Keep(text.into()),
            }
        };
        Hunk {
            anchors: anchors.iter().map(|&anchor| anchor.to_owned()).collect(),
            lines: lines.iter().map(line).collect(),
            at_end: false,
        }
    }

    #[test]
    fn hunks_go_in_one_after_the_other() {
        let text = "fn a() {\n    0\n}\nfn b() {\n    0\n}\n";
        let hunks = [
            hunk(&[], &["+// top", " fn a() {"]),
            hunk(&["fn b() {"], &["-    0", "+    1"]),
        ];
        assert_eq!(
            apply(text, &hunks).unwrap(),
            "// top\nfn a() {\n    0\n}\nfn b() {\n    1\n}\n"
        );
    }

    #[test]
    fn what_stays_keeps_the_files_own_white_space_and_line_ends() {
        let text = "a  \r\n\tb\r\nc\r\n";
        let hunks = [hunk(&[], &[" a", " b", "-c", "+d", "+e"])];
        assert_eq!(apply(text, &hunks).unwrap(), "a  \r\n\tb\r\nd\r\ne\r\n");
    }

    #[test]
    fn pure_insertions_go_after_their_anchor_or_to_the_end() {
        assert_eq!(apply("a\nb\n", &[hunk(&["a"], &["+x"])]).unwrap(), "a\nx\nb\n");
        assert_eq!(apply("a\nb", &[hunk(&[], &["+x"])]).unwrap(), "a\nb\nx");
        assert_eq!(apply("", &[hunk(&[], &["+x"])]).unwrap(), "x\n");
    }

    #[test]
    fn the_end_of_the_file_is_preferred_when_it_is_asked_for() {
        let end = Hunk {
            at_end: true,
            ..hunk(&[], &["-x", "+y"])
        };
        assert_eq!(apply("x\na\nx\n", &[end]).unwrap(), "x\na\ny\n");
    }

    #[test]
    fn a_place_that_does_not_fit_is_shown_as_it_is() {
        let text = "one\ntwo\nthree\n";
        let fault = apply(text, &[hunk(&[], &[" two", "-four", "+x"])]).unwrap_err();
        assert_eq!(
            fault,
            "place 1: the lines do not stand together after line 0; at line 2 there is:\ntwo\nthree\n"
        );
        assert_eq!(
            apply(text, &[hunk(&[], &["-zzz"])]).unwrap_err(),
            "place 1: the file has no line `zzz`"
        );
        assert_eq!(
            apply(text, &[hunk(&["zzz"], &["-one"])]).unwrap_err(),
            "place 1: no line `zzz` after line 0"
        );
        assert_eq!(
            apply("", &[hunk(&[], &["-one"])]).unwrap_err(),
            "place 1: the file has no line `one`"
        );
    }

    #[test]
    fn a_file_may_become_empty() {
        assert_eq!(apply("a\n", &[hunk(&[], &["-a"])]).unwrap(), "");
    }

    proptest::proptest! {
        #[test]
        fn a_patch_written_from_a_change_makes_that_change(
            count in 1..40_usize,
            at in 0..40_usize,
            removed in 0..6_usize,
            inserted in proptest::collection::vec("[a-z +*@-]{0,12}", 0..5),
            context in 0..4_usize,
        ) {
            let lines: Vec<String> = (0..count).map(|number| format!("line {number}")).collect();
            let start = at.min(count);
            let end = (start + removed).min(count);
            let mut hunk = Hunk::default();
            let keep = |line: &String| Line::Keep(line.clone());
            hunk.lines.extend(lines[start.saturating_sub(context)..start].iter().map(keep));
            hunk.lines.extend(lines[start..end].iter().map(|line| Line::Remove(line.clone())));
            hunk.lines.extend(inserted.iter().map(|line| Line::Insert(line.clone())));
            hunk.lines.extend(lines[end..(end + context.max(1)).min(count)].iter().map(keep));
            // A hunk that names no line of the file says no place.
            proptest::prop_assume!(hunk.lines.iter().any(|line| !matches!(line, Line::Insert(_))));
            let text = format!("{}\n", lines.join("\n"));
            let right: Vec<&String> = lines[..start].iter().chain(&inserted).chain(&lines[end..]).collect();
            let right: String = right.iter().map(|line| format!("{line}\n")).collect();
            proptest::prop_assert_eq!(apply(&text, &[hunk]), Ok(right));
        }

        #[test]
        fn whatever_a_model_writes_is_a_change_or_a_fault(
            lines in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::sample::select(vec![
                        "*** Update File: a", "*** Add File: b", "*** Delete File: c", "*** Move to: d",
                        "*** End of File", "@@", "@@ one", "@@ -1,2 +3,4 @@", " one", "-one", "+two", "", "-", "+",
                    ])
                    .prop_map(str::to_owned),
                    "[ -~é]{0,10}",
                ],
                0..12,
            ),
            text in "(one|two| |\r\n|\n|é){0,12}",
        ) {
            let patch = format!("*** Begin Patch\n{}\n*** End Patch", lines.join("\n"));
            for change in super::super::v4a::parse(&patch).unwrap_or_default() {
                if let super::super::v4a::Change::Update { hunks, .. } = change {
                    let _fits_or_not = apply(&text, &hunks);
                }
            }
        }
    }
}
