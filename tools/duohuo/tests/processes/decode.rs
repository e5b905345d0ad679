//! `duohuo decode`: what it prints, what it says of bad input, and how it ends.

use crate::network::{duohuo, run, text};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

fn capture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wireshark/captures").join(name)
}

/// The first Cookie of the vectors, and its fields.
fn cookie() -> (String, serde_json::Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/packet_03_cookie.json");
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON");
    let test = &file["tests"][0];
    (test["hex"].as_str().expect("hex").to_owned(), test["fields"].clone())
}

fn piped(arguments: &[&str], input: &str) -> Output {
    let mut child = duohuo()
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_packet_is_shown_from_an_argument_from_standard_input_and_from_a_file() {
    let (hex, fields) = cookie();
    let argument = run(&["decode", "--json", &hex]);
    assert_eq!(argument.status.code(), Some(0), "{}", text(&argument.stderr));
    let shown: serde_json::Value = text(&argument.stdout).parse().expect("one JSON object");
    assert_eq!((&shown["packet"], &shown["fields"]), (&"Cookie".into(), &fields));
    assert_eq!(piped(&["--json"], &format!("{hex}\n")).stdout, argument.stdout);
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&[bytes.clone(), bytes].concat()).expect("written");
    let path = file.path().to_str().expect("a path");
    let twice = run(&["decode", "--json", "--as", "stream", "--file", path]);
    assert_eq!(text(&twice.stdout), text(&argument.stdout).repeat(2));
    let mut written = tempfile::NamedTempFile::new().expect("a file");
    writeln!(written, "{}\n{}", &hex[..40], &hex[40..]).expect("written");
    let path = written.path().to_str().expect("a path");
    assert_eq!(run(&["decode", "--json", "--file", path]).stdout, argument.stdout);
    let lines = text(&run(&["decode", &hex]).stdout);
    assert!(lines.starts_with("Cookie\n") && lines.contains("\n    initiator_session = "), "{lines}");
}

#[test]
fn a_refused_packet_names_the_reason_the_field_and_where_it_stands() {
    let (mut hex, _) = cookie();
    hex.replace_range(26..28, "02");
    let output = run(&["decode", &hex]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(told.contains("refused.reason = bad_crc"), "the CRC is asked before the suite: {told}");
    hex.replace_range(8..10, "07");
    let output = text(&run(&["decode", "--json", &hex]).stdout);
    let refused = r#"{ "refused": { "reason": "bad_version", "text": "protocol version 7, expected 1", "field": "version", "offset": 4 } }"#;
    assert_eq!(output.trim_end(), refused);
}

#[test]
fn a_capture_of_a_failover_is_opened_with_its_keys_and_told_as_sealed_without() {
    let (file, keys) = (capture("demo-rec-1.pcapng"), capture("demo-rec-1.keys"));
    let file = file.to_str().expect("a path");
    let opened = run(&["decode", "--json", "--file", file, "--key-log", keys.to_str().expect("a path")]);
    assert_eq!(opened.status.code(), Some(0), "{}", text(&opened.stderr));
    let packets: Vec<serde_json::Value> =
        text(&opened.stdout).lines().map(|line| line.parse().expect("JSON")).collect();
    let grant = packets.iter().find(|p| p["packet"] == "Notice" && p["fields"]["outcome"] == "Done");
    assert_eq!(grant.expect("a grant")["fields"]["row"]["epoch"], "2");
    assert!(
        packets.iter().any(|p| p["packet"] == "Append" && p["transport"] == "stream"),
        "its streams are read"
    );
    let sealed = text(&run(&["decode", "--file", file]).stdout);
    assert!(
        sealed.contains("sealed, and the key log has no key for it") && !sealed.contains("outcome"),
        "{sealed}"
    );
}

#[test]
fn a_status_report_is_shown_field_by_field() {
    let (file, keys) = (capture("demo-query.pcapng"), capture("demo-query.keys"));
    let arguments = [
        "decode",
        "--json",
        "--file",
        file.to_str().expect("a path"),
        "--key-log",
        keys.to_str().expect("a path"),
    ];
    let output = text(&run(&arguments).stdout);
    let packets: Vec<serde_json::Value> = output.lines().map(|line| line.parse().expect("JSON")).collect();
    let answers: Vec<_> = packets.iter().filter(|p| p["packet"] == "StatusAnswer").collect();
    assert!(
        answers.iter().any(|p| p["report"]["node"] == 101 && p["report"]["role"].is_string()),
        "{answers:?}"
    );
}

#[test]
fn bad_input_is_told_with_what_was_expected() {
    let none = piped(&[], "");
    assert_eq!(none.status.code(), Some(1));
    for (arguments, status, told) in [
        (
            &["decode", "xyz"] as &[&str],
            4,
            "the argument: character 1: 'x'; expected pairs of hexadecimal digits",
        ),
        (&["decode", "--file", "/nonexistent/x"], 4, "/nonexistent/x: No such file or directory"),
        (&["decode", "--key-log", "/nonexistent/x", "00"], 4, "/nonexistent/x: No such file or directory"),
        (&["decode", "--file", "x", "00"], 2, "cannot be used with"),
        (&["decode", "--as", "frame", "00"], 2, "invalid value"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
    let mut keys = tempfile::NamedTempFile::new().expect("a file");
    keys.write_all(b"# good\nsession 12 nonsense\n").expect("written");
    let path = keys.path().to_str().expect("a path").to_owned();
    let output = run(&["decode", "--key-log", &path, "00"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains(&format!("{path}: line 2: expected `session ID KEY IV`")));
}

#[test]
fn a_capture_that_is_cut_is_read_as_far_as_it_goes() {
    let whole = std::fs::read(capture("demo-rec-1.pcapng")).expect("the capture");
    let mut cut = tempfile::NamedTempFile::new().expect("a file");
    cut.write_all(&whole[..5000]).expect("written");
    let output = run(&["decode", "--json", "--file", cut.path().to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).lines().count() > 10);
    assert!(text(&output.stderr).contains("expected a whole capture"), "{}", text(&output.stderr));
}

#[test]
#[cfg(not(feature = "key-log"))]
fn a_build_without_key_log_has_no_such_option() {
    for command in ["node", "authority", "demo"] {
        assert!(!text(&run(&[command, "--help"]).stdout).contains("key-log"), "{command}");
        assert_eq!(run(&[command, "--key-log", "x"]).status.code(), Some(2), "{command}");
    }
}

#[test]
#[cfg(feature = "key-log")]
fn a_node_with_a_key_log_says_so_loudly_and_writes_for_its_owner_alone() {
    use crate::network::{Network, eventually};
    use std::os::unix::fs::PermissionsExt as _;
    let network = Network::new(2);
    let path = network.path("keys");
    let option = path.to_str().expect("a path").to_owned();
    let authority = network.authority(&["--init", "--key-log", &option]);
    authority.await_log("WARNING: THE KEYS OF ALL SESSIONS ARE WRITTEN TO");
    let _ = network.status_output();
    eventually("a session's two keys", || {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        (log.lines().filter(|line| line.starts_with("session ")).count() >= 2).then_some(())
    });
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
