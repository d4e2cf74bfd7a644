//! Looks at sixteen bytes of a string at once: most of an alert is the inside of strings, in which only four
//! bytes mean anything.

use wide::u8x16;

/// How many bytes a block has.
pub const BLOCK: usize = 16;

/// Where in `text` from `at` on the next byte stands that ends a string, escapes what follows, or breaks the
/// line; the end of `text` if none does.
#[inline]
pub fn next_special(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let found = specials(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    while text.get(at).is_some_and(|byte| !is_special(*byte)) {
        at += 1;
    }
    at.min(text.len())
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'\n' | b'\r')
}

/// A bit for each special byte of the block.
#[inline]
fn specials(block: &[u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(*block);
    let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
    ((is(b'"') | is(b'\\')) | (is(b'\n') | is(b'\r'))).to_bitmask()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_special_byte_is_the_first_one(
            text in prop::collection::vec(prop_oneof![20 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 1 => Just(b'\n')], 0..100),
            from in 0_usize..110,
        ) {
            let expected = (from..text.len()).find(|at| is_special(text[*at])).unwrap_or(text.len());
            prop_assert_eq!(next_special(&text, from), expected);
        }
    }
}
