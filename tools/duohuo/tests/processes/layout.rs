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

/// DEP-1 to DEP-4: what the patent says of its figures, and what they leave open, of the files that stand among the examples.
#[test]
fn the_figures_of_the_patent_survive_what_it_says_and_leave_open_where_the_authority_stands() {
    let check = |name: &str, more: &[&str]| {
        let file = format!("{}/../examples/layouts/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let checked = run(&[&["layout", "check", &file], more].concat());
        (checked.status.code(), text(&checked.stdout))
    };
    let holds = |(code, told): (Option<i32>, String), expected: i32, lines: &[&str]| {
        assert_eq!(code, Some(expected), "{told}");
        for line in lines {
            assert!(told.lines().any(|l| l == *line), "no line {line:?} in:\n{told}");
        }
    };
    // DEP-1: either room carries all four masters; the one link between them, with an authority that hears both, is not in the figure.
    let dep_1 = [
        "  1            goes on with 4 of 4; A -> a2 in room 2; B -> b2 in room 2",
        "  2            goes on with 4 of 4; C -> c2 in room 1; D -> d2 in room 1",
        "any 1 of rooms 1 2 may be lost: the chain goes on with at least 4 of 4 clusters",
        "warning: one cut link, 1 - 2, stops the chain while the authority hears both ends: it moves no master that it hears (R6); spread the masters over more rooms, or give that link a second path",
        "open: were the authority in room 1, the loss of that room: the chain STOPS, 0 of 4 clusters act",
        "accepted",
    ];
    holds(check("two-companies", &[]), 0, &dep_1);
    // DEP-2: any two; DEP-3: of any three, three masters are left, which is a quorum.
    let dep_2_and_3 = [
        "any 2 of rooms 1 2 3 4 may be lost: the chain goes on with at least 4 of 4 clusters",
        "any 3 of rooms 1 2 3 4 may be lost: the chain goes on with at least 3 of 4 clusters",
        "open: were the authority in room 4, the loss of that room: the chain STOPS, 1 of 4 clusters act",
        "accepted",
    ];
    holds(check("four-companies", &["--survive", "3"]), 0, &dep_2_and_3);
    let (_, all) = check("four-companies", &["--all"]);
    let which = all.lines().find(|l| l.starts_with("  1 2 3        ")).map(str::trim_start);
    let third = "1 2 3        goes on with 3 of 4; A waits: all its nodes are lost; B -> b3 in room 4; C -> c2 in room 4";
    assert_eq!(which, Some(third), "{all}");
    // DEP-4: any three, with all four masters.
    let dep_4 =
        ["any 3 of rooms 1 2 3 4 may be lost: the chain goes on with at least 4 of 4 clusters", "accepted"];
    holds(check("four-nodes-each", &["--survive", "3"]), 0, &dep_4);
    // What the figures leave open is refused where it is said wrongly.
    let refused = ["better: the same nodes, and the authority in a room without nodes (authority_room = 3)"];
    holds(check("two-companies", &["--authority-room", "1"]), 1, &refused);
}
