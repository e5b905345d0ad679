use super::*;

fn check(text: &str) -> Result<HooksSettings, String> {
    let file: HooksFile = toml::from_str(text).map_err(|e| e.to_string())?;
    let timers = Timers::for_keepalive(Duration::from_millis(100));
    HooksSettings::check(Path::new("node.toml"), file, "A", &timers).map_err(|e| e.to_string())
}

/// A table with these lines added.
fn refused(lines: &str) -> String {
    check(&format!("notify = [\"/bin/true\"]\n{lines}")).expect_err("refused")
}

#[test]
fn a_notify_script_alone_is_enough() {
    let settings = check("name = \"VI_1\"\nnotify = [\"/bin/true\", \"x\"]").expect("valid");
    assert_eq!(settings.command(Program::Promote), ["/bin/true", "x"]);
    assert_eq!(settings.command(Program::Demote), ["/bin/true", "x"]);
    assert!(!settings.has(Program::Kill) && !settings.outside().has_copy && !settings.outside().has_cover);
    assert_eq!(settings.lease().span, Duration::from_secs(6));
    assert_eq!(settings.limit(Program::Follow), Duration::from_secs(600));
    assert_eq!((settings.name.as_str(), settings.kind.name()), ("VI_1", "INSTANCE"));
}

#[test]
fn without_a_name_it_is_the_cluster_s() {
    let settings = check("notify = [\"/bin/true\"]\ntype = \"GROUP\"").expect("valid");
    assert_eq!((settings.name.as_str(), settings.kind.name()), ("A", "GROUP"));
}

#[test]
fn b_hook_5_the_programs_that_end_it_must_fit_into_the_margin() {
    let text = |demote| {
        format!(
            "promote = [\"/bin/true\"]\ndemote = [\"/bin/true\"]\nkill = [\"/bin/true\"]\nlease_ms = 2000\nmargin_ms = 1000\n\
             kill_limit_ms = 300\ndemote_limit_ms = {demote}"
        )
    };
    assert!(check(&text(500)).is_ok());
    let wrong = check(&text(501)).expect_err("too long");
    assert_eq!(
        wrong,
        "node.toml: `hooks.demote_limit_ms`: demote_limit_ms + kill_limit_ms + 200 = 1001 is above margin_ms = 1000; expected what \
         ends it within the margin, so that it has ended before the lease is over; raise margin_ms and lease_ms, the same on all \
         nodes of the cluster, or lower the limits"
    );
}

#[test]
fn b_hook_5_a_margin_must_be_below_its_lease() {
    let wrong = refused("lease_ms = 3000");
    assert!(wrong.contains("`hooks.margin_ms`: 3000 is not below lease_ms = 3000"), "{wrong}");
}

#[test]
fn b_hook_5_a_lease_must_outlast_the_removal_of_a_dead_member() {
    // dead interval 500 ms: (lease - 1700) x 3/4 above it
    let text = |lease| format!("margin_ms = 1700\nlease_ms = {lease}");
    assert!(check(&format!("notify = [\"/bin/true\"]\n{}", text(2376))).is_ok());
    let wrong = refused(&text(2364));
    assert!(wrong.contains("`hooks.lease_ms`"), "{wrong}");
    assert!(wrong.contains("498") && wrong.contains("after 500"), "{wrong}");
}

#[test]
fn what_cannot_be_run_or_could_be_changed_by_others_is_refused() {
    let refused = |program: &str| check(&format!("notify = [{program:?}]")).expect_err("refused");
    assert!(refused("bin/true").contains("not an absolute path"));
    assert!(refused("/nowhere/true").contains("/nowhere/true"));
    assert!(refused("/etc/passwd").contains("cannot be run"));
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("x.sh");
    std::fs::write(&script, "#!/bin/sh\n").expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o775)).expect("mode");
    assert!(refused(&script.to_string_lossy()).contains("can be changed by others (mode 775)"));
}

#[test]
fn what_is_missing_unknown_or_out_of_range_is_told() {
    assert!(check("name = \"x\"").expect_err("none").contains("`hooks.promote`: not there, nor `notify`"));
    assert!(refused("notifi = []").contains("unknown field `notifi`"));
    assert!(refused("type = \"instance\"").contains("unknown variant"));
    for (line, expected) in [
        ("name = \"a b\"", "`hooks.name`"),
        ("name = \"\"", "`hooks.name`"),
        ("lease_ms = 199", "`hooks.lease_ms`: 199 is out of range; expected 200..=600000 (milliseconds)"),
        ("margin_ms = 49", "`hooks.margin_ms`"),
        ("promote_limit_ms = 9", "`hooks.promote_limit_ms`"),
        ("follow_limit_ms = 86400001", "`hooks.follow_limit_ms`"),
        ("check_interval_ms = 9", "`hooks.check_interval_ms`"),
        ("drift_ppm = 1000001", "`hooks.drift_ppm`"),
        ("health_fall = 0", "`hooks.health_fall`: 0; expected at least 1"),
        ("health_rise = 0", "`hooks.health_rise`"),
    ] {
        let wrong = refused(line);
        assert!(wrong.contains(expected), "{wrong}");
    }
}

#[test]
fn what_is_allowed_and_may_not_be_meant_is_warned_of() {
    let timers = Timers::for_keepalive(Duration::from_millis(100));
    let settings =
        check("notify = [\"/bin/true\"]\ncover = [\"/bin/true\"]\nlease_ms = 5000").expect("valid");
    let warned = settings.warnings(&timers);
    assert_eq!(warned.len(), 3, "{warned:?}");
    let settings = check(
        "notify = [\"/bin/true\"]\nkill = [\"/bin/true\"]\ncover = [\"/bin/true\"]\nsync = [\"/bin/true\"]",
    )
    .expect("valid");
    assert_eq!(settings.warnings(&timers), Vec::<String>::new());
}
