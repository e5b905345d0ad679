//! `duohuo layout`: a plan is a file that check accepts, and a network's roster can be checked like a layout.

use crate::network::{Network, run, text};

#[test]
fn a_plan_is_accepted_and_with_the_authority_among_the_nodes_it_is_refused_with_a_better_place() {
    let network = Network::new(2);
    let planned = run(&["layout", "plan", "--rooms", "4", "--survive", "2"]);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned.stderr));
    let file = network.file("plan.toml");
    std::fs::write(&file, &planned.stdout).expect("write");
    let checked = run(&["layout", "check", "--survive", "2", &file]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    let asked_too_much = run(&["layout", "check", "--survive", "3", &file]);
    assert_eq!(asked_too_much.status.code(), Some(0), "three of four clusters still decide (DEP-3)");
    let refused = run(&["layout", "check", "--authority-room", "1", &file]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stdout);
    assert!(told.contains("REFUSED: room 1 lost: STOPS: 1 of 4 act, 3 decide"), "{told}");
    assert!(
        told.ends_with(
            "better: the same nodes, and the authority in a room without nodes (authority_room = 5)\n"
        ),
        "{told}"
    );
    let too_few = run(&["layout", "plan", "--rooms", "2", "--survive", "2"]);
    assert_eq!(too_few.status.code(), Some(1));
    assert!(
        text(&too_few.stderr)
            .contains("2 rooms cannot survive the loss of 2: expected at least 3 rooms with nodes")
    );
}

#[test]
fn a_roster_is_checked_and_what_it_leaves_open_is_said() {
    let network = Network::new(2);
    let checked = run(&["layout", "check", "-o", "json", &network.file("net/roster.toml")]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let value: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((&value["schema"], &value["clusters"], &value["survives"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(value["authority_said"], false);
    let told = text(&run(&["layout", "check", &network.file("net/roster.toml")]).stdout);
    assert!(
        told.contains("open: were the authority in room 1, the loss of that room: the chain STOPS"),
        "{told}"
    );
    let missing = run(&["layout", "check", "/nonexistent/layout.toml"]);
    assert_eq!(missing.status.code(), Some(4));
}
