use super::*;
use crate::hooks::words::Request;
use duohuo_core::outside::WordAnswer;
use mio::{Events, Poll, Token};

/// A socket, and a loop that answers every question with `told`.
struct Stage {
    directory: tempfile::TempDir,
    looping: Option<std::thread::JoinHandle<()>>,
    stop: SyncSender<()>,
}

impl Stage {
    fn new() -> Self {
        Self::admitting(Admitted::default())
    }

    fn admitting(admitted: Admitted) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("chain.sock");
        let mut poll = Poll::new().expect("poll");
        let waker = Waker::new(poll.registry(), Token(1)).expect("waker");
        let socket = Socket::<Request>::listen(&path, waker, admitted, None).expect("bound");
        let (stop, stopped) = sync_channel(1);
        let looping = std::thread::spawn(move || {
            let mut events = Events::with_capacity(8);
            while stopped.try_recv().is_err() {
                poll.poll(&mut events, Some(Duration::from_millis(10))).expect("poll");
                while let Some(asked) = socket.next() {
                    let _ = asked.reply.send(Answer::of(WordAnswer::Told));
                }
            }
        });
        Self { directory, looping: Some(looping), stop }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("chain.sock")
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).expect("connected")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(looping) = self.looping.take() {
            let _ = looping.join();
        }
    }
}

fn say(stream: &UnixStream, bytes: &[u8]) -> String {
    let mut stream: &UnixStream = stream;
    stream.write_all(bytes).expect("written");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line
}

/// Until the other side has closed.
fn rest(stream: &UnixStream) -> String {
    let mut all = String::new();
    let mut stream: &UnixStream = stream;
    stream.read_to_string(&mut all).expect("read");
    all
}

#[test]
fn questions_are_answered_one_after_the_other() {
    let stage = Stage::new();
    let stream = stage.connect();
    for _ in 0..3 {
        assert_eq!(say(&stream, b"{\"do\":\"state\"}\n"), "{\"ok\":true,\"answer\":\"told\"}\n");
    }
    assert!(say(&stream, b"nonsense\n").contains("\"malformed\""));
    assert!(say(&stream, b"{\"do\":\"state\"}\n").contains("told"), "a line that is none ends nothing");
}

