//! Comparison of bytes, eight at a time: what a component is linked with for it compares them one by one.

/// Whether both are the same.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    let ((left_words, left_rest), (right_words, right_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let same = |(left, right): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*left) == u64::from_ne_bytes(*right);
    left.len() == right.len()
        && left_words.iter().zip(right_words).all(same)
        && left_rest.iter().zip(right_rest).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_is_what_slices_say(left: Vec<u8>, right: Vec<u8>, flipped: prop::sample::Index) {
            prop_assert_eq!(equal(&left, &right), left == right);
            let mut other = left.clone();
            prop_assert!(equal(&left, &other));
            if !other.is_empty() {
                other[flipped.index(left.len())] ^= 1;
                prop_assert!(!equal(&left, &other));
                prop_assert!(!equal(&left, &left[1..]));
            }
        }
    }
}
