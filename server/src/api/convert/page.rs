//! Page sizes and tokens of ListTasks.
//!
//! A token says where the last page ended and which filter it was for, with a checksum so that garbage
//! is refused and not misread. It is no secret and no right: the store still shows the caller's own
//! Tasks only, so a forged one is a strange place to start and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::task::id::{TaskId, Timestamp};
use crate::task::spec::Violation;
use crate::task::state::State;

const DEFAULT_SIZE: u32 = 50;
const MAX_SIZE: u32 = 200;
const VERSION: u8 = 1;

/// Where a page ended.
pub(crate) type Position = (Timestamp, TaskId);

/// Reads a page size.
pub(crate) fn parse_size(field: &str, size: i32) -> Result<u32, Violation> {
    match u32::try_from(size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Violation::new(field, "must not be negative")),
    }
}

/// Makes the token of the page after a position.
pub(crate) fn token((time, task): Position, states: &[State]) -> String {
    let mut bytes = vec![VERSION, filter(states)];
    bytes.extend_from_slice(&time.0.to_be_bytes());
    bytes.extend_from_slice(task.as_uuid().as_bytes());
    bytes.extend_from_slice(&checksum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token; empty means the first page.
pub(crate) fn parse_token(field: &str, text: &str, states: &[State]) -> Result<Option<Position>, Violation> {
    if text.is_empty() {
        return Ok(None);
    }
    let garbage = || Violation::new(field, "is not a token of this server; use `next_page_token` as it came");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| garbage())?;
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(garbage)?;
    let (head, rest) = body.split_first_chunk::<2>().ok_or_else(garbage)?;
    let (time, id) = rest.split_first_chunk::<8>().ok_or_else(garbage)?;
    let id = Uuid::from_slice(id).map_err(|_| garbage())?;
    let [version, asked] = *head;
    if version != VERSION || checksum(body) != *sum {
        return Err(garbage());
    }
    if asked != filter(states) {
        return Err(Violation::new(
            field,
            "was given for other `states`; start again without it",
        ));
    }
    let task = id.simple().to_string().parse().map_err(|_| garbage())?;
    Ok(Some((Timestamp(i64::from_be_bytes(*time)), task)))
}

/// One bit a state; no filter is the same as all of them only to the store, not to a token.
fn filter(states: &[State]) -> u8 {
    State::ALL
        .iter()
        .enumerate()
        .filter(|(_, state)| states.contains(state))
        .fold(0, |bits, (index, _)| bits | 1 << index)
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(bytes).into();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_default_and_a_cap() {
        for (given, taken) in [(0, 50), (1, 1), (200, 200), (201, 200), (i32::MAX, 200)] {
            assert_eq!(parse_size("page_size", given), Ok(taken));
        }
        assert_eq!(parse_size("page_size", -1).unwrap_err().field, "page_size");
    }

    #[test]
    fn a_token_survives_its_own_text_and_belongs_to_its_filter() {
        let position = (Timestamp(-5), TaskId::random());
        let states = [State::Failed, State::Queued];
        let text = token(position, &states);
        assert_eq!(
            parse_token("page_token", &text, &[State::Queued, State::Failed]),
            Ok(Some(position))
        );
        assert_eq!(parse_token("page_token", "", &states), Ok(None));
        for other in [&[][..], &[State::Failed]] {
            assert_eq!(parse_token("page_token", &text, other).unwrap_err().field, "page_token");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let good = token((Timestamp(1), TaskId::random()), &[]);
        let mut flipped = good.clone().into_bytes();
        flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        for bad in [
            "x",
            "!!",
            "AAAA",
            &good[1..],
            &flipped,
            &format!("{good}AAAA"),
            &"A".repeat(40),
        ] {
            assert!(parse_token("page_token", bad, &[]).is_err(), "{bad}");
        }
    }
}
