//! The contract's comments, by the place of what they are on.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;

/// Comments of every file.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    /// Gathers the leading comments of a pool.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                if let Some(text) = &location.leading_comments {
                    comments.insert((file.name().to_owned(), location.path.clone()), joined(text));
                }
            }
        }
        Self(comments)
    }

    /// Returns the comment at a place; empty when there is none.
    pub(super) fn at(&self, file: &str, path: &[i32]) -> String {
        let found = self.0.get(&(file.to_owned(), path.to_vec()));
        found.cloned().unwrap_or_default()
    }
}

/// Lines are wrapped in the source; a blank one is the end of a paragraph.
fn joined(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n").map(|paragraph| {
        let words: Vec<_> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_paragraphs_are_not() {
        assert_eq!(
            joined(" A line\n that goes on.\n\n Another.\n"),
            "A line that goes on.\n\nAnother."
        );
    }
}
