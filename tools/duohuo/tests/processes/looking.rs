//! What those who only look are told: commands, the page, metrics, health answers; and that looking changes nothing.

use crate::network::{Network, duohuo, eventually, run, text};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

/// A network whose node 101 and authority have a page.
struct Looked {
    network: Network,
    page: SocketAddr,
    authority_page: SocketAddr,
}

impl Looked {
    fn new(nodes: u8) -> Self {
        let network = Network::new(nodes);
        let at = |n: u8| SocketAddr::new(network.address(n).ip(), network.port + 1);
        let (page, authority_page) = (at(1), at(0));
        let add = |file: &std::path::Path, page: SocketAddr| {
            network.edit(file, "[log]", &format!("[http]\nlisten = \"{page}\"\n\n[log]"));
        };
        add(&network.node_file(101, "node.toml"), page);
        add(&network.path("net/authority/authority.toml"), authority_page);
        Self { network, page, authority_page }
    }

    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let config = self.network.file("net/client.toml");
        let output = run(&[arguments, &["--config", &config]].concat());
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }
}

/// One request on a connection of its own: status, head and body.
fn ask(at: SocketAddr, method: &str, path: &str, more: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: it\r\n{more}\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head.to_lowercase(), body.to_owned())
}

pub(crate) fn get(at: SocketAddr, path: &str) -> (u16, String, String) {
    ask(at, "GET", path, "")
}