#[test]
fn b_hook_10_only_its_owner_can_open_it() {
    let stage = Stage::new();
    let mode = std::fs::metadata(stage.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn b_hook_10_its_own_user_and_root_may_speak_and_nobody_else() {
    let [root, own, other] = [0, 1_000, 1_001].map(Uid::from_raw);
    let group = Gid::from_raw(50);
    let may = |user, own| may_speak(user, group, own, &Admitted::default());
    assert!(may(own, own) && may(root, own) && may(root, root));
    assert!(!may(other, own) && !may(own, root) && !may(other, root));
}

#[test]
fn b_ctl_1_who_is_admitted_by_user_or_primary_group_may_speak_and_nobody_else() {
    let admitted = Admitted { users: vec![1_001], groups: vec![50] };
    let may =
        |user, group| may_speak(Uid::from_raw(user), Gid::from_raw(group), Uid::from_raw(1_000), &admitted);
    assert!(may(1_001, 7) && may(1_002, 50) && may(1_000, 7) && may(0, 7));
    assert!(!may(1_002, 7) && !may(50, 1_001), "a number of the other kind is none");
}

/// As above, where it needs root: the mode lets all connect, and the kernel's word decides.
#[test]
fn b_ctl_1_a_user_that_is_not_admitted_is_told_forbidden_and_one_that_is_is_served() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody else to call as");
        return;
    }
    let stage = Stage::admitting(Admitted { users: vec![65_533], groups: vec![65_532] });
    let mode = std::fs::metadata(stage.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let directory = stage.directory.path().to_owned();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("opened for all");
    let call = |user: u32, group: u32| {
        let path = stage.path();
        let caller = std::thread::spawn(move || {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            // of this thread alone
            rustix::thread::set_thread_res_gid(group, group, group).expect("another group");
            rustix::thread::set_thread_res_uid(user, user, user).expect("another user");
            let stream = UnixStream::connect(path).expect("the mode lets it");
            let _ = (&stream).write_all(b"{\"do\":\"state\"}\n");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("an answer");
            line
        });
        caller.join().expect("answered")
    };
    assert!(call(65_533, 65_533).contains("told"));
    assert!(call(65_534, 65_532).contains("told"));
    assert_eq!(
        call(65_534, 65_534),
        "{\"ok\":false,\"answer\":\"forbidden\",\"about\":\"user 65534 may not speak here, only 0 and root, and who is admitted\"}\n"
    );
}

/// The mode keeps others out; where somebody has changed it, the kernel still says who calls. To call as somebody else
/// needs root: without, the rule above is all that is tested.
#[test]
fn b_hook_10_another_user_is_told_forbidden_whatever_the_mode() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody else to call as");
        return;
    }
    let stage = Stage::new();
    for (path, mode) in [(stage.directory.path().to_owned(), 0o755), (stage.path(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("opened for all");
    }
    let path = stage.path();
    let nobody = Uid::from_raw(65_534);
    let caller = std::thread::spawn(move || {
        // of this thread alone
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("another user");
        let stream = UnixStream::connect(path).expect("the mode lets it");
        let _ = (&stream).write_all(b"{\"do\":\"state\"}\n");
        rest(&stream)
    });
    assert_eq!(
        caller.join().expect("answered"),
        "{\"ok\":false,\"answer\":\"forbidden\",\"about\":\"user 65534 may not speak here, only 0 and root\"}\n"
    );
    assert!(
        say(&stage.connect(), b"{\"do\":\"state\"}\n").contains("told"),
        "its own user is served as before"
    );
}

#[test]
fn b_hook_10_a_line_that_is_too_long_or_does_not_end_closes_the_connection() {
    let stage = Stage::new();
    let stream = stage.connect();
    (&stream).write_all(&[b'x'; MOST_LINE + 1]).expect("written");
    assert!(rest(&stream).contains("\"too_long\""));
    let stream = stage.connect();
    (&stream).write_all(b"{\"do\":").expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("ended");
    assert!(rest(&stream).contains("the line does not end"));
    let mut longest = b"{\"do\":\"state\"}".to_vec();
    longest.resize(MOST_LINE - 1, b' ');
    longest.push(b'\n');
    assert!(say(&stage.connect(), &longest).contains("told"));
}

#[test]
fn b_hook_10_one_connection_too_many_is_told_so_and_one_that_ends_makes_room() {
    let stage = Stage::new();
    let mut held: Vec<UnixStream> = (0..MOST_CONNECTIONS).map(|_| stage.connect()).collect();
    for stream in &held {
        assert!(say(stream, b"{\"do\":\"state\"}\n").contains("told"));
    }
    assert!(say(&stage.connect(), b"{\"do\":\"state\"}\n").contains("\"too_many\""));
    drop(held.pop());
    let until = Instant::now() + Duration::from_secs(10);
    let has_room = || {
        let stream = stage.connect();
        let _ = (&stream).write_all(b"{\"do\":\"state\"}\n");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).is_ok() && line.contains("told")
    };
    while !has_room() {
        assert!(Instant::now() < until, "room was never made");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_taken_over_and_nothing_else_is() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chain.sock");
    drop(UnixListener::bind(&path).expect("bound"));
    let listener = bind(&path, 0o600).expect("nobody listens there");
    assert_eq!(bind(&path, 0o600).expect_err("in use").kind(), ErrorKind::AddrInUse);
    drop(listener);
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, "a file").expect("written");
    assert_eq!(bind(&path, 0o600).expect_err("a file").kind(), ErrorKind::AlreadyExists);
}
