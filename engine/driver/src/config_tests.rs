use super::*;
use duohuo_wire::ids::{ClusterId, RoomId};
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party};
use duohuo_wire::sign::SigningKey;
use std::os::unix::fs::PermissionsExt as _;

struct Files {
    directory: tempfile::TempDir,
    config: PathBuf,
    operator: SigningKey,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let operator = SigningKey::from_bytes(&[1; 32]);
        let node = |id: u32, byte: u8| NodeEntry {
            id: NodeId(id),
            name: format!("a{id}"),
            room: RoomId(1),
            priority: 100,
            address: format!("127.1.1.{byte}:4750").parse().expect("address"),
            session_key: keys::session_public(&[byte; 32]),
            signing_key: keys::signing_public(&[byte + 100; 32]),
        };
        let roster = Roster {
            consortium: [7; 16],
            version: 1,
            authority: Party {
                address: "127.9.0.1:4750".parse().expect("address"),
                session_key: keys::session_public(&[90; 32]),
                signing_key: keys::signing_public(&[91; 32]),
            },
            clusters: vec![ClusterEntry {
                id: ClusterId(1),
                name: "A".into(),
                group: "239.77.0.1:4750".parse().expect("group"),
                nodes: vec![node(101, 1), node(102, 2)],
            }],
            clients: vec![],
            signature: [0; 64],
        }
        .sign(&operator);
        let at = |name: &str| directory.path().join(name);
        roster_file::write(&at("roster.toml"), &roster).expect("roster");
        keys::write_secret(&at("session.key"), &[1; 32]).expect("key");
        keys::write_secret(&at("signing.key"), &[101; 32]).expect("key");
        keys::write_secret(&at("group.key"), &[50; 32]).expect("key");
        std::fs::write(at("genesis.toml"), "[[account]]\nid = 1\nbalance = 100\n").expect("genesis");
        let config = at("node.toml");
        let files = Self { config, operator, directory };
        files.configure("", "");
        files
    }

    fn text(&self) -> String {
        format!(
            "node = 101\nroster = \"roster.toml\"\noperator_public_key = \"{}\"\nstore = \"node.redb\"\ngenesis = \"genesis.toml\"\n\n\
             [keys]\nsession = \"session.key\"\nsigning = \"signing.key\"\ngroup = \"group.key\"\n\n[timers]\nkeepalive_interval_ms = 10\n",
            keys::hex(&self.operator.verifying_key().to_bytes())
        )
    }

    fn configure(&self, from: &str, to: &str) {
        let text = if from.is_empty() { self.text() } else { self.text().replacen(from, to, 1) };
        std::fs::write(&self.config, text).expect("config");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn error(&self) -> String {
        let error = NodeSettings::read(&self.config).expect_err("refused").to_string();
        let prefix = format!("{}/", self.directory.path().display());
        error.replace(&prefix, "")
    }
}

#[test]
fn a_complete_configuration_is_read() {
    let files = Files::new();
    let settings = NodeSettings::read(&files.config).expect("it is right");
    assert_eq!(settings.node, NodeId(101));
    assert_eq!(settings.timers, Timers::for_keepalive(Duration::from_millis(10)));
    assert_eq!(*settings.session_secret, [1; 32]);
    assert_eq!(settings.genesis, [(1, 100)]);
    assert_eq!(settings.store, files.path("node.redb"));
    assert!(!settings.drill_allowed);
    assert_eq!(settings.log, LogSettings { format: LogFormat::Plain, level: LogLevel::Info });
}

#[test]
fn a_number_out_of_range_is_told_with_the_range() {
    let files = Files::new();
    for (value, expected) in [
        (
            "0",
            "node.toml: `timers.keepalive_interval_ms`: 0 is out of range; expected 1..=10000 (milliseconds); use the value of the other processes of this network",
        ),
        (
            "10001",
            "node.toml: `timers.keepalive_interval_ms`: 10001 is out of range; expected 1..=10000 (milliseconds); use the value of the other processes of this network",
        ),
        (
            "\"10\"",
            "node.toml: `timers.keepalive_interval_ms`: invalid type: string \"10\", expected u64 (line 13); expected what the example has there; duohuo keygen network writes a complete example",
        ),
    ] {
        files.configure("keepalive_interval_ms = 10", &format!("keepalive_interval_ms = {value}"));
        assert_eq!(files.error(), expected);
    }
    files.configure("keepalive_interval_ms = 10", "keepalive_interval_ms = 10000");
    assert!(NodeSettings::read(&files.config).is_ok());
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let files = Files::new();
    files.configure("keepalive_interval_ms", "keepalive_intervall_ms");
    assert_eq!(
        files.error(),
        "node.toml: `timers.keepalive_intervall_ms`: unknown field `keepalive_intervall_ms`, expected `keepalive_interval_ms` (line 13); expected what the example has there; duohuo keygen network writes a complete example"
    );
    files.configure("store = \"node.redb\"\n", "");
    assert!(files.error().contains("missing field `store`"), "{}", files.error());
    files.configure("node = 101", "node = ");
    assert!(files.error().starts_with("node.toml: syntax: "), "{}", files.error());
}

#[test]
fn an_unknown_node_and_a_wrong_key_are_told() {
    let files = Files::new();
    files.configure("node = 101", "node = 109");
    assert_eq!(
        files.error(),
        "node.toml: node: 109 is not in the roster roster.toml; expected the id of a node of the roster; correct `node`, or enrol the node in a new roster"
    );
    files.configure("node = 101", "node = 102");
    assert!(files.error().starts_with("session.key: file: its public key is "), "{}", files.error());
    files.configure("operator_public_key = \"", "operator_public_key = \"00");
    assert_eq!(
        files.error(),
        "node.toml: `operator_public_key`: not an Ed25519 public key; expected 64 hex digits; copy the operator's public key (operator.pub) into it"
    );
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let files = Files::new();
    std::fs::set_permissions(files.path("group.key"), std::fs::Permissions::from_mode(0o640)).expect("chmod");
    let path = files.path("group.key");
    assert_eq!(
        NodeSettings::read(&files.config).expect_err("too open").to_string(),
        format!(
            "{p}: permissions: 0640 lets others read the secret; expected 0600; chmod 600 {p}; if others had access, make new keys",
            p = path.display()
        )
    );
}

#[test]
fn a_bad_key_file_is_refused() {
    let files = Files::new();
    let path = files.path("session.key");
    std::fs::write(&path, "01020304\n").expect("write");
    assert_eq!(
        files.error(),
        "session.key: content: 8 characters that are not one key; expected 64 hex digits; bring it again from the operator's directory (duohuo roster pack)"
    );
    std::fs::remove_file(&path).expect("remove");
    assert!(files.error().starts_with("session.key: file: No such file or directory"), "{}", files.error());
}

#[test]
fn a_reload_takes_only_a_newer_roster_of_the_same_operator() {
    let files = Files::new();
    let path = files.path("roster.toml");
    let operator_key = files.operator.verifying_key().to_bytes();
    let (mut source, roster) = RosterSource::open(&path, operator_key).expect("open");
    let error = source.reload().expect_err("the same version").to_string();
    assert!(
        error.contains("`1 is not newer")
            || error.contains("version: 1 is not newer than the roster in force"),
        "{error}"
    );
    let newer = Roster { version: 2, ..roster.clone() };
    roster_file::write(&path, &newer).expect("write");
    assert!(source.reload().expect_err("not signed").to_string().contains("`signature`"));
    roster_file::write(&path, &newer.sign(&files.operator)).expect("write");
    assert_eq!(source.reload().expect("newer").version, 2);
    assert!(source.reload().is_err());
}
