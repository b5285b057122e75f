//! Cutting a text to head and tail, on characters, with a line that says what is missing.

/// Returns the text, or its head and tail with a line between that counts what was left out.
pub(crate) fn head_and_tail(text: &str, max_chars: usize) -> String {
    let total = text.chars().count();
    if total <= max_chars {
        return text.to_owned();
    }
    let head_chars = max_chars / 2;
    let head: String = text.chars().take(head_chars).collect();
    let tail: String = text.chars().skip(total - (max_chars - head_chars)).collect();
    format!("{head}\n[… {} characters left out …]\n{tail}", total - max_chars)
}

/// Returns the first characters of a text, with an ellipsis when there were more.
pub(crate) fn head(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars();
    let mut head: String = chars.by_ref().take(max_chars).collect();
    if chars.next().is_some() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_stay_and_the_rest_is_counted() {
        assert_eq!(head_and_tail("short", 5), "short");
        let cut = head_and_tail(&format!("{}{}", "é".repeat(10), "ü".repeat(10)), 6);
        assert_eq!(cut, "ééé\n[… 14 characters left out …]\nüüü");
    }

    #[test]
    fn head_says_when_there_was_more() {
        assert_eq!(head("abc", 3), "abc");
        assert_eq!(head("äbcd", 3), "äbc…");
    }
}
