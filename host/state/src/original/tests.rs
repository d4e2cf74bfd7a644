//! Pickles that Python made (`testdata/make.py` says how), and what an attacker or a bad disk could put in
//! their place.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::folder::scratch::Scratch;

/// One state in every protocol.
const STATES: [&[u8]; 6] = [
    include_bytes!("testdata/state-0.pickle"),
    include_bytes!("testdata/state-1.pickle"),
    include_bytes!("testdata/state-2.pickle"),
    include_bytes!("testdata/state-3.pickle"),
    include_bytes!("testdata/state-4.pickle"),
    include_bytes!("testdata/state-5.pickle"),
];

/// Another, with dates in place of texts.
const DATES: [&[u8]; 6] = [
    include_bytes!("testdata/dates-0.pickle"),
    include_bytes!("testdata/dates-1.pickle"),
    include_bytes!("testdata/dates-2.pickle"),
    include_bytes!("testdata/dates-3.pickle"),
    include_bytes!("testdata/dates-4.pickle"),
    include_bytes!("testdata/dates-5.pickle"),
];

const COMMANDS: [&[u8]; 2] = [include_bytes!("testdata/command.pickle"), include_bytes!("testdata/command-0.pickle")];
const LAUGHS: &[u8] = include_bytes!("testdata/laughs.pickle");
const ENDLESS: &[u8] = include_bytes!("testdata/endless.pickle");

/// The name of the original's file for `cloudsek;cloudsek_1;alerts;None`.
const NAME: &str = "95fbbcf4d968bee50b610e76801bc2f3";

fn translated(content: &[u8]) -> Value {
    serde_json::from_slice(&translate(content).unwrap().unwrap()).unwrap()
}

fn pickle_error(content: &[u8]) -> PickleError {
    match translate(content).unwrap_err() {
        Problem::Pickle(error) => error,
        other => panic!("{other}"),
    }
}

fn found(scratch: &Scratch) -> Result<Option<Vec<u8>>, OriginalError> {
    find_file(&scratch.rooted(""), "cloudsek;cloudsek_1;alerts;None")
}

#[test]
fn the_originals_state_is_translated_whatever_python_wrote_it() {
    for state in STATES {
        assert_eq!(
            translated(state),
            json!({
                "initial_start_time_in_utc": "2022-01-01T00:00:00Z",
                "last_event_time_in_utc": "2022-01-02T03:04:05.678Z",
                "last_ids": ["1a2b3c", "é\\\n€😀", 7, -1, 70_000, 1_u64 << 40],
                "@persistence_version": 1,
            })
        );
    }
}

#[test]
fn dates_and_tuples_are_translated_without_running_anything() {
    for state in DATES {
        assert_eq!(
            translated(state),
            json!({
                "initial_start_time_in_utc": "2022-01-01T00:00:00Z",
                "last_event_time_in_utc": "2022-01-02T03:04:05.678Z",
                "last_ids": ["1a2b3c"],
                "@persistence_version": 1,
                "reset_persistence_auth": "true",
            })
        );
    }
}

#[test]
fn the_zone_of_another_library_is_known_too() {
    let date =
        b"\x80\x03}X\x16\0\0\0last_event_time_in_utccdatetime\ndatetime\nC\x0a\x07\xe6\x01\x02\x03\x04\x05\0\0\0";
    let pickle = [&date[..], b"cpytz\n_UTC\n)R\x86Rs."].concat();
    assert_eq!(translated(&pickle)["last_event_time_in_utc"], "2022-01-02T03:04:05Z");
}

#[test]
fn the_json_that_redis_holds_is_translated_too() {
    let state = br#" {"initial_start_time_in_utc": null, "last_event_time_in_utc": "2022-01-02 03:04:05+02:00",
        "last_ids": [], "reset_persistence_auth": 7, "@persistence_version": 1, "more": {}}"#;
    assert_eq!(
        translated(state),
        json!({
            "initial_start_time_in_utc": null,
            "last_event_time_in_utc": "2022-01-02T01:04:05Z",
            "last_ids": [],
            "@persistence_version": 1,
            "reset_persistence_auth": "7",
        })
    );
}

