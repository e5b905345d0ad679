use super::*;
use crate::keys;
use duohuo_wire::sign::SigningKey;

pub(crate) fn example(operator: &SigningKey) -> Roster {
    let node = |id: u32, room: u16, priority: u8| {
        let byte = u8::try_from(id % 251).expect("small");
        NodeEntry {
            id: NodeId(id),
            name: format!("node {id}"),
            room: RoomId(room),
            priority,
            address: format!("127.1.1.{byte}:4750").parse().expect("address"),
            session_key: keys::session_public(&[byte; 32]),
            signing_key: keys::signing_public(&[byte.wrapping_add(1); 32]),
        }
    };
    Roster {
        consortium: [7; 16],
        version: 3,
        authority: Party {
            address: "127.9.0.1:4750".parse().expect("address"),
            session_key: keys::session_public(&[201; 32]),
            signing_key: keys::signing_public(&[202; 32]),
        },
        clusters: vec![ClusterEntry {
            id: ClusterId(1),
            name: "A".into(),
            group: "239.77.0.1:4750".parse().expect("group"),
            nodes: vec![node(101, 1, 200), node(102, 2, 150)],
        }],
        clients: vec![ClientEntry {
            id: NodeId(9001),
            name: "bank".into(),
            session_key: keys::session_public(&[203; 32]),
        }],
        signature: [0; 64],
    }
    .sign(operator)
}

#[test]
fn a_roster_comes_back_from_its_file_as_it_was_signed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("roster.toml");
    let operator = SigningKey::from_bytes(&[1; 32]);
    let roster = example(&operator);
    write(&path, &roster).expect("write");
    let read = read_verified(&path, &operator.verifying_key().to_bytes()).expect("it verifies");
    assert_eq!(read, roster);
    // layout and comments are not signed
    let text = std::fs::read_to_string(&path).expect("text");
    std::fs::write(&path, format!("# a note\n\n{text}\n")).expect("write");
    assert_eq!(read_verified(&path, &operator.verifying_key().to_bytes()).expect("it verifies"), roster);
}

#[test]
fn a_changed_roster_or_another_operator_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("roster.toml");
    let operator = SigningKey::from_bytes(&[1; 32]);
    let text = to_text(&example(&operator));
    std::fs::write(&path, text.replace("priority = 150", "priority = 151")).expect("write");
    let error = read_verified(&path, &operator.verifying_key().to_bytes()).expect_err("changed");
    assert_eq!(
        error.to_string(),
        format!(
            "{}: `signature`: it is not the operator's over this content; expected the signature of the key \
             8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c; take the roster that the operator signed, unchanged, \
             and check `operator_public_key` of the configuration",
            path.display()
        )
    );
    std::fs::write(&path, text).expect("write");
    assert!(read_verified(&path, &keys::signing_public(&[2; 32])).is_err());
}

#[test]
fn bad_fields_are_named() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("roster.toml");
    let operator = SigningKey::from_bytes(&[1; 32]);
    let text = to_text(&example(&operator));
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("write");
        let error = read_unverified(&path).expect_err(from).to_string();
        error.strip_prefix(&format!("{}: ", path.display())).expect("the file").to_owned()
    };
    let advice = "take the roster that the operator signed, unchanged";
    assert_eq!(
        wrong("consortium = \"07", "consortium = \"7"),
        format!("`consortium`: not a consortium id; expected 32 hex digits; {advice}")
    );
    assert_eq!(
        wrong("session_key = \"", "session_key = \"zz"),
        format!("`authority.session_key`: not a public key; expected 64 hex digits; {advice}")
    );
    let text = wrong("priority = 200", "priority = 300");
    assert!(
        text.starts_with("`cluster[0].node[0].priority`: invalid value: integer `300`, expected u8"),
        "{text}"
    );
    let text = wrong("room = 1", "rooom = 1");
    assert!(text.contains("unknown field `rooom`"), "{text}");
}
