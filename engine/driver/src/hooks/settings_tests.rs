use super::*;

fn check(text: &str) -> Result<HooksSettings, String> {
    let file: HooksFile = toml::from_str(text).map_err(|e| e.to_string())?;
    HooksSettings::check(Path::new("node.toml"), file).map_err(|e| e.to_string())
}

#[test]
fn a_notify_script_alone_is_enough() {
    let settings = check("name = \"VI_1\"\nnotify = [\"/bin/true\", \"x\"]").expect("valid");
    assert_eq!(settings.command(Program::Promote), ["/bin/true", "x"]);
    assert_eq!(settings.command(Program::Demote), ["/bin/true", "x"]);
    assert!(!settings.has(Program::Kill) && !settings.outside().has_copy);
    assert_eq!(settings.lease.span, Duration::from_secs(6));
}

#[test]
fn the_programs_that_end_it_must_fit_into_the_margin() {
    let text = |demote| {
        format!(
            "name = \"x\"\nnotify = [\"/bin/true\"]\nlease_ms = 2000\nmargin_ms = 1000\nkill_limit_ms = 300\ndemote_limit_ms = {demote}"
        )
    };
    assert!(check(&text(500)).is_ok());
    let wrong = check(&text(501)).expect_err("too long");
    assert!(
        wrong.contains("`hooks.demote_limit_ms`") && wrong.contains("1001 is above margin_ms = 1000"),
        "{wrong}"
    );
    let wrong = check("name = \"x\"\nnotify = [\"/bin/true\"]\nlease_ms = 3000").expect_err("no room");
    assert!(wrong.contains("`hooks.margin_ms`"), "{wrong}");
}

#[test]
fn what_cannot_be_run_or_could_be_changed_by_others_is_refused() {
    let refused =
        |program: &str| check(&format!("name = \"x\"\nnotify = [{program:?}]")).expect_err("refused");
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
fn an_instance_needs_a_name_and_programs() {
    assert!(check("name = \"a b\"\nnotify = [\"/bin/true\"]").expect_err("blank").contains("`hooks.name`"));
    assert!(check("name = \"x\"").expect_err("none").contains("`hooks.promote`"));
    assert!(check("name = \"x\"\nnotifi = []").is_err());
}
