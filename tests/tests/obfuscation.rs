//! Masks that the operator asks for: what they cover never reaches Devo, and a rule that can't work stops the
//! start.

use sandbox::PATIENCE;
use sandbox::stage::Stage;

const RULES: &str = "obfuscation_data:\n  - name: [event_details, description]\n  - name: [nowhere]\n  - name: [event_details, incident_details]\n    value: 0\n  - name: [event_details, event_url]\n    string_patterns: [\"^https?\"]\n";

#[test]
fn what_is_masked_never_leaves_in_clear() {
    let mut stage = Stage::new("masks", 150).unwrap();
    stage.settings.service += RULES;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(150).unwrap();
    let events = stage.arrived();
    assert_eq!(events.len(), 150);
    for event in events {
        // Some alerts hold text that JSON libraries refuse, so the events are looked at as they are written.
        let line = String::from_utf8_lossy(&event.line);
        for masked in
            ["\"description\":\"****SANITIZED****\"", "\"incident_details\":0", "\"event_url\":\"****SANITIZED****://"]
        {
            assert!(line.contains(masked), "{line}");
        }
        assert!(!line.contains("incident_status"), "{line}");
    }
}

#[test]
fn a_rule_that_can_not_work_stops_the_start() {
    let mut stage = Stage::new("bad-mask", 5).unwrap();
    stage.settings.service += "obfuscation_data:\n  - name: [a]\n    string_patterns: [\"(\"]\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector
        .wait_for_complaint(&["InitVariablesError [CODE:0005]", "obfuscation_data[0].string_patterns[0]"])
        .unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    assert!(stage.arrived().is_empty());
}
