//! What goes around a value wherever it is kept, so that what is read is what was written, or an error: a
//! first line in ASCII, `devo-collector-state 1 <CRC-32 of the value, 8 hex digits> <length of the value>`,
//! then the value's bytes as they are.

use super::error::Damage;

const MAGIC: &str = "devo-collector-state";
const VERSION: u32 = 1;

/// Longest first line: the magic, ten digits of version, the checksum, twenty digits of length, blanks.
pub(super) const LONGEST_HEADER: usize = 64;

/// The first line of a value.
pub(super) fn header(value: &[u8]) -> String {
    format!("{MAGIC} {VERSION} {:08x} {}\n", crc32fast::hash(value), value.len())
}

/// The value in an envelope.
///
/// # Errors
/// What is wrong, for anything but the bytes that were written.
pub(super) fn open(mut content: Vec<u8>) -> Result<Vec<u8>, Damage> {
    let end = content.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
    let value = content.split_off(end + 1);
    let line = std::str::from_utf8(&content[..end]).map_err(|_| Damage::Header)?;
    let mut words = line.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Damage::Header);
    }
    // Versions count up: a larger one is a later format, which a version-1 reader must not guess at.
    match words.next().and_then(|version| version.parse::<u32>().ok()) {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(Damage::NewerVersion(version)),
        _ => return Err(Damage::Header),
    }
    let checksum = words.next().and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(Damage::Header)?;
    let expected = words.next().and_then(|digits| digits.parse::<u64>().ok()).ok_or(Damage::Header)?;
    let found = value.len() as u64;
    if found != expected {
        return Err(Damage::Length { expected, found });
    }
    if crc32fast::hash(&value) != checksum {
        return Err(Damage::Checksum);
    }
    // A line that says the same in another way ("+5", upper case) was changed all the same.
    if content != header(&value).as_bytes() {
        return Err(Damage::Header);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(value: Vec<u8>) {
            let content = [header(&value).as_bytes(), &value].concat();
            prop_assert_eq!(open(content), Ok(value));
        }

        #[test]
        fn no_content_makes_the_reader_fail_otherwise(content: Vec<u8>) {
            let mut line = MAGIC.as_bytes().to_vec();
            line.extend_from_slice(&content);
            prop_assert!(open(content).is_err());
            prop_assert!(open(line).is_err());
        }
    }
}