#[test]
fn a_network_is_looked_at_by_commands_and_by_http() {
    let looked = Looked::new(2);
    let (authority, mut nodes) = looked.network.start(&[101, 102]);

    // commands
    assert_eq!(looked.command(&["wait", "settled", "--timeout", "30"]).0, Some(0));
    assert_eq!(looked.command(&["wait", "master", "--node", "a1", "--timeout", "5"]).0, Some(0));
    assert_eq!(looked.command(&["wait", "master", "--node", "a2", "--timeout", "1"]).0, Some(1));
    let (status, told) = looked.command(&["status"]);
    assert_eq!(status, Some(0));
    assert!(told.contains("+ Cluster A (1)  epoch 1.") && told.contains("master a1 -"), "{told}");
    let (_, told) = looked.command(&["status", "A"]);
    assert!(told.contains("| a1 ") && told.contains("| a2 ") && !told.contains("hears: "), "{told}");
    let (status, told) = looked.command(&["status", "a2"]);
    assert_eq!(status, Some(0));
    assert!(told.contains("| a2 ") && !told.contains("| a1 "), "{told}");
    assert!(told.contains("in sync: a1, a2; barred: nobody; standby: a2; hears: a1\nup for "), "{told}");
    let (_, tsv) = looked.command(&["status", "102", "-o", "tsv"]);
    assert_eq!(tsv.lines().count(), 3, "{tsv}");
    let (status, told) = looked.command(&["status", "nobody"]);
    assert_eq!(status, Some(4));
    assert!(told.contains("the roster has no cluster or node \"nobody\" in service; expected"), "{told}");
    let (_, tsv) = looked.command(&["status", "-o", "tsv"]);
    let columns: Vec<usize> = tsv.lines().map(|l| l.split('\t').count()).collect();
    assert_eq!(columns, [17; 4], "{tsv}");
    let (_, grid) = looked.command(&["neighbours"]);
    let row = grid.lines().find(|l| l.starts_with("a1 ")).expect("a row").to_owned();
    assert!(row.ends_with("up") && !row.contains("silent") && !row.contains('?'), "{grid}");
    let (status, told) = looked.command(&["check"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.starts_with("DUOHUO OK - 1 clusters led, 2 nodes in sync, height "), "{told}");
    assert!(told.contains(" | clusters_led=1;;;0;1 nodes_answering=2;;;0;2 height="), "{told}");

    // the page
    let (status, head, body) = get(looked.page, "/");
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'self';"), "{head}");
    for word in ["Rooms and clusters", "Recent switches", "a1 of cluster A", "MASTER", "● a1", "<polyline"]
    {
        assert!(body.contains(word), "{word}: {body}");
    }
    assert!(!body.contains("<script") && !body.contains("http://"), "nothing from elsewhere: {body}");
    let (_, _, body) = get(looked.authority_page, "/");
    assert!(body.contains("● a1") && body.contains("<h1>authority</h1>"), "{body}");
    for (path, expected) in [
        ("/health", 200),
        ("/liveness", 200),
        ("/readiness", 200),
        ("/master", 200),
        ("/standby", 503),
        ("/no", 404),
    ] {
        assert_eq!(get(looked.page, path).0, expected, "{path}");
    }
    assert_eq!(get(looked.authority_page, "/master").0, 503);
    assert_eq!(ask(looked.page, "HEAD", "/master", "").0, 200);
    assert_eq!(ask(looked.page, "OPTIONS", "/", "").0, 204);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(looked.page, method, "/", "Content-Length: 0\r\n").0, 405);
    }
    let (_, _, body) = get(looked.page, "/status");
    let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (&value["schema"], &value["role"], &value["node"]),
        (&1.into(), &"MASTER".into(), &101.into())
    );

    // metrics, in both forms
    let (_, head, plain) = get(looked.page, "/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    for line in [
        "duohuo_node_role{role=\"master\"} 1",
        "duohuo_node_info{node=\"a1\",cluster=\"A\",room=\"1\"} 1",
        "# TYPE duohuo_events_total counter",
        "duohuo_neighbour_alive{neighbour=\"a2\"} 1",
    ] {
        assert!(plain.contains(line), "{line}: {plain}");
    }
    assert!(!plain.contains("# EOF"));
    let (_, head, open) = ask(looked.page, "GET", "/metrics", "Accept: application/openmetrics-text\r\n");
    assert!(head.contains("application/openmetrics-text") && open.ends_with("# EOF\n"), "{open}");
    assert!(
        get(looked.authority_page, "/metrics").2.contains("duohuo_authority_master_present{cluster=\"A\"} 1")
    );

    // an event, as a line
    let mut watch = duohuo()
        .args([
            "watch",
            "--only",
            "dead",
            "--count",
            "1",
            "--config",
            &looked.network.file("net/client.toml"),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_millis(500));
    nodes.pop().expect("node 102").signal(Signal::KILL);
    let mut line = String::new();
    BufReader::new(watch.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&event["event"], &event["teller"], &event["node"]),
        (&"dead".into(), &"a1".into(), &"a2".into())
    );
    assert_eq!(watch.wait().expect("it ends").code(), Some(0));
    eventually("a warning", || (looked.command(&["check", "--timeout", "1"]).0 == Some(1)).then_some(()));
    eventually("the page knows", || get(looked.page, "/").2.contains("× a2").then_some(()));

    // more half-sent requests than there are places: the page waits for none of them, and the chain goes on
    let idle: Vec<_> = (0..64)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(looked.page).ok()?;
            stream.write_all(b"GET / HTTP/1.1\r\nHo").ok()?;
            Some(stream)
        })
        .collect();
    looked.network.commit();
    assert_eq!(get(looked.page, "/health").0, 200, "when the first of them were given up");
    drop(idle);
    nodes.pop().expect("node 101").stop();
    authority.stop();
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let looked = Looked::new(2);
    let _other = std::net::TcpListener::bind(looked.page).expect("free");
    let (status, told) = looked.network.refusal(101, &["--init"]);
    assert_eq!(status, Some(1));
    let expected = format!(
        "http.listen {}: Address already in use (os error 98); expected an address of this machine with a free port",
        looked.page
    );
    assert!(told.starts_with(&expected), "{told}");
    assert!(!looked.network.node_file(101, "node.redb").exists(), "nothing was made");
}