#[test]
fn every_form_of_a_time_means_the_same_instant() {
    let expected = Some("2022-01-02T03:04:05Z".parse().unwrap());
    for text in [
        "2022-01-02T03:04:05Z",
        "2022-01-02T03:04:05.000Z",
        "2022-01-02T04:04:05+01:00",
        "2022-01-02T04:04:05+0100",
        "2022-01-02 03:04:05",
        "2022-01-02 03:04:05 UTC",
        "2022-01-02 03:04:05.000000+00:00",
        "2022-01-02T03:04:05",
    ] {
        assert_eq!(time("time", &text.into()).unwrap(), expected, "{text}");
    }
    assert_eq!(time("time", &json!(1_641_092_645)).unwrap(), expected);
    assert_eq!(time("time", &json!(1_641_092_645_000_i64)).unwrap(), expected);
    for nonsense in [json!("yesterday"), json!(""), json!(true), json!(-1), json!(1e300), json!([])] {
        assert!(time("time", &nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn an_empty_state_is_none() {
    // None and {}.
    for state in [b"\x80\x04N.".as_slice(), b"\x80\x04}\x94.", b"{}"] {
        assert!(translate(state).unwrap().is_none());
    }
}

#[test]
fn what_is_no_state_is_an_error_that_says_why() {
    for (content, expected) in [
        ("", "it ends too early"),
        ("\0\0\0", "it holds the pickle instruction 0x00"),
        ("(lp0\n.", "it is no dict"),
        ("{", "it is not valid JSON"),
        ("{\"a\":1}", "it has no last_event_time_in_utc"),
        ("{\"last_event_time_in_utc\":\"soon\"}", "its last_event_time_in_utc is not a time"),
        ("{\"last_event_time_in_utc\":null,\"@persistence_version\":2}", "its @persistence_version is not 1"),
        ("{\"last_event_time_in_utc\":null,\"last_ids\":[null]}", "its last_ids is not a list of texts"),
        ("{\"last_event_time_in_utc\":null,\"last_ids\":\"a\"}", "its last_ids is not a list of texts"),
    ] {
        let problem = translate(content.as_bytes()).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn a_pickled_command_is_named_and_never_run() {
    for command in COMMANDS {
        let error = pickle_error(command);
        // Python calls it by the system's name.
        assert_eq!(error, PickleError::Object("posix.system".to_owned()));
        assert!(error.to_string().contains("nothing of it was run"));
    }
    assert!(!Path::new("executed").exists());
}

#[test]
fn the_ways_to_make_an_object_are_refused() {
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, BUILD, PERSID, BINPERSID, EXT1, EXT2, EXT4.
    for instruction in *b"io\x81\x92bPQ\x82\x83\x84" {
        assert_eq!(
            pickle_error(&[b"\x80\x04)}", &[instruction][..], b"."].concat()),
            PickleError::Instruction(instruction)
        );
    }
    // A date of the thirteenth month, of one byte, of nothing, without a tuple of arguments, and one built of
    // itself.
    let arguments: [&[u8]; 5] = [b"C\x0a\x07\xe6\x0d\x01\0\0\0\0\0\0\x85", b"C\x01\x07\x85", b")", b"}", b"q\0h\0\x85"];
    for arguments in arguments {
        let pickle = [b"cdatetime\ndatetime\n", arguments, b"R."].concat();
        assert!(matches!(pickle_error(&pickle), PickleError::Nonsense(_)), "{arguments:?}");
    }
}

#[test]
fn a_hostile_name_does_not_fill_the_log() {
    let pickle = format!("c{}\n\u{1b}[2J\n.", "a".repeat(1_000_000));
    let PickleError::Object(name) = pickle_error(pickle.as_bytes()) else { panic!() };
    assert_eq!(name, format!("{}.\\u{{1b}}[2J", "a".repeat(40)));
}

#[test]
fn a_few_bytes_never_stand_for_gigabytes() {
    assert_eq!(pickle_error(LAUGHS), PickleError::TooLarge);
    assert_eq!(pickle_error(ENDLESS), PickleError::TooDeep);
    // Four gigabytes of text that are announced and don't come.
    assert_eq!(pickle_error(b"X\xff\xff\xff\xff"), PickleError::Truncated);
    assert_eq!(pickle_error(b"B\xff\xff\xff\x7f"), PickleError::Truncated);
    // One text of a megabyte, mentioned again and again.
    let text = "a".repeat(1 << 20);
    let long = [b"X\0\0\x10\0", text.as_bytes(), b"q\0(", "h\0".repeat(1_000).as_bytes(), b"l."].concat();
    assert_eq!(pickle_error(&long), PickleError::TooLarge);
}

#[test]
fn a_text_is_not_encoded_again_and_again() {
    // One text of 64 kilobytes; each further call of eight bytes would copy it.
    let text = "a".repeat(1 << 16);
    let head = [b"c_codecs\nencode\nq\0X\0\0\x01\0", text.as_bytes(), b"q\x01X\x06\0\0\0latin1q\x02"].concat();
    let pickle = [&head[..], &b"h\0h\x01h\x02\x86R".repeat(50_000), b"."].concat();
    assert!(matches!(pickle_error(&pickle), PickleError::Nonsense(at) if at < head.len() + 10));
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for (open, close) in [(&b"]"[..], &b"a"[..]), (b"(", b"l"), (b"(", b"t"), (b"", b"\x85")] {
        let pickle = [b"]", &open.repeat(200_000)[..], &close.repeat(200_000), b"."].concat();
        assert_eq!(pickle_error(&pickle), PickleError::TooDeep);
    }
    assert_eq!(pickle_error(&b"(".repeat(1 << 20)), PickleError::TooLarge);
    let json = format!("{{\"a\":{}", "[".repeat(1 << 20));
    assert!(matches!(translate(json.as_bytes()).unwrap_err(), Problem::Json(_)));
}

#[test]
fn a_state_cut_off_anywhere_is_an_error_and_never_a_shorter_state() {
    for state in STATES.into_iter().chain(DATES) {
        for length in 0..state.len() {
            assert!(translate(&state[..length]).is_err(), "{length}");
        }
        assert_eq!(pickle_error(&[state, b"\0"].concat()), PickleError::TrailingBytes);
    }
}

#[test]
fn the_file_is_found_under_its_hash_and_under_its_plain_name() {
    for name in [NAME, "cloudsek;cloudsek_1;alerts;None"] {
        let scratch = Scratch::new();
        assert!(found(&scratch).unwrap().is_none());
        fs::write(scratch.join(name), STATES[4]).unwrap();
        assert!(found(&scratch).unwrap().is_some());
        assert!(find_file(&scratch.rooted(""), "cloudsek;cloudsek_2;alerts;None").unwrap().is_none());
        assert_eq!(fs::read(scratch.join(name)).unwrap(), STATES[4], "it is left as it was");
        assert_eq!(scratch.names(), [name]);
    }
}

#[test]
fn a_missing_folder_holds_no_state() {
    let scratch = Scratch::new();
    assert!(find_file(&scratch.rooted("state"), "cloudsek;cloudsek_1;alerts;None").unwrap().is_none());
}

#[test]
fn a_name_does_not_lead_out_of_the_folder() {
    let scratch = Scratch::new();
    let folder = scratch.join("state");
    fs::create_dir(&folder).unwrap();
    fs::write(scratch.join("a;b;alerts;None"), STATES[0]).unwrap();
    for input in ["../a", "a\0", &"a".repeat(1_000)] {
        assert!(find_file(&scratch.rooted("state"), &format!("{input};b;alerts;None")).unwrap().is_none());
    }
}

#[test]
fn a_state_that_cannot_be_taken_over_is_an_error_with_the_file_and_a_remedy() {
    let scratch = Scratch::new();
    fs::write(scratch.join(NAME), COMMANDS[0]).unwrap();
    let error = found(&scratch).unwrap_err().to_string();
    assert!(error.contains(NAME) && error.contains("posix.system") && error.contains("move it elsewhere"), "{error}");
    let file = fs::File::create(scratch.join(NAME)).unwrap();
    file.set_len(LARGEST_FILE * 1_000).unwrap();
    assert!(matches!(found(&scratch), Err(OriginalError::Unusable { problem: Problem::TooLarge, .. })));
    fs::remove_file(scratch.join(NAME)).unwrap();
    fs::create_dir(scratch.join(NAME)).unwrap();
    assert!(matches!(found(&scratch), Err(OriginalError::Read { .. })));
}

/// The instructions that do something, with arguments that are often right.
fn any_instruction() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(b"(N]})ltadesuR\x85\x86\x87\x88\x89\x93\x94".to_vec()).prop_map(|byte| vec![byte]),
        (prop::sample::select(b"Kqh".to_vec()), 0u8..8).prop_map(|(instruction, key)| vec![instruction, key]),
        any::<[u8; 10]>().prop_map(|bytes| [&b"C\x0a"[..], &bytes].concat()),
        prop::sample::select(vec!["datetime", "timedelta", "timezone", "last_event_time_in_utc"]).prop_map(|text| [
            &[0x8c, text.len() as u8][..],
            text.as_bytes()
        ]
        .concat()),
        prop::sample::select(vec!["cdatetime\ndatetime\n", "cdatetime\ntimedelta\n", "cdatetime\ntimezone\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_are_a_panic(content: Vec<u8>) {
        let _ = translate(&content);
    }

    #[test]
    fn no_changed_state_is_a_panic(
        state in prop::sample::select([STATES, DATES].concat()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut state = state.to_vec();
        for (at, byte) in changes {
            let at = at.index(state.len());
            state[at] = byte;
        }
        let _ = translate(&state);
    }

    #[test]
    fn no_instructions_are_a_panic(instructions in prop::collection::vec(any_instruction(), 0..60)) {
        let _ = translate(&[&instructions.concat()[..], b"."].concat());
    }
}
