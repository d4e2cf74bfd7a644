//! The collector is killed at random moments while alerts keep arriving. `just torture` does it a thousand times.

use sandbox::torture::Torture;

#[test]
fn no_kill_loses_an_alert() {
    let outcome = Torture { kills: 25, alerts: 4_000, seed: 1 }.run(|_| ()).unwrap();
    outcome.is_as_promised().unwrap();
    assert!(outcome.tally.killed_while_sending > 5, "too few kills met a process that had begun to send");
}
