//! The forms in which a secret's value may show up, and the fragments that betray each form.
//!
//! An attacker asks for a key without its first characters, or encoded; so a value is looked for in
//! every cheap encoding, and each form is cut into overlapping windows: any piece of 19 bytes or more
//! contains a whole window, from which the match grows to the piece's true ends.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shortest value that is looked for; shorter ones would mask ordinary words.
pub(super) const MIN_VALUE_BYTES: usize = 8;

/// Forms shorter than this are looked for as a whole only.
const WHOLE_BYTES: usize = 20;
const WINDOW_BYTES: usize = 16;
const STRIDE_BYTES: usize = 4;

/// Returns the distinct forms of a value.
pub(super) fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        value.to_vec(),
        value.iter().rev().copied().collect(),
        hexadecimal(value),
    ];
    for shift in 0..3 {
        forms.push(base64_inside(value, shift, &STANDARD_NO_PAD));
        forms.push(base64_inside(value, shift, &URL_SAFE_NO_PAD));
    }
    forms.push(percent_encoded(value));
    forms.push(json_escaped(value));
    forms.retain(|form| form.len() >= MIN_VALUE_BYTES);
    forms.sort();
    forms.dedup();
    forms
}

/// Returns the windows of a form, with where each starts in it.
pub(super) fn windows(form: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let size = if form.len() < WHOLE_BYTES {
        form.len()
    } else {
        WINDOW_BYTES
    };
    form.windows(size.max(1)).enumerate().step_by(STRIDE_BYTES)
}

fn hexadecimal(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes())
        .collect()
}

/// The characters that stand for the value wherever it lies in longer data, `shift` bytes after a
/// group of three: those that its neighbours influence are left out.
fn base64_inside(value: &[u8], shift: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let mut data = vec![0; shift];
    data.extend_from_slice(value);
    let whole = data.len() * 8 / 6;
    let first = (shift * 8).div_ceil(6);
    let text = engine.encode(&data).into_bytes();
    text.get(first..whole.min(text.len())).unwrap_or_default().to_vec()
}

fn percent_encoded(value: &[u8]) -> Vec<u8> {
    let encode = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => vec![*byte],
        _ => format!("%{byte:02X}").into_bytes(),
    };
    value.iter().flat_map(encode).collect()
}

fn json_escaped(value: &[u8]) -> Vec<u8> {
    let quoted = serde_json::to_string(&String::from_utf8_lossy(value)).unwrap_or_default();
    quoted.trim_matches('"').as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn base64_form_is_found_at_every_alignment() {
        let value = b"correct-horse-battery";
        for before in ["", "a", "ab", "abc"] {
            let encoded = STANDARD_NO_PAD.encode([before.as_bytes(), value, b"?after"].concat());
            let shift = before.len() % 3;
            let form = String::from_utf8(base64_inside(value, shift, &STANDARD_NO_PAD)).unwrap();
            assert!(form.len() >= 27, "{form}");
            assert!(encoded.contains(&form), "{encoded} has no {form}");
        }
    }

    #[test]
    fn every_piece_of_nineteen_bytes_holds_a_window() {
        let form: Vec<u8> = (0..100).collect();
        let all: Vec<&[u8]> = windows(&form).map(|(_, window)| window).collect();
        for start in 0..=form.len() - 19 {
            let piece = &form[start..start + 19];
            assert!(
                all.iter().any(|window| piece.windows(16).any(|part| part == *window)),
                "{start}"
            );
        }
    }
}
