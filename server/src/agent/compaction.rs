//! Compaction: the conversation is replaced by the task, the user's own words, and a summary.
//!
//! The first message is kept as it is: it holds the task and the instruction files of the base commit,
//! so nothing has to be read again. The model writes the summary with the same prompt and tools before
//! it, so that its cached prefix serves. It can't fail for length: what does not fit is asked about in
//! shorter form, and in the end a digest made without a model stands in.

use crate::agent::answer::{Asked, Question};
use crate::agent::context;
use crate::agent::conversation::Touched;
use crate::agent::digest::digest;
use crate::agent::driver::Agent;
use crate::agent::spend::add_request;
use crate::agent::{AgentEnd, Record, prompt};
use crate::model::Item;
use crate::model::transcript::Transcript;
use crate::task::event::EventPayload;

/// Characters of the user's later messages that are kept verbatim, the newest first.
const MESSAGES_CHARS: usize = 60_000;

/// Characters of a digest that stands in for a summary.
const STAND_IN_CHARS: usize = 20_000;

/// Tries with ever shorter digests.
const DIGEST_TRIES: u32 = 4;

/// Names of touched files that are listed.
const MAX_LISTED_FILES: usize = 200;

impl Agent {
    /// Replaces the conversation and records it.
    pub(super) async fn compact(&mut self, question: &Question<'_>) -> Result<(), AgentEnd> {
        let tokens_before = context::tokens(self.line.system(), self.transcript.items());
        let summary = self.summarise(question).await?;
        let items = compacted(self.transcript.items(), &summary, &self.touched);
        let tokens_after = context::unseen_tokens(self.line.system(), &items);
        let record = Record {
            events: vec![
                EventPayload::ContextCompacted {
                    tokens_before,
                    tokens_after,
                },
                EventPayload::UsageUpdated { usage: self.usage },
            ],
            items: items.clone(),
            replaces_conversation: true,
            finished_turn: None,
        };
        question.journal.record(record).await.map_err(AgentEnd::Journal)?;
        self.transcript.replace(items);
        self.answered_since_compaction = false;
        Ok(())
    }

    async fn summarise(&mut self, question: &Question<'_>) -> Result<String, AgentEnd> {
        let mut items = self.transcript.items().to_vec();
        items.push(Item::User {
            text: prompt::COMPACT.to_owned(),
        });
        if let Some(summary) = self.ask_for_summary(items, question).await? {
            return Ok(summary);
        }
        let window_tokens = self.line.current().map_or(32_000, |model| model.window_tokens);
        let mut chars = usize::try_from(window_tokens).unwrap_or(usize::MAX).min(1 << 20);
        for _ in 0..DIGEST_TRIES {
            let text = format!("{}\n\n{}", digest(self.transcript.items(), chars), prompt::COMPACT);
            if let Some(summary) = self.ask_for_summary(vec![Item::User { text }], question).await? {
                return Ok(summary);
            }
            chars /= 2;
        }
        Ok(digest(self.transcript.items(), STAND_IN_CHARS))
    }

    async fn ask_for_summary(&mut self, items: Vec<Item>, question: &Question<'_>) -> Result<Option<String>, AgentEnd> {
        let mut transcript = Transcript::new(items);
        match self.line.ask(&mut transcript, question).await? {
            Asked::TooLong(_) => Ok(None),
            Asked::Answer(answer) => {
                let price = self.line.current().and_then(|model| model.price);
                add_request(&mut self.usage, &answer.usage, price.as_ref());
                Ok(Some(answer.text).filter(|text| !text.trim().is_empty()))
            }
        }
    }
}

fn compacted(items: &[Item], summary: &str, touched: &Touched) -> Vec<Item> {
    let mut kept: Vec<Item> = items
        .first()
        .filter(|item| matches!(item, Item::User { .. }))
        .cloned()
        .into_iter()
        .collect();
    let mut left_chars = MESSAGES_CHARS;
    let mut messages = Vec::new();
    for item in items.iter().skip(1).rev() {
        let Item::User { text } = item else { continue };
        if text.starts_with(prompt::MESSAGE_START) && text.len() <= left_chars {
            left_chars -= text.len();
            messages.push(item.clone());
        }
    }
    kept.extend(messages.into_iter().rev());
    let text = prompt::compacted(summary, &listed(touched.changed.iter()), &listed(touched.read.iter()));
    kept.push(Item::User { text });
    kept
}

fn listed<'a>(paths: impl ExactSizeIterator<Item = &'a String>) -> String {
    let total = paths.len();
    if total == 0 {
        return format!("- {}", prompt::NO_FILES);
    }
    let mut lines: Vec<String> = paths.take(MAX_LISTED_FILES).map(|path| format!("- {path}")).collect();
    if total > MAX_LISTED_FILES {
        lines.push(format!("- {}{}", prompt::MORE_FILES, total - MAX_LISTED_FILES));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_and_the_users_words_survive_and_reminders_do_not() {
        let user = |text: &str| Item::User { text: text.into() };
        let items = [
            user("the task"),
            user(&prompt::message("also do this")),
            user(prompt::REMINDER_EMPTY),
            user(&prompt::message("and that")),
        ];
        let touched = Touched {
            changed: ["b.rs".to_owned()].into(),
            read: ["a.rs".to_owned()].into(),
        };
        let texts: Vec<String> = compacted(&items, "## Goal\nx", &touched)
            .into_iter()
            .filter_map(|item| match item {
                Item::User { text } => Some(text),
                _ => None,
            })
            .collect();
        let right = [
            "the task".to_owned(),
            prompt::message("also do this"),
            prompt::message("and that"),
            prompt::compacted("## Goal\nx", "- b.rs", "- a.rs"),
        ];
        assert_eq!(texts, right);
    }
}
