//! The protocol of redis (RESP 2), as far as it is spoken here: commands that are lists of texts, and answers
//! of known sizes. An answer is read up to a size that whoever asks gives, and no further; nothing is made
//! room for before it has come. Where the bytes come from, and for how long, is left to the connection.
//!
//! The usual client library reads whatever comes: an announced length of 3 GB took 2.9 GB of memory, and 128
//! MB of small numbers took 1.8 GB.

use std::io;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line: a status, a number, or a refusal, which may repeat a script.
const LONGEST_LINE: usize = 16 * 1024;

/// What an element of a list counts besides its own bytes, so that many empty ones are bounded too.
const ELEMENT: usize = 32;

/// What is said to a server, as it goes over the wire. It may be a password, so it is wiped.
pub(crate) struct Command(Zeroizing<Vec<u8>>);

impl Command {
    pub(crate) fn new(words: &[&[u8]]) -> Self {
        let heads: Vec<_> = words.iter().map(|word| format!("${}\r\n", word.len())).collect();
        let list = format!("*{}\r\n", words.len());
        let size = heads.iter().zip(words).map(|(head, word)| head.len() + word.len() + 2).sum::<usize>();
        // Of its size at once, so that no buffer that was too small is left behind with a password in it.
        let mut bytes = Zeroizing::new(Vec::with_capacity(list.len() + size));
        bytes.extend_from_slice(list.as_bytes());
        for (head, word) in heads.iter().zip(words) {
            [head.as_bytes(), word, b"\r\n"].into_iter().for_each(|part| bytes.extend_from_slice(part));
        }
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A word, such as `OK`.
    Status(Vec<u8>),
    Number(i64),
    Value(Vec<u8>),
    Values(Vec<Vec<u8>>),
    /// There is none.
    Nothing,
    /// It does not do it.
    Refusal(String),
}

#[derive(Debug)]
pub(crate) enum AnswerError {
    Io(io::Error),
    /// What is said is in another protocol, or not an answer to what was asked.
    Foreign,
    /// It is larger than anything that could be meant.
    TooLarge {
        size: u64,
        most: u64,
    },
}

impl From<io::Error> for AnswerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads one answer, of which values have at most so many bytes. After an error, what is left is not known.
pub(crate) async fn read_answer(stream: &mut (impl AsyncBufRead + Unpin), most: usize) -> Result<Answer, AnswerError> {
    let (kind, line) = read_line(stream).await?;
    match kind {
        b'+' => Ok(Answer::Status(line)),
        b'-' => Ok(Answer::Refusal(String::from_utf8_lossy(&line).into_owned())),
        b':' => Ok(Answer::Number(number(&line)?)),
        b'$' => Ok(read_value(stream, &line, most).await?.map_or(Answer::Nothing, Answer::Value)),
        b'*' => match number(&line)? {
            -1 => Ok(Answer::Nothing),
            count @ 0.. => read_values(stream, count, most).await.map(Answer::Values),
            _ => Err(AnswerError::Foreign),
        },
        _ => Err(AnswerError::Foreign),
    }
}

async fn read_values(
    stream: &mut (impl AsyncBufRead + Unpin),
    count: i64,
    most: usize,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let (mut values, mut left) = (Vec::new(), most);
    for _ in 0..count {
        let taken = left.checked_sub(ELEMENT);
        left = taken.ok_or(AnswerError::TooLarge { size: count.unsigned_abs(), most: most as u64 })?;
        let (kind, line) = read_line(stream).await?;
        let value = if kind == b'$' { read_value(stream, &line, left).await? } else { None };
        let value = value.ok_or(AnswerError::Foreign)?;
        left -= value.len();
        values.push(value);
    }
    Ok(values)
}

/// The value whose length stands in this line; none if there is none.
async fn read_value(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &[u8],
    most: usize,
) -> Result<Option<Vec<u8>>, AnswerError> {
    let size = match number(line)? {
        -1 => return Ok(None),
        size @ 0.. => size.unsigned_abs(),
        _ => return Err(AnswerError::Foreign),
    };
    if size > most as u64 {
        return Err(AnswerError::TooLarge { size, most: most as u64 });
    }
    let mut value = Vec::new();
    let found = (&mut *stream).take(size).read_to_end(&mut value).await?;
    let mut end = [0; 2];
    stream.read_exact(&mut end).await?;
    if found as u64 == size && end == *b"\r\n" { Ok(Some(value)) } else { Err(AnswerError::Foreign) }
}

/// The first byte of a line, and the rest of it.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<(u8, Vec<u8>), AnswerError> {
    let kind = stream.read_u8().await?;
    if !b"+-:$*".contains(&kind) {
        return Err(AnswerError::Foreign);
    }
    let mut line = Vec::new();
    (&mut *stream).take(LONGEST_LINE as u64).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok((kind, text.to_vec())),
        None if line.len() < LONGEST_LINE && !line.ends_with(b"\n") => {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
        None => Err(AnswerError::Foreign),
    }
}

