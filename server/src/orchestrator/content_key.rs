//! Keys of what is kept by what it was made of.

use sha2::{Digest as _, Sha256};

/// Bytes of the hash that a key has.
const KEY_BYTES: usize = 16;

/// Returns 32 hexadecimal digits that differ when any part does, or where one ends and the next begins.
pub(super) fn content_key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    hash.iter().take(KEY_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::content_key;

    #[test]
    fn parts_are_told_apart_by_where_they_end() {
        let keys = [
            content_key([b"ab".as_slice(), b"c"]),
            content_key([b"a".as_slice(), b"bc"]),
            content_key([b"abc".as_slice()]),
            content_key([]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 32);
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
