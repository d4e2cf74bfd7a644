//! A record that is not JSON does not hold back the others of its page, and nothing is made up for it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::{Duration, Instant};

use alert_records::page::Unreadable;
use pages::{FORMS, Form, good};
use proptest::prelude::*;
use proptest::sample::Index;

mod pages;

/// Pages of five, with `odd` in the middle, in every form: the other four come out, and the odd one in one
/// part.
fn does_not_hold_back(odd: &[u8]) {
    for form in FORMS {
        let mut records: Vec<_> = (0..5).map(good).collect();
        records[2] = odd.to_vec();
        let body = form.page(&records);
        let page = form.read(&body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()));
        assert_eq!(page.records, [0, 1, 3, 4].map(|place| &records[place][..]), "{}", odd.escape_ascii());
        let [found] = &page.odd[..] else { panic!("{:?} of {}", page.odd, odd.escape_ascii()) };
        assert_eq!(found.text.escape_ascii().to_string(), odd.trim_ascii().escape_ascii().to_string());
        assert_eq!(&body[found.offset..][..found.text.len()], found.text);
        assert!(found.error.offset <= found.text.len());

        let texts: Vec<_> = form.read_records(&body).unwrap().records.iter().map(|record| record.text).collect();
        assert_eq!(texts, page.records);
    }
}

