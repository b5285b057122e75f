//! The changed lines of a diff, one at a time, without holding the patch in memory.
//!
//! Files are known by their order, which is that of the list of changed files, and lines by the counts
//! at the head of each hunk: names and content in the patch can't mislead the reader. Binary files are
//! read as text too, or a secret could hide behind a NUL.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};

use crate::forge::git::{ChangedFile, GitError, Quarantine, Then};
use crate::task::id::ObjectId;

/// Longest piece of a line that is looked at at once.
const PIECE_BYTES: usize = 64 * 1024;

/// So much of a piece is looked at again with the next, so that nothing hides at the cut.
const OVERLAP_BYTES: usize = 512;

/// Which side of the difference a line is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Removed,
    Added,
}

/// A changed line, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangedLine<'a> {
    /// Index into the list of changed files.
    pub(super) file: usize,
    pub(super) side: Side,
    /// Number of the line on its side, from 1.
    pub(super) number: u64,
    pub(super) text: &'a [u8],
}

impl ChangedLine<'_> {
    pub(super) fn is_added(&self) -> bool {
        self.side == Side::Added
    }
}

/// Calls `visit` for every changed line of the files, in their order.
pub(super) async fn each_changed_line(
    quarantine: &Quarantine,
    old: &ObjectId,
    new: &ObjectId,
    files: &[ChangedFile],
    mut visit: impl FnMut(ChangedLine<'_>) + Send,
) -> Result<(), GitError> {
    let options = [
        "--patch",
        "--unified=0",
        "--text",
        "--no-color",
        "--full-index",
        "--submodule=short",
    ];
    let call = quarantine.diff_call(old, new, options);
    let heads = files.iter().enumerate().flat_map(|(index, file)| {
        // A file that becomes a link, or the other way round, is shown as removed and added.
        let splits = file.old_mode != 0 && file.new_mode != 0 && (file.old_mode ^ file.new_mode) & 0o170_000 != 0;
        std::iter::repeat_n(index, if splits { 2 } else { 1 })
    });
    let heads: Vec<usize> = heads.collect();
    let work = async |_stdin, stdout| {
        let reader = BufReader::with_capacity(PIECE_BYTES, stdout);
        let result = read_patch(reader, &heads, &mut visit).await;
        let then = if result.is_ok() { Then::Wait } else { Then::Kill };
        (result, then)
    };
    let (result, status, stderr) = quarantine.store().git().drive(call, work).await?;
    result?;
    if status.success() {
        Ok(())
    } else {
        Err(GitError::internal("diff-tree", format!("{stderr} ({status})")))
    }
}

/// Where in a patch the reader is.
#[derive(Debug, Default)]
struct Place {
    next_head: usize,
    file: Option<usize>,
    removed_left: u64,
    added_left: u64,
    removed_number: u64,
    added_number: u64,
}

async fn read_patch(
    mut reader: impl AsyncBufRead + Unpin,
    heads: &[usize],
    visit: &mut (impl FnMut(ChangedLine<'_>) + Send),
) -> Result<(), GitError> {
    let strange = || GitError::internal("diff-tree", "its patch does not fit its list of files");
    let mut place = Place::default();
    let mut piece = Vec::new();
    while read_piece(&mut reader, &mut piece).await? {
        let is_whole = piece.last() == Some(&b'\n');
        let line = piece.strip_suffix(b"\n").unwrap_or(&piece);
        match line.first() {
            Some(b'-') if place.removed_left > 0 => {
                place.removed_left -= 1;
                place.removed_number += 1;
                let text = line.get(1..).unwrap_or_default();
                visit(
                    place
                        .line(Side::Removed, place.removed_number, text)
                        .ok_or_else(strange)?,
                );
                if !is_whole {
                    let number = place.removed_number;
                    read_rest(&mut reader, &mut piece, |text| {
                        place.line(Side::Removed, number, text).map(&mut *visit);
                    })
                    .await?;
                }
            }
            Some(b'+') if place.added_left > 0 => {
                place.added_left -= 1;
                place.added_number += 1;
                let text = line.get(1..).unwrap_or_default();
                visit(place.line(Side::Added, place.added_number, text).ok_or_else(strange)?);
                if !is_whole {
                    let number = place.added_number;
                    read_rest(&mut reader, &mut piece, |text| {
                        place.line(Side::Added, number, text).map(&mut *visit);
                    })
                    .await?;
                }
            }
            Some(b'@') if line.starts_with(b"@@ ") => place.enter_hunk(line).ok_or_else(strange)?,
            Some(b'd') if line.starts_with(b"diff --git ") => {
                place.file = Some(*heads.get(place.next_head).ok_or_else(strange)?);
                place.next_head += 1;
            }
            // Other head lines, and "\ No newline at end of file".
            _ => {}
        }
    }
    if place.next_head == heads.len() && place.removed_left == 0 && place.added_left == 0 {
        Ok(())
    } else {
        Err(strange())
    }
}

impl Place {
    fn line<'a>(&self, side: Side, number: u64, text: &'a [u8]) -> Option<ChangedLine<'a>> {
        Some(ChangedLine {
            file: self.file?,
            side,
            number,
            text,
        })
    }

    /// Reads `@@ -first,count +first,count @@`; a count of 1 is left out.
    fn enter_hunk(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let mut range = |sign: u8| {
            let word = words.next()?.strip_prefix(&[sign])?;
            let word = std::str::from_utf8(word).ok()?;
            let (first, count) = word.split_once(',').unwrap_or((word, "1"));
            Some((first.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        };
        let (removed_first, removed) = range(b'-')?;
        let (added_first, added) = range(b'+')?;
        if self.removed_left != 0 || self.added_left != 0 {
            return None;
        }
        (self.removed_left, self.added_left) = (removed, added);
        self.removed_number = removed_first.saturating_sub(1);
        self.added_number = added_first.saturating_sub(1);
        Some(())
    }
}

/// Reads to the end of a line, but at most a piece; false at the end.
async fn read_piece(reader: &mut (impl AsyncBufRead + Unpin), piece: &mut Vec<u8>) -> Result<bool, GitError> {
    piece.clear();
    fill(reader, piece).await?;
    Ok(!piece.is_empty())
}

/// Reads the rest of a line that was longer than a piece.
async fn read_rest(
    reader: &mut (impl AsyncBufRead + Unpin),
    piece: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), GitError> {
    while piece.last() != Some(&b'\n') {
        let kept = piece.len().min(OVERLAP_BYTES);
        piece.drain(..piece.len() - kept);
        let before = piece.len();
        fill(reader, piece).await?;
        if piece.len() == before {
            return Ok(());
        }
        visit(piece.strip_suffix(b"\n").unwrap_or(piece));
    }
    Ok(())
}

async fn fill(reader: &mut (impl AsyncBufRead + Unpin), piece: &mut Vec<u8>) -> Result<(), GitError> {
    let failed = |error: std::io::Error| GitError::internal("diff-tree", error);
    let most = piece.len() + PIECE_BYTES;
    while piece.len() < most {
        let available = reader.fill_buf().await.map_err(failed)?;
        if available.is_empty() {
            return Ok(());
        }
        let available = available
            .get(..(most - piece.len()).min(available.len()))
            .unwrap_or_default();
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        piece.extend(available.iter().take(taken));
        reader.consume(taken);
        if end.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(patch: &[u8], heads: &[usize]) -> Option<Vec<(usize, Side, u64, String)>> {
        let mut seen = Vec::new();
        let mut visit = |line: ChangedLine<'_>| {
            let text = String::from_utf8_lossy(line.text).into_owned();
            seen.push((line.file, line.side, line.number, text));
        };
        read_patch(patch, heads, &mut visit).await.ok()?;
        Some(seen)
    }

    #[tokio::test]
    async fn content_that_looks_like_a_patch_is_content() {
        let patch = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -3,2 +3,3 @@ fn x\n--- a/evil\n-@@ -1 +1 @@\n+diff --git a/y b/y\n+++ b/y\n+@@ -1,9 +1,9 @@\n\\ No newline at end of file\ndiff --git a/z b/z\nsimilarity index 100%\n";
        let seen = read(patch, &[0, 1]).await.unwrap();
        let expected = [
            (0, Side::Removed, 3, "-- a/evil"),
            (0, Side::Removed, 4, "@@ -1 +1 @@"),
            (0, Side::Added, 3, "diff --git a/y b/y"),
            (0, Side::Added, 4, "++ b/y"),
            (0, Side::Added, 5, "@@ -1,9 +1,9 @@"),
        ];
        assert_eq!(
            seen,
            expected.map(|(file, side, number, text)| (file, side, number, text.to_owned()))
        );
    }

    #[tokio::test]
    async fn a_patch_that_does_not_fit_is_refused() {
        let patch = b"diff --git a/x b/x\n@@ -0,0 +1 @@\n+a\n";
        assert!(read(patch, &[0]).await.is_some());
        assert!(read(patch, &[]).await.is_none());
        assert!(read(patch, &[0, 1]).await.is_none());
        assert!(read(b"diff --git a/x b/x\n@@ -0,0 +1,2 @@\n+a\n", &[0]).await.is_none());
        assert!(read(b"diff --git a/x b/x\n@@ nonsense @@\n", &[0]).await.is_none());
    }

    #[tokio::test]
    async fn a_long_line_comes_in_pieces_that_overlap() {
        let mut patch = b"diff --git a/x b/x\n@@ -0,0 +1,2 @@\n+".to_vec();
        let line: Vec<u8> = (0..200_000).map(|at| b'a' + (at / 1000 % 26) as u8).collect();
        patch.extend(&line);
        patch.extend(b"\n+end\n");
        let seen = read(&patch, &[0]).await.unwrap();
        let (last, pieces) = seen.split_last().unwrap();
        assert_eq!(last, &(0, Side::Added, 2, "end".into()));
        assert!(pieces.iter().all(|(file, _, number, _)| (*file, *number) == (0, 1)));
        let mut whole = pieces[0].3.clone();
        for piece in &pieces[1..] {
            assert_eq!(piece.3[..OVERLAP_BYTES], whole[whole.len() - OVERLAP_BYTES..]);
            whole.push_str(&piece.3[OVERLAP_BYTES..]);
        }
        assert_eq!(whole.as_bytes(), line);
    }
}
