//! A disk without room: the node resigns, says why, and its standby takes over.

use crate::network::{Network, Process, eventually};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose store cannot be written any more: it is master, resigns and exits, and the other one commits.
fn resigns(network: &Network, mut nodes: Vec<Process>, fill: impl FnOnce(&Process)) {
    network.commit();
    assert_eq!(network.status_of(101)["role"], "MASTER");
    let epoch = network.status_of(101)["epoch"].as_u64().expect("an epoch");
    let mut full = nodes.remove(0);
    fill(&full);
    // the next transfer cannot be made durable by the master
    network.commit();
    let status = full.ended();
    let log = full.log();
    assert_eq!(status.code(), Some(1), "{status}\n{log}");
    assert!(
        log.contains(
            "the store cannot be written: free space or replace the disk, then start this node again"
        ),
        "{log}"
    );
    assert!(log.contains("node.redb"), "{log}");
    eventually("the standby has taken over", || {
        let other = network.status_of(102);
        (other["role"] == "MASTER" && other["epoch"].as_u64() > Some(epoch)).then_some(())
    });
    network.commit();
}

#[test]
fn at_the_limit_of_file_sizes_the_master_resigns_and_its_standby_takes_over() {
    let network = Network::new(2);
    let (_authority, nodes) = network.start(&[101, 102]);
    resigns(&network, nodes, |master| {
        let pid = i32::try_from(master.child.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: Some(4096), maximum: Some(4096) };
        prlimit(pid, Resource::Fsize, limit).expect("our own child");
    });
}

/// A file system of its own, unmounted when it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn small(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("directory");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "duohuo-test"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|s| s.success()).then(|| Self(at.into()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_the_master_resigns_and_its_standby_takes_over() {
    let network = Network::new(2);
    let Some(mount) = Mount::small(&network.path("disk")) else {
        // the limit of file sizes, in the test above, is the same to a node
        eprintln!("no right to mount a small file system: only the limit of file sizes was tested");
        return;
    };
    network.edit(
        &network.node_file(101, "node.toml"),
        "store = \"node.redb\"",
        "store = \"../../disk/node.redb\"",
    );
    let (_authority, nodes) = network.start(&[101, 102]);
    let disk = mount.0.clone();
    resigns(&network, nodes, |_| {
        let mut filler = std::fs::File::create(disk.join("filler")).expect("filler");
        while filler.write_all(&[0x5a; 512]).is_ok() {}
    });
    drop(mount);
}
