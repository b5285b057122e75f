//! The Task as it stands, and its states.

use backspace_sdk::v1;

use crate::api::convert::{moment, result, spec};
use crate::task::budget::Usage;
use crate::task::event::Ending;
use crate::task::record::TaskRecord;
use crate::task::spec::Violation;
use crate::task::state::State;

/// Converts a Task, whole.
pub(crate) fn task(record: &TaskRecord) -> v1::Task {
    let TaskRecord {
        id,
        principal: _,
        requester,
        spec: asked,
        continues,
        state: stands,
        ending,
        usage: spent,
        create_time,
        start_time,
        end_time,
        preserved_work,
        last_sequence,
        oldest_sequence: _,
        cancel_requested,
        findings,
        progress,
    } = record;
    let outcome = match ending {
        Some(Ending::Succeeded(left)) => Some(v1::task::Outcome::Result(result::result(left))),
        Some(Ending::Failed(failure)) => Some(v1::task::Outcome::Failure(result::failure(failure))),
        Some(Ending::Cancelled) | None => None,
    };
    v1::Task {
        name: id.resource_name(),
        spec: Some(spec::to_proto(asked)),
        state: state(*stands).into(),
        usage: Some(usage(spent)),
        create_time: Some(moment::timestamp(*create_time)),
        start_time: start_time.map(moment::timestamp),
        end_time: end_time.map(moment::timestamp),
        preserved_work: preserved_work.as_ref().map(result::preserved_work),
        last_sequence: last_sequence.0,
        cancel_requested: *cancel_requested,
        requester: requester.clone(),
        continues: continues.map(|task| task.resource_name()).unwrap_or_default(),
        base_commit: progress
            .base
            .as_ref()
            .map(|base| base.commit.to_string())
            .unwrap_or_default(),
        findings: findings.iter().map(result::finding).collect(),
        outcome,
    }
}

/// Converts spend.
pub(crate) fn usage(usage: &Usage) -> v1::Usage {
    let Usage {
        input_tokens,
        cached_input_tokens,
        output_tokens,
        turns,
        cost_micro_usd,
        cache_write_tokens,
        reasoning_tokens,
    } = *usage;
    v1::Usage {
        input_tokens,
        cached_input_tokens,
        output_tokens,
        turns,
        cost_micro_usd,
        cache_write_tokens,
        reasoning_tokens,
    }
}

/// Converts a state.
pub(crate) fn state(state: State) -> v1::task::State {
    match state {
        State::Queued => v1::task::State::Queued,
        State::Preparing => v1::task::State::Preparing,
        State::Running => v1::task::State::Running,
        State::Verifying => v1::task::State::Verifying,
        State::Publishing => v1::task::State::Publishing,
        State::Succeeded => v1::task::State::Succeeded,
        State::Failed => v1::task::State::Failed,
        State::Cancelled => v1::task::State::Cancelled,
    }
}

/// Reads a state that a caller filters by.
pub(crate) fn parse_state(field: &str, value: i32) -> Result<State, Violation> {
    let known = State::ALL.into_iter().find(|known| i32::from(state(*known)) == value);
    known.ok_or_else(|| Violation::new(field, format!("has no value {value} to filter by")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_the_round_trip_and_unspecified_is_none() {
        for each in State::ALL {
            assert_eq!(parse_state("states[0]", state(each).into()), Ok(each));
        }
        for bad in [0, 9, -1] {
            assert_eq!(parse_state("states[0]", bad).unwrap_err().field, "states[0]");
        }
    }
}
