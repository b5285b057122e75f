//! The states of a Task and the legal moves between them. Nothing else decides a transition.

use serde::{Deserialize, Serialize};

/// Where a Task stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted and durable; waiting for a run slot.
    Queued,
    /// Fetching the repository, making the sandbox, proving the base.
    Preparing,
    /// The agent loop is taking turns.
    Running,
    /// Running the repository's own checks on the change.
    Verifying,
    /// Committing, pushing and opening the pull request.
    Publishing,
    /// Terminal, with a result.
    Succeeded,
    /// Terminal, with a failure.
    Failed,
    /// Terminal: a caller asked for it. Never used for a loss of infrastructure.
    Cancelled,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Preparing,
        Self::Running,
        Self::Verifying,
        Self::Publishing,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Returns whether a message is read by the running Task itself, rather than starting one that continues it.
    pub fn takes_messages(self) -> bool {
        matches!(self, Self::Queued | Self::Preparing | Self::Running | Self::Verifying)
    }

    /// Returns whether a Task in this state may enter `next`.
    ///
    /// Any live state may go back to PREPARING, but only after a `RunResumed` event.
    pub fn can_become(self, next: Self) -> bool {
        use State::{Cancelled, Failed, Preparing, Publishing, Queued, Running, Succeeded, Verifying};
        match (self, next) {
            (Succeeded | Failed | Cancelled, _) => false,
            (_, Failed | Cancelled | Preparing) => true,
            (Preparing, Running)
            | (Running, Verifying | Succeeded)
            | (Verifying, Running | Publishing | Succeeded)
            | (Publishing, Verifying | Succeeded) => true,
            (Queued | Preparing | Running | Verifying | Publishing, _) => false,
        }
    }

    /// Returns the lower-case word used in logs, text output and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Publishing => "publishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_terminal_state() {
        for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
            assert!(State::ALL.into_iter().all(|next| !state.can_become(next)), "{state:?}");
        }
    }

    #[test]
    fn legal_moves_are_exactly_those_of_the_life_cycle() {
        use State::{Cancelled, Failed, Preparing, Publishing, Queued, Running, Succeeded, Verifying};
        let table = [
            (Queued, vec![Preparing, Failed, Cancelled]),
            (Preparing, vec![Preparing, Running, Failed, Cancelled]),
            (Running, vec![Preparing, Verifying, Succeeded, Failed, Cancelled]),
            (
                Verifying,
                vec![Preparing, Running, Publishing, Succeeded, Failed, Cancelled],
            ),
            (Publishing, vec![Preparing, Verifying, Succeeded, Failed, Cancelled]),
        ];
        for (state, expected) in table {
            let legal: Vec<_> = State::ALL.into_iter().filter(|next| state.can_become(*next)).collect();
            assert_eq!(legal, expected, "{state:?}");
        }
    }
}