#[test]
fn a_value_that_json_does_not_have_does_not_hold_back_the_others() {
    for value in [
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "None",
        "True",
        "undefined",
        "0x1F",
        "'x'",
        "/* */ 1",
        "ObjectId(\"1\")",
    ] {
        does_not_hold_back(value.as_bytes());
        does_not_hold_back(format!(r#"{{"id":7,"value":{value}}}"#).as_bytes());
        does_not_hold_back(format!(r#"{{"id":7,"value":{value},"list":[{{"id":8}},{{"id":9}}]}}"#).as_bytes());
        does_not_hold_back(format!(r#"{{"id":7,"list":[{{"id":8}},{{"id":{value}}},{{"id":9}}]}}"#).as_bytes());
    }
}

#[test]
fn a_record_nested_too_deep_does_not_hold_back_the_others() {
    for depth in [256, 257, 1_000, 100_000] {
        does_not_hold_back(&[vec![b'['; depth], vec![b']'; depth]].concat());
        does_not_hold_back([r#"{"a":"#.repeat(depth), "1".to_owned(), "}".repeat(depth)].concat().as_bytes());
    }
}

#[test]
fn brackets_and_commas_in_strings_are_no_ends() {
    does_not_hold_back(br#"{"id":NaN,"text":"},{\"id\":1},]}","more":"\\"}"#);
    does_not_hold_back(b"{\"id\":NaN,\"text\":\"},\n{]\x00\"}");
    does_not_hold_back(b"{\"id\":NaN,\"text\":\"\xff\xfe},{\"}");
}

#[test]
fn brackets_that_do_not_match_do_not_hold_back_the_others() {
    for odd in [
        r#"{"id":7,"a":[}"#,
        r#"{"id":7,"a":{"b":1}"#,
        r#"{"id":7,"a":[1,{"b":2}}"#,
        r#"{"id":7,"a":{]}"#,
        r#"{"id":7}}"#,
        r#"{"id":7}}}"#,
        r#"{{"id":7}"#,
        r#"{"id":7,"a":"#,
        "{",
        "}",
    ] {
        does_not_hold_back(odd.as_bytes());
    }
    does_not_hold_back(&[&b"{\"id\":7,\"a\":"[..], &vec![b'['; 100_000], b"}"].concat());
}

#[test]
fn a_quote_that_is_not_escaped_does_not_hold_back_the_others() {
    for odd in [
        r#"{"id":7,"a":"x"y"}"#,
        r#"{"id":7,"a":"he said "x" to me"}"#,
        r#"{"id":7,"a":"5" and 7" screens, [more]"}"#,
        r#"{"id":7,"a":"5" screen","b":"},{","c":[{"id":1},{"id":2}]}"#,
        r#"{"id":7,"a":"x}"#,
        r#"{"id":7,"a":x"}"#,
        r#"{"id":7,"a":"b" "c"}"#,
        r#"{"id":7,"a":"x\"}"#,
        r#"""#,
        r#""a" b"#,
    ] {
        does_not_hold_back(odd.as_bytes());
    }
}

#[test]
fn an_object_within_an_odd_record_is_never_taken_for_a_record() {
    for odd in [
        r#"{"id":7,"a":"x"y","list":[{"id":1},{"id":2}]}"#,
        r#"{"id":7,"list":[{"id":1,"a":"x"y"},{"id":2},{"id":3}]}"#,
        r#"{"id":7,"list":[{"id":1,"a":"x"y"},{"id":2},{"id":3}],"more":1}"#,
        r#"{"id":7,"list":[{"id":1,"a":[},{"id":2},{"id":3}]}"#,
        r#"{"id":7,"list":[NaN,{"id":2},{"id":3}]}"#,
    ] {
        does_not_hold_back(odd.as_bytes());
    }
}

#[test]
fn many_odd_records_are_told_apart() {
    for odd in [r#"{"id":NaN}"#, r#"{"a":[}"#, r#"{"a":"x"y"}"#, r#"{"a":"he said "x" to me"}"#, r#"{"a" "b"}"#] {
        let records: Vec<_> = (0..100).map(|n| if n % 3 == 0 { odd.as_bytes().to_vec() } else { good(n) }).collect();
        for form in FORMS {
            let body = form.page(&records);
            let page = form.read(&body).unwrap();
            assert_eq!((page.records.len(), page.odd.len()), (66, 34), "{odd}");
            assert!(page.odd.iter().all(|found| found.text == odd.as_bytes()));
        }
    }
}

#[test]
fn odd_records_in_a_row_hold_back_no_others() {
    let quote = br#"{"a":"x"y"}"#;
    for records in [
        [quote, &good(1)[..], quote, &good(3), &good(4), quote],
        [&good(0), quote, quote, &good(3), b"{NaN}", quote],
        [quote, b"NaN", &good(2), quote, br#"{"a":[}"#, &good(5)],
    ] {
        for form in FORMS {
            let body = form.page(&records);
            let page = form.read(&body).unwrap();
            let expected: Vec<_> = records.iter().filter(|record| record.len() > 50).collect();
            assert_eq!(page.records.iter().collect::<Vec<_>>(), expected);
            assert!((2..=4).contains(&page.odd.len()), "{:?}", page.odd);
        }
    }
}

#[test]
fn a_comma_too_many_is_no_record() {
    for form in FORMS {
        for records in [&["1", "", "2"][..], &["1", "2", ""], &["", "1", "2"], &["", " ", "1", "\n", "2", "", ""]] {
            let body = form.page(records);
            let page = form.read(&body).unwrap();
            assert_eq!(page.records, [b"1", b"2"]);
            assert!(page.odd.is_empty());
        }
        assert!(
            matches!(form.read(&form.page(&["", ""])), Err(Unreadable::Syntax(_))),
            "it is no page without records"
        );
    }
}

#[test]
fn what_is_wrong_with_a_record_is_told_by_its_own_bytes() {
    let body = "\u{feff}[1, {\"id\" : NaN } ,3]".as_bytes();
    let page = FORMS[2].read(body).unwrap();
    assert_eq!(page.odd[0].text, b"{\"id\" : NaN }");
    assert_eq!(page.odd[0].offset, 7);
    assert_eq!(page.odd[0].error.to_string(), "expected a value at byte 8");
}

#[test]
fn an_odd_record_does_not_outlive_a_list_that_another_one_replaces() {
    let page = FORMS[0].read(br#"{"data":[NaN,1],"data":[2]}"#).unwrap();
    assert_eq!((page.records, page.odd), (vec![&b"2"[..]], vec![]));
}

#[test]
fn an_answer_that_is_cut_off_is_never_taken() {
    let odd = [
        r#"{"id":NaN,"a":[1,{"b":"x"}]}"#,
        r#"{"id":7,"a":"he said "x" to me"}"#,
        r#"{"id":7,"a":"x"y"}"#,
        r#"{"id":7,"a":[}"#,
        r#"{"id":7,"a":"],},{[]}]}"}"#,
        "NaN",
    ];
    for form in FORMS {
        for odd in odd {
            let records = [&good(1)[..], odd.as_bytes(), &good(2), br#"{"a":{"data":["foo},{",1]}}"#];
            let body = form.page(&records).trim_ascii_end().to_vec();
            form.read(&body).unwrap();
            for cut in 0..body.len() {
                let page = form.read(&body[..cut]);
                assert!(page.is_err(), "{} is taken for {page:?}", body[..cut].escape_ascii());
            }
        }
    }
}

#[test]
fn what_is_wrong_around_the_records_is_not_forgiven() {
    for body in [
        r#"{"data":[1,2],"total_count":NaN}"#,
        r#"{"data":[1,NaN],"total_count":NaN}"#,
        r#"{"data":[1,{"a":"x"y"}],"total_count":NaN}"#,
        r#"{"data":[1,2]],"total_count":1}"#,
        r#"{"data":[1,NaN]"#,
        r#"{"data":[1,NaN}"#,
        r#"{"data":NaN}"#,
        r#"[1,NaN"#,
        r#"[1,NaN]]"#,
        r#"[1],[NaN]"#,
        "<html>",
        "NaN",
    ] {
        assert!(matches!(FORMS[0].read(body.as_bytes()), Err(Unreadable::Syntax(_))), "{body}");
    }
}

/// Pages made to cost as much as can be: none may take more than a multiple of what a good one of its size
/// takes.
#[test]
fn no_page_takes_long() {
    let patterns = [
        r#"{"a":[},"#,
        r#"{"a":{},"#,
        r#"},{"k":[{},"#,
        r#"{"a":"x"y"},"#,
        r#"[{"":"#,
        "[",
        "{",
        r#",{""#,
        r#",{"a":1}"#,
        r#"{"a":NaN},"#,
        "NaN,",
        r#"},{"k":{"a":1},"#,
        r#"{"a":[1]},[,"#,
        r#"""#,
        r#"","#,
        "],",
        "},",
        ",",
        r#"{"a":1},"#,
        r#"{"a":1},]"#,
        r#"{"k":[{"k":1},"#,
    ];
    let mut slowest = Duration::ZERO;
    for start in ["", r#"{"a":[},"#, r#"{"a":"x"y"},"#, r#"{"k":["#] {
        for first in patterns {
            for second in patterns {
                let middle = first.repeat(40_000 / first.len()) + &second.repeat(40_000 / second.len());
                for form in &FORMS[..3] {
                    let body = form.page(&[[start, &middle, r#"{"a":1}"#].concat()]);
                    let begun = Instant::now();
                    let _ = form.read(&body);
                    slowest = slowest.max(begun.elapsed());
                }
            }
        }
    }
    // A search that were not bounded would take a second and more: 80,000 bytes, looked at 10,000 times.
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
}

/// A fault of the kinds that servers make.
fn mutate(text: &mut Vec<u8>, kind: usize, place: &Index, byte: u8) {
    let place = place.index(text.len());
    match kind {
        0 => text[place] = byte,
        1 => drop(text.remove(place)),
        2 => text.insert(place, byte),
        3 => text.truncate(place),
        4 => drop(text.splice(place..place, *b"NaN")),
        _ => text.swap(place, place / 2),
    }
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![6 => prop::sample::select(&b"{}[]\",:\\ \n"[..]), 1 => any::<u8>()]
}

/// Whether these are the first of those.
fn begins_with(records: &[&[u8]], first: &[Vec<u8>]) -> bool {
    records.len() >= first.len() && records.iter().zip(first).all(|(record, first)| record == first)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn good_records_around_a_mutated_one_come_out_or_the_page_is_unreadable(
        form in prop::sample::select(&FORMS[..]),
        odd_place in 0_usize..6,
        faults in prop::collection::vec((0_usize..6, any::<Index>(), byte()), 1..4),
    ) {
        let mut records: Vec<_> = (0..6).map(good).collect();
        for (kind, place, byte) in &faults {
            if !records[odd_place].is_empty() {
                mutate(&mut records[odd_place], *kind, place, *byte);
            }
        }
        let body = form.page(&records);
        if let Ok(page) = form.read(&body) {
            prop_assert!(begins_with(&page.records, &records[..odd_place]), "{}", body.escape_ascii());
            let behind = &records[odd_place + 1..];
            let last = page.records.len().saturating_sub(behind.len());
            prop_assert!(begins_with(&page.records[last..], behind), "{}", body.escape_ascii());
            let whole: Vec<_> = page.records.iter().copied().chain(page.odd.iter().map(|odd| odd.text)).collect();
            let text = &records[odd_place][..];
            for part in whole.iter().filter(|part| !records.iter().any(|record| record == *part)) {
                prop_assert!(text.windows(part.len()).any(|window| window == *part), "{}", part.escape_ascii());
            }
        }
    }

    #[test]
    fn a_page_mutated_anywhere_mixes_no_bytes(
        form in prop::sample::select(&FORMS[..]),
        faults in prop::collection::vec((0_usize..6, any::<Index>(), byte()), 1..8),
    ) {
        let records: Vec<_> = (0..6).map(good).collect();
        let mut body = form.page(&records);
        for (kind, place, byte) in &faults {
            if !body.is_empty() {
                mutate(&mut body, *kind, place, *byte);
            }
        }
        if let Ok(page) = form.read(&body) {
            let mut ranges: Vec<_> =
                page.records.iter().copied().chain(page.odd.iter().map(|odd| odd.text)).map(<[u8]>::as_ptr_range).collect();
            ranges.sort_by_key(|range| range.start);
            prop_assert!(ranges.is_sorted_by(|before, after| before.end < after.start));
        }
    }

    #[test]
    fn arbitrary_records_never_panic(
        form in prop::sample::select(&FORMS[..]),
        list in prop::collection::vec(byte(), 0..200),
    ) {
        let _ = form.read(&form.page(&[list]));
    }
}

#[test]
fn every_form_reads_good_pages() {
    for Form { before, after, place } in FORMS {
        let records: Vec<_> = (0..3).map(good).collect();
        let form = Form { before, after, place };
        let body = form.page(&records);
        let page = form.read(&body).unwrap();
        assert_eq!(page.records, records);
        assert!(page.odd.is_empty() && page.warning.is_none());
    }
}
