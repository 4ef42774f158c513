//! A small disk that a test can fill, and make read-only: a tmpfs of its own.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A mounted disk; dropping it unmounts it.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

fn as_root(program: &str, args: &[&str]) {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0"));
    let (program, args) = if is_root { (program, args.to_vec()) } else { ("sudo", [&[program], args].concat()) };
    let status = Command::new(program).args(args).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{program}: {status:?}");
}

impl SmallDisk {
    /// Mounts one of so many MiB.
    ///
    /// # Panics
    /// Where it cannot be mounted: that takes root's rights.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_str().expect("utf-8");
        as_root("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0777"), "tmpfs", path]);
        Self { directory }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// Where nothing can be written at all.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        for size in [1024 * 1024, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// Where it was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }

    /// Lets nothing be written, or lets it again.
    ///
    /// # Panics
    /// Where that cannot be said.
    pub fn read_only(&self, is_read_only: bool) {
        let mode = if is_read_only { "remount,ro" } else { "remount,rw" };
        as_root("mount", &["-o", mode, self.path().to_str().expect("utf-8")]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root("umount", &["--lazy", self.path().to_str().expect("utf-8")]);
    }
}
