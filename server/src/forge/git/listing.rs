//! What a mirror's commits name: files with their contents' ids, and what differs between two commits.
//!
//! Both commits of a comparison have passed the limits on trees, so a plain `diff-tree` is no bomb here.

use crate::forge::git::GitStore;
use crate::forge::git::command::Call;
use crate::forge::git::error::GitError;
use crate::forge::git::mirror::Mirror;
use crate::task::id::ObjectId;

/// A file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path; untrusted bytes.
    pub path: Vec<u8>,
    /// Id of its content.
    pub content: String,
}

impl GitStore {
    /// Lists the files of the mirror's commit that are wanted, in git's order.
    pub async fn files_at(
        &self,
        mirror: &Mirror,
        is_wanted: impl Fn(&[u8]) -> bool + Send + Sync,
    ) -> Result<Vec<ListedFile>, GitError> {
        let call = Call::new(["ls-tree", "-r", "-z", "--full-tree", mirror.tree.as_str()]).git_dir(&mirror.folder);
        let mut files = Vec::new();
        self.each_record(call, |record| {
            if let Some(file) = parse(record).filter(|file| is_wanted(&file.path)) {
                files.push(file);
            }
            Ok(())
        })
        .await?;
        Ok(files)
    }

    /// Returns the paths, each ended by NUL, that another commit of the mirror has otherwise or lacks; `None` when that
    /// commit is not there any more, or they are more bytes than wanted.
    pub async fn changed_since(
        &self,
        mirror: &Mirror,
        earlier: &ObjectId,
        most_bytes: usize,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let options = "diff-tree -r -z --name-only --no-renames --no-ext-diff --diff-filter=AMT";
        let call = Call::new(options.split(' '))
            .arg(earlier.as_str())
            .arg(mirror.commit.as_str())
            .git_dir(&mirror.folder)
            .stdout_bytes(most_bytes);
        let output = self.git().attempt(call, &[]).await?;
        Ok((output.status.success() && !output.truncated).then_some(output.stdout))
    }
}

/// Reads mode, type and id, separated by blanks, then a tab and the path.
fn parse(record: &[u8]) -> Option<ListedFile> {
    let mut head_and_path = record.splitn(2, |byte| *byte == b'\t');
    let head = std::str::from_utf8(head_and_path.next()?).ok()?;
    Some(ListedFile {
        path: head_and_path.next()?.to_vec(),
        content: head.split_whitespace().nth(2)?.to_owned(),
    })
}
