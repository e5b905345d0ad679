#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

const CALLER: Caller = Caller { user: 0, group: 0, process: 77 };

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = path_beside(&directory.path().join("node.redb"));
    assert!(path.ends_with("node.acts"));
    (directory, path)
}

/// B-CTL-2
#[test]
fn what_was_asked_is_there_after_a_restart_with_who_and_why() {
    let (_directory, path) = place();
    Acts::open(&path, key()).unwrap().record("reload", "a new roster", CALLER).unwrap();
    Acts::open(&path, key()).unwrap().record("stop", "\"work\"\nhere", CALLER).unwrap();
    let acts = read(&path, &key().verifying_key()).unwrap();
    let told: Vec<_> = acts.iter().map(|a| (a.number, a.what.as_str(), a.why.as_str(), a.user)).collect();
    assert_eq!(told, [(1, "reload", "a new roster", 0), (2, "stop", "\"work\"\nhere", 0)]);
    assert_eq!(acts.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["root", "root"]);
}

/// B-CTL-2: a line that is changed, taken away, put in or of another process.
#[test]
fn what_was_changed_since_is_noticed() {
    let (_directory, path) = place();
    let acts = Acts::open(&path, key()).unwrap();
    for why in ["one", "two", "three"] {
        acts.record("reload", why, CALLER).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let with = |text: String| {
        std::fs::write(&path, text).unwrap();
        read(&path, &key().verifying_key()).map(|acts| acts.len())
    };
    assert_eq!(with(text.clone()), Ok(3));
    assert!(with(text.replace("two", "2wo")).unwrap_err().contains("line 2: not signed"));
    assert!(with([lines[0], lines[2]].concat()).unwrap_err().contains("line 2: does not follow"));
    assert!(with([lines[0], lines[0]].concat()).unwrap_err().contains("line 2: does not follow"));
    assert!(with(text.clone() + "reload\n").unwrap_err().contains("line 4: no act"));
    // The end of it can be cut: B-CTL-2 promises no more.
    assert_eq!(with(lines[..2].concat()), Ok(2));
    std::fs::write(&path, text).unwrap();
    assert!(read(&path, &SigningKey::from_bytes(&[6; 32]).verifying_key()).is_err());
    assert!(Acts::open(&path, SigningKey::from_bytes(&[6; 32])).is_err(), "another process's");
}

#[test]
fn half_a_line_goes_and_the_chain_goes_on() {
    let (_directory, path) = place();
    Acts::open(&path, key()).unwrap().record("reload", "one", CALLER).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.clone() + &text[..40]).unwrap();
    assert_eq!(read(&path, &key().verifying_key()).unwrap().len(), 1);
    Acts::open(&path, key()).unwrap().record("reload", "two", CALLER).unwrap();
    assert_eq!(read(&path, &key().verifying_key()).unwrap().len(), 2);
}

/// B-CTL-2: nobody fills the disk.
#[test]
fn a_flood_is_refused_and_one_a_minute_is_taken() {
    let (_directory, path) = place();
    let acts = Acts::open(&path, key()).unwrap();
    let taken = (0..100).filter(|_| acts.record("reload", "again", CALLER).is_ok()).count();
    assert_eq!(taken, 20);
    let refused = acts.record("reload", "again", CALLER).unwrap_err();
    assert_eq!(refused.answer, "too_many");
    let mut inner = acts.inner.lock().unwrap();
    let asked = &mut inner.by_socket;
    let now = asked.filled_at;
    assert!(!asked.take(now + PACE - Duration::from_millis(1)));
    assert!(asked.take(now + PACE));
    assert!(!asked.take(now + PACE));
    assert!(asked.take(now + 3 * PACE) && asked.take(now + 3 * PACE) && !asked.take(now + 3 * PACE));
}

/// B-CTL-3: signals have an allowance of their own, and a stop is kept after any flood.
#[test]
fn b_ctl_3_what_a_signal_does_is_kept_and_a_stop_after_any_flood() {
    let (_directory, path) = place();
    let acts = Acts::open(&path, key()).unwrap();
    let by = Caller { user: 0, group: UNTOLD, process: 1 };
    let kept = (0..100).filter(|_| acts.record_signal("reload", "signal HUP", by, false).is_ok()).count();
    assert_eq!(kept, 20);
    acts.record("reload", "a new roster", CALLER).unwrap();
    acts.record_signal("stop", "signal TERM", by, true).unwrap();
    let acts = read(&path, &key().verifying_key()).unwrap();
    let last = acts.last().unwrap();
    assert_eq!((acts.len(), last.what.as_str(), last.why.as_str()), (22, "stop", "signal TERM"));
    assert_eq!((last.user, last.name.as_str(), last.group, last.process), (0, "root", UNTOLD, 1));
}

#[test]
fn a_long_file_loses_its_older_half_and_its_chain_holds() {
    let (_directory, path) = place();
    let acts = Acts::open(&path, key()).unwrap();
    let why = "x".repeat(255);
    while acts.inner.lock().unwrap().number < 1_800 {
        acts.inner.lock().unwrap().by_socket.left = BURST;
        acts.record("reload", &why, CALLER).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() <= MOST_BYTES + 1_000);
    let kept = read(&path, &key().verifying_key()).unwrap();
    assert_eq!(kept.last().map(|act| act.number), Some(1_800));
    assert!(kept.len() < 1_800 && kept.len() > 500);
}