#[test]
fn nobody_there_is_unknown_to_a_supervisor() {
    let looked = Looked::new(2);
    let (status, told) = looked.command(&["check", "--timeout", "1"]);
    assert_eq!((status, told.as_str()), (Some(3), "DUOHUO UNKNOWN - nobody answers\n"));
}

#[test]
fn a_reload_changes_what_can_change_live_and_names_what_cannot() {
    let looked = Looked::new(2);
    let network = &looked.network;
    let node = network.node(101, &["--init"]);
    node.await_log("node started");
    let file = network.node_file(101, "node.toml");
    network.edit(&file, "level = \"info\"", "level = \"debug\"");
    network.edit(&file, "keepalive_interval_ms = 50", "keepalive_interval_ms = 60");
    network.edit(&file, "allow = false", "allow = true");
    node.signal(Signal::HUP);
    node.await_log("log.level is \"debug\" now, it was \"info\"");
    node.await_log("drill.allow is true now, it was false");
    node.await_log("timers.keepalive_interval_ms is 60 in the file and 50 here: it changes when this process is started again");
    node.signal(Signal::USR1);
    node.await_log("drill: wrong results");
    // the page moves; to an address that is taken it does not
    let (free, taken) =
        (std::net::TcpListener::bind("127.0.0.1:0"), std::net::TcpListener::bind("127.0.0.1:0"));
    let (free, taken) = (free.expect("a port"), taken.expect("a port"));
    let (moved, other) = (free.local_addr().expect("bound"), taken.local_addr().expect("bound"));
    drop(free);
    network.edit(&file, &format!("listen = \"{}\"", looked.page), &format!("listen = \"{moved}\""));
    network.edit(&file, "[timers]", "[chain]\nkeep_blocks = 7\n[timers]");
    node.signal(Signal::HUP);
    node.await_log(&format!("http.listen is \"{moved}\" now, it was \"{}\"", looked.page));
    node.await_log("chain.keep_blocks is 7 now, it was 100000");
    assert!(get(moved, "/metrics").2.contains("duohuo_config_last_reload_successful 1"));
    eventually("nothing is left where it was", || std::net::TcpStream::connect(looked.page).err());
    network.edit(&file, &format!("listen = \"{moved}\""), &format!("listen = \"{other}\""));
    node.signal(Signal::HUP);
    node.await_log(&format!("it stays at \"{moved}\""));
    network.edit(&file, "format = \"plain\"", "format = \"json\"");
    node.signal(Signal::HUP);
    node.await_log("\"message\":\"log.format is");
    network.edit(&file, "keepalive_interval_ms = 60", "keepalive_interval_ms = 0");
    node.signal(Signal::HUP);
    node.await_log("0 is out of range; expected 1..=10000 (milliseconds)");
    node.await_log("the configuration in force stays");
    eventually("the page tells it", || {
        get(moved, "/metrics").2.contains("duohuo_config_last_reload_successful 0").then_some(())
    });
    node.stop();
}

#[test]
fn systemd_is_told_when_it_is_ready_while_its_loop_turns_and_when_it_stops() {
    let network = Network::new(2);
    let path = network.path("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&path).expect("bound");
    systemd.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let config = network.node_file(101, "node.toml");
    let mut node = duohuo()
        .args(["node", "--init", "--config", &config.display().to_string()])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000")
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let told = || {
        let mut bytes = [0; 512];
        let length = systemd.recv(&mut bytes).expect("told in time");
        text(bytes.get(..length).unwrap_or_default())
    };
    assert_eq!(told(), "READY=1\n");
    for _ in 0..3 {
        let line = told();
        assert!(line.starts_with("WATCHDOG=1\nSTATUS=ordinary, epoch 0, height 0"), "{line}");
    }
    let pid = i32::try_from(node.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    while told() != "STOPPING=1\n" {}
    assert_eq!(node.wait().expect("it ends").code(), Some(0));
}
