//! Configurations of tenants that mean harm: to the host's time, its log, its network, and the requests that leave it.

use std::fmt::Write;

use sandbox::PATIENCE;
use sandbox::hosting::Hosting;

const UNKNOWN: usize = 80_000;

#[test]
fn of_eighty_thousand_unknown_keys_the_first_are_named_and_nobody_waits() {
    let hosting = Hosting::new("hostile-keys").unwrap();
    let neighbour = hosting.add("neighbour", 10).unwrap();
    let attacker = hosting.add_prepared("attacker", 10, |stage| {
        let mut yaml = stage.settings.yaml();
        for number in 0..UNKNOWN {
            writeln!(yaml, "k{number:05}: 1")?;
        }
        assert!((800_000..1_000_000).contains(&yaml.len()));
        stage.installation.write_config(&yaml)
    });
    let attacker = attacker.unwrap();
    let collector = hosting.start().unwrap();
    neighbour.wait_for_all(&collector).unwrap();
    attacker.wait_for_all(&collector).unwrap();
    let named = collector.lines_with(&[" attacker/", "is not known and has no effect"]);
    assert_eq!(named.len(), 20, "{named:?}");
    collector.wait_for_line(&[" attacker/", "79980 more keys are not known and have no effect"], PATIENCE).unwrap();
    // Rewritten again and again, it is in nobody's way.
    let text = std::fs::read_to_string(attacker.installation.config()).unwrap();
    for round in 0..3 {
        attacker.installation.write_config(&format!("{text}again{round}: 1\n")).unwrap();
        let new = hosting.add(&format!("new-{round}"), 10).unwrap();
        new.wait_for_all(&collector).unwrap();
    }
}