fn number(line: &[u8]) -> Result<i64, AnswerError> {
    let text = std::str::from_utf8(line).map_err(|_| AnswerError::Foreign)?;
    text.parse().map_err(|_| AnswerError::Foreign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncRead, BufReader};

    use super::*;

    fn now<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn read(bytes: &[u8], most: usize) -> Result<Answer, AnswerError> {
        now(read_answer(&mut &*bytes, most))
    }

    #[test]
    fn commands_are_lists_of_texts_whatever_is_in_them() {
        let command = Command::new(&[b"AUTH", b"a\r\nb", b"", &[0, 255]]);
        assert_eq!(command.bytes(), b"*4\r\n$4\r\nAUTH\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$2\r\n\0\xff\r\n");
    }

    #[test]
    fn each_kind_of_answer_is_read_and_no_further() {
        let value = |text: &str| text.as_bytes().to_vec();
        for (bytes, answer) in [
            ("+OK\r\n", Answer::Status(value("OK"))),
            ("-ERR no\r\n", Answer::Refusal("ERR no".to_owned())),
            (":-3\r\n", Answer::Number(-3)),
            ("$3\r\na\r\n\r\n", Answer::Value(value("a\r\n"))),
            ("$0\r\n\r\n", Answer::Value(Vec::new())),
            ("$-1\r\n", Answer::Nothing),
            ("*-1\r\n", Answer::Nothing),
            ("*0\r\n", Answer::Values(Vec::new())),
            ("*2\r\n$1\r\na\r\n$0\r\n\r\n", Answer::Values(vec![value("a"), Vec::new()])),
        ] {
            let followed = format!("{bytes}+NEXT\r\n");
            let mut rest = followed.as_bytes();
            assert_eq!(now(read_answer(&mut rest, 100)).unwrap(), answer, "{bytes:?}");
            assert_eq!(rest, b"+NEXT\r\n");
            for end in 0..bytes.len() {
                let cut = read(&bytes.as_bytes()[..end], 100);
                assert!(matches!(&cut, Err(AnswerError::Io(_))), "{:?}: {cut:?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_foreign() {
        for bytes in [
            "HTTP/1.1 400\r\n",
            "\x15\x03\x01",
            "+OK\n",
            ":1a\r\n",
            ":\r\n",
            "$-2\r\n",
            "$1\r\nab\r\n",
            "*-7\r\n",
            "*1\r\n*1\r\n:1\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n$-1\r\n",
            "%1\r\n",
            "$99999999999999999999\r\n",
            "$+\r\n",
        ] {
            assert!(matches!(read(bytes.as_bytes(), 100), Err(AnswerError::Foreign)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_size_and_nothing_is_made_room_for() {
        for (bytes, most) in [("$3000000000\r\n", 16), ("$17\r\n", 16), ("*2\r\n$9\r\n123456789\r\n$24\r\n", 80)] {
            assert!(matches!(read(bytes.as_bytes(), most), Err(AnswerError::TooLarge { .. })), "{bytes:?}");
        }
        // It has not come yet, and may never.
        let announced = read(b"$9223372036854775807\r\nx", usize::MAX);
        assert!(matches!(announced, Err(AnswerError::Io(_))), "{announced:?}");
        let mut endless = BufReader::new(tokio::io::repeat(b'+'));
        assert!(matches!(now(read_answer(&mut endless, 16)), Err(AnswerError::Foreign)));
        let elements = b"$0\r\n\r\n".repeat(10_000);
        let mut many = BufReader::new(AsyncReadExt::chain(&b"*1000000000\r\n"[..], &*elements));
        assert!(matches!(now(read_answer(&mut many, 1000)), Err(AnswerError::TooLarge { .. })));
    }

    fn in_pieces(bytes: &[u8], size: usize) -> impl AsyncRead + Unpin + '_ {
        BufReader::with_capacity(size, bytes)
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise_or_take_more_than_allowed(bytes: Vec<u8>, kind in "[-+:$*][0-9]{0,3}\r\n") {
            for bytes in [bytes.clone(), [kind.as_bytes(), &bytes].concat()] {
                match read(&bytes, 64) {
                    Ok(Answer::Value(value)) => prop_assert!(value.len() <= 64),
                    Ok(Answer::Values(values)) => prop_assert!(values.len() <= 2),
                    _ => {}
                }
            }
        }

        #[test]
        fn a_value_is_read_as_it_was_sent_however_it_comes(value: Vec<u8>, size in 1_usize..9) {
            let bytes = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
            let mut pieces = BufReader::with_capacity(size, in_pieces(&bytes, size));
            prop_assert_eq!(now(read_answer(&mut pieces, value.len())).unwrap(), Answer::Value(value));
        }
    }
}
