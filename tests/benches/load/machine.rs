//! What the system says of processes, and where it runs them. Linux only.

use std::{fs, time::Duration};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPU time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) total: Duration,
    user_ticks: u64,
    system_ticks: u64,
}

impl Cpu {
    /// What was used since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user_ticks: self.user_ticks - before.user_ticks,
            system_ticks: self.system_ticks - before.system_ticks,
        }
    }

    /// The kernel's share of it.
    pub(crate) fn system_share(self) -> f64 {
        self.system_ticks as f64 / (self.user_ticks + self.system_ticks).max(1) as f64
    }
}

/// The cores this program may use.
pub(crate) fn cores() -> Vec<usize> {
    let mine = sched_getaffinity(None).expect("Linux");
    (0..CpuSet::MAX_CPU).filter(|core| mine.is_set(*core)).collect()
}

/// Moves this thread, and what it starts from now on, to these cores.
pub(crate) fn run_on(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).expect("they are among those it may use");
}

/// What these processes have used so far: the sum to the nanosecond, and shared out as their ticks are.
pub(crate) fn cpu_time(processes: &[u32]) -> Cpu {
    let mut cpu = Cpu::default();
    for process in processes {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("ticks");
        // Fields 14 and 15, of which the first two are gone.
        cpu.user_ticks += ticks(11);
        cpu.system_ticks += ticks(12);
        for thread in fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten() {
            let used = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let nanos = used.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
            cpu.total += Duration::from_nanos(nanos);
        }
    }
    // A thread may have ended just now, but not all of them.
    assert!(!cpu.total.is_zero(), "the kernel does not say what threads use: it is built without schedstat");
    cpu
}

/// What these processes have resident.
pub(crate) fn resident_bytes(processes: &[u32]) -> u64 {
    processes
        .iter()
        .map(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
            line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
        })
        .sum()
}

/// Processor, cores, kernel.
pub(crate) fn describe(cores: &[usize]) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").expect("Linux");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("?", |name| name.trim_matches(['\t', ':', ' ']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    format!("{model}, {} cores, Linux {}", cores.len(), kernel.trim())
}
